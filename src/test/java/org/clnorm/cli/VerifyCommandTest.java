package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.clnorm.cli.Commands.Result;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VerifyCommandTest {
    @TempDir
    Path folder;

    @Test
    void verify_quickUnderOneStrategyInTwoProcesses_printsATableAndWritesFiles() throws IOException {
        Path file = folder.resolve("verify.json");
        Path cases = folder.resolve("cases.txt");

        Result result =
                clnorm("verify", "--quick", "--strategy", "auto", "--processes", 2, "--json", file, "--cases", cases);

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        assertThat(result.out())
                .contains("Verifying auto in 2 processes: ")
                .containsPattern("\n  kernel +strategy +cases +worst error +bound +of +verdict\n")
                .containsPattern("\n  apply_columnar +auto +\\d+ +\\d\\.\\d\\de-\\d\\d +[25]\\.\\d\\de-07 +y +pass\n")
                .containsPattern("\n(\\d+) of \\1 pass; \\d+ cases under each strategy, ")
                .doesNotContain("FAIL", "NOT RUN");
        JsonObject json = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
        assertThat(json.get("passed").getAsBoolean()).isTrue();
        assertThat(json.getAsJsonArray("kernels")).isNotEmpty();
        assertThat(json.get("programs").getAsInt()).isPositive();
        assertThat(Files.readAllLines(cases))
                .hasSize(json.get("cases").getAsInt())
                .allMatch(line ->
                        line.matches("\\{\"strategy\":\"auto\",.*\"bits\":\"[0-9a-f]{16}\".*\"failures\":\\[]}"));
    }

    @Test
    void verify_timeIsUp_hasNotPassed() throws IOException {
        Path cases = folder.resolve("cases.txt");
        Path file = folder.resolve("verify.json");

        Result result = clnorm(
                "verify", "--quick", "--strategy", "auto", "--seconds", "0.001", "--cases", cases, "--json", file);

        assertThat(result.exitCode()).isEqualTo(1);
        assertThat(result.out()).containsPattern("NOT DONE \\d+ cases did not run: the time was up");
        JsonObject json = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
        assertThat(json.get("passed").getAsBoolean()).isFalse();
        assertThat(json.get("left").getAsInt())
                .isEqualTo(
                        json.get("cases").getAsInt() - Files.readAllLines(cases).size());
    }

    @Test
    void verify_reference_isRefused() {
        Result result = clnorm("verify", "--device", "reference");

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err()).startsWith("clnorm: ").contains("OpenCL device", "CPU reference");
        assertThat(result.out()).isEmpty();
    }

    @Test
    void verify_wrongUsage_exitsWith2() {
        assertThat(clnorm("verify", "--device", "no such device").exitCode()).isEqualTo(2);
        assertThat(clnorm("verify", "--strategy", "fastest").err()).contains("'fastest'", "auto");
        assertThat(clnorm("verify", "--strategy", "fastest").exitCode()).isEqualTo(2);
        assertThat(clnorm("verify", "--strategy", "auto,fastest").err()).contains("'fastest'");
        assertThat(clnorm("verify", "everything").exitCode()).isEqualTo(2);
        assertThat(clnorm("verify", "--processes", "-1").err())
                .contains("--processes must be from 0 to 256, but is -1");
        assertThat(clnorm("verify", "--seconds", "0").err()).contains("--seconds must be more than 0, but is 0");
    }

    @Test
    void verify_killedOnItsWay_leavesTheOldJson() throws Exception {
        Path file = Files.writeString(folder.resolve("verify.json"), "old");
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-DuniqueLibraryNames=true",
                        "-Djava.io.tmpdir=" + folder,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Main.class.getName(),
                        "verify",
                        "--quick",
                        "--json",
                        file.toString())
                .redirectErrorStream(true)
                .start();
        try (BufferedReader out = process.inputReader()) {
            String line = out.readLine();
            while (line != null && !line.startsWith("Verifying ")) {
                line = out.readLine();
            }
            assertThat(line).as("it says when it begins").isNotNull();
        } finally {
            process.destroyForcibly().waitFor();
        }
        assertThat(file).hasContent("old");
    }

    @Test
    void verify_jsonFileThatCannotBeWritten_isSaidBeforeAnythingRuns() {
        Result result = clnorm("verify", "--json", folder.resolve("none").resolve("verify.json"));

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err()).contains("verify.json cannot be written");
        assertThat(result.out()).doesNotContain("Verifying");
    }
}
