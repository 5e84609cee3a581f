package org.clnorm.check;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.check.Binding.Argument;
import org.clnorm.check.Binding.Direction;
import org.clnorm.check.Binding.Operation;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BindingTest {
    private static final String SIMPLE =
            "operation = batch-norm\nkernel = k\nargs = x, y, N, C, S, epsilon\nglobal = roundup(E, 64)\n";

    @Test
    void parse_whatIsNotSaid_isTheDefault() {
        Binding binding = Binding.parse(SIMPLE);

        assertThat(binding.operation()).isEqualTo(Operation.BATCH_NORM);
        assertThat(binding.direction()).isEqualTo(Direction.FORWARD);
        assertThat(binding.layout()).isEqualTo(Layout.CHANNELS_FIRST);
        assertThat(binding.type()).isEqualTo(DataType.FLOAT32);
        assertThat(binding.epsilon()).isEqualTo(1e-5);
        assertThat(binding.unbiased()).isTrue();
        assertThat(binding.parts()).containsExactly(Part.X, Part.Y);
        assertThat(binding.launches()).singleElement().satisfies(launch -> {
            assertThat(launch.local()).isEmpty();
            assertThat(launch.arguments()).hasSize(6).element(2).isInstanceOf(Argument.Scalar.class);
        });
    }

    @Test
    void parse_launches_areInTheOrderOfTheirNumbers() {
        StringBuilder text = new StringBuilder("operation = layer-norm\nscratch.sums = 2 * R\n");
        for (int i = 12; i > 0; i--) {
            text.append("launch." + i + ".kernel = k" + i + "\nlaunch." + i + ".args = x, sums, y\nlaunch." + i
                    + ".global = R, min(D, 4)\n");
        }

        Binding binding = Binding.parse(text.toString());

        assertThat(binding.launches())
                .extracting(Binding.Launch::kernel)
                .startsWith("k1", "k2")
                .endsWith("k12");
        assertThat(binding.launches().get(0).global()).hasSize(2);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "operation = batch-norn|line 1: the key operation is 'batch-norn'; did you mean batch-norm?",
                "kernel = k|the key operation is missing or empty",
                "layuot = channels-last|the key layuot is not known; did you mean layout?",
                "launch.1.kernell = k|did you mean kernel?",
                "args = x, y, gama|has the argument 'gama', which is not known; did you mean gamma?",
                "args = x, y, dx|has dx, which no forward pass has",
                "args = x, y, int: N * Q|has Q in 'N * Q', which is not known",
                "args = x|no argument is an array that is written",
                "args = gamma, y|no argument is [x], which a forward pass must have",
                "args = x, y, local: 4 * (N|expected was ')', but there is the end",
                "global = 64 65|expected was an operator, but there is '6' at character 4",
                "local = 8, 8|must have as many dimensions",
                "constant.N = 3|a name of letters and digits that is not taken, but has 'N'",
                "constant.gamma = 3|that is not taken, but has 'gamma'",
                "options = -D A={WGG}|has WGG in 'WGG', which is not known",
                "groups = 4|is needed for group-norm",
                "shapes = 1,2|has '1,2', but a shape of batch-norm is 3 whole numbers",
                "shapes = 999,999,999|has '999,999,999', which is more than 67108864 elements",
                "epsilon = 2|must be from 0 to 1, but is 2.0",
                "launch.1.kernel = k|exclude each other",
                "multiple.D = 4|must name a dimension, which of batch-norm are [C, N, S]",
                "multiple.S = 0|must be from 1 to 1024, but is 0",
                "multiple.S = 3 * C|has C, which has no value",
                "constant.null = 3|that is not taken, but has 'null'",
                "direction = sideways|Known are [forward, inference, backward]"
            })
    void parse_whatIsWrong_isNamed(String line, String message) {
        String key = line.substring(0, line.indexOf(' '));
        StringBuilder text = new StringBuilder(line + "\n");
        SIMPLE.lines()
                .filter(each ->
                        !each.startsWith(key + " ") && !(line.equals("kernel = k") && each.startsWith("operation")))
                .forEach(each -> text.append(each).append('\n'));

        assertThatThrownBy(() -> Binding.parse(text.toString()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message);
    }

    @Test
    void shapes_ofMultiples_areTheUsualOnesRoundedUp() {
        List<CheckCase> rows = CheckCase.all(
                Binding.parse(
                        "operation = rms-norm\nmultiple.D = 2 * W\nconstant.W = 8\nkernel = k\nargs = x, y\nglobal = R"),
                false);
        List<CheckCase> groups = CheckCase.all(
                Binding.parse(
                        "operation = group-norm\ngroups = 6\nmultiple.C = 4\nmultiple.S = 2\nkernel = k\nargs = x, y\nglobal = N"),
                false);

        assertThat(rows).extracting(c -> c.dimensions().channels()).allMatch(length -> length % 16 == 0);
        assertThat(rows).extracting(CheckCase::toString).contains("R=300 D=16 normal", "R=9 D=4112 normal");
        assertThat(rows).doesNotHaveDuplicates();
        assertThat(groups).extracting(c -> c.dimensions().channels()).allMatch(channels -> channels % 12 == 0);
        assertThat(groups).extracting(c -> c.dimensions().spatial()).allMatch(spatial -> spatial % 2 == 0);
        assertThat(rows.get(0).binding()).hasToString("rms-norm forward float32, D a multiple of 16");
    }

    /** The kernels are not here; that their bindings are bindings, and that each is checked and explained, can be told all the same. */
    @Test
    void bindings_ofKernelsOfOthers_areBindingsAndChecked() throws IOException {
        String script = Files.readString(Path.of("ci", "others-kernels"));
        String guide = Files.readString(Path.of("docs", "check.md"));
        try (Stream<Path> files = Files.list(Path.of("docs", "check", "others"))) {
            assertThat(files.filter(file -> file.toString().endsWith(".properties")))
                    .isNotEmpty()
                    .allSatisfy(file -> {
                        String name = file.getFileName().toString();
                        assertThat(CheckCase.all(Binding.read(file), false)).hasSizeGreaterThan(50);
                        assertThat(script).contains(" " + name.replace(".properties", "") + " ");
                        assertThat(guide).contains("(check/others/" + name + ")");
                    });
        }
    }

    @Test
    void parse_multiplesBesideShapes_areRefused() {
        assertThatThrownBy(() -> Binding.parse(SIMPLE + "shapes = 2,3,4\nmultiple.C = 3"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("line 6: the key multiple.C and shapes exclude each other");
    }

    @Test
    void parse_aKeyTwice_namesIt() {
        assertThatThrownBy(() -> Binding.parse(SIMPLE + "kernel = other\n"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("the key kernel is there twice");
    }

    @Test
    void parse_inferenceOfLayerNorm_isRefused() {
        assertThatThrownBy(() -> Binding.parse(
                        "operation = layer-norm\ndirection = inference\nkernel = k\nargs = x, y\n" + "global = R\n"))
                .hasMessage("line 2: the key direction can be inference for batch-norm only, since layer-norm has no"
                        + " statistics but those of x");
    }

    @ParameterizedTest
    @CsvSource({
        "7 / 2, 3",
        "-7 / 2, -3",
        "1 + 2 * 3 - 4 % 3, 6",
        "(1 + 2) * 3, 9",
        "'min(7, A) + max(1, A)', 10",
        "'ceildiv(A, 2) * 10', 30",
        "'roundup(A + 1, 4)', 8",
        "A*A-A, 20",
        "1e3, 1000"
    })
    void whole_ofAnExpression_isAsInC(String text, long value) {
        assertThat(Expression.of(text).whole(Map.of("A", 5.0))).isEqualTo(value);
    }

    @Test
    void of_anExpressionWithoutEnd_isRefused() {
        assertThatThrownBy(() -> Expression.of("(".repeat(100_000)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("is longer than 500 characters");
        assertThatThrownBy(() -> Expression.of("(".repeat(500))).hasMessageContaining("but there is the end");
    }

    @Test
    void real_ofAQuotient_keepsTheRemainder() {
        assertThat(Expression.of("1 / (A * 2)").real(Map.of("A", 2.0))).isEqualTo(0.25);
        assertThatThrownBy(() -> Expression.of("1 / (A - 2)").real(Map.of("A", 2.0)))
                .hasMessageContaining("'1 / (A - 2)' has no value with {A=2.0}");
        assertThatThrownBy(() -> Expression.of("0.5").whole(Map.of())).hasMessageContaining("is to be a whole number");
    }
}
