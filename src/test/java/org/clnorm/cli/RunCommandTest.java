package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.clnorm.cli.Commands.clnorm;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.cli.Commands.Result;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RunCommandTest {
    /** Two channels of two values: means 2 and 10, biased variances 1 and 4. */
    private static final NpyArray X = NpyArray.of(new float[] {1, 8, 3, 12}, 2, 2);

    @TempDir
    Path folder;

    @Test
    void run_trainingByHand_givesEveryForwardOutput() throws IOException {
        Map<String, NpyArray> outputs = run(
                Map.of(
                        "x",
                        X,
                        "weight",
                        vector(2, 3),
                        "bias",
                        vector(1, -1),
                        "running_mean",
                        vector(0, 0),
                        "running_var",
                        vector(1, 1)),
                "--eps",
                "0",
                "--update-rate",
                "0.5");

        assertThat(outputs).containsOnlyKeys("y", "save_mean", "save_invstd", "running_mean", "running_var");
        assertThat(outputs.get("y").toString()).isEqualTo("float32 (2, 2)");
        assertThat(outputs.get("y").toFloats()).containsExactly(new float[] {-1, -4, 3, 2}, within(1e-6f));
        assertThat(outputs.get("save_mean").toFloats()).containsExactly(new float[] {2, 10}, within(1e-6f));
        assertThat(outputs.get("save_invstd").toFloats()).containsExactly(new float[] {1, 0.5f}, within(1e-6f));
        assertThat(outputs.get("running_mean").toFloats()).containsExactly(new float[] {1, 5}, within(1e-6f));
        assertThat(outputs.get("running_var").toFloats())
                .as("unbiased: half of 1 and 2, of 1 and 8")
                .containsExactly(new float[] {1.5f, 4.5f}, within(1e-6f));
    }

    @Test
    void run_optionsOnTheCommandLine_overrideThoseOfTheFile() throws IOException {
        byte[] options =
                "{\"op\": \"batch-norm\", \"mode\": \"train\", \"eps\": 0.5, \"running_variance\": \"unbiased\"}"
                        .getBytes(StandardCharsets.UTF_8);
        Map<String, NpyArray> inputs = new LinkedHashMap<>();
        inputs.put("x", X);
        inputs.put("running_mean", vector(1, 8));
        inputs.put("running_var", vector(4, 16));
        inputs.put("case", NpyArray.of(options, options.length));

        assertThat(run(inputs, "--running-variance", "biased", "--update-rate", "1")
                        .get("running_var")
                        .toFloats())
                .containsExactly(new float[] {1, 4}, within(1e-6f));
        assertThat(run(inputs, "--mode", "eval", "--eps", "0", "--activation", "relu")
                        .get("y")
                        .toFloats())
                .containsExactly(new float[] {0, 0, 1, 1}, within(1e-6f));
        assertThat(run(inputs, "--mode", "eval").get("y").toFloats()[2])
                .as("eps is the file's: 2/sqrt(4.5)")
                .isCloseTo(0.942809f, within(1e-6f));
    }

    @Test
    void run_gradientOfY_givesTheBackwardOutputsThatApply() throws IOException {
        NpyArray dy = NpyArray.of(new float[] {1, 1, 0, 2}, 2, 2);

        Map<String, NpyArray> plain = run(Map.of("x", X, "grad_y", dy), "--eps", "0");
        assertThat(plain).containsOnlyKeys("y", "save_mean", "save_invstd", "grad_x");
        assertThat(plain.get("grad_x").toFloats())
                .as("two values per channel: y is the sign of their order, whatever they are")
                .containsExactly(new float[4], within(1e-6f));

        Map<String, NpyArray> all = run(
                Map.of(
                        "x",
                        X,
                        "grad_y",
                        dy,
                        "bias",
                        vector(0, 0),
                        "residual",
                        NpyArray.of(new float[] {0, 5, 0, 0}, 2, 2)),
                "--eps",
                "0",
                "--activation",
                "relu");
        assertThat(all.keySet()).contains("grad_bias", "grad_residual").doesNotContain("grad_weight", "running_mean");
        assertThat(all.get("grad_residual").toFloats()).containsExactly(0, 1, 0, 2);
        assertThat(all.get("grad_bias").toFloats()).containsExactly(0, 3);
    }

    @Test
    void run_channelsLast_keepsTheMemoryOrder() throws IOException {
        // (N, L, C): channel 0 holds 0, 2, 4, ..., channel 1 holds 10 times that.
        NpyArray x = NpyArray.of(new float[] {0, 0, 2, 20, 4, 40}, 1, 3, 2);

        Map<String, NpyArray> outputs = run(Map.of("x", x), "--layout", "channels-last", "--eps", "0");

        assertThat(outputs.get("y").toString()).isEqualTo("float32 (1, 3, 2)");
        assertThat(outputs.get("save_mean").toFloats()).containsExactly(new float[] {2, 20}, within(1e-5f));
        float high = (float) Math.sqrt(1.5);
        assertThat(outputs.get("y").toFloats())
                .containsExactly(new float[] {-high, -high, 0, 0, high, high}, within(1e-6f));
    }

    @Test
    void run_emptyBatch_leavesTheRunningStatistics() throws IOException {
        Map<String, NpyArray> outputs = run(Map.of(
                "x", NpyArray.of(new float[0], 0, 2), "running_mean", vector(3, 4), "running_var", vector(5, 6)));

        assertThat(outputs).as("there are no statistics to save").containsOnlyKeys("y", "running_mean", "running_var");
        assertThat(outputs.get("y").toString()).isEqualTo("float32 (0, 2)");
        assertThat(outputs.get("running_mean").toFloats()).containsExactly(3, 4);
        assertThat(outputs.get("running_var").toFloats()).containsExactly(5, 6);
    }

    @Test
    void run_twice_writesTheSameBytes() throws IOException {
        Path first = folder.resolve("1.npz");
        Path second = folder.resolve("2.npz");

        Result result =
                clnorm("run", "batch-norm", "--input", Commands.vector("pytorch/bn-resnet.npz"), "--output", first);
        clnorm("run", "batch-norm", "--input", Commands.vector("pytorch/bn-resnet.npz"), "--output", second);

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(result.out())
                .contains(
                        "batch-norm train (8, 16, 28, 28) channels-last on ", "grad_residual  float32 (8, 28, 28, 16)")
                .endsWith("written to " + first + System.lineSeparator());
        assertThat(second).as("results must not depend on scheduling").hasSameBinaryContentAs(first);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--mode eval             | : the mode eval normalizes with running_mean and running_var, but there are none",
                "--update-rate 1.5       | : the option update_rate must be from 0 to 1, but is 1.5",
                "--eps NaN               | : the option eps must be finite and at least 0, but is NaN",
                "--device no-such-device | No device matches 'no-such-device'",
            })
    void run_wrongInput_isOneLineAndNoOutput(String options, String message) throws IOException {
        Path input = write(Map.of("x", X));
        Path output = folder.resolve("out.npz");
        List<Object> args = new ArrayList<>(List.of("run", "batch-norm", "--input", input, "--output", output));
        args.addAll(List.of(options.split(" ")));

        Result result = clnorm(args.toArray());

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err().lines())
                .as("no stack trace")
                .singleElement()
                .asString()
                .startsWith("clnorm: ")
                .contains(message);
        assertThat(output).doesNotExist();
    }

    @Test
    void run_fileThatIsNotRight_isOneLine() throws IOException {
        Path text = Files.writeString(folder.resolve("text.npz"), "text");
        Path output = folder.resolve("out.npz");
        Path nowhere = folder.resolve("no/such/folder/out.npz");

        for (Result result : List.of(
                clnorm("run", "batch-norm", "--input", text, "--output", output),
                clnorm("run", "batch-norm", "--input", folder.resolve("none.npz"), "--output", output),
                clnorm("run", "batch-norm", "--input", write(Map.of("x", X)), "--output", nowhere),
                clnorm(
                        "run",
                        "batch-norm",
                        "--input",
                        write(Map.of("x", NpyArray.of(new float[2], 1, 2))),
                        "--output",
                        output))) {
            assertThat(result.exitCode()).as(result.err()).isEqualTo(2);
            assertThat(result.err().lines()).as("no stack trace").hasSize(1);
        }
    }

    @Test
    void run_caseOfAnotherOp_namesIt() throws IOException {
        byte[] options = "{\"op\": \"layer-norm\"}".getBytes(StandardCharsets.UTF_8);
        Path input = write(Map.of("x", X, "case", NpyArray.of(options, options.length)));

        Result result = clnorm("run", "batch-norm", "--input", input, "--output", folder.resolve("out.npz"));

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err())
                .isEqualToNormalizingNewlines(
                        "clnorm: " + input + ": the option op must be one of [batch-norm], but is \"layer-norm\"\n");
    }

    @Test
    void run_otherNormalizations_takeTheirOptions() throws IOException {
        Path input = write(Map.of("x", NpyArray.of(new float[] {3, 4, 0, 2, 6, 8, 1, 7}, 2, 2, 2)));
        Path output = folder.resolve("out.npz");

        for (String args : List.of(
                "l2-norm",
                "weight-norm --eps 1e-3",
                "layer-norm --normalized-dims 2",
                "layer-norm --over-channels",
                "rms-norm --normalized-dims 1 --activation relu",
                "group-norm --groups 1",
                "instance-norm",
                "batch-norm --virtual-batch 1",
                "batch-norm --virtual-batch 1 --last-virtual-batch merge")) {
            List<Object> all = new ArrayList<>(List.of("run"));
            all.addAll(List.of(args.split(" ")));
            all.addAll(List.of("--input", input, "--output", output));

            Result result = clnorm(all.toArray());

            assertThat(result.exitCode()).as(result.err()).isZero();
            assertThat(Npz.read(output)).containsKey("y");
        }
        assertThat(clnorm("run", "l2-norm", "--input", input, "--output", output)
                        .exitCode())
                .isZero();
        assertThat(Npz.read(output).get("y").toFloats())
                .containsExactly(
                        new float[] {0.6f, 0.8f, 0, 1, 0.6f, 0.8f, (float) Math.sqrt(0.02), (float) Math.sqrt(0.98)},
                        within(1e-6f));
        assertThat(clnorm("run", "layer-norm", "--input", input, "--output", output)
                        .err())
                .contains("layer-norm needs the options [normalized_dims], but not given were [normalized_dims]");
    }

    @Test
    void run_inPlace_givesTheSameOrSaysWhyNot() throws IOException {
        NpyArray dy = NpyArray.of(new float[] {1, 1, 0, 2, 0.5f, 0, 3, 1}, 4, 2);
        NpyArray x = NpyArray.of(new float[] {1, 2, 3, 4, 6, 0, 1, 9}, 4, 2);
        Map<String, NpyArray> inputs = Map.of("x", x, "grad_y", dy, "weight", vector(2, -3), "bias", vector(1, -1));

        Map<String, NpyArray> beside = run(inputs, "--activation", "leaky-relu");
        Map<String, NpyArray> inPlace = run(inputs, "--activation", "leaky-relu", "--in-place");

        assertThat(inPlace).containsOnlyKeys(beside.keySet());
        for (String output : List.of("y", "grad_x", "grad_weight", "grad_bias")) {
            assertThat(inPlace.get(output).toFloats())
                    .as(output)
                    .containsExactly(beside.get(output).toFloats(), within(1e-5f));
        }
        Path relu = write(inputs);
        Path output = folder.resolve("out.npz");
        assertThat(clnorm(
                                "run",
                                "batch-norm",
                                "--input",
                                relu,
                                "--output",
                                output,
                                "--in-place",
                                "--activation",
                                "relu")
                        .err()
                        .lines())
                .singleElement()
                .asString()
                .contains(relu.toString(), "it was relu");
        Path small = write(Map.of("x", x, "grad_y", dy, "weight", vector(2, 0)));
        assertThat(clnorm("run", "batch-norm", "--input", small, "--output", output, "--in-place")
                        .err()
                        .lines())
                .singleElement()
                .asString()
                .contains("gamma of channel 1 is 0.0");
        assertThat(clnorm("run", "l2-norm", "--input", small, "--output", output, "--in-place")
                        .err())
                .contains("The option --in-place does nothing for l2-norm");
    }

    @Test
    void run_wrongUsage_exitsWith2AndSaysWhatIsKnown() {
        assertThat(clnorm("run").exitCode()).isEqualTo(2);
        assertThat(clnorm("run", "batch-norm").err())
                .contains("--input=CASE.npz", "--output=OUT.npz", "Try 'clnorm run --help'");
        assertThat(clnorm("run", "softmax", "--input", "a", "--output", "b").err())
                .contains("batch-norm", "layer-norm", "'softmax'");
        assertThat(clnorm("run", "layer-norm", "--input", "a", "--output", "b", "--r-max", "2")
                        .err())
                .contains("The option --r-max does nothing for layer-norm");
        assertThat(clnorm("run", "batch-norm", "--input", "a", "--output", "b", "--layout", "nchw")
                        .err())
                .contains("channels-first", "channels-last", "'nchw'");
    }

    /** On the default device. */
    private Map<String, NpyArray> run(Map<String, NpyArray> inputs, String... options) throws IOException {
        Path output = folder.resolve("out.npz");
        List<Object> args = new ArrayList<>(List.of("run", "batch-norm", "--input", write(inputs), "--output", output));
        args.addAll(List.of(options));
        Result result = clnorm(args.toArray());
        assertThat(result.exitCode()).as(result.err()).isZero();
        return Npz.read(output);
    }

    private Path write(Map<String, NpyArray> inputs) throws IOException {
        Path file = Files.createTempFile(folder, "in", ".npz");
        Npz.write(file, inputs);
        return file;
    }

    private static NpyArray vector(float... values) {
        return NpyArray.of(values, values.length);
    }
}
