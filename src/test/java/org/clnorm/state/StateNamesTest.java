package org.clnorm.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

final class StateNamesTest {
    private static StateArray vector(float... values) {
        return StateArray.of(values, values.length);
    }

    private static StateDict layer() {
        return StateDict.empty()
                .with("weight", vector(1, 2))
                .with("bias", vector(3, 4))
                .with("running_mean", vector(5, 6))
                .with("running_var", vector(7, 8))
                .with("num_batches_tracked", StateArray.scalar(9));
    }

    @ParameterizedTest
    @CsvSource({
        "PYTORCH, weight bias running_mean running_var num_batches_tracked",
        "KERAS, gamma beta moving_mean moving_variance",
        "ONNX, scale B input_mean input_var",
        "DL4J, gamma beta mean log10stdev"
    })
    void toNames_ofALayer_areThoseOfTheProgram(StateNames names, String expected) {
        assertThat(layer().toNames(names).names()).containsExactly(expected.split(" "));
        assertThat(layer().withPrefix("layer1.0.bn").toNames(names).under("layer1.0.bn"))
                .isEqualTo(layer().toNames(names));
    }

    @ParameterizedTest
    @EnumSource(
            value = StateNames.class,
            names = {"PYTORCH", "KERAS", "ONNX"})
    void names_thereAndBack_giveTheSameArrays(StateNames names) {
        StateDict network = layer().withPrefix("bn1").merge(layer().withPrefix("2.bn2"));
        StateDict back = network.toNames(names).fromNames(names);

        assertThat(back.names())
                .as("all but the counts, which have no name elsewhere")
                .hasSize(names == StateNames.PYTORCH ? 10 : 8);
        assertThat(back.toMap())
                .allSatisfy((name, array) -> assertThat(network.get(name)).contains(array));
    }

    @ParameterizedTest
    @CsvSource({
        "KERAS, scale, weight",
        "ONNX, Scale, weight",
        "ONNX, bias, bias",
        "ONNX, mean, running_mean",
        "ONNX, var, running_var",
        "DL4J, var, running_var"
    })
    void fromNames_ofASecondName_takesTheArrayAsItIs(StateNames names, String theirs, String ours) {
        assertThat(StateDict.empty().with(theirs, vector(1, 2)).fromNames(names))
                .isEqualTo(StateDict.empty().with(ours, vector(1, 2)));
    }

    @Test
    void dl4j_logarithmOfTheDeviation_isConvertedBothWays() {
        StateDict variance = StateDict.empty().with("running_var", vector(1e4f, 0.01f, 1, 0, Float.POSITIVE_INFINITY));
        StateDict logarithm = StateDict.empty()
                .with("log10stdev", vector(2, -1, 0, Float.NEGATIVE_INFINITY, Float.POSITIVE_INFINITY));

        assertThat(variance.toNames(StateNames.DL4J)).isEqualTo(logarithm);
        assertThat(logarithm.fromNames(StateNames.DL4J)).isEqualTo(variance);
        assertThat(StateDict.empty()
                        .with("log10stdev", StateArray.of(new double[] {0.1}, 1))
                        .fromNames(StateNames.DL4J)
                        .get("running_var")
                        .orElseThrow()
                        .toDoubles())
                .as("float64 stays float64")
                .containsExactly(Math.pow(10, 0.2));
    }

    @Test
    void dl4j_variancesThereAndBack_areTheSameToWithinWhatIsSaid() {
        for (float variance = 1e-8f; variance < 1e8f; variance *= 1.0371f) {
            float back = StateDict.empty()
                    .with("running_var", vector(variance))
                    .toNames(StateNames.DL4J)
                    .fromNames(StateNames.DL4J)
                    .get("running_var")
                    .orElseThrow()
                    .toFloats()[0];

            assertThat(back / variance).as("of %s", variance).isCloseTo(1, within(1e-6f));
        }
    }

    @Test
    void fromNames_ofOtherArrays_listsThemAndWhatWasExpected() {
        StateDict network = layer().toNames(StateNames.KERAS)
                .withPrefix("bn")
                .with("conv.kernel", vector(1))
                .with("dense.bias", vector(1));

        assertThatThrownBy(() -> network.fromNames(StateNames.KERAS))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "The names must be KERAS's, each [gamma, scale, beta, moving_mean, moving_variance] after any"
                                + " prefix and its dot, but there are [conv.kernel, dense.bias]; take out the layers first, as"
                                + " with under(prefix)");
        assertThat(network.under("bn").fromNames(StateNames.KERAS).names())
                .containsExactly("weight", "bias", "running_mean", "running_var");
        assertThatThrownBy(() -> network.toNames(StateNames.DL4J))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("must be PYTORCH's")
                .hasMessageContaining("bn.gamma");
    }

    @Test
    void fromNames_ofTwoNamesOfOneArray_isRefused() {
        StateDict twice = StateDict.empty().with("a.var", vector(1)).with("a.log10stdev", vector(0));

        assertThatThrownBy(() -> twice.fromNames(StateNames.DL4J))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageEndingWith("but a.var and a.log10stdev are both a.running_var");
        assertThatThrownBy(() -> StateDict.empty()
                        .with("log10stdev", StateArray.of(new long[1], 1))
                        .fromNames(StateNames.DL4J))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageEndingWith("log10stdev must be of a floating-point type, but is int64 (1,)");
    }

    @Test
    void prefixesLike_aPattern_areInTheOrderOfTheirNumbers() {
        StateDict network = StateDict.empty()
                .with("weight", vector(1))
                .with("layer10.0.bn1.weight", vector(1))
                .with("layer2.0.bn2.weight", vector(1))
                .with("layer2.0.bn1.bias", vector(1))
                .with("layer2.0.bn1.weight", vector(1))
                .with("layer2.0.conv1.weight", vector(1))
                .with("layer2.0.bn1.inner.weight", vector(1))
                .with("layer2.0.downsample.1.weight", vector(1))
                .with("a+b.weight", vector(1));

        assertThat(network.prefixesLike("layer{i}.{j}.bn{k}"))
                .containsExactly("layer2.0.bn1", "layer2.0.bn2", "layer10.0.bn1");
        assertThat(network.prefixesLike("layer{}.0.*"))
                .containsExactly("layer2.0.bn1", "layer2.0.bn2", "layer2.0.conv1", "layer10.0.bn1");
        assertThat(network.prefixesLike("*.{i}.downsample.{n}")).containsExactly("layer2.0.downsample.1");
        assertThat(network.prefixesLike("a+b"))
                .as("no more than {} and * mean something")
                .containsExactly("a+b");
        assertThat(network.prefixesLike("layer{i}")).isEmpty();
    }

    @Test
    void prefixesLike_numbersAndOtherText_putsNumbersFirst() {
        StateDict state = StateDict.empty()
                .with("n.1a.x", vector(1))
                .with("n.10.x", vector(1))
                .with("n.9.x", vector(1))
                .with("n.123456789012345678901.x", vector(1));

        assertThat(state.prefixesLike("n.*")).containsExactly("n.9", "n.10", "n.123456789012345678901", "n.1a");
    }

    @Test
    void prefixesLike_whatIsNoPattern_isRefused() {
        for (String wrong : List.of("", "layer{i", "layer}", "a.{{i}}", "layer1.")) {
            assertThatThrownBy(() -> StateDict.empty().prefixesLike(wrong))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("\"" + wrong + "\"");
        }
    }
}
