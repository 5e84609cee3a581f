package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Facts;
import org.clnorm.plan.StrategyTable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class TunedTablesTest {
    private static final DeviceFacts FACTS = Facts.cpu(2, 16);
    private static final StrategyTable TABLE =
            StrategyTable.parse("pass=forward groups=64..127 => gpu-split tile=2 | 1.2 times as fast");

    @TempDir
    Path folder;

    private TunedTables tables;

    @BeforeEach
    void overTheFolder() {
        tables = new TunedTables(Optional.of(folder.resolve("not").resolve("yet")));
    }

    private void rewrite(UnaryOperator<String> change) throws IOException {
        Path file = tables.store(FACTS, TABLE);
        String before = Files.readString(file);
        String after = change.apply(before);
        assertThat(after).as("the test changes the file").isNotEqualTo(before);
        Files.writeString(file, after);
    }

    @Test
    void load_stored_isTheSame() throws IOException {
        assertThat(tables.load(FACTS)).isEmpty();

        Path file = tables.store(FACTS, TABLE);

        assertThat(file).isEqualTo(tables.file(FACTS).orElseThrow()).exists();
        assertThat(tables.load(FACTS)).contains(TABLE);
    }

    @Test
    void store_again_replacesAndLeavesNothingBeside() throws IOException {
        tables.store(FACTS, TABLE);
        Path file = tables.store(FACTS, StrategyTable.EMPTY);

        assertThat(tables.load(FACTS)).contains(StrategyTable.EMPTY);
        try (Stream<Path> beside = Files.list(file.getParent())) {
            assertThat(beside).containsExactly(file);
        }
    }

    @Test
    void load_otherDevice_hasNone() throws IOException {
        tables.store(FACTS, TABLE);

        assertThat(tables.load(Facts.gpu(132))).isEmpty();
    }

    @Test
    void load_otherComputeUnits_isIgnored() throws IOException {
        tables.store(FACTS, TABLE);

        assertThat(tables.load(Facts.cpu(64, 16)))
                .as("the same device, but what is fast on two cores need not be so on 64")
                .isEmpty();
    }

    @Test
    void load_otherDriver_isIgnored() throws IOException {
        rewrite(text -> text.replaceFirst("\ndriver .*", "\ndriver 0.9"));

        assertThat(tables.load(FACTS)).isEmpty();
    }

    @Test
    void load_otherKernels_isIgnored() throws IOException {
        rewrite(text -> text.replaceFirst("\nkernels .", "\nkernels x"));

        assertThat(tables.load(FACTS)).isEmpty();
    }

    @Test
    void load_otherFormat_isIgnored() throws IOException {
        rewrite(text -> text.replaceFirst("format 1", "format 2"));

        assertThat(tables.load(FACTS)).isEmpty();
    }

    @Test
    void load_damaged_isIgnored() throws IOException {
        rewrite(text -> text.replace("tile=2", "tile=3"));
        assertThat(tables.load(FACTS)).isEmpty();

        rewrite(text -> text.substring(0, text.length() - 3));
        assertThat(tables.load(FACTS)).isEmpty();

        rewrite(text -> "");
        assertThat(tables.load(FACTS)).isEmpty();

        Files.write(tables.file(FACTS).orElseThrow(), new byte[] {(byte) 0xff, (byte) 0xfe, 0});
        assertThat(tables.load(FACTS)).as("not even text").isEmpty();
    }

    @Test
    @Timeout(20)
    void load_whatIsNoRegularFile_isIgnored() throws Exception {
        Path file = tables.store(FACTS, TABLE);
        Files.delete(file);
        assertThat(new ProcessBuilder("mkfifo", file.toString()).start().waitFor())
                .isZero();
        assertThat(tables.load(FACTS)).as("a pipe would be waited for for ever").isEmpty();

        Files.delete(file);
        Files.createSymbolicLink(file, Path.of("/dev/zero"));
        assertThat(tables.load(FACTS)).as("a device has no end").isEmpty();
    }

    @Test
    void load_unknownStrategy_isIgnored() throws IOException {
        tables.store(FACTS, StrategyTable.parse("=> warp-speed | of another version"));

        assertThat(tables.load(FACTS)).isEmpty();
    }

    @Test
    void remove_stored_isGone() throws IOException {
        tables.store(FACTS, TABLE);

        assertThat(tables.remove(FACTS)).isTrue();
        assertThat(tables.load(FACTS)).isEmpty();
        assertThat(tables.remove(FACTS)).isFalse();
    }

    @Test
    void switchedOff_nothingIsKept() throws IOException {
        TunedTables off = new TunedTables(Optional.empty());

        assertThat(off.load(FACTS)).isEmpty();
        assertThat(off.remove(FACTS)).isFalse();
        assertThatThrownBy(() -> off.store(FACTS, TABLE)).isInstanceOf(IllegalStateException.class);
    }
}
