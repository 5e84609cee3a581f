package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.clnorm.check.Examples;
import org.clnorm.check.Simulator;
import org.clnorm.cli.Commands.Result;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CheckCommandTest {
    private static final String INFERENCE = "batch-norm-inference";

    private static final Path LIBRARY = Path.of("src", "test", "resources", "org", "clnorm", "check");

    @TempDir
    Path folder;

    /** A kernel of the documentation with one place of it changed. */
    private Path edited(String name, String what, String with) throws IOException {
        Path file = folder.resolve("edited.cl");
        Files.writeString(file, Examples.replacing(what, with).apply(Files.readString(Examples.kernel(name))));
        return file;
    }

    @Test
    void check_rightKernel_passesAndWritesFiles() throws IOException {
        Path json = folder.resolve("check.json");
        Path html = folder.resolve("check.html");

        Result result = clnorm(
                "check",
                Examples.kernel(INFERENCE),
                "--binding",
                Examples.binding(INFERENCE),
                "--quick",
                "--bench",
                "--json",
                json,
                "--html",
                html);

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        assertThat(result.out())
                .startsWith("batch-norm inference channels-first float32 on ")
                .containsPattern("\n  y +\\d\\.\\d\\de-\\d\\d +\\d\\.\\d\\de-\\d\\d +0\\.\\d\\d +N=")
                .containsPattern("\nN=8 C=40 S=3136: \\d+\\.\\d+ ms, \\d+ % of a streamed copy's rate; clnorm's pass ")
                .containsPattern("\n(\\d+) of \\1 cases pass\n")
                .doesNotContain("FAIL");
        JsonObject object = JsonParser.parseString(Files.readString(json)).getAsJsonObject();
        assertThat(object.get("passed").getAsBoolean()).isTrue();
        assertThat(object.getAsJsonArray("outcomes").size())
                .isEqualTo(object.get("cases").getAsInt());
        assertThat(object.getAsJsonObject("speed").get("milliseconds").getAsDouble())
                .isPositive();
        assertThat(html)
                .content()
                .startsWith("<!DOCTYPE html>")
                .contains(
                        "batch-norm-inference.cl</h1>", "<th>far-offset</th>", "clnorm check docs/check/", " --bench");
    }

    /** As a library has them: offsets and strides in bytes, vectors that rows must be multiples of, no gamma, a file that it includes. */
    @ParameterizedTest
    @CsvSource({"null, multiple.D = 4, 0", "gamma, multiple.D = 4, 0", "null, multiple.D = 2, 1"})
    void check_kernelOfALibrary_isCalledAsTheLibraryDoes(String weight, String multiple, int exitCode)
            throws IOException {
        Path shared = Files.createDirectories(folder.resolve("a folder"));
        Files.copy(LIBRARY.resolve("shared").resolve("sums.clh"), shared.resolve("sums.clh"));
        Path binding = folder.resolve("library.properties");
        Files.writeString(
                binding,
                Examples.replacing("null", weight)
                        .andThen(Examples.replacing("multiple.D = 4", multiple))
                        .apply(Files.readString(LIBRARY.resolve("strided-rms-norm.properties"))));

        Result result = clnorm(
                "check", LIBRARY.resolve("strided-rms-norm.cl"), "--binding", binding, "--include", shared, "--quick");

        assertThat(result.exitCode()).as(result.out() + result.err()).isEqualTo(exitCode);
        assertThat(result.out()).startsWith("rms-norm forward float32, D a multiple of ");
    }

    @Test
    void check_kernelThatDoesNotCompile_namesItsFileAndLine() throws IOException {
        Path kernel = edited(INFERENCE, "* gamma[c] + beta[c];", "* gamma[c] + beta[c]");

        Result result = clnorm("check", kernel, "--binding", Examples.binding(INFERENCE));

        assertThat(result.exitCode()).isEqualTo(1);
        assertThat(result.out())
                .containsPattern("FAIL cannot be called\n  the file does not compile: .*edited\\.cl:\\d+:\\d+: ");
    }

    @Test
    void check_includeFolderThatIsNone_isNamed() throws IOException {
        Result result = clnorm(
                "check",
                Examples.kernel(INFERENCE),
                "--binding",
                Examples.binding(INFERENCE),
                "--include",
                folder.resolve("nowhere"));

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err()).contains("--include must be a folder, but there is none at " + folder);
    }

    @ParameterizedTest
    @CsvSource({
        "batch-norm-forward, * gamma[c] + beta[c], + beta[c], y",
        "batch-norm-inference, * gamma[c] + beta[c], + beta[c], y",
        "batch-norm-backward, dgamma[c] = scaled, dgamma[c] = total, grad_weight",
        "rms-norm, * weight[i], , y"
    })
    void check_wrongKernel_failsAndSavesACaseThatCompareTakes(String name, String what, String with, String array)
            throws IOException {
        Path cases = folder.resolve("cases");

        Result result = clnorm(
                "check",
                edited(name, what, with == null ? "" : with),
                "--binding",
                Examples.binding(name),
                "--quick",
                "--save",
                cases);

        assertThat(result.exitCode()).as(result.out() + result.err()).isEqualTo(1);
        assertThat(result.out()).contains("FAIL wrong values: ", "\n  Likely: ", "\nSaved: " + cases);
        for (Path file : Commands.cases(cases)) {
            Result compared = clnorm("compare", "--tolerance", 1e-3, file);
            assertThat(compared.exitCode()).as(compared.out() + compared.err()).isEqualTo(1);
            assertThat(compared.out()).containsPattern("\n  " + array + " .*FAIL");
            assertThat(compared.out().lines().filter(line -> line.contains(" FAIL ")))
                    .as("the arrays that are right are so in the file, too")
                    .hasSize(1);
        }
    }

    @Test
    void check_kernelThatEndsItsProcess_isAFailureOfTheKernel() throws IOException {
        Path kernel = edited(INFERENCE, "y[i] =", "y[i + ((long) elements << 40)] =");

        Result result =
                clnorm("check", kernel, "--binding", Examples.binding(INFERENCE), "--save", folder.resolve("cases"));

        assertThat(result.exitCode()).as(result.out() + result.err()).isEqualTo(1);
        assertThat(result.out()).contains("FAIL crashes", "ended with exit code", "were not run");
        assertThat(Commands.cases(folder.resolve("cases"))).hasSize(1);
    }

    @Test
    void check_kernelThatDoesNotComeBack_isAFailureOfTheKernel() throws IOException {
        Path kernel = edited(INFERENCE, "if (i < elements) {", "while (i < elements) {");

        Result result = clnorm("check", kernel, "--binding", Examples.binding(INFERENCE), "--deadline", 4);

        assertThat(result.exitCode()).as(result.out() + result.err()).isEqualTo(1);
        assertThat(result.out()).contains("FAIL does not come back", "within 4 s", "a loop that does not end");
    }

    @Test
    void check_bindingThatIsNone_isWrongUsageThatNamesTheLine() throws IOException {
        Path binding = folder.resolve("a.properties");
        Files.writeString(binding, "operation = batch-norm\nkernle = a\n");

        Result result = clnorm("check", Examples.kernel(INFERENCE), "--binding", binding);

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err()).contains("a.properties: line 2: the key kernle is not known; did you mean kernel?");
    }

    @Test
    void check_deviceOfTheSimulator_isWrongUsage() {
        Result result = clnorm(
                "check", Examples.kernel(INFERENCE), "--binding", Examples.binding(INFERENCE), "--simulate", "--bench");

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err()).contains("leave out --bench");
    }

    /** PoCL has barriers of its own around loops with barriers in them, so that no device here shows the race. */
    @Test
    void check_missingBarrierInTheSimulator_isFoundOrToldHowToInstallIt() throws IOException {
        Path kernel = edited(
                "rms-norm", "    barrier(CLK_LOCAL_MEM_FENCE);\n    for (int half_size", "    for (int half_size");

        Path binding = folder.resolve("one.properties");
        Files.writeString(binding, Files.readString(Examples.binding("rms-norm")) + "shapes = 2,37\n");

        Result result = clnorm("check", kernel, "--binding", binding, "--simulate");

        boolean installed = true;
        try {
            Simulator.installed(folder.resolve("log"));
        } catch (IllegalArgumentException e) {
            installed = false;
        }
        assertThat(result.exitCode()).as(result.out() + result.err()).isEqualTo(installed ? 1 : 2);
        assertThat(result.out() + result.err())
                .contains(installed ? "data race at local memory" : "apt install oclgrind");
    }
}
