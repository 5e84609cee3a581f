package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.ChildProcess;
import org.clnorm.cli.Commands.Result;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.clnorm.state.Safetensors;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What only a process of its own shows: little memory, no loader, a full disk, a jar that is missing. */
class CommandProcessTest {
    /** Under Surefire the class path proper is one jar that names the others. */
    private static final String CLASS_PATH =
            System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));

    @TempDir
    Path folder;

    private final Map<String, String> environment = new LinkedHashMap<>();
    private String classPath = CLASS_PATH;
    private Redirect output;

    @BeforeEach
    void setOutput() {
        output = Redirect.to(folder.resolve("out.txt").toFile());
    }

    private Result clnorm(String memory, Object... args) throws Exception {
        Process process = start(memory, args);
        ChildProcess.awaitEnd(process, "the child", 120);
        return new Result(process.exitValue(), "", errors());
    }

    private String errors() throws IOException {
        return Files.readString(folder.resolve("err.txt"), StandardCharsets.UTF_8);
    }

    private Process start(String memory, Object... args) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx" + memory,
                "-XX:TieredStopAtLevel=1",
                "-DuniqueLibraryNames=true",
                "-Djava.io.tmpdir=" + folder,
                "-cp",
                classPath,
                Main.class.getName()));
        Stream.of(args).map(Object::toString).forEach(command::add);
        Path err = folder.resolve("err.txt");
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectOutput(output).redirectError(err.toFile());
        builder.environment().putAll(environment);
        return builder.start();
    }

    private static void assertOneLine(Result result, String... words) {
        assertThat(result.exitCode()).as(result.err()).isEqualTo(2);
        assertThat(result.err().lines()).hasSize(1);
        assertThat(result.err()).startsWith("clnorm: ").contains(words);
    }

    private static float[] noise(int count) {
        Random random = new Random(1);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = random.nextFloat();
        }
        return values;
    }

    @Test
    void state_ofAFileLargerThanTheMemory_saysHowMuchIsNeeded() throws Exception {
        Path npz = folder.resolve("a.npz");
        Npz.writeState(npz, StateDict.empty().with("a", StateArray.of(new float[5 << 20], 5 << 20)));

        assertOneLine(clnorm("24m", "state", npz), "a.npz: the array a has 20971648 bytes", "-Xmx");
    }

    /** Each byte as a long, or as a copy, would not have room. */
    @Test
    void state_ofAFileOfNearlyHalfTheMemory_isListed() throws Exception {
        Path npz = folder.resolve("a.npz");
        byte[] bytes = new byte[14 << 20];
        Npz.write(npz, Map.of("a", NpyArray.of(bytes, bytes.length)));

        Result result = clnorm("40m", "state", npz);

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(folder.resolve("out.txt")).content().contains("(14680064)");
    }

    @Test
    void state_ofAHeaderThatTakesMoreThanTheMemory_saysSo() throws Exception {
        Map<String, StateArray> arrays = new LinkedHashMap<>();
        StateArray one = StateArray.of(new float[1], 1, 1, 1, 1, 1, 1, 1, 1);
        for (int i = 0; i < 40_000; i++) {
            arrays.put("" + i, one);
        }
        Path file = folder.resolve("a.safetensors");
        Safetensors.write(file, StateDict.of(arrays));

        assertOneLine(clnorm("32m", "state", file), "a.safetensors: has a header of ", "of memory", "-Xmx");
        assertThat(clnorm("64m", "state", file).exitCode())
                .as("what the bound lets pass has room")
                .isZero();
    }

    @Test
    void compare_thatTakesMoreThanTheMemory_saysSoAndComparesTheOthers() throws Exception {
        Path large = folder.resolve("large.npz");
        byte[] options = "{\"op\": \"batch-norm\"}".getBytes(StandardCharsets.UTF_8);
        NpyArray x = NpyArray.of(noise(1 << 20), 1 << 14, 64);
        Npz.write(large, Map.of("x", x, "grad_y", x, "expected_y", x, "case", NpyArray.of(options, options.length)));

        Result result = clnorm("32m", "compare", "--device", "reference", large, Commands.vector("pytorch/bn-2d.npz"));

        assertOneLine(result, "large.npz: out of memory", "-Xmx");
        assertThat(folder.resolve("out.txt")).content().contains("1 of 2 cases pass", "1 could not be compared");
    }

    @Test
    void output_thatCannotBeWritten_isAnError() throws Exception {
        output = Redirect.to(new File("/dev/full"));

        assertOneLine(clnorm("64m", "state", Commands.vector("pytorch/bn-2d.npz")), "not all of the output");
    }

    @Test
    void verify_withoutALoader_saysWhatToInstall() throws Exception {
        for (String name : List.of("libOpenCL.so", "libOpenCL.so.1")) {
            Files.writeString(folder.resolve(name), "no library");
        }
        environment.put("LD_LIBRARY_PATH", folder.toString());
        environment.put("CLNORM_DEVICE", "");

        assertOneLine(clnorm("128m", "verify"), "the OpenCL loader could not be used", "reference");
    }

    @Test
    void trainNetwork_withoutItsNatives_saysWhatTheyAreFor() throws Exception {
        classPath = Arrays.stream(CLASS_PATH.split(File.pathSeparator))
                .filter(entry -> !entry.contains("jocl-blast"))
                .collect(Collectors.joining(File.pathSeparator));

        assertOneLine(
                clnorm("128m", "train", "--network", "conv", "--checkpoint", folder.resolve("kept")),
                "org.jocl:jocl-blast",
                "CLBlast");
    }

    /** As Ctrl-C ends it, at any moment after the first epoch. */
    @Test
    void trainNetwork_thatIsInterrupted_leavesAWholeCheckpoint() throws Exception {
        Path kept = folder.resolve("kept.safetensors");
        Process process = start("512m", "train", "--network", "transformer", "--batch", "800", "--checkpoint", kept);
        try {
            Path out = folder.resolve("out.txt");
            for (int i = 0;
                    i < 1200 && process.isAlive() && !Files.readString(out).contains("\n    1  ");
                    i++) {
                Thread.sleep(100);
            }
            assertThat(new ProcessBuilder("kill", "-INT", Long.toString(process.pid()))
                            .start()
                            .waitFor())
                    .isZero();
        } finally {
            ChildProcess.awaitEnd(process, "the training", 120);
        }

        assertThat(process.exitValue()).as(errors()).isEqualTo(130);
        assertThat(errors()).contains("--resume goes on");
        assertThat(Safetensors.read(kept).names()).contains("network.head.weight", "optimizer.step");
        try (Safetensors file = Safetensors.open(kept)) {
            assertThat(file.metadata()).containsKey("epoch");
        }
    }

    @Test
    void anyCommand_withoutAClassItNeeds_saysThatTheJarIsNotWhole() throws Exception {
        classPath = Arrays.stream(CLASS_PATH.split(File.pathSeparator))
                .filter(entry -> !entry.contains("gson"))
                .collect(Collectors.joining(File.pathSeparator));

        assertOneLine(clnorm("64m", "state", "--json", Commands.vector("pytorch/bn-2d.npz")), "clnorm.jar whole");
        Path file = folder.resolve("a.safetensors");
        Safetensors.write(file, StateDict.empty());
        assertOneLine(clnorm("64m", "state", file), "Gson 2.11 or newer", "com.google.code.gson:gson");
        assertOneLine(
                clnorm("64m", "compare", "--device", "reference", Commands.vector("pytorch/bn-2d.npz")),
                "clnorm.jar whole");
    }
}
