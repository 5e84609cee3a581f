package org.clnorm.folding;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.RunningAverage;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.folding.Folding.Folded;
import org.clnorm.folding.Folding.Padding;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class FoldingTest {
    private static final double PRECISION = 1e-6;

    /** σ is 2 and 0.5; scale is 2 and −0.5; shift is 1 − 3·2 = −5 and 4 − 8·(−0.5) = 8. */
    private static final Folding BY_HAND =
            Folding.of(new float[] {4, -0.25f}, new float[] {1, 4}, new float[] {3, 8}, new float[] {3.75f, 0}, 0.25);

    /** A batch normalization with plain loops, one value at a time. */
    private record Norm(float[] gamma, float[] beta, float[] mean, float[] variance, double epsilon) {
        static Norm random(int channels, long seed) {
            Random random = new Random(seed);
            float[][] values = new float[4][channels];
            for (int c = 0; c < channels; c++) {
                values[0][c] = c % 3 == 2 ? 0 : (float) random.nextGaussian();
                values[1][c] = (float) random.nextGaussian();
                values[2][c] = (float) (3 * random.nextGaussian());
                values[3][c] = (float) (0.1 + random.nextDouble());
            }
            return new Norm(values[0], values[1], values[2], values[3], 0.02);
        }

        Folding folding() {
            return Folding.of(gamma, beta, mean, variance, epsilon);
        }

        double y(double x, int c) {
            return (gamma == null ? 1 : gamma[c]) * (x - mean[c]) / Math.sqrt(variance[c] + epsilon)
                    + (beta == null ? 0 : beta[c]);
        }

        /** Of planes of S elements. */
        double[] y(double[] x) {
            double[] y = new double[x.length];
            int plane = x.length / mean.length;
            for (int i = 0; i < x.length; i++) {
                y[i] = y(x[i], i / plane);
            }
            return y;
        }
    }

    private static float[] gaussian(int count, long seed) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static double[] wide(float[] values) {
        double[] wide = new double[values.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }

    /** A convolution of x, (in, size, size), with W, (out, in/groups, k, k), stride 1. */
    private static double[] convolution(Weights layer, double[] x, int size, int groups, int padding) {
        int out = (int) layer.shape()[0];
        int ins = (int) layer.shape()[1];
        int kernel = (int) layer.shape()[2];
        int side = size + 2 * padding - kernel + 1;
        double[] y = new double[out * side * side];
        for (int o = 0; o < out; o++) {
            for (int row = 0; row < side; row++) {
                for (int column = 0; column < side; column++) {
                    double sum = layer.bias() == null ? 0 : layer.bias()[o];
                    for (int i = 0; i < ins; i++) {
                        int channel = o / (out / groups) * ins + i;
                        for (int r = 0; r < kernel; r++) {
                            for (int c = 0; c < kernel; c++) {
                                int h = row + r - padding;
                                int w = column + c - padding;
                                if (h >= 0 && h < size && w >= 0 && w < size) {
                                    sum += layer.weight()[((o * ins + i) * kernel + r) * kernel + c]
                                            * x[(channel * size + h) * size + w];
                                }
                            }
                        }
                    }
                    y[(o * side + row) * side + column] = sum;
                }
            }
        }
        return y;
    }

    /** A transposed convolution of x, (in, size), with W, (in, out/groups, k): each input adds its kernel to y. */
    private static double[] transposed(Weights layer, double[] x, int size, int groups, int stride) {
        int in = (int) layer.shape()[0];
        int outs = (int) layer.shape()[1];
        int kernel = (int) layer.shape()[2];
        int side = (size - 1) * stride + kernel;
        double[] y = new double[outs * groups * side];
        for (int o = 0; o < outs * groups; o++) {
            for (int at = 0; at < side; at++) {
                y[o * side + at] = layer.bias() == null ? 0 : layer.bias()[o];
            }
        }
        for (int i = 0; i < in; i++) {
            for (int at = 0; at < size; at++) {
                for (int j = 0; j < outs; j++) {
                    int o = i / (in / groups) * outs + j;
                    for (int k = 0; k < kernel; k++) {
                        y[o * side + at * stride + k] += x[i * size + at] * layer.weight()[(i * outs + j) * kernel + k];
                    }
                }
            }
        }
        return y;
    }

    private static void assertClose(double[] actual, double[] expected) {
        double largest = 0;
        for (double value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        assertThat(actual).containsExactly(expected, within(PRECISION * largest));
    }

    @Test
    void scaleShift_byHand_isGammaOverDeviationAndWhatIsLeft() {
        Folding.ScaleShift folded = BY_HAND.scaleShift();
        assertThat(folded.scale()).containsExactly(2, -0.5f);
        assertThat(folded.shift()).containsExactly(-5, 8);
        assertThat(folded.error()).as("all of it fits float32").isZero();
    }

    @Test
    void scaleShift_noGammaNoBeta_areOneAndZero() {
        Folding.ScaleShift folded =
                Folding.of(null, null, new float[] {3}, new float[] {4}, 0).scaleShift();
        assertThat(folded.scale()).containsExactly(0.5f);
        assertThat(folded.shift()).containsExactly(-1.5f);
        Folding.ScaleShift shifted = Folding.of(null, new float[] {2}, new float[] {3}, new float[] {4}, 0)
                .scaleShift();
        assertThat(shifted.shift()).containsExactly(0.5f);
    }

    @Test
    void scaleShift_gammaZero_isBeta() {
        Folding.ScaleShift folded = Folding.of(new float[1], new float[] {7}, new float[] {1e30f}, new float[] {1}, 0)
                .scaleShift();
        assertThat(folded.scale()).containsExactly(0);
        assertThat(folded.shift()).containsExactly(7);
        assertThat(folded.error()).isZero();
        assertThat(Folding.of(new float[1], null, new float[1], new float[1], 1)
                        .scaleShift()
                        .error())
                .as("an output that is 0 throughout has no error")
                .isZero();
    }

    @Test
    void intoPreceding_linearByHand_isScaledByOutput() {
        Folded folded = BY_HAND.intoPreceding(
                Weights.of(new float[] {1, 2, 3, 4, 5, 6}, new long[] {2, 3}, new float[] {5, 6}));
        assertThat(folded.layer().weight()).containsExactly(2, 4, 6, -2, -2.5f, -3);
        assertThat(folded.layer().bias()).as("(5−3)·2+1 and (6−8)·(−0.5)+4").containsExactly(5, 5);
        assertThat(folded.layer().shape()).containsExactly(2, 3);
        assertThat(folded.error()).as("but for double arithmetic").isLessThan(1e-14);
    }

    @Test
    void intoPreceding_noBias_getsOne() {
        Folded folded = BY_HAND.intoPreceding(Weights.of(new float[] {1, 2}, new long[] {2, 1}, null));
        assertThat(folded.layer().weight()).containsExactly(2, -1);
        assertThat(folded.layer().bias()).containsExactly(-5, 8);
    }

    @Test
    void intoFollowing_linearByHand_isScaledByInput() {
        Folded folded = BY_HAND.intoFollowing(
                Weights.of(new float[] {1, 2, 3, 4}, new long[] {2, 2}, new float[] {10, 20}), Padding.NONE);
        assertThat(folded.layer().weight()).containsExactly(2, -1, 6, -2);
        assertThat(folded.layer().bias())
                .as("10 + 1·(−5) + 2·8 and 20 + 3·(−5) + 4·8")
                .containsExactly(21, 37);
        assertThat(folded.error()).isZero();
    }

    @Test
    void fold_given_isLeftAsItWas() {
        float[] weight = {1, 2, 3, 4};
        float[] bias = {10, 20};
        BY_HAND.intoPreceding(Weights.of(weight, new long[] {2, 2}, bias));
        BY_HAND.intoFollowing(Weights.of(weight, new long[] {2, 2}, bias), Padding.NONE);
        assertThat(weight).containsExactly(1, 2, 3, 4);
        assertThat(bias).containsExactly(10, 20);
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 0, true", "3, 1, 1, true", "3, 1, 0, false", "3, 2, 1, false", "3, 6, 1, true", "2, 3, 0, true"})
    void intoPreceding_convolution_isConvolutionThenNormalization(int kernel, int groups, int padding, boolean bias) {
        int out = 6;
        int in = 12;
        int size = 5;
        long[] shape = {out, in / groups, kernel, kernel};
        Weights layer =
                Weights.of(gaussian(out * in / groups * kernel * kernel, 1), shape, bias ? gaussian(out, 2) : null);
        Norm norm = Norm.random(out, 3);
        double[] x = wide(gaussian(in * size * size, 4));
        Folded folded = norm.folding().intoPreceding(layer);
        assertClose(
                convolution(folded.layer(), x, size, groups, padding),
                norm.y(convolution(layer, x, size, groups, padding)));
        assertThat(folded.error()).isGreaterThan(0).isLessThan(PRECISION);
    }

    @ParameterizedTest
    @CsvSource({"1, true", "2, false", "6, true"})
    void intoPreceding_transposedConvolution_isThatThenNormalization(int groups, boolean bias) {
        int out = 6;
        int in = 12;
        int size = 4;
        Weights layer = Weights.ofTransposed(
                gaussian(in * out / groups * 3, 1), new long[] {in, out / groups, 3}, bias ? gaussian(out, 2) : null);
        Norm norm = Norm.random(out, 5);
        double[] x = wide(gaussian(in * size, 4));
        Folded folded = norm.folding().intoPreceding(layer);
        assertClose(transposed(folded.layer(), x, size, groups, 2), norm.y(transposed(layer, x, size, groups, 2)));
        assertThat(folded.layer().transposed()).isTrue();
        assertThat(folded.error()).isGreaterThan(0).isLessThan(PRECISION);
    }

    @ParameterizedTest
    @CsvSource({"1, 1, true", "3, 1, true", "3, 1, false", "3, 2, true", "3, 6, false", "2, 3, true"})
    void intoFollowing_convolution_isNormalizationThenConvolution(int kernel, int groups, boolean bias) {
        int out = 12;
        int in = 6;
        int size = 5;
        long[] shape = {out, in / groups, kernel, kernel};
        Weights layer =
                Weights.of(gaussian(out * in / groups * kernel * kernel, 1), shape, bias ? gaussian(out, 2) : null);
        Norm norm = Norm.random(in, 7);
        double[] x = wide(gaussian(in * size * size, 4));
        Folded folded = norm.folding().intoFollowing(layer, Padding.NONE);
        assertClose(convolution(folded.layer(), x, size, groups, 0), convolution(layer, norm.y(x), size, groups, 0));
        assertThat(folded.error()).isGreaterThan(0).isLessThan(PRECISION);
    }

    @Test
    void intoFollowing_zeroPadding_isRefusedSinceTheBorderWouldDiffer() {
        int size = 4;
        Weights layer = Weights.of(gaussian(2 * 2 * 9, 1), new long[] {2, 2, 3, 3}, null);
        Norm norm = Norm.random(2, 7);
        double[] x = wide(gaussian(2 * size * size, 4));
        double[] folded =
                convolution(norm.folding().intoFollowing(layer, Padding.NONE).layer(), x, size, 1, 1);
        double[] unfolded = convolution(layer, norm.y(x), size, 1, 1);
        assertThat(folded[size + 1]).as("inside").isCloseTo(unfolded[size + 1], within(1e-5));
        assertThat(Math.abs(folded[0] - unfolded[0])).as("in the corner").isGreaterThan(0.1);
        assertThatThrownBy(() -> norm.folding().intoFollowing(layer, Padding.ZEROS))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("border");
    }

    @Test
    void intoFollowing_linearAfterFlattening_isGivenAsOutChannelsPlane() {
        Norm norm = Norm.random(3, 9);
        float[] weight = gaussian(2 * 3 * 4, 1);
        double[] x = wide(gaussian(3 * 4, 2));
        Weights folded = norm.folding()
                .intoFollowing(Weights.of(weight, new long[] {2, 3, 4}, null), Padding.NONE)
                .layer();
        double[] y = norm.y(x);
        double[] expected = new double[2];
        double[] actual = new double[2];
        for (int o = 0; o < 2; o++) {
            actual[o] = folded.bias()[o];
            for (int i = 0; i < 12; i++) {
                expected[o] += weight[12 * o + i] * y[i];
                actual[o] += folded.weight()[12 * o + i] * x[i];
            }
        }
        assertClose(actual, expected);
    }

    @Test
    void error_meanFarFromZero_growsWithIt() {
        float[] mean = {123_456.7f};
        float[] variance = {0.01f};
        Folding far = Folding.of(null, null, mean, variance, 0);
        Folding.ScaleShift folded = far.scaleShift();
        double expected = 0;
        for (int k = -3; k <= 3; k++) {
            double x = mean[0] + k * Math.sqrt(variance[0]);
            expected = Math.max(expected, Math.abs((double) folded.scale()[0] * x + folded.shift()[0] - k));
        }
        assertThat(folded.error())
                .as("against the largest output, 3 in magnitude")
                .isCloseTo(expected / 3, within(1e-6))
                .isGreaterThan(1e-3);
        Weights one = Weights.of(new float[] {1}, new long[] {1, 1}, null);
        assertThat(far.intoPreceding(one).error())
                .as("the same, as a layer of one weight of 1")
                .isCloseTo(folded.error(), within(1e-6));
        assertThat(far.intoFollowing(one, Padding.NONE).error()).isCloseTo(folded.error(), within(1e-6));
    }

    @Test
    void error_ownProbes_isMeasuredOnThose() {
        Norm norm = Norm.random(4, 11);
        Weights layer = Weights.of(gaussian(4 * 4, 1), new long[] {4, 2, 2}, null);
        float[] probes = gaussian(3 * 4, 2);
        Folded before = norm.folding().intoPreceding(layer, probes);
        double difference = 0;
        double largest = 0;
        for (int probe = 0; probe < 3; probe++) {
            for (int o = 0; o < 4; o++) {
                double unfolded = 0;
                double folded = before.layer().bias()[o];
                for (int i = 0; i < 4; i++) {
                    unfolded += (double) layer.weight()[4 * o + i] * probes[4 * probe + i];
                    folded += (double) before.layer().weight()[4 * o + i] * probes[4 * probe + i];
                }
                difference = Math.max(difference, Math.abs(folded - norm.y(unfolded, o)));
                largest = Math.max(largest, Math.abs(norm.y(unfolded, o)));
            }
        }
        assertThat(before.error())
                .isCloseTo(difference / largest, within(1e-12))
                .isPositive();

        float[] patches = gaussian(3 * 8, 2);
        Folded after = norm.folding().intoFollowing(layer, Padding.NONE, patches);
        difference = 0;
        largest = 0;
        for (int probe = 0; probe < 3; probe++) {
            for (int o = 0; o < 4; o++) {
                double unfolded = 0;
                double folded = after.layer().bias()[o];
                for (int i = 0; i < 4; i++) {
                    int channel = o / 2 * 2 + i / 2; // two groups of two outputs and two inputs
                    double x = patches[8 * probe + 2 * channel + i % 2];
                    unfolded += layer.weight()[4 * o + i] * norm.y(x, channel);
                    folded += after.layer().weight()[4 * o + i] * x;
                }
                difference = Math.max(difference, Math.abs(folded - unfolded));
                largest = Math.max(largest, Math.abs(unfolded));
            }
        }
        assertThat(after.error()).isCloseTo(difference / largest, within(1e-12)).isPositive();
    }

    @Test
    void error_whatDoesNotFitFloat32_isNotFinite() {
        Folding huge = Folding.of(new float[] {1e30f}, null, new float[1], new float[] {1e-20f}, 0);
        assertThat(huge.scaleShift().error()).isNaN();
    }

    @Test
    void of_layer_hasItsParametersAndWhatItDoesInEvaluation() {
        Shape shape = Shape.of(5, 3);
        float[] x = gaussian(15, 1);
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(3).epsilon(0.3).build(device);
                Tensor in = device.upload(x, shape, Layout.CHANNELS_FIRST)) {
            norm.gamma().orElseThrow().value().upload(new float[] {2, -1, 0});
            norm.beta().orElseThrow().value().upload(new float[] {1, 0.5f, -3});
            norm.forward(in).close();
            norm.eval();
            try (Tensor y = norm.forward(in)) {
                Folding.ScaleShift folded = Folding.of(norm).scaleShift();
                double[] actual = new double[15];
                for (int i = 0; i < 15; i++) {
                    actual[i] = folded.scale()[i % 3] * x[i] + folded.shift()[i % 3];
                }
                assertClose(actual, wide(y.download()));
            }
        }
    }

    @Test
    void of_layerWithoutGammaAndBeta_foldsIntoBothNeighbours() {
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(1)
                        .gamma(false)
                        .beta(false)
                        .epsilon(0)
                        .activation(Activation.RELU)
                        .build(device)) {
            norm.runningMean().orElseThrow().fill(3);
            norm.runningVariance().orElseThrow().fill(4);
            Folding folding = Folding.of(norm);
            Weights one = Weights.of(new float[] {1}, new long[] {1, 1}, null);
            assertThat(folding.intoPreceding(one).layer().bias()).containsExactly(-1.5f);
            assertThat(folding.activation())
                    .as("which is to be applied after the layer")
                    .isEqualTo(Activation.RELU);
            assertThatThrownBy(() -> folding.intoFollowing(one, Padding.NONE))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("relu");
        }
    }

    @Test
    void of_layerWithoutRunningStatistics_isRefused() {
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(3)
                        .runningAverage(RunningAverage.none())
                        .build(device)) {
            assertThatThrownBy(() -> Folding.of(norm))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("running statistics");
        }
    }

    @Test
    void of_wrongParameters_saysWhich() {
        float[] one = {1};
        assertThatThrownBy(() -> Folding.of(new float[2], null, one, one, 0)).hasMessageContainingAll("gamma", "2");
        assertThatThrownBy(() -> Folding.of(null, new float[2], one, one, 0)).hasMessageContainingAll("beta", "2");
        assertThatThrownBy(() -> Folding.of(null, null, one, new float[3], 0))
                .hasMessageContainingAll("runningVariance", "3");
        assertThatThrownBy(() -> Folding.of(null, null, one, null, 0)).hasMessageContaining("runningVariance");
        assertThatThrownBy(() -> Folding.of(null, null, one, new float[1], 0))
                .as("a division by 0")
                .hasMessageContainingAll("runningVariance", "channel 0");
        assertThatThrownBy(() -> Folding.of(null, null, one, new float[] {-1}, 2))
                .hasMessageContaining("-1");
        assertThatThrownBy(() -> Folding.of(null, null, new float[] {Float.NaN}, one, 0))
                .hasMessageContainingAll("runningMean", "NaN");
        assertThatThrownBy(() -> Folding.of(null, null, one, one, -1)).hasMessageContainingAll("epsilon", "-1");
        assertThatThrownBy(() -> Folding.of(null, null, new float[0], new float[0], 1))
                .hasMessageContaining("runningMean");
    }

    @Test
    void into_layersThatDoNotFit_saysWhatWasGiven() {
        Weights three = Weights.of(new float[9], new long[] {3, 3}, null);
        assertThatThrownBy(() -> BY_HAND.intoPreceding(three)).hasMessageContainingAll("2 channels", "[3, 3]");
        assertThatThrownBy(() -> BY_HAND.intoFollowing(three, Padding.NONE))
                .hasMessageContainingAll("2 channels", "[3, 3]");
        Weights depthwise = Weights.of(new float[3], new long[] {3, 1, 1}, null);
        assertThatThrownBy(() -> BY_HAND.intoFollowing(depthwise, Padding.NONE))
                .as("two groups do not divide three outputs")
                .hasMessageContaining("[3, 1, 1]");
        Weights transposed = Weights.ofTransposed(new float[9], new long[] {3, 3}, null);
        assertThatThrownBy(() -> BY_HAND.intoPreceding(transposed)).hasMessageContaining("transposed");
        assertThatThrownBy(() -> BY_HAND.intoFollowing(
                        Weights.ofTransposed(new float[4], new long[] {2, 2}, null), Padding.NONE))
                .hasMessageContaining("transposed");
        assertThatThrownBy(() ->
                        BY_HAND.intoPreceding(Weights.ofTransposed(new float[4], new long[] {2, 2}, new float[4])))
                .hasMessageContainingAll("bias", "4");
        Weights two = Weights.of(new float[4], new long[] {2, 2}, null);
        assertThatThrownBy(() -> BY_HAND.intoPreceding(two, new float[3])).hasMessageContainingAll("probes", "2", "3");
        assertThatThrownBy(() -> BY_HAND.intoPreceding(two, new float[0])).hasMessageContaining("probes");
        assertThatThrownBy(() -> Weights.of(new float[3], new long[] {2, 2}, null))
                .hasMessageContainingAll("[2, 2]", "3");
        assertThatThrownBy(() -> Weights.of(new float[4], new long[] {4}, null)).hasMessageContaining("[4]");
        assertThatThrownBy(() -> Weights.of(new float[4], new long[] {2, 2}, new float[1]))
                .hasMessageContainingAll("bias", "1");
        assertThatThrownBy(() -> Weights.of(new float[0], new long[] {0, 2}, null))
                .hasMessageContaining("[0, 2]");
    }
}
