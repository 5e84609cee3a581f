package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.clnorm.state.StateNames;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What docs/guide.md says, done: its code compiles, its links lead somewhere, and its equivalents of other programs give
 * those programs' numbers, by their formulas in double precision.
 */
final class GuideTest {
    private static final String GUIDE = "docs/guide.md";
    private static final String BATCH_TABLE = "| program | constructor | ε | m | running variance | here |";
    private static final String OTHER_TABLE = "| program | constructor | ε | where | here |";
    private static final String NAMES_TABLE = "| | γ | β | running mean | running variance | count of batches |";
    private static final int CHANNELS = 6;
    private static final int POSITIONS = 5;
    private static final int GROUPS = 2;
    private static final int ROWS = 8;

    @TempDir
    private Path folder;

    @Test
    void code_ofThePageOnRanks_compiles() throws IOException {
        assertThat(CodeBlocks.compileAll("docs/distributed.md", folder)).isNotEmpty();
    }

    @Test
    void code_asItStands_compiles() throws IOException {
        assertThat(CodeBlocks.compileAll(GUIDE, folder)).hasSizeGreaterThan(7);
    }

    @Test
    void links_leadSomewhere() throws IOException {
        assertThat(CodeBlocks.links(GUIDE)).contains("../README.md", "#with-djl");
        assertThat(CodeBlocks.deadLinks(GUIDE)).isEmpty();
    }

    @Test
    void namesOfOthers_asListed_areReadAndTheFirstIsWritten() throws IOException {
        List<String> ours = List.of("weight", "bias", "running_mean", "running_var", "num_batches_tracked");
        List<List<String>> rows = CodeBlocks.table(GUIDE, NAMES_TABLE);

        assertThat(rows).hasSize(StateNames.values().length);
        for (List<String> row : rows) {
            StateNames names = StateNames.valueOf(row.get(0).replace("`", "").replace("StateNames.", ""));
            for (int i = 0; i < ours.size(); i++) {
                StateDict own = StateDict.empty().with(ours.get(i), StateArray.of(new float[] {1}, 1));
                List<String> theirs = Arrays.stream(row.get(i + 1).split("[ (),–]+"))
                        .filter(word -> !word.isEmpty() && !word.equals("also"))
                        .toList();
                assertThat(own.toNames(names).names())
                        .as("%s of %s", ours.get(i), names)
                        .isEqualTo(theirs.isEmpty() ? Set.of() : Set.of(theirs.get(0)));
                for (String their : theirs) {
                    assertThat(StateDict.empty()
                                    .with(their, StateArray.of(new float[] {0}, 1))
                                    .fromNames(names)
                                    .names())
                            .containsExactly(ours.get(i));
                }
            }
        }
    }

    @OnBothBackends
    void batchNormalizations_asListed_giveTheOthersNumbers(TestDevice on) throws Exception {
        List<List<String>> rows = CodeBlocks.table(GUIDE, BATCH_TABLE);
        assertThat(rows).extracting(row -> row.get(0)).contains("PyTorch", "Keras", "ONNX", "DL4J");
        List<Normalizer> layers = built(rows, on.device());
        for (int i = 0; i < rows.size(); i++) {
            try (BatchNorm layer = (BatchNorm) layers.get(i)) {
                checkBatchNorm(layer, rows.get(i));
            }
        }
    }

    private static void checkBatchNorm(BatchNorm layer, List<String> row) {
        String what = row.get(0) + " " + row.get(1);
        double epsilon = Double.parseDouble(row.get(2));
        String[] momentum = row.get(3).split(" ", 2);
        boolean unbiased = row.get(4).equals("unbiased");
        float[] gamma = randomized(layer, 1);
        float[] beta = randomized(layer, 2);
        Shape shape = Shape.of(4, CHANNELS, POSITIONS);
        double[] runningMean = new double[CHANNELS];
        double[] runningVariance = new double[CHANNELS];
        Arrays.fill(runningVariance, 1);
        for (int batch = 1; batch <= 3; batch++) {
            Batch x = Batch.random(shape, Layout.CHANNELS_FIRST, batch);
            double[][] y = new double[CHANNELS][];
            for (int c = 0; c < CHANNELS; c++) {
                double[] values = x.channel(c);
                double mean = Arrays.stream(values).average().orElseThrow();
                double squares =
                        Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum();
                double variance = squares / values.length;
                y[c] = normalized(values, mean, variance, epsilon, gamma[c], beta[c]);
                double old =
                        switch (momentum[1]) {
                            case "old" -> Double.parseDouble(momentum[0]);
                            case "new" ->
                                1 - (momentum[0].equals("1/t") ? 1.0 / batch : Double.parseDouble(momentum[0]));
                            default -> throw new IllegalArgumentException("neither new nor old: " + row);
                        };
                runningMean[c] = old * runningMean[c] + (1 - old) * mean;
                runningVariance[c] =
                        old * runningVariance[c] + (1 - old) * (unbiased ? squares / (values.length - 1) : variance);
            }
            Closeness.assertClose(what + ", training", forward(layer, x), y, 0);
        }
        Closeness.assertClose(
                what + ", running mean", layer.runningMean().orElseThrow().download(), runningMean);
        Closeness.assertClose(
                what + ", running variance",
                layer.runningVariance().orElseThrow().download(),
                runningVariance);
        layer.eval();
        Batch x = Batch.random(shape, Layout.CHANNELS_FIRST, 9);
        double[][] y = new double[CHANNELS][];
        for (int c = 0; c < CHANNELS; c++) {
            y[c] = normalized(x.channel(c), runningMean[c], runningVariance[c], epsilon, gamma[c], beta[c]);
        }
        Closeness.assertClose(what + ", evaluation", forward(layer, x), y, 0);
    }

