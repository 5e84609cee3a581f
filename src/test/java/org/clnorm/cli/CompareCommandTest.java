package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;
import static org.clnorm.cli.Commands.vector;
import static org.clnorm.cli.Commands.vectors;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.clnorm.OnEveryDevice;
import org.clnorm.TestDevice;
import org.clnorm.cli.Commands.Result;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CompareCommandTest {
    @TempDir
    Path folder;

    @Test
    void compare_allVectorsOnTheReference_pass() throws IOException {
        Result result = clnorm(with(vectors(), "compare", "--device", "reference"));

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        assertThat(result.out()).contains("On clnorm: CPU reference", allPass()).doesNotContain("FAIL");
    }

    @Test
    void compare_allVectorsOnTheDefaultDevice_pass() throws IOException {
        Result result = clnorm(with(vectors(), "compare"));

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        assertThat(result.out())
                .as("without an OpenCL device, no kernel would have been compared")
                .doesNotContain("CPU reference")
                .contains(allPass())
                .doesNotContain("FAIL");
    }

    @OnEveryDevice
    void compare_casesAtTheEndsOfFloat32_pass(TestDevice on) throws IOException {
        String[] where = on == TestDevice.REFERENCE
                ? new String[] {"compare", "--device", "reference"}
                : new String[] {"compare", "--strategy", on.strategy()};

        Result result = clnorm(with(Commands.cases(vector("../faults")), where));

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        assertThat(result.out()).contains("11 of 11 cases pass");
        assertThat(result.out().contains("CPU reference"))
                .as("each strategy is to run on an OpenCL device")
                .isEqualTo(on == TestDevice.REFERENCE);
    }

    @Test
    void compare_tableOfACase_hasEveryExpectedArray() {
        Result result = clnorm("compare", "--device", "reference", vector("pytorch/bn-add-relu.npz"));

        assertThat(result.out())
                .contains("batch-norm train (4, 8, 6, 6) channels-first")
                .containsPattern(
                        "\n  grad_x +[0-9.e-]+ +[0-9.e-]+ +[0-9]+ +[0-9.e-]+  pass +\\(\\d, \\d, \\d, \\d\\): \\S+, \\S+\n")
                .containsPattern("\n  save_mean +.* pass +\\(\\d\\): ");
        for (String array : List.of(
                "y", "save_invstd", "running_mean", "running_var", "grad_weight", "grad_bias", "grad_residual")) {
            assertThat(result.out()).contains("\n  " + array + " ");
        }
    }

    @Test
    void compare_toleranceOfZero_failsWhatIsRounded() {
        Result result = clnorm("compare", "--device", "reference", "--tolerance", "0", vector("pytorch/bn-eval.npz"));

        assertThat(result.exitCode()).isEqualTo(1);
        assertThat(result.out()).contains("FAIL", "0 of 1 cases pass");
    }

    @Test
    void compare_oneElementWrong_saysWhere() throws IOException {
        Path file = changed("pytorch/bn-nchw.npz", arrays -> {
            NpyArray y = arrays.get("expected_y");
            double[] values = y.toDoubles();
            values[(2 * 6 + 3) * 35 + 4 * 7 + 5] += 0.25;
            arrays.put("expected_y", NpyArray.of(values, y.dimensions()));
        });

        Result result = clnorm("compare", "--device", "reference", vector("pytorch/bn-eval.npz"), file);

        assertThat(result.exitCode()).isEqualTo(1);
        assertThat(result.out())
                .containsPattern("\n  y +2.50e-01 .* FAIL +\\(2, 3, 4, 5\\): ")
                .contains("1 of 2 cases pass");
    }

    @Test
    void compare_nanExpectedNowhere_fails() throws IOException {
        Path file = changed("pytorch/bn-nchw.npz", arrays -> {
            float[] x = arrays.get("x").toFloats();
            x[0] = Float.NaN;
            arrays.put("x", NpyArray.of(x, arrays.get("x").dimensions()));
        });

        Result result = clnorm("compare", "--device", "reference", "--tolerance", "1e30", file);

        assertThat(result.exitCode()).as("NaN must not pass any tolerance").isEqualTo(1);
        assertThat(result.out()).containsPattern("\n  y +Infinity +Infinity +Infinity +Infinity  FAIL");
    }

    @Test
    void compare_gradientOfCancellingTerms_isMeasuredAgainstTheTerms() throws IOException {
        // dy = 3: all of it goes into the mean, and dx is what is left of 3·invstd - 3·invstd.
        Path file = changed("pytorch/bn-no-affine.npz", arrays -> {
            long[] dimensions = arrays.get("x").dimensions();
            float[] dy = new float[arrays.get("x").elements()];
            Arrays.fill(dy, 3);
            double[] dx = new double[dy.length];
            Arrays.fill(dx, 1e-7);
            arrays.keySet().removeIf(name -> name.startsWith("expected_"));
            arrays.put("grad_y", NpyArray.of(dy, dimensions));
            arrays.put("expected_grad_x", NpyArray.of(dx, dimensions));
        });

        Result result = clnorm("compare", "--device", "reference", file);

        assertThat(result.exitCode())
                .as("1e-7 is a rounding error of terms near 3")
                .isZero();
        assertThat(clnorm("compare", "--device", "reference", "--tolerance", "1e-9", file)
                        .exitCode())
                .isEqualTo(1);
    }

    @Test
    void compare_expectedButNotProduced_fails() throws IOException {
        Path file = changed("pytorch/bn-no-affine.npz", arrays -> arrays.put("expected_grad_weight", zeros(6)));

        Result result = clnorm("compare", "--device", "reference", file);

        assertThat(result.exitCode()).isEqualTo(1);
        assertThat(result.out())
                .containsPattern("\n  grad_weight +FAIL +expected, but not an output of this case")
                .contains("0 of 1 cases pass");
    }

    @Test
    void compare_expectedOfAnotherShape_fails() throws IOException {
        Path file = changed("pytorch/bn-nchw.npz", arrays -> {
            NpyArray y = arrays.get("expected_y");
            arrays.put("expected_y", NpyArray.of(y.toDoubles(), 4, 6, 35));
        });

        Result result = clnorm("compare", "--device", "reference", file);

        assertThat(result.exitCode()).isEqualTo(1);
        assertThat(result.out()).contains("is float32 (4, 6, 5, 7), but expected was float64 (4, 6, 35)");
    }

    @Test
    void compare_nothingExpected_isAnError() throws IOException {
        Path file = changed(
                "pytorch/bn-nchw.npz", arrays -> arrays.keySet().removeIf(name -> name.startsWith("expected_")));

        Result result = clnorm("compare", "--device", "reference", file);

        assertThat(result.exitCode())
                .as("comparing nothing must not count as success")
                .isEqualTo(2);
        assertThat(result.err())
                .isEqualTo("clnorm: " + file
                        + ": there is nothing to compare with, no array whose name starts with expected_\n");
    }

    @Test
    void compare_unreadableFileAmongOthers_isReportedAndTheOthersAreCompared() throws IOException {
        Path broken = Files.writeString(folder.resolve("broken.npz"), "no zip");

        Result result = clnorm(
                "compare", "--device", "reference", broken, vector("pytorch/bn-2d.npz"), folder.resolve("none.npz"));

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err().lines()).hasSize(2);
        assertThat(result.err())
                .startsWith("clnorm: " + broken + ": is not an .npz file")
                .contains("none.npz: there is no such file");
        assertThat(result.out()).contains("1 of 3 cases pass", "2 could not be compared");
    }

    @Test
    void compare_caseThatTheLayerRefuses_isOneLine() throws IOException {
        Path file = changed("pytorch/bn-2d.npz", arrays -> {
            arrays.keySet().removeIf(name -> name.equals("grad_y") || name.startsWith("expected_"));
            arrays.put("x", zeros(1, 10));
            arrays.put("expected_y", zeros(1, 10));
        });

        Result result = clnorm("compare", "--device", "reference", file);

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err().lines())
                .singleElement()
                .asString()
                .startsWith("clnorm: " + file + ": ")
                .contains("(1, 10)");
    }

    @Test
    void compare_wrongUsage_exitsWith2() {
        assertThat(clnorm("compare").exitCode()).isEqualTo(2);
        assertThat(clnorm("compare", "--tolerance", "NaN", "a.npz").exitCode()).isEqualTo(2);
        assertThat(clnorm("compare", "--tolerance", "-1", "a.npz").exitCode()).isEqualTo(2);
        assertThat(clnorm("compare", "--tolerance", "small", "a.npz").exitCode())
                .isEqualTo(2);
    }

    private static String allPass() throws IOException {
        int count = vectors().size();
        assertThat(count).as("cases to compare").isGreaterThanOrEqualTo(12);
        return count + " of " + count + " cases pass";
    }

    private static Object[] with(List<Path> files, String... args) {
        List<Object> all = new ArrayList<>(List.of(args));
        all.addAll(files);
        return all.toArray();
    }

    private Path changed(String vector, Consumer<Map<String, NpyArray>> change) throws IOException {
        Map<String, NpyArray> arrays = new LinkedHashMap<>(Npz.read(vector(vector)));
        change.accept(arrays);
        Path file = folder.resolve("changed.npz");
        Npz.write(file, arrays);
        return file;
    }

    private static NpyArray zeros(long... dimensions) {
        int elements = (int) Arrays.stream(dimensions).reduce(1, (a, b) -> a * b);
        return NpyArray.of(new float[elements], dimensions);
    }
}
