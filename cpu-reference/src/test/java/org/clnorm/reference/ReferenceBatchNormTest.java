package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.clnorm.reference.Values.assertClose;
import static org.clnorm.reference.Values.channel;
import static org.clnorm.reference.Values.toChannelsLast;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.reference.ReferenceBatchNorm.Forward;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Moments;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ReferenceBatchNormTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    // Channel 0 is 0, 0, 4, 4: mean 2, deviations −2, −2, 2, 2, variance 4.
    // Channel 1 is 1, 3, 1, 3: mean 2, deviations −1, 1, −1, 1, variance 1.
    private static final Shape SMALL = Shape.of(2, 2, 2);
    private static final double[] SMALL_X = {0, 0, 1, 3, 4, 4, 1, 3};

    @Test
    void forwardTraining_handWorkedBatch_givesMomentsAndOutput() {
        // With ε = 0: x̂ = −1, −1, 1, 1 and −1, 1, −1, 1. With γ = 3, −2 and β = 10, 20: y = 7, 7, 13, 13 and 22, 18,
        // 22, 18.
        Forward forward = ReferenceBatchNorm.forwardTraining(
                SMALL, FIRST, SMALL_X, null, Activation.NONE, new double[] {3, -2}, new double[] {10, 20}, 0);

        assertThat(forward.mean()).containsExactly(2, 2);
        assertThat(forward.variance()).as("the biased variance divides by m").containsExactly(4, 1);
        assertThat(forward.inverseStandardDeviation()).containsExactly(0.5, 1);
        assertThat(forward.y()).containsExactly(7, 7, 22, 18, 13, 13, 22, 18);
    }

    @Test
    void forwardTraining_epsilon_isInsideTheSquareRoot() {
        // Channel 0: 1/√(4 + 12) = 1/4. Channel 1: 1/√(1 + 12).
        Forward forward =
                ReferenceBatchNorm.forwardTraining(SMALL, FIRST, SMALL_X, null, Activation.NONE, null, null, 12);

        assertThat(forward.inverseStandardDeviation()).containsExactly(0.25, 1 / Math.sqrt(13));
        assertThat(channel(forward.y(), 0, 2, 2)).containsExactly(-0.5, -0.5, 0.5, 0.5);
    }

    @Test
    void forwardTraining_gammaAndBetaMissing_areOneAndZero() {
        double[] ones = {1, 1};
        double[] zeros = {0, 0};
        double[] both = y(SMALL_X, ones, zeros);

        assertThat(y(SMALL_X, null, null)).containsExactly(both);
        assertThat(y(SMALL_X, ones, null)).containsExactly(both);
        assertThat(y(SMALL_X, null, zeros)).containsExactly(both);
        assertThat(y(SMALL_X, new double[] {3, 3}, null)).as("γ alone").isNotEqualTo(both);
        assertThat(y(SMALL_X, null, new double[] {3, 3})).as("β alone").isNotEqualTo(both);
    }

    private static double[] y(double[] x, double[] gamma, double[] beta) {
        return ReferenceBatchNorm.forwardTraining(SMALL, FIRST, x, null, Activation.NONE, gamma, beta, 0)
                .y();
    }

    @Test
    void forwardTraining_residualAndRelu_addsBeforeTheActivation() {
        // x̂ of channel 0 is −1, −1, 1, 1 and of channel 1 −1, 1, −1, 1; adding 3, 0.5, 1, −4 | −3, 0, 0, 0 by memory
        // order
        // gives 2, −0.5, 0, −3 | −2, 1, −1, 1.
        double[] residual = {3, 0.5, 1, -4, -3, 0, 0, 0};
        double[] y = ReferenceBatchNorm.forwardTraining(SMALL, FIRST, SMALL_X, residual, Activation.RELU, null, null, 0)
                .y();

        assertThat(y).containsExactly(2, 0, 0, 0, 0, 1, 0, 1);
    }

    @Test
    void forwardInference_givenStatistics_usesThemAndNotTheBatchs() {
        // mean 1, variance 3, ε 1: (x − 1)/2·4 + 5 = 2x + 3.
        double[] y = ReferenceBatchNorm.forwardInference(
                Shape.of(3, 1),
                FIRST,
                new double[] {0, 1, 7},
                null,
                Activation.NONE,
                new double[] {4},
                new double[] {5},
                1,
                new double[] {1},
                new double[] {3});

        assertThat(y).containsExactly(3, 5, 17);
    }

    @Test
    void backward_handWorkedBatch_givesAllGradients() {
        // x = 0, 0, 4, 4 with ε = 0: invstd 1/2, x̂ = −1, −1, 1, 1. dy = 1, 2, 3, 6: dβ = 12, dγ = −1 − 2 + 3 + 6 = 6.
        // dx = 3·(1/2)·(dy − 12/4 − x̂·6/4) = 1.5·(−0.5, 0.5, −1.5, 1.5).
        Shape shape = Shape.of(4, 1);
        double[] dy = {1, 2, 3, 6};
        Gradients gradients = ReferenceBatchNorm.backward(
                shape,
                FIRST,
                false,
                dy,
                new double[] {0, 0, 4, 4},
                null,
                Activation.NONE,
                new double[] {3},
                new double[] {2},
                new double[] {0.5});

        assertThat(gradients.dbeta()).containsExactly(12);
        assertThat(gradients.dgamma()).containsExactly(6);
        assertThat(gradients.dx()).containsExactly(-0.75, 0.75, -2.25, 2.25);
        assertThat(gradients.dresidual()).containsExactly(dy);
        assertThat(gradients.largestTerm())
                .as("the largest of 1.5·6, 1.5·12/4 and 1.5·6/4")
                .isEqualTo(9);
    }

    @Test
    void backward_largestTerm_isThatOfTheTermsAndNotOfTheirSum() {
        // dy is the same everywhere, so that dx is 0 and yet made of terms of size γ·invstd·7.
        Gradients gradients = ReferenceBatchNorm.backward(
                Shape.of(4, 1),
                FIRST,
                false,
                new double[] {-7, -7, -7, -7},
                new double[] {0, 0, 4, 4},
                null,
                Activation.NONE,
                new double[] {3},
                new double[] {2},
                new double[] {0.5});

        assertThat(gradients.dx()).containsExactly(0, 0, 0, 0);
        assertThat(gradients.largestTerm()).isEqualTo(10.5);
    }

    @Test
    void backward_frozen_isAnAffineRescale() {
        // Given mean 1 and invstd 1/2: x̂ = −0.5, 0, 3. dy = 1, 10, 100: dβ = 111, dγ = −0.5 + 300, dx = 4·(1/2)·dy.
        Gradients gradients = ReferenceBatchNorm.backward(
                Shape.of(3, 1),
                FIRST,
                true,
                new double[] {1, 10, 100},
                new double[] {0, 1, 7},
                null,
                Activation.NONE,
                new double[] {4},
                new double[] {1},
                new double[] {0.5});

        assertThat(gradients.dbeta()).containsExactly(111);
        assertThat(gradients.dgamma()).containsExactly(299.5);
        assertThat(gradients.dx()).containsExactly(2, 20, 200);
        assertThat(gradients.largestTerm()).isEqualTo(200);
    }

    @Test
    void backward_relu_blocksAtZeroAndBelowButNotAtNaN() {
        // mean 0 and invstd 1, so that the activation's input is x itself.
        Shape shape = Shape.of(5, 1);
        double[] zero = {0};
        double[] one = {1};
        double[] x = {-1, 0, -0.0, 2, Double.NaN};
        double[] y =
                ReferenceBatchNorm.forwardInference(shape, FIRST, x, null, Activation.RELU, null, null, 0, zero, one);
        Gradients gradients = ReferenceBatchNorm.backward(
                shape, FIRST, true, new double[] {1, 2, 3, 4, 5}, x, y, Activation.RELU, null, zero, one);

        assertThat(y).containsExactly(0, 0, 0, 2, Double.NaN);
        assertThat(gradients.dresidual())
                .as("a NaN that stopped the gradient would hide itself from whoever looks for it")
                .containsExactly(0, 0, 0, 4, 5);
        assertThat(gradients.dx()).containsExactly(0, 0, 0, 4, 5);
        assertThat(gradients.dbeta()).containsExactly(9);
    }

    @Test
    void forwardTraining_tinyEpsilon_outputHasMeanBetaAndVarianceGammaSquared() {
        Shape shape = Shape.of(6, 3, 7);
        double[] gamma = {0.5, -2, 1e3};
        double[] beta = {-1, 0, 40};
        double[] x = Values.random(126, 1);
        double[] y = ReferenceBatchNorm.forwardTraining(shape, FIRST, x, null, Activation.NONE, gamma, beta, 1e-14)
                .y();

        for (int c = 0; c < 3; c++) {
            double[] values = channel(y, c, 3, 7);
            double scale = Math.abs(gamma[c]);
            assertClose("output mean of channel " + c, Values.mean(values), beta[c], 1e-12 * (scale + 1));
            assertClose(
                    "output variance of channel " + c, Values.variance(values), scale * scale, 1e-12 * scale * scale);
        }
    }

    @Test
    void forwardTraining_scaledAndShiftedInput_givesTheSameOutput() {
        Shape shape = Shape.of(5, 2, 3);
        double[] x = Values.random(30, 2);
        double[] other = Arrays.stream(x).map(v -> 37.5 * v - 11).toArray();
        double[] y = y(shape, FIRST, x, 1e-14);

        assertClose("x → a·x + b leaves x̂ as it is for a > 0", y(shape, FIRST, other, 1e-14), y, 1e-11);
    }

    @Test
    void backward_anyGradient_dxIsOrthogonalToOnesAndToTheNormalized() {
        Shape shape = Shape.of(8, 3, 5);
        double[] x = Values.random(120, 3);
        double[] dy = Values.random(120, 4);
        Forward forward = ReferenceBatchNorm.forwardTraining(shape, FIRST, x, null, Activation.NONE, null, null, 0);
        double[] dx = ReferenceBatchNorm.backward(
                        shape,
                        FIRST,
                        false,
                        dy,
                        x,
                        null,
                        Activation.NONE,
                        new double[] {1, -3, 0.1},
                        forward.mean(),
                        forward.inverseStandardDeviation())
                .dx();

        assertThat(Arrays.stream(dx).map(Math::abs).max().orElseThrow())
                .as("dx is not just 0")
                .isGreaterThan(1);
        for (int c = 0; c < 3; c++) {
            double[] dxc = channel(dx, c, 3, 5);
            double[] normalized = channel(forward.y(), c, 3, 5);
            double product = 0;
            for (int i = 0; i < dxc.length; i++) {
                product += dxc[i] * normalized[i];
            }
            assertClose("a shift of x does not change y, so dx sums to 0", Values.sum(dxc), 0, 1e-12);
            assertClose("a scaling of x does not change y, so Σ dx·x̂ is 0", product, 0, 1e-12);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e3, 1e4, 1e5})
    void forwardAndBackward_meanFarFromZero_keepTheirDigits(double meanOverSigma) {
        // Offsets k·step for k = −K..K around any double: the mean is that double and the variance step²·K(K+1)/3,
        // whatever the order. The mean's last bits are set, so that a plain sum of x must round.
        int k = 50_000;
        int m = 2 * k + 1;
        double step = 0x1p-16;
        double sigma = step * Math.sqrt(k * (k + 1.0) / 3);
        double mean = meanOverSigma * sigma;
        double[] offsets = new double[m];
        Arrays.setAll(offsets, i -> step * (i - k));
        shuffle(offsets);
        double[] x = Arrays.stream(offsets).map(d -> mean + d).toArray();
        assertThat(Arrays.stream(x).map(v -> v - mean).toArray())
                .as("x holds the offsets exactly")
                .containsExactly(offsets);
        Shape shape = Shape.of(m, 1);

        Forward forward = ReferenceBatchNorm.forwardTraining(shape, FIRST, x, null, Activation.NONE, null, null, 0);
        Gradients gradients = ReferenceBatchNorm.backward(
                shape,
                FIRST,
                false,
                offsets,
                x,
                null,
                Activation.NONE,
                null,
                forward.mean(),
                forward.inverseStandardDeviation());

        assertClose("mean, to its last bit", forward.mean()[0], mean, Math.ulp(mean));
        assertClose("variance", forward.variance()[0], sigma * sigma, 1e-13 * sigma * sigma);
        double[] normalized = Arrays.stream(offsets).map(d -> d / sigma).toArray();
        assertClose("y", forward.y(), normalized, 1e-10);
        assertClose("dγ = Σ d·d/σ = m·σ", gradients.dgamma()[0], m * sigma, 1e-10 * m * sigma);
        // dy is a multiple of x̂, to which dx is orthogonal: all of it cancels.
        assertClose("dx", gradients.dx(), new double[m], 1e-10 * gradients.largestTerm());
    }

    private static void shuffle(double[] values) {
        Random random = new Random(5);
        for (int i = values.length - 1; i > 0; i--) {
            int j = random.nextInt(i + 1);
            double swapped = values[i];
            values[i] = values[j];
            values[j] = swapped;
        }
    }

    @Test
    void forwardAndBackward_nanInOneChannel_leavesTheOthersAsTheyWere() {
        Shape shape = Shape.of(3, 4, 5);
        double[] clean = Values.random(60, 6);
        double[] x = clean.clone();
        int bad = 2;
        x[1 * 20 + bad * 5 + 3] = Double.NaN;
        double[] dy = Values.random(60, 7);
        for (Activation activation : List.of(Activation.NONE, Activation.RELU, Activation.TANH)) {
            Forward expected =
                    ReferenceBatchNorm.forwardTraining(shape, FIRST, clean, null, activation, null, null, 1e-5);
            Forward forward = ReferenceBatchNorm.forwardTraining(shape, FIRST, x, null, activation, null, null, 1e-5);
            Gradients expectedGradients = backward(shape, FIRST, dy, clean, expected, activation);
            Gradients gradients = backward(shape, FIRST, dy, x, forward, activation);

            for (int c = 0; c < 4; c++) {
                if (c == bad) {
                    assertThat(channel(forward.y(), c, 4, 5))
                            .as("y of the bad channel")
                            .containsOnly(Double.NaN);
                    assertThat(channel(gradients.dx(), c, 4, 5))
                            .as("dx of the bad channel")
                            .containsOnly(Double.NaN);
                } else {
                    assertThat(channel(forward.y(), c, 4, 5)).containsExactly(channel(expected.y(), c, 4, 5));
                    assertThat(channel(gradients.dx(), c, 4, 5))
                            .containsExactly(channel(expectedGradients.dx(), c, 4, 5));
                    assertThat(gradients.dgamma()[c])
                            .isEqualTo(expectedGradients.dgamma()[c]);
                }
            }
            assertThat(gradients.largestTerm())
                    .as("a scale of NaN would fail the good channels, an infinite one would pass anything")
                    .isFinite()
                    .isPositive();
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.NaN})
    void moments_nonFiniteValue_makesThatChannelNaN(double value) {
        Moments moments = ReferenceBatchNorm.moments(Shape.of(2, 2), FIRST, new double[] {value, 1, 0, 3});

        assertThat(moments.mean()).containsExactly(Double.NaN, 2);
        assertThat(moments.variance()).containsExactly(Double.NaN, 1);
    }

    @Test
    void forwardAndBackward_channelsLast_isThePermutationOfChannelsFirst() {
        int n = 3;
        int c = 4;
        int s = 10;
        Shape shape = Shape.of(n, c, 2, 5);
        double[] x = Values.random(n * c * s, 8);
        double[] dy = Values.random(n * c * s, 9);
        double[] residual = Values.random(n * c * s, 10);
        double[] gamma = Values.random(c, 11);
        double[] beta = Values.random(c, 12);
        double[] xLast = toChannelsLast(x, n, c, s);
        Forward first =
                ReferenceBatchNorm.forwardTraining(shape, FIRST, x, residual, Activation.RELU, gamma, beta, 1e-5);
        Forward last = ReferenceBatchNorm.forwardTraining(
                shape,
                Layout.CHANNELS_LAST,
                xLast,
                toChannelsLast(residual, n, c, s),
                Activation.RELU,
                gamma,
                beta,
                1e-5);
        Gradients firstGradients = backward(shape, FIRST, dy, x, first, Activation.RELU);
        Gradients lastGradients =
                backward(shape, Layout.CHANNELS_LAST, toChannelsLast(dy, n, c, s), xLast, last, Activation.RELU);

        assertThat(last.y()).containsExactly(toChannelsLast(first.y(), n, c, s));
        assertThat(last.mean()).containsExactly(first.mean());
        assertThat(lastGradients.dx()).containsExactly(toChannelsLast(firstGradients.dx(), n, c, s));
        assertThat(lastGradients.dresidual()).containsExactly(toChannelsLast(firstGradients.dresidual(), n, c, s));
        assertThat(lastGradients.dgamma()).containsExactly(firstGradients.dgamma());
        assertThat(lastGradients.dbeta()).containsExactly(firstGradients.dbeta());
    }

    static Stream<Arguments> ranks() {
        return Stream.of(Shape.of(5, 3), Shape.of(5, 3, 4), Shape.of(5, 3, 4, 2), Shape.of(5, 3, 4, 2, 7))
                .flatMap(shape -> Stream.of(Layout.values()).map(layout -> Arguments.of(shape, layout)));
    }

    @ParameterizedTest
    @MethodSource("ranks")
    void forwardTraining_everyRank_takesAChannelsValuesFromWhereTheyLie(Shape shape, Layout layout) {
        double[] x = Values.random((int) shape.elements(), 13);
        double[] y = y(shape, layout, x, 1e-5);

        for (int c = 0; c < 3; c++) {
            int[] where = indices(shape, layout, c);
            double[] values = Arrays.stream(where).mapToDouble(i -> x[i]).toArray();
            double invstd = 1 / Math.sqrt(Values.variance(values) + 1e-5);
            double mean = Values.mean(values);
            assertClose(
                    "channel " + c,
                    Arrays.stream(where).mapToDouble(i -> y[i]).toArray(),
                    Arrays.stream(values).map(v -> (v - mean) * invstd).toArray(),
                    1e-12);
        }
    }

    /** Where channel c of (N, C, D, H, W) lies, with 1 for what the shape does not have. */
    private static int[] indices(Shape shape, Layout layout, int c) {
        long[] d = Arrays.copyOf(shape.toArray(), 5);
        for (int i = shape.rank(); i < 5; i++) {
            d[i] = 1;
        }
        int[] indices = new int[(int) (d[0] * d[2] * d[3] * d[4])];
        int to = 0;
        for (int n = 0; n < d[0]; n++) {
            for (int z = 0; z < d[2]; z++) {
                for (int h = 0; h < d[3]; h++) {
                    for (int w = 0; w < d[4]; w++) {
                        long first = (((n * d[1] + c) * d[2] + z) * d[3] + h) * d[4] + w;
                        long last = (((n * d[2] + z) * d[3] + h) * d[4] + w) * d[1] + c;
                        indices[to++] = (int) (layout == FIRST ? first : last);
                    }
                }
            }
        }
        return indices;
    }

    @Test
    void forwardAndBackward_emptyBatch_giveEmptyOutputAndZeroParameterGradients() {
        Shape shape = Shape.of(0, 2, 3);
        double[] none = {};
        double[] zeros = {0, 0};
        double[] ones = {1, 1};

        assertThat(ReferenceBatchNorm.forwardInference(
                        shape, FIRST, none, null, Activation.NONE, null, null, 0, zeros, ones))
                .isEmpty();
        Gradients gradients =
                ReferenceBatchNorm.backward(shape, FIRST, true, none, none, none, Activation.NONE, null, zeros, ones);
        assertThat(gradients.dx()).isEmpty();
        assertThat(gradients.dgamma()).containsExactly(zeros);
        assertThat(gradients.dbeta()).containsExactly(zeros);
    }

    @Test
    void forwardTraining_arrayOfWrongLength_isNamedInTheError() {
        double[] three = {1, 2, 3};

        assertThatThrownBy(() -> y(SMALL, FIRST, three, 0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("x must have 8 elements, but has 3");
        assertThatThrownBy(() -> y(SMALL_X, three, null))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("gamma must have 2 elements, but has 3");
        assertThatThrownBy(() -> y(SMALL_X, null, three)).hasMessage("beta must have 2 elements, but has 3");
        assertThatThrownBy(() -> ReferenceBatchNorm.forwardTraining(
                        SMALL, FIRST, SMALL_X, three, Activation.NONE, null, null, 0))
                .hasMessage("residual must have 8 elements, but has 3");
    }

    @Test
    void backward_reluWithoutOutput_isAnError() {
        double[] two = {1, 1};

        assertThatThrownBy(() -> ReferenceBatchNorm.backward(
                        SMALL, FIRST, false, SMALL_X, SMALL_X, null, Activation.RELU, null, two, two))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("y must have 8 elements, but is null");
    }

    private static double[] y(Shape shape, Layout layout, double[] x, double epsilon) {
        return ReferenceBatchNorm.forwardTraining(shape, layout, x, null, Activation.NONE, null, null, epsilon)
                .y();
    }

    private static Gradients backward(
            Shape shape, Layout layout, double[] dy, double[] x, Forward forward, Activation activation) {
        return ReferenceBatchNorm.backward(
                shape,
                layout,
                false,
                dy,
                x,
                forward.y(),
                activation,
                null,
                forward.mean(),
                forward.inverseStandardDeviation());
    }
}
