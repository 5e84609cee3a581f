package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.clnorm.ChildProcess;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Kernels from binaries of an earlier opening of the device. */
class KernelCacheTest {
    private static final Shape SHAPE = Shape.of(3, 37, 5, 7);

    @TempDir
    private Path folder;

    /** What opening a device, two training steps and closing it came to. */
    private record Result(int compiled, int bits) {}

    private BinaryCache cache() {
        return new BinaryCache(folder, List.of("the device of the tests"));
    }

    private static Result run(String strategy, BinaryCache cache) {
        try (OpenClBackend backend = DefaultDevice.candidate().open(strategy, cache);
                TrainingStep step = new TrainingStep(backend, SHAPE, Layout.CHANNELS_LAST, 1)) {
            step.enqueue();
            int first = step.bits();
            step.enqueue();
            assertThat(step.bits()).as("with and without its binary asked for").isEqualTo(first);
            return new Result(backend.compiled(), first);
        }
    }

    private List<Path> entries() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    static List<String> strategies() {
        return DefaultDevice.strategies();
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void secondOpening_compilesNothingAndGivesTheSameBits(String strategy) throws IOException {
        Result compiled = run(strategy, cache());
        assertThat(compiled.compiled).isPositive();
        assertThat(entries()).as("a binary for each kernel").hasSize(compiled.compiled);

        assertThat(run(strategy, cache())).isEqualTo(new Result(0, compiled.bits));
    }

    @Test
    void damagedEntries_areCompiledAnew() throws IOException {
        Result compiled = run(null, cache());
        List<Path> entries = entries();
        for (Path entry : entries) {
            byte[] content = Files.readAllBytes(entry);
            content[content.length / 2] ^= 1;
            Files.write(entry, content);
        }
        assertThat(run(null, cache())).as("as if they were not there").isEqualTo(compiled);
        assertThat(run(null, cache()).compiled).as("and written anew").isZero();
    }

    /** Whole to the last byte, but not what this driver takes; or so short that PoCL would read on behind it. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 20, 100})
    void entriesThatTheDriverRefuses_areCompiledAnew(int times) throws IOException {
        Result compiled = run(null, cache());
        for (Path entry : entries()) {
            byte[] refused = "no binary of any driver".repeat(times).getBytes(StandardCharsets.US_ASCII);
            cache().write(keyOf(entry), kernelOf(entry), refused);
        }
        assertThat(run(null, cache())).isEqualTo(compiled);
        assertThat(run(null, cache()).compiled).isZero();
    }

    /** Whole, signed, and a binary of this driver, but of another kernel. */
    @Test
    void entriesOfOtherKernels_areCompiledAnew() throws IOException {
        Result compiled = run(null, cache());
        List<Path> entries = entries();
        byte[] first = binaryOf(entries.get(0));
        byte[] second = binaryOf(entries.get(1));
        for (Path entry : entries) {
            boolean isFirst = kernelOf(entry).equals(kernelOf(entries.get(0)));
            cache().write(keyOf(entry), kernelOf(entry), isFirst ? second : first);
        }
        assertThat(run(null, cache())).isEqualTo(compiled);
        assertThat(run(null, cache()).compiled).as("and written anew").isZero();
    }

    /**
     * Whole and signed, but damaged before: that may end the process which is the first to take it (PoCL does), and no
     * other.
     */
    @Test
    void entriesDamagedBeforeTheyWereSigned_endOneProcessAtMost() throws Exception {
        Result compiled = result(process("whole"), "whole");
        Path kernels = folder.resolve("kernels");
        try (Stream<Path> written = Files.list(kernels)) {
            for (Path entry : (Iterable<Path>) written.toList()::iterator) {
                byte[] damaged = binaryOf(entry);
                // So often that none can pass its trial, and end a process later.
                for (int i = 1000; i < damaged.length; i += 101) {
                    damaged[i] ^= 0x55;
                }
                new BinaryCache(kernels, List.of()).write(keyOf(entry), kernelOf(entry), damaged);
            }
        }
        int ended = 0;
        Process process = process("damaged 0");
        while (process.waitFor() != 0) {
            assertThat(++ended).as("each ends for another kernel at worst").isLessThanOrEqualTo(compiled.compiled);
            process = process("damaged " + ended);
        }
        Result last = result(process, "damaged " + ended);
        assertThat(last.bits).isEqualTo(compiled.bits);
    }

    private static String keyOf(Path entry) {
        return entry.getFileName().toString().replace(BinaryCache.SUFFIX, "");
    }

    /** Behind the magic word, the format, the state and the key. */
    private static ByteBuffer named(Path entry) throws IOException {
        return ByteBuffer.wrap(Files.readAllBytes(entry)).position(8 + 4 + 1 + 32);
    }

    private static String kernelOf(Path entry) throws IOException {
        ByteBuffer content = named(entry);
        byte[] name = new byte[content.getInt()];
        content.get(name);
        return new String(name, StandardCharsets.UTF_8);
    }

    private static byte[] binaryOf(Path entry) throws IOException {
        ByteBuffer content = named(entry);
        content.position(content.getInt() + content.position());
        byte[] binary = new byte[content.getInt()];
        content.position(content.position() + 32).get(binary);
        return binary;
    }

    @Test
    void folderThatCannotBe_compilesEachTime() throws IOException {
        BinaryCache impossible =
                new BinaryCache(Files.createFile(folder.resolve("file")).resolve("folder"), List.of());
        Result compiled = run(null, impossible);
        assertThat(compiled.compiled).isPositive();
        assertThat(run(null, impossible)).isEqualTo(compiled);
    }

    @Test
    void switchedOff_compilesEachTimeAndWritesNothing() throws IOException {
        Result compiled = run(null, BinaryCache.off());
        assertThat(compiled.compiled).isPositive();
        assertThat(run(null, BinaryCache.off())).isEqualTo(compiled);
        assertThat(entries()).isEmpty();
    }

    @Test
    void kernelLaunchedOnce_isKeptAtTheEnd() throws IOException {
        try (OpenClBackend backend = DefaultDevice.candidate().open(null, cache());
                TrainingStep step = new TrainingStep(backend, SHAPE, Layout.CHANNELS_LAST, 1)) {
            step.enqueue();
            step.read();
            assertThat(folder).as("the first result does not wait for it").isEmptyDirectory();
        }
        assertThat(entries()).isNotEmpty();
        assertThat(run(null, cache()).compiled).isZero();
    }

    /**
     * In processes of their own, with the environment of a user: two that start on an empty folder, where either may find
     * what the other has just written; one that finds all of it; one that must not look.
     */
    @Test
    void processesAtATime_shareTheFolder() throws Exception {
        Process one = process("one");
        Process two = process("two");
        Result first = result(one, "one");
        Result second = result(two, "two");
        assertThat(second.bits).isEqualTo(first.bits);
        Result without = result(process("three", "-Dclnorm.cache=off"), "three");
        assertThat(without.bits).isEqualTo(first.bits);
        assertThat(first.compiled + second.compiled).isBetween(without.compiled, 2 * without.compiled);
        assertThat(without.compiled).isPositive();

        assertThat(result(process("four"), "four")).isEqualTo(new Result(0, first.bits));
        try (Stream<Path> written = Files.list(folder.resolve("kernels"))) {
            assertThat(written).as("no temporary file is left").hasSize(without.compiled);
        }
    }

    private Process process(String name, String... options) throws IOException {
        List<String> command = new ArrayList<>(
                List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx256m"));
        command.addAll(List.of(options));
        command.addAll(List.of(
                "-XX:TieredStopAtLevel=1",
                "-XX:-CreateCoredumpOnCrash",
                "-DuniqueLibraryNames=true",
                "-Djava.io.tmpdir=" + folder,
                "-cp",
                System.getProperty("java.class.path"),
                Child.class.getName()));
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(output(name));
        builder.environment().put(UserCache.FOLDER_VARIABLE, folder.toString());
        builder.environment().put(BinaryCache.VARIABLE, "on");
        return builder.start();
    }

    private File output(String name) {
        return folder.resolve(name + ".txt").toFile();
    }

    private Result result(Process process, String name) throws IOException, InterruptedException {
        ChildProcess.awaitEnd(process, name, 180);
        List<String> lines = Files.readAllLines(output(name).toPath());
        assertThat(process.exitValue())
                .as("the end of %s, after %s", name, lines)
                .isZero();
        String[] printed = lines.get(lines.size() - 1).split(" ");
        return new Result(Integer.parseInt(printed[0]), Integer.parseInt(printed[1]));
    }

    /** Prints what {@link #run} gives under the user's cache. */
    static final class Child {
        private Child() {}

        public static void main(String[] args) {
            try (OpenClBackend backend = DefaultDevice.open(null);
                    TrainingStep step = new TrainingStep(backend, SHAPE, Layout.CHANNELS_LAST, 1)) {
                step.enqueue();
                System.out.println(backend.compiled() + " " + step.bits());
            }
        }
    }
}
