package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The files of the cache; no device is needed for them. */
class BinaryCacheTest {
    private static final String KERNEL = "apply";
    private static final byte[] BINARY = new byte[300];

    static {
        new Random(1).nextBytes(BINARY);
    }

    @TempDir
    private Path folder;

    private BinaryCache cache;
    private String key;

    @BeforeEach
    void writeOne() {
        cache = cache();
        key = cache.key("text", "options");
        cache.write(key, KERNEL, BINARY);
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
        assertThat(cache().read(key, KERNEL)).isEqualTo(BINARY);
        assertThat(files()).as("no temporary file is left").containsExactly(cache.file(key));
    }

    @Test
    void read_whatNobodyWrote_isNothing() {
        assertThat(cache.read(cache.key("other text", "options"), KERNEL)).isNull();
    }

    @Test
    void write_again_replaces() {
        byte[] next = Arrays.copyOf(BINARY, 256);
        cache.write(key, KERNEL, next);
        assertThat(cache.read(key, KERNEL)).isEqualTo(next);
    }

    /** PoCL reads a header of 77 bytes, whatever there is of it, and may end the process by that. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 23, 76, 77, 255})
    void read_whatIsTooShortForAProgram_isDeleted(int length) {
        cache.write(key, KERNEL, new byte[length]);
        assertThat(cache.read(key, KERNEL)).isNull();
        assertThat(cache.file(key)).doesNotExist();
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
            cache.write(key, KERNEL, BINARY);
            try (RandomAccessFile file = new RandomAccessFile(cache.file(key).toFile(), "rw")) {
                file.seek(at);
                int old = file.read();
                file.seek(at);
                file.write(old ^ 1);
            }
            assertThat(cache.read(key, KERNEL)).as("byte %d changed", at).isNull();
            assertThat(cache.file(key)).doesNotExist();
        }
    }

    @Test
    void read_fileCutOffOrGrown_isDeleted() throws IOException {
        byte[] whole = Files.readAllBytes(cache.file(key));
        for (int length = 0; length <= whole.length + 5; length += 5) {
            if (length != whole.length) {
                Files.write(cache.file(key), Arrays.copyOf(whole, length));
                assertThat(cache.read(key, KERNEL))
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

        assertThat(cache.read(other, KERNEL)).isNull();
        assertThat(cache.file(other)).doesNotExist();
        assertThat(cache.read(key, KERNEL)).isEqualTo(BINARY);
    }

    @Test
    void read_enormousFile_isDeletedUnread() throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(cache.file(key).toFile(), "rw")) {
            file.setLength(1L << 40); // sparse
        }
        assertThat(cache.read(key, KERNEL)).isNull();
        assertThat(cache.file(key)).doesNotExist();
    }

    @Test
    void readAndWrite_entryThatIsAFolder_goOnWithout() throws IOException {
        String taken = cache.key("taken", "");
        Files.createDirectories(cache.file(taken).resolve("inside"));

        assertThat(cache.read(taken, KERNEL)).isNull();
        cache.write(taken, KERNEL, BINARY);
        assertThat(cache.read(taken, KERNEL)).isNull();
        assertThat(files()).as("no temporary file is left").hasSize(2);
    }

    @Test
    void readAndWrite_folderThatCannotBe_goOnWithout() throws IOException {
        BinaryCache impossible =
                new BinaryCache(Files.createFile(folder.resolve("file")).resolve("folder"), List.of());
        assertThatCode(() -> {
                    assertThat(impossible.read(key, KERNEL)).isNull();
                    impossible.write(key, KERNEL, BINARY);
                    impossible.delete(key);
                    assertThat(impossible.read(key, KERNEL)).isNull();
                })
                .doesNotThrowAnyException();
    }

    @Test
    void readAndWrite_off_doNothing() throws IOException {
        BinaryCache off = BinaryCache.off();
        off.write(key, KERNEL, BINARY);
        off.delete(key);
        assertThat(off.read(key, KERNEL)).isNull();
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
            cache.write(written, KERNEL, BINARY);
            Files.setLastModifiedTime(
                    cache.file(written), FileTime.from(Instant.now().minus(BinaryCache.UNUSED.plusDays(1))));
        }
        cache.read(used, KERNEL);

        cache().write(cache.key("new", ""), KERNEL, BINARY);

        assertThat(cache.file(old)).doesNotExist();
        assertThat(cache.file(used)).as("reading it was a use").exists();
        assertThat(cache.file(key)).exists();
    }

    @Test
    void write_firstOfAProcess_deletesTheLongestUnusedOfTooMuch() throws IOException {
        List<Path> large = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            String entry = cache.key("large", "" + i);
            Path file = cache.file(entry);
            cache.write(entry, KERNEL, BINARY);
            try (RandomAccessFile content = new RandomAccessFile(file.toFile(), "rw")) {
                content.setLength(BinaryCache.MOST_BYTES * 2 / 5); // sparse
            }
            Files.setLastModifiedTime(file, FileTime.from(Instant.now().minus(Duration.ofDays(1 + i))));
            large.add(file);
        }

        cache().write(cache.key("new", ""), KERNEL, BINARY);

        assertThat(large.subList(0, 2)).allMatch(Files::exists);
        assertThat(large.subList(2, 4)).noneMatch(Files::exists);
    }

    @Test
    void admits_whatEndedItsFirstUser_noMoreUntilItIsWrittenAnew() {
        assertThat(cache().admits(key)).as("new").isTrue();
        assertThat(cache().admits(key)).as("nobody came back from it").isFalse();
        assertThat(cache().read(key, KERNEL)).as("whole all the same").isEqualTo(BINARY);

        cache.write(key, KERNEL, BINARY);
        assertThat(cache().admits(key)).isTrue();
        cache().prove(key);
        assertThat(cache().admits(key)).isTrue();
        assertThat(cache().admits(key)).as("it has proved itself").isTrue();
        assertThat(cache().read(key, KERNEL)).isEqualTo(BINARY);
    }

    @Test
    void read_entryOfAnotherKernel_isDeleted() {
        assertThat(cache.read(key, "fold")).isNull();
        assertThat(cache.file(key)).doesNotExist();
    }

    /** By a folder of that name somebody's own files are meant, such as kernels' sources. */
    @Test
    void write_firstOfAProcess_leavesOthersFilesAloneAndUncounted() throws IOException {
        Instant longAgo = Instant.now().minus(BinaryCache.UNUSED.multipliedBy(2));
        List<Path> others = new ArrayList<>();
        others.add(Files.writeString(folder.resolve("mine.cl"), "__kernel void mine() {}"));
        others.add(Files.writeString(folder.resolve("readme.clbinary"), "clnormB\n"));
        others.add(Files.writeString(cache.file("0".repeat(64)), "of a name like ours"));
        others.add(Files.write(folder.resolve("copy of " + key + ".clbinary"), Files.readAllBytes(cache.file(key))));
        Path large = folder.resolve("large.bin");
        try (RandomAccessFile content = new RandomAccessFile(large.toFile(), "rw")) {
            content.setLength(2 * BinaryCache.MOST_BYTES); // sparse
        }
        for (Path other : others) {
            Files.setLastModifiedTime(other, FileTime.from(longAgo));
        }
        others.add(large);

        cache().write(cache.key("new", ""), KERNEL, BINARY);

        assertThat(others).allMatch(Files::exists);
        assertThat(cache.file(key)).as("large.bin counts for nothing").exists();
    }

