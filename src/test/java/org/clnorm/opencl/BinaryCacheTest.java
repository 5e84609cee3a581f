package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The files of the cache; no device is needed for them. */
class BinaryCacheTest {
    private static final byte[] BINARY = {1, 2, 3, 4, 5, 6, 7};

    @TempDir
    private Path folder;

    private BinaryCache cache;
    private String key;

    @BeforeEach
    void writeOne() {
        cache = cache();
        key = cache.key("text", "options");
        cache.write(key, BINARY);
    }

    private BinaryCache cache() {
        return new BinaryCache(folder, List.of("platform", "device"));
    }

    private List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    @Test
    void read_whatAnotherWrote_isThat() throws IOException {
        assertThat(cache().read(key)).isEqualTo(BINARY);
        assertThat(files()).as("no temporary file is left").containsExactly(cache.file(key));
    }

    @Test
    void read_whatNobodyWrote_isNothing() {
        assertThat(cache.read(cache.key("other text", "options"))).isNull();
    }

    @Test
    void write_again_replaces() {
        cache.write(key, new byte[] {9});
        assertThat(cache.read(key)).containsExactly(9);
    }

    @Test
    void key_ofAnythingElse_isAnother() {
        assertThat(Set.of(
                        key,
                        cache.key("text", "option"),
                        cache.key("tex", "options"),
                        cache.key("texto", "ptions"),
                        new BinaryCache(folder, List.of("platform", "device 2")).key("text", "options"),
                        new BinaryCache(folder, List.of("platformd", "evice")).key("text", "options"),
                        new BinaryCache(folder, List.of("platform")).key("device", "textoptions")))
                .hasSize(7);
        assertThat(cache().key("text", "options")).isEqualTo(key).matches("[0-9a-f]{64}");
    }

    @Test
    void read_fileWithAByteChanged_isDeleted() throws IOException {
        long length = Files.size(cache.file(key));
        for (long at = 0; at < length; at += 3) {
            cache.write(key, BINARY);
            try (RandomAccessFile file = new RandomAccessFile(cache.file(key).toFile(), "rw")) {
                file.seek(at);
                int old = file.read();
                file.seek(at);
                file.write(old ^ 1);
            }
            assertThat(cache.read(key)).as("byte %d changed", at).isNull();
            assertThat(cache.file(key)).doesNotExist();
        }
    }

    @Test
    void read_fileCutOffOrGrown_isDeleted() throws IOException {
        byte[] whole = Files.readAllBytes(cache.file(key));
        for (int length = 0; length <= whole.length + 5; length += 5) {
            if (length != whole.length) {
                Files.write(cache.file(key), Arrays.copyOf(whole, length));
                assertThat(cache.read(key))
                        .as("%d of %d bytes", length, whole.length)
                        .isNull();
                assertThat(cache.file(key)).doesNotExist();
            }
        }
    }

    @Test
    void read_entryOfAnotherKeyUnderThisName_isDeleted() throws IOException {
        String other = cache.key("other text", "options");
        Files.copy(cache.file(key), cache.file(other));

        assertThat(cache.read(other)).isNull();
        assertThat(cache.file(other)).doesNotExist();
        assertThat(cache.read(key)).isEqualTo(BINARY);
    }

