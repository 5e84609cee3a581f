package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.clnorm.state.Safetensors;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.clnorm.state.StateNames;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The layers of a network, saved and loaded together. */
final class NetworkStateTest {
    private static final String PATTERN = "layer{i}.{j}.bn{k}";

    private final List<BatchNorm> layers = new ArrayList<>();

    @TempDir
    private Path folder;

    @AfterEach
    void close() {
        layers.forEach(BatchNorm::close);
    }

    private List<BatchNorm> layers(int... channels) {
        for (int each : channels) {
            layers.add(BatchNorm.builder(each).build(TestDevice.REFERENCE.device()));
        }
        return layers;
    }

    private static StateArray vector(int length, float first) {
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = first + i;
        }
        return StateArray.of(values, length);
    }

    private static StateDict norm(int channels, float first) {
        return StateDict.empty()
                .with("weight", vector(channels, first))
                .with("bias", vector(channels, -first))
                .with("running_mean", vector(channels, first / 2))
                .with("running_var", vector(channels, first + 1))
                .with("num_batches_tracked", StateArray.scalar((long) first));
    }

    /** As PyTorch would save a residual network of three stages, with convolutions beside their norms. */
    private static StateDict checkpoint() {
        Map<String, StateArray> arrays = new LinkedHashMap<>();
        for (int layer : new int[] {1, 2, 10}) {
            for (int block = 0; block < 2; block++) {
                for (int k = 1; k <= 2; k++) {
                    String prefix = "layer" + layer + "." + block + ".";
                    arrays.put(prefix + "conv" + k + ".weight", vector(9, 0));
                    arrays.putAll(norm(layer + 1, 100 * layer + 10 * block + k)
                            .withPrefix(prefix + "bn" + k)
                            .toMap());
                }
            }
        }
        arrays.put("fc.weight", vector(4, 0));
        arrays.put("fc.bias", vector(4, 0));
        return StateDict.of(arrays);
    }

    @Test
    void load_ofACheckpointByAPattern_fillsTheLayersInTheirOrderAndLeavesTheRestAlone() throws IOException {
        Path file = folder.resolve("network.safetensors");
        Safetensors.write(file, checkpoint());
        StateDict read = Safetensors.read(file);
        List<String> names = read.prefixesLike(PATTERN);
        NetworkState network = NetworkState.of(names, layers(2, 2, 2, 2, 3, 3, 3, 3, 11, 11, 11, 11));

        network.load(read);

        assertThat(names)
                .startsWith("layer1.0.bn1", "layer1.0.bn2", "layer1.1.bn1")
                .endsWith("layer10.1.bn2");
        assertThat(layers.get(1).gamma().orElseThrow().value().download()).containsExactly(102, 103);
        assertThat(layers.get(11).runningVariance().orElseThrow().download()).startsWith(1013, 1014);
        assertThat(layers.get(11).batchesTracked()).isEqualTo(1012);
        StateDict saved = network.stateDict();
        assertThat(saved.toMap()).hasSize(60).allSatisfy((name, array) -> assertThat(read.get(name))
                .contains(array));
    }

    @Test
    void load_underOtherNames_takesThem() {
        layers(2, 3);
        NetworkState network = NetworkState.of(new TreeMap<>(Map.of("a", layers.get(0), "b.bn", layers.get(1))));
        StateDict state = norm(2, 5).withPrefix("a").merge(norm(3, 7).withPrefix("b.bn"));
        for (StateNames names : List.of(StateNames.KERAS, StateNames.ONNX, StateNames.PYTORCH)) {
            layers.forEach(BatchNorm::reset);
            network.load(state.toNames(names).with("conv.kernel", vector(1, 0)), names);

            assertThat(network.stateDict().toNames(StateNames.KERAS))
                    .as("%s", names)
                    .isEqualTo(state.toNames(StateNames.KERAS));
        }
    }

    /**
     * Networks with one batch normalization, saved by the programs themselves: by Keras 3.15.1, the reference of ONNX
     * 1.23.1, and DL4J 1.0.0-M2.1. Beside the arrays of the network there are an x, what they gave for it in training, and
     * what they gave for it afterwards in evaluation.
     */
    @ParameterizedTest
    @CsvSource({
        "keras, sequential.bn1, KERAS, CHANNELS_LAST, 1e-3, 0.01",
        "onnx, bn1, ONNX, CHANNELS_FIRST, 1e-5, 0.1",
        "dl4j, bn1, DL4J, CHANNELS_FIRST, 1e-5, 0.1"
    })
    void load_ofAFileOfAnotherProgram_goesOnWhereItWas(
            String file, String name, StateNames names, Layout layout, double epsilon, double newBatchWeight)
            throws IOException {
        StateDict read = Safetensors.read(Path.of("src/test/resources/org/clnorm/state", file + ".safetensors"));
        BatchNorm layer = BatchNorm.builder(5)
                .epsilon(epsilon)
                .runningAverage(RunningAverage.exponential(newBatchWeight))
                .runningVariance(RunningVariance.BIASED)
                .build(TestDevice.AUTO.device());
        layers.add(layer);

        NetworkState.of(Map.of(name, layer)).load(read, names);

        StateArray given = read.get("x").orElseThrow();
        Shape shape = layout.fromMemoryOrder(given.dimensions());
        try (Tensor x = layer.device().upload(given.toFloats(), shape, layout);
                Tensor y = layer.forward(x)) {
            assertNear("training", y.download(), read.get("training").orElseThrow());
            layer.eval();
            layer.forward(x, y);
            assertNear("evaluation", y.download(), read.get("evaluation").orElseThrow());
        }
    }

    /** They compute in float32, with errors of their own. */
    private static void assertNear(String what, float[] actual, StateArray expected) {
        double[] values = Closeness.wide(expected.toFloats());
        Closeness.assertWithin(what, actual, values, 2e-6 * Closeness.largest(values));
    }

    @Test
    void load_ofLayersOfSeveralKinds_givesEachWhatItHas() {
        StateArray lengths = StateArray.of(new float[] {2, 3}, 2, 1, 1, 1);
        StateDict keras = StateDict.empty()
                .with("rms.scale", vector(4, 1))
                .with("layer_normalization.gamma", vector(4, 2))
                .with("layer_normalization.beta", vector(4, 3))
                .with("dense.kernel", vector(4, 0));
        try (RmsNorm rms = RmsNorm.builder(4).build(TestDevice.REFERENCE.device());
                LayerNorm rows = LayerNorm.builder(4).build(TestDevice.REFERENCE.device());
                WeightNorm weights = WeightNorm.builder(2).build(TestDevice.REFERENCE.device())) {
            NetworkState.of(Map.of("rms", rms, "layer_normalization", rows)).load(keras, StateNames.KERAS);
            weights.loadState(StateDict.empty().with("weight", lengths)); // as PyTorch's original0

            assertThat(rms.gamma().orElseThrow().value().download()).containsExactly(1, 2, 3, 4);
            assertThat(rows.gamma().orElseThrow().value().download()).containsExactly(2, 3, 4, 5);
            assertThat(rows.beta().orElseThrow().value().download()).containsExactly(3, 4, 5, 6);
            assertThat(weights.gamma().orElseThrow().value().download()).containsExactly(2, 3);
        }
    }

    @Test
    void load_ofWhatDoesNotFit_saysWhatOfEachLayerAndChangesNone() {
        NetworkState network = NetworkState.of(List.of("bn1", "bn2", "bn3"), layers(2, 3, 4));
        StateDict before = network.stateDict();
        StateDict state = norm(2, 5)
                .withPrefix("bn1")
                .merge(norm(4, 7).withPrefix("bn2"))
                .merge(norm(4, 9).withPrefix("module.bn3"));

        assertThatThrownBy(() -> network.load(state))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith(
                        "The state does not fit 2 of 3 layers, and nothing of it was loaded: bn2: weight"
                                + " must have the shape (3), but is float32 (4,); bias must")
                .hasMessageContaining(". bn3: missing are [weight, bias, running_mean, running_var] (did you mean")
                .hasMessageContaining("module.bn3");
        assertThatThrownBy(() -> network.load(state, StateNames.KERAS))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("3 of 3 layers")
                .hasMessageContaining("bn1: The names must be KERAS's")
                .hasMessageContaining("there are [weight, bias,");
        assertThat(network.stateDict()).isEqualTo(before);
    }

    @Test
    void load_ofManyLayersThatDoNotFit_listsTen() {
        List<String> names = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            names.add("bn" + i);
        }
        NetworkState network = NetworkState.of(names, layers(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));

        assertThatThrownBy(() -> network.load(StateDict.empty()))
                .hasMessageStartingWith("The state does not fit 12 of 12 layers")
                .hasMessageContaining("bn9: missing")
                .hasMessageEndingWith(". 2 more");
    }

    @Test
    void of_unequalNumbersOrWhatIsTwice_isRefused() {
        List<BatchNorm> two = layers(2, 2);

        assertThatThrownBy(() -> NetworkState.of(checkpoint().prefixesLike(PATTERN), two))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("There must be a name for each layer, but for 2 layers given were 12 names:"
                        + " [layer1.0.bn1, layer1.0.bn2,")
                .hasMessageEndingWith("] and 2 more");
        assertThatThrownBy(() -> NetworkState.of(List.of("a", "a"), two))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("names must have each name once, but has a twice");
        assertThatThrownBy(() -> NetworkState.of(List.of("a", "b"), List.of(two.get(0), two.get(0))))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("layers must have each layer once, but a and b are the same one");
        assertThatThrownBy(() -> NetworkState.of(List.of("a", "b."), two))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("\"b.\"");
        assertThat(NetworkState.of(List.of("b", "a"), two)).hasToString("{b=" + two.get(0) + ", a=" + two.get(1) + "}");
        assertThat(NetworkState.of(List.of("b", "a"), two).layers().keySet()).containsExactly("b", "a");
    }

    @Test
    void closedLayers_ofANetwork_areRefused() {
        NetworkState network = NetworkState.of(List.of("a"), layers(2));
        layers.get(0).close();

        assertThatThrownBy(network::stateDict).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> network.load(norm(2, 1).withPrefix("a"))).isInstanceOf(IllegalStateException.class);
    }
}