    private static double[] normalized(
            double[] values, double mean, double variance, double epsilon, double gamma, double beta) {
        return Arrays.stream(values)
                .map(v -> (v - mean) / Math.sqrt(variance + epsilon) * gamma + beta)
                .toArray();
    }

    @OnBothBackends
    void otherNormalizations_asListed_giveTheOthersNumbers(TestDevice on) throws Exception {
        List<List<String>> rows = CodeBlocks.table(GUIDE, OTHER_TABLE);
        assertThat(rows).extracting(row -> row.get(0)).contains("PyTorch", "Keras", "ONNX", "DL4J");
        List<Normalizer> layers = built(rows, on.device());
        for (int i = 0; i < rows.size(); i++) {
            try (Normalizer layer = layers.get(i)) {
                checkOther(layer, rows.get(i));
            }
        }
    }

    /** Channels-first, what shares statistics is a run of neighbours. */
    private static void checkOther(Normalizer layer, List<String> row) {
        boolean ofChannels = layer instanceof ChannelNormalizer;
        boolean ofWeights = layer instanceof WeightNorm;
        Shape shape = ofChannels ? Shape.of(3, CHANNELS, POSITIONS) : Shape.of(ROWS, CHANNELS);
        int run = !ofChannels ? CHANNELS : layer instanceof GroupNorm ? CHANNELS / GROUPS * POSITIONS : POSITIONS;
        boolean byLength = row.get(3).equals("least length");
        Batch x = new Batch(shape, Layout.CHANNELS_FIRST, new float[(int) shape.elements()]);
        Random random = new Random(3);
        for (int i = 0; i < x.values().length; i++) {
            // ε counts only beside small values: of lengths, each row is a hundredth of the one before.
            double size = byLength ? Math.pow(0.01, Math.floorDiv(i, run)) : 0.01;
            x.values()[i] = (float) (size * (0.5 + random.nextGaussian()));
        }
        float[] gamma = randomized(layer, 1);
        float[] beta = randomized(layer, 2);
        double epsilon = Double.parseDouble(row.get(2));
        double[] expected = new double[x.values().length];
        for (int start = 0; start < expected.length; start += run) {
            double[] values = Closeness.wide(Arrays.copyOfRange(x.values(), start, start + run));
            double mean = row.get(3).equals("variance + ε")
                    ? Arrays.stream(values).average().orElseThrow()
                    : 0;
            double squares =
                    Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum();
            double divisor =
                    switch (row.get(3)) {
                        case "variance + ε", "mean of squares + ε" -> Math.sqrt(squares / run + epsilon);
                        case "least length" -> Math.max(Math.sqrt(squares), epsilon);
                        default -> throw new IllegalArgumentException("no known place of ε: " + row);
                    };
            for (int i = 0; i < run; i++) {
                int at = start + i;
                int parameter = ofChannels ? at / POSITIONS % CHANNELS : ofWeights ? at / CHANNELS : at % CHANNELS;
                expected[at] = (values[i] - mean) / divisor * gamma[parameter] + beta[parameter];
            }
        }
        Closeness.assertClose(row.get(0) + " " + row.get(1), forward(layer, x).values(), expected);
    }

    private static Batch forward(Normalizer layer, Batch batch) {
        try (Tensor x = batch.on(layer.device());
                Tensor y = layer.forward(x)) {
            return new Batch(batch.shape(), batch.layout(), y.download());
        }
    }

    /** Gives γ (1) or β (2) values of chance, and returns them; of a layer that has none, what it is without. */
    private static float[] randomized(Normalizer layer, int which) {
        float[] values = new float[Math.max(CHANNELS, ROWS)];
        Arrays.fill(values, 2 - which);
        (which == 1 ? layer.gamma() : layer.beta()).ifPresent(parameter -> {
            Random random = new Random(which);
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (0.5 + random.nextDouble());
            }
            parameter.value().upload(Arrays.copyOf(values, (int)
                    parameter.value().shape().elements()));
        });
        return values;
    }

    /** The layers of the last column, each built as it stands there. */
    private List<Normalizer> built(List<List<String>> rows, Device device) throws Exception {
        StringBuilder source = new StringBuilder("import org.clnorm.*;\npublic class Equivalents {\n"
                + "    static final int C = " + CHANNELS + ", D = " + CHANNELS + ", G = " + GROUPS + ", R = " + ROWS
                + ";\n");
        IntStream.range(0, rows.size()).forEach(i -> {
            List<String> row = rows.get(i);
            source.append("    public static Normalizer row")
                    .append(i)
                    .append("(Device device) { return ")
                    .append(row.get(row.size() - 1).replace("`", ""))
                    .append(".build(device); }\n");
        });
        String name = CodeBlocks.compile(source.append("}\n").toString(), folder);
        List<Normalizer> layers = new ArrayList<>();
        try (URLClassLoader loader = new URLClassLoader(
                new URL[] {folder.toUri().toURL()}, getClass().getClassLoader())) {
            for (int i = 0; i < rows.size(); i++) {
                layers.add((Normalizer) loader.loadClass(name)
                        .getMethod("row" + i, Device.class)
                        .invoke(null, device));
            }
        }
        return layers;
    }
}