    @Test
    void read_enormousFile_isDeletedUnread() throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(cache.file(key).toFile(), "rw")) {
            file.setLength(1L << 40); // sparse
        }
        assertThat(cache.read(key)).isNull();
        assertThat(cache.file(key)).doesNotExist();
    }

    @Test
    void readAndWrite_entryThatIsAFolder_goOnWithout() throws IOException {
        String taken = cache.key("taken", "");
        Files.createDirectories(cache.file(taken).resolve("inside"));

        assertThat(cache.read(taken)).isNull();
        cache.write(taken, BINARY);
        assertThat(cache.read(taken)).isNull();
        assertThat(files()).as("no temporary file is left").hasSize(2);
    }

    @Test
    void readAndWrite_folderThatCannotBe_goOnWithout() throws IOException {
        BinaryCache impossible =
                new BinaryCache(Files.createFile(folder.resolve("file")).resolve("folder"), List.of());
        assertThatCode(() -> {
                    assertThat(impossible.read(key)).isNull();
                    impossible.write(key, BINARY);
                    impossible.delete(key);
                    assertThat(impossible.read(key)).isNull();
                })
                .doesNotThrowAnyException();
    }

    @Test
    void readAndWrite_off_doNothing() throws IOException {
        BinaryCache off = BinaryCache.off();
        off.write(key, BINARY);
        off.delete(key);
        assertThat(off.read(key)).isNull();
        assertThat(off.isOn()).isFalse();
    }

    @Test
    void isOn_switches_propertyBeforeVariable() {
        assertThat(BinaryCache.isOn(null, null)).isTrue();
        assertThat(BinaryCache.isOn("", " ")).isTrue();
        assertThat(BinaryCache.isOn(null, "OFF")).isFalse();
        assertThat(BinaryCache.isOn("on", "off")).isTrue();
        assertThat(BinaryCache.isOn("off", "on")).isFalse();
        assertThatThrownBy(() -> BinaryCache.isOn(null, "of"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("CLNORM_CACHE must be on or off, but given was 'of'");
        assertThatThrownBy(() -> BinaryCache.isOn("1", null)).hasMessageContaining("clnorm.cache");
    }

    @Test
    void write_firstOfAProcess_deletesWhatWasNotUsedForLong() throws IOException {
        String old = cache.key("old", "");
        String used = cache.key("used", "");
        for (String written : List.of(old, used)) {
            cache.write(written, BINARY);
            Files.setLastModifiedTime(
                    cache.file(written), FileTime.from(Instant.now().minus(BinaryCache.UNUSED.plusDays(1))));
        }
        cache.read(used);

        cache().write(cache.key("new", ""), BINARY);

        assertThat(cache.file(old)).doesNotExist();
        assertThat(cache.file(used)).as("reading it was a use").exists();
        assertThat(cache.file(key)).exists();
    }

    @Test
    void write_firstOfAProcess_deletesTheLongestUnusedOfTooMuch() throws IOException {
        List<Path> large = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Path file = cache.file(cache.key("large", "" + i));
            try (RandomAccessFile content = new RandomAccessFile(file.toFile(), "rw")) {
                content.setLength(BinaryCache.MOST_BYTES * 2 / 5); // sparse
            }
            Files.setLastModifiedTime(file, FileTime.from(Instant.now().minus(Duration.ofDays(1 + i))));
            large.add(file);
        }

        cache().write(cache.key("new", ""), BINARY);

        assertThat(large.subList(0, 2)).allMatch(Files::exists);
        assertThat(large.subList(2, 4)).noneMatch(Files::exists);
    }

    @Test
    void readAndWrite_byManyAtATime_seeWholeEntriesOnly() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(4);
        try {
            List<Callable<Integer>> work = new ArrayList<>();
            for (int t = 0; t < 4; t++) {
                byte[] mine = new byte[100_000];
                Arrays.fill(mine, (byte) t);
                work.add(() -> {
                    BinaryCache own = cache();
                    int seen = 0;
                    for (int i = 0; i < 50; i++) {
                        own.write(key, mine);
                        byte[] read = own.read(key);
                        assertThat(read).as("somebody's entry is always there").isNotNull();
                        assertThat(read).containsOnly(read[0]);
                        seen++;
                    }
                    return seen;
                });
            }
            for (Future<Integer> result : threads.invokeAll(work)) {
                assertThat(result.get()).isEqualTo(50);
            }
        } finally {
            threads.shutdownNow();
        }
        assertThat(files()).containsExactly(cache.file(key));
    }
}
