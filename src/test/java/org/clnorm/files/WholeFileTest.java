package org.clnorm.files;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class WholeFileTest {
    @TempDir
    private Path folder;

    private List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    private static String permissions(Path file) throws IOException {
        return PosixFilePermissions.toString(Files.getPosixFilePermissions(file));
    }

    @Test
    void at_aNewFile_leavesNothingBehind() throws IOException {
        WholeFile.at(folder.resolve("new"));

        assertThat(files()).isEmpty();
    }

    @Test
    void write_overAnOldFile_replacesItThenAndNotBefore() throws IOException {
        Path path = Files.writeString(folder.resolve("report"), "old");

        WholeFile file = WholeFile.at(path);
        assertThat(path).hasContent("old");
        file.write("new");
        assertThat(path).hasContent("new");
        file.write("ne\u00fcer");

        assertThat(path).hasContent("ne\u00fcer");
        assertThat(files()).containsExactly(path);
    }

    @Test
    void write_contentThatFails_leavesTheOldFile() throws IOException {
        Path path = Files.writeString(folder.resolve("report"), "old");

        assertThatThrownBy(() -> WholeFile.write(path, out -> {
                    out.write(new byte[100_000]);
                    throw new IOException("the disk is full");
                }))
                .isInstanceOf(IOException.class)
                .hasMessage(path + " cannot be written: the disk is full");
        assertThatThrownBy(() -> WholeFile.write(path, out -> {
                    out.write(new byte[100_000]);
                    throw new IllegalArgumentException("no such array");
                }))
                .isInstanceOf(IllegalArgumentException.class);

        assertThat(path).hasContent("old");
        assertThat(files()).containsExactly(path);
    }

    @Test
    void write_overAnOldFile_keepsItsPermissions() throws IOException {
        for (String old : List.of("rw-------", "rw-rw-r--", "rwxr-x---", "rw-rw-rw-")) {
            Path path = Files.writeString(folder.resolve("report"), "old");
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString(old));

            WholeFile.write(path, out -> {
                assertThat(permissions(draft()))
                        .as("nobody else reads a private file while it is written")
                        .isEqualTo(old);
                out.write('n');
            });

            assertThat(permissions(path)).isEqualTo(old);
            assertThat(path).hasContent("n");
        }
    }

    private Path draft() throws IOException {
        return files().stream()
                .filter(file -> file.toString().endsWith(".part"))
                .findFirst()
                .orElseThrow();
    }

    @Test
    void write_aNewFile_hasThePermissionsOfAnyNewFile() throws IOException {
        Path any = Files.createFile(folder.resolve("any"));
        Path written = folder.resolve("written");

        WholeFile.at(written).write("new");

        assertThat(permissions(written)).isEqualTo(permissions(any));
    }

    /** Whoever runs this: the superuser may write to it all the same, as a write to it in place may. */
    @Test
    void write_overAProtectedFile_isRefusedToWhoMayNotWriteIt() throws IOException {
        Path path = Files.writeString(folder.resolve("report"), "old");
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("r--r--r--"));
        if (Files.isWritable(path)) {
            WholeFile.at(path).write("new");
            assertThat(permissions(path)).isEqualTo("r--r--r--");
        } else {
            assertThatThrownBy(() -> WholeFile.at(path))
                    .isInstanceOf(IOException.class)
                    .hasMessage(path + " cannot be written: it is write-protected");
            assertThat(path).hasContent("old");
        }
    }

    @Test
    void write_throughALink_writesItsTarget() throws IOException {
        Path path = Files.writeString(folder.resolve("report"), "old");
        Path link = Files.createSymbolicLink(folder.resolve("link"), path.getFileName());
        Path further = Files.createSymbolicLink(folder.resolve("further"), link);

        WholeFile.at(further).write("new");

        assertThat(further).isSymbolicLink();
        assertThat(link).isSymbolicLink();
        assertThat(path).hasContent("new");
    }

    @Test
    void write_throughALinkToNothingYet_makesItsTarget() throws IOException {
        Path inside = Files.createDirectory(folder.resolve("inside"));
        Path link = Files.createSymbolicLink(folder.resolve("link"), Path.of("inside", "..", "inside", "report"));

        WholeFile.at(link).write("new");

        assertThat(link).isSymbolicLink();
        assertThat(inside.resolve("report")).hasContent("new");
    }

    @Test
    void write_toAPipe_goesThroughIt() throws Exception {
        Path pipe = folder.resolve("pipe");
        assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor())
                .isZero();
        Process reader = new ProcessBuilder("cat", pipe.toString()).start();
        try {
            WholeFile.at(pipe).write("through");

            assertThat(new String(reader.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                    .isEqualTo("through");
        } finally {
            reader.destroyForcibly();
        }
        assertThat(pipe).exists();
        assertThat(Files.isRegularFile(pipe))
                .as("moved over, it would be a pipe no more")
                .isFalse();
        assertThat(files()).containsExactly(pipe);
    }

    /** The output of a process is a name for whatever it is, a file too: that must not be replaced, nor cut off. */
    @Test
    void write_toTheOutputOfTheProcess_isPartOfIt() throws Exception {
        Path toAFile = folder.resolve("out");
        Process process =
                process("/dev/stdout").redirectOutput(toAFile.toFile()).start();
        assertThat(process.waitFor()).isZero();
        assertThat(toAFile).hasContent("before\nreport\nafter\n");
        assertThat(files()).containsExactly(toAFile);

        Process piped = process("/dev/stdout").start();
        assertThat(new String(piped.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                .isEqualTo("before\nreport\nafter\n");
        Process toErrors = process("/dev/fd/2").start();
        assertThat(new String(toErrors.getErrorStream().readAllBytes(), StandardCharsets.UTF_8))
                .isEqualTo("report\n");
        assertThat(process("/dev/null").redirectOutput(toAFile.toFile()).start().waitFor())
                .isZero();
        assertThat(toAFile).hasContent("before\nafter\n");
        assertThat(Files.isRegularFile(Path.of("/dev/null"))).isFalse();
    }

    private static ProcessBuilder process(String file) {
        return new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Child.class.getName(),
                file);
    }

    /** Writes to a file, between two lines of output. */
    static final class Child {
        private Child() {}

        public static void main(String[] args) throws IOException {
            WholeFile file = WholeFile.at(Path.of(args[0]));
            System.out.println("before");
            file.write("report\n");
            System.out.println("after");
        }
    }

    @Test
    void at_whatCannotBeWritten_saysWhichAndWhy() throws IOException {
        assertThatThrownBy(() -> WholeFile.at(folder))
                .isInstanceOf(IOException.class)
                .hasMessage(folder + " cannot be written: it is a folder");
        Path inNone = folder.resolve("none").resolve("report");
        assertThatThrownBy(() -> WholeFile.at(inNone))
                .isInstanceOf(IOException.class)
                .hasMessage(inNone + " cannot be written: there is no folder " + folder.resolve("none"));
        // A folder that takes no files from anybody, whoever runs this.
        assertThatThrownBy(() -> WholeFile.at(Path.of("/proc/self/report")))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("/proc/self/report cannot be written: its folder does not take files");
        Path round = folder.resolve("round");
        Files.createSymbolicLink(round, round);
        assertThatThrownBy(() -> WholeFile.at(round))
                .isInstanceOf(IOException.class)
                .hasMessage(round + " cannot be written: it is a link that leads to no end");
    }

    /** A container's processes all have the same numbers, so what another has left may have any name of ours. */
    @Test
    void write_besideDrafts_sweepsTheAbandonedOnesOnly() throws IOException {
        Path abandoned = old(Files.writeString(folder.resolve("clnorm-123.part"), "half"));
        Path live = Files.writeString(folder.resolve("clnorm-18446744073709551615.part"), "half");
        List<Path> theUsers = new ArrayList<>();
        for (String name :
                List.of("clnorm-12x.part", "clnorm-.part", "my-clnorm-1.part", "clnorm-1.part.npz", "a.part")) {
            theUsers.add(old(Files.writeString(folder.resolve(name), "the user's")));
        }
        theUsers.add(old(Files.createDirectory(folder.resolve("clnorm-5.part"))));
        theUsers.add(Files.createSymbolicLink(folder.resolve("clnorm-6.part"), theUsers.get(0)));
        Path written = folder.resolve("written");

        WholeFile.at(written).write("new");

        assertThat(abandoned).doesNotExist();
        assertThat(live).as("which may be another process's").exists();
        assertThat(theUsers).allMatch(Files::exists);
        assertThat(written).hasContent("new");
    }

    private static Path old(Path file) throws IOException {
        return Files.setLastModifiedTime(
                file, FileTime.from(Instant.now().minus(Draft.ABANDONED).minus(Duration.ofHours(1))));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 255})
    void write_anyNameThatAFileMayHave_works(int length) throws IOException {
        Path path = folder.resolve("n".repeat(length));

        WholeFile.at(path).write("new");

        assertThat(path).hasContent("new");
    }

    @Test
    void write_byManyAtATime_eachWhole() throws Exception {
        Path path = folder.resolve("shared");
        ExecutorService threads = Executors.newFixedThreadPool(4);
        try {
            List<Callable<Void>> work = new ArrayList<>();
            for (String mine : List.of("a", "b", "c", "d")) {
                work.add(() -> {
                    for (int i = 0; i < 10; i++) {
                        WholeFile.at(path).write(mine.repeat(100_000));
                        String read = Files.readString(path);
                        assertThat(read).hasSize(100_000);
                        assertThat(read).isEqualTo(read.substring(0, 1).repeat(100_000));
                    }
                    return null;
                });
            }
            for (Future<Void> result : threads.invokeAll(work)) {
                result.get();
            }
        } finally {
            threads.shutdownNow();
        }
        assertThat(files()).containsExactly(path);
    }
}
