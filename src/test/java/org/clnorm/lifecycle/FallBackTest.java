package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.clnorm.ChildProcess;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.TestDevice;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the environment decides: which device is the default, and that there is one where OpenCL is not. In processes of
 * their own, since both the environment and the loader are those of a process.
 */
final class FallBackTest {
    private static final String NO_DEVICE = "No OpenCL device, so the CPU reference is used";

    @TempDir
    private Path folder;

    private record Result(String line, List<String> log) {
        List<String> fields() {
            return List.of(line.split("\\|"));
        }

        long warnings() {
            return log.stream().filter(entry -> entry.contains(NO_DEVICE)).count();
        }
    }

    private Result run(Map<String, String> environment, String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",
                "-DuniqueLibraryNames=true",
                "-Djava.io.tmpdir=" + folder,
                "-cp",
                System.getProperty("java.class.path"),
                Child.class.getName()));
        command.addAll(List.of(arguments));
        Path output = folder.resolve("output.txt");
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().remove(Device.SELECTOR_VARIABLE);
        builder.environment().remove(Device.STRATEGY_VARIABLE);
        builder.environment().putAll(environment);
        Process process = builder.start();
        ChildProcess.awaitEnd(process, "the child", 60);
        List<String> lines = Files.readAllLines(output, StandardCharsets.UTF_8);
        assertThat(process.exitValue()).as("the child's end, after %s", lines).isZero();
        List<String> results = lines.stream()
                .filter(line -> line.startsWith("opened|") || line.startsWith("refused|"))
                .toList();
        assertThat(results).as("the child's result in %s", lines).hasSize(1);
        return new Result(results.get(0), lines);
    }

    /** The loader looks for platforms in a folder that has none. */
    private Map<String, String> withoutPlatforms() throws IOException {
        Path vendors = Files.createDirectories(folder.resolve("no-vendors"));
        return Map.of("OCL_ICD_VENDORS", vendors.toString(), "OCL_ICD_FILENAMES", "");
    }

    /** The loader that is found first is none. */
    private Map<String, String> withoutLoader() throws IOException {
        Path libraries = Files.createDirectories(folder.resolve("libraries"));
        for (String name : List.of("libOpenCL.so", "libOpenCL.so.1")) {
            Files.writeString(libraries.resolve(name), "no library");
        }
        return Map.of("LD_LIBRARY_PATH", libraries.toString());
    }

    private static void assertReference(Result result) {
        assertThat(result.fields()).startsWith("opened", "REFERENCE", "CPU reference");
        assertThat(result.fields().get(4)).as("it computes").isEqualTo("1.0");
        assertThat(result.fields().get(5))
                .as("and is the default among the candidates")
                .isEqualTo("1");
    }

    @Test
    void open_withoutPlatforms_isTheReferenceAndSaysSoOnce() throws Exception {
        Result result = run(withoutPlatforms());
        assertReference(result);
        assertThat(result.warnings())
                .as("the log of two openings: %s", result.log)
                .isOne();
    }

    @Test
    void open_withoutLoader_isTheReferenceAndSaysSoOnce() throws Exception {
        Result result = run(withoutLoader());
        assertReference(result);
        assertThat(result.warnings())
                .as("the log of two openings: %s", result.log)
                .isOne();
        assertThat(result.log)
                .filteredOn(line -> line.contains(NO_DEVICE))
                .singleElement()
                .asString()
                .as("the log must tell a missing loader from a loader without platforms")
                .contains("the OpenCL loader could not be used");
    }

    @Test
    void open_ofADeviceWithoutPlatforms_isRefusedWithTheReason() throws Exception {
        Result result = run(withoutPlatforms(), "pocl");
        assertThat(result.line).startsWith("refused|").contains("'pocl'", "reference", "no platform with a device");
    }

    @Test
    void open_selectingTheReferenceByVariable_isQuiet() throws Exception {
        Result result = run(Map.of("CLNORM_DEVICE", "Reference"));
        assertReference(result);
        assertThat(result.warnings()).as("who asks for it knows").isZero();
    }

    @Test
    void open_withTheVariables_isThatDeviceUnderThatStrategy() throws Exception {
        DeviceInfo expected = TestDevice.AUTO.device().info();
        Result result = run(Map.of("CLNORM_DEVICE", expected.name().toUpperCase(), "CLNORM_STRATEGY", "gpu-split"));
        assertThat(result.fields())
                .containsExactly("opened", expected.kind().toString(), expected.name(), "gpu-split", "1.0", "1");
    }

    @Test
    void open_withAVariableThatSelectsNothing_listsTheCandidates() throws Exception {
        Result result = run(Map.of("CLNORM_DEVICE", "no such device"));
        assertThat(result.line)
                .startsWith("refused|")
                .contains("'no such device'", TestDevice.AUTO.device().info().name(), "reference");
    }

    @Test
    void open_withAnArgument_isByThatAndNotByTheVariable() throws Exception {
        Result result = run(Map.of("CLNORM_DEVICE", "no such device"), "reference");
        assertThat(result.fields()).startsWith("opened", "REFERENCE");
    }

    @Test
    void open_withAVariableThatNamesNoStrategy_listsThem() throws Exception {
        Result result = run(Map.of("CLNORM_STRATEGY", "fastest"));
        assertThat(result.line).startsWith("refused|").contains("'fastest'", "auto", "cpu-fused", "gpu-split");
    }

    @Test
    void open_withEmptyVariables_isAsWithoutThem() throws Exception {
        Result result = run(Map.of("CLNORM_DEVICE", "", "CLNORM_STRATEGY", ""));
        assertThat(result.fields())
                .as("an empty variable is how a script says none")
                .startsWith("opened", TestDevice.AUTO.device().info().kind().toString());
    }
}