    @Test
    void write_firstOfAProcess_sweepsAbandonedDrafts() throws IOException {
        Path draft = Files.writeString(folder.resolve("clnorm-42.part"), "half");
        Files.setLastModifiedTime(draft, FileTime.from(Instant.now().minus(Duration.ofDays(2))));

        cache().write(cache.key("new", ""), KERNEL, BINARY);

        assertThat(draft).doesNotExist();
    }

    @Test
    @Timeout(20)
    void read_whatIsNoRegularFile_isNotOpenedAndReplacedByTheNextWrite() throws Exception {
        Path target = Files.write(folder.resolve("target"), Files.readAllBytes(cache.file(key)));
        for (String what : List.of("pipe", "/dev/zero", target.toString(), "nothing")) {
            Files.deleteIfExists(cache.file(key));
            if (what.equals("pipe")) {
                assertThat(new ProcessBuilder("mkfifo", cache.file(key).toString())
                                .start()
                                .waitFor())
                        .isZero();
            } else {
                Files.createSymbolicLink(cache.file(key), Path.of(what));
            }
            BinaryCache own = cache();
            assertThat(own.read(key, KERNEL)).as(what).isNull();
            own.write(key, KERNEL, BINARY);
            assertThat(own.read(key, KERNEL)).as(what).isEqualTo(BINARY);
        }
        assertThat(target).as("it was not written through the link").exists();
        assertThat(Files.exists(Path.of("nothing"))).isFalse();
    }

    @Test
    void read_fileThatOthersMayWriteTo_isNotTaken() throws IOException {
        for (String permissions : List.of("rw-rw----", "rw----rw-")) {
            Files.setPosixFilePermissions(cache.file(key), PosixFilePermissions.fromString(permissions));
            assertThat(cache().read(key, KERNEL)).isNull();
        }
        cache.write(key, KERNEL, BINARY);
        assertThat(Files.getPosixFilePermissions(cache.file(key)))
                .isEqualTo(PosixFilePermissions.fromString("rw-------"));
        assertThat(cache().read(key, KERNEL)).isEqualTo(BINARY);
    }

    @Test
    void readAndWrite_folderThatOthersMayWriteTo_goOnWithout() throws IOException {
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxrwxr-x"));
        BinaryCache own = cache();

        assertThat(own.read(key, KERNEL)).isNull();
        own.write(cache.key("new", ""), KERNEL, BINARY);

        assertThat(files()).as("nothing is written").containsExactly(cache.file(key));
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx------"));
        assertThat(cache().read(key, KERNEL)).isEqualTo(BINARY);
    }

    @Test
    void checkOwn_whatIsAnotherUsers_saysSo() throws IOException {
        Path notOurs = Files.getOwner(Path.of("/")).equals(Files.getOwner(folder))
                ? given(folder.resolve("given"))
                : Path.of("/");
        assertThatThrownBy(() -> UserCache.checkOwn(notOurs))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(notOurs + " belongs to ")
                .hasMessageEndingWith(", and not to the user");
    }

    /** The superuser, whose everything else is, may give a file away. */
    private static Path given(Path file) throws IOException {
        Files.createFile(file);
        Files.setAttribute(file, "unix:uid", 12345);
        return file;
    }

    @Test
    void read_throughALinkToTheFolder_works() throws IOException {
        Path link = Files.createSymbolicLink(folder.resolve("link"), folder);
        assertThat(new BinaryCache(link, List.of("platform", "device")).read(key, KERNEL))
                .isEqualTo(BINARY);
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
                        own.write(key, KERNEL, mine);
                        byte[] read = own.read(key, KERNEL);
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
