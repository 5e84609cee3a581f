package org.clnorm.testing;

import static org.clnorm.testing.NormalizationAssertions.*;

import java.util.Arrays;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import org.clnorm.BatchNorm;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.GroupNorm;
import org.clnorm.InstanceNorm;
import org.clnorm.LayerNorm;
import org.clnorm.Layout;
import org.clnorm.Normalizer;
import org.clnorm.RmsNorm;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class NormalizationAssertionsTest {
    private static final int SAMPLES = 5;
    private static final int CHANNELS = 4;
    private static final int POSITIONS = 3;
    private static final Shape SHAPE = Shape.of(SAMPLES, CHANNELS, POSITIONS);
    private static final float[] GAMMA = {0.5f, 1.25f, -0.75f, 1.5f};
    private static final float[] BETA = {1, -2, 0.5f, 3};
    private static final double EPSILON = 1e-3;

    private static final Device REFERENCE = Device.cpuReference();

    @AfterAll
    static void close() {
        REFERENCE.close();
    }

    private static float[] x(double mean) {
        Random random = new Random(7);
        float[] x = new float[(int) SHAPE.elements()];
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) (mean + random.nextGaussian());
        }
        return x;
    }

    /** Batch normalization, channels first, with a mistake or none; written down once more, in the plainest way. */
    private static final class BatchLoop {
        private DoubleUnaryOperator variance = v -> v;
        private DoubleUnaryOperator invstd = v -> 1 / Math.sqrt(v + EPSILON);
        private int kept = SAMPLES * POSITIONS;
        private boolean cancels;
        private float[] gamma = GAMMA;
        private float[] beta = BETA;

        private float[] of(float[] x) {
            float[] y = new float[x.length];
            for (int c = 0; c < CHANNELS; c++) {
                double m = SAMPLES * POSITIONS;
                double sum = 0;
                float squares = 0;
                for (int k = 0; k < kept; k++) {
                    sum += x[at(c, k)];
                    squares += x[at(c, k)] * x[at(c, k)];
                }
                double mean = sum / m;
                double deviations = 0;
                for (int k = 0; k < kept; k++) {
                    deviations += Math.pow(x[at(c, k)] - mean, 2);
                }
                double v = cancels ? squares / (float) m - (float) mean * (float) mean : deviations / m;
                for (int k = 0; k < m; k++) {
                    double normalized = (x[at(c, k)] - mean) * invstd.applyAsDouble(variance.applyAsDouble(v));
                    y[at(c, k)] = (float) (normalized * gamma[c] + beta[c]);
                }
            }
            return y;
        }

        private static int at(int c, int k) {
            return (k / POSITIONS * CHANNELS + c) * POSITIONS + k % POSITIONS;
        }
    }

    private static ExpectedNormalization expected(float[] x) {
        return batchNormOf(x, SHAPE, Layout.CHANNELS_FIRST)
                .gamma(GAMMA)
                .beta(BETA)
                .epsilon(EPSILON);
    }

    private static AssertionError failure(float[] x, BatchLoop loop) {
        float[] y = loop.of(x);
        return failure(() -> assertThat(y).is(expected(x)));
    }

    /** What an assertion throws; null where it passes. */
    private static AssertionError failure(Runnable assertion) {
        return (AssertionError) catchThrowable(assertion::run);
    }

    private static float[] forward(Normalizer layer, float[] x, Shape shape, Layout layout) {
        layer.gamma().ifPresent(gamma -> gamma.value().upload(cut(GAMMA, gamma.value())));
        layer.beta().ifPresent(beta -> beta.value().upload(cut(BETA, beta.value())));
        try (Tensor in = layer.device().upload(x, shape, layout);
                Tensor out = layer.forward(in)) {
            return out.download();
        } finally {
            layer.close();
        }
    }

    private static float[] cut(float[] values, Tensor parameter) {
        return Arrays.copyOf(values, (int) parameter.shape().elements());
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void layers_ofTheLibrary_areWhatTheyAreCalled(Layout layout) {
        float[] x = x(2);
        long last = layout.memoryOrder(SHAPE)[2];
        float[] ofRow = Arrays.copyOf(GAMMA, (int) last);
        float[] toRow = Arrays.copyOf(BETA, (int) last);

        assertThat(forward(BatchNorm.builder(CHANNELS).build(REFERENCE), x, SHAPE, layout))
                .is(batchNormOf(x, SHAPE, layout).gamma(GAMMA).beta(BETA));
        assertThat(forward(InstanceNorm.builder(CHANNELS).beta(false).build(REFERENCE), x, SHAPE, layout))
                .is(instanceNormOf(x, SHAPE, layout).gamma(GAMMA));
        assertThat(forward(GroupNorm.builder(2, CHANNELS).build(REFERENCE), x, SHAPE, layout))
                .is(groupNormOf(x, SHAPE, layout, 2).gamma(GAMMA).beta(BETA));
        assertThat(forward(LayerNorm.builder(last).build(REFERENCE), x, SHAPE, layout))
                .is(layerNormOf(x, SHAPE, layout).gamma(ofRow).beta(toRow));
        assertThat(forward(LayerNorm.overChannels(CHANNELS).build(REFERENCE), x, SHAPE, layout))
                .is(layerNormOverChannelsOf(x, SHAPE, layout).gamma(GAMMA).beta(BETA));
        assertThat(forward(RmsNorm.builder(last).build(REFERENCE), x, SHAPE, layout))
                .is(rmsNormOf(x, SHAPE, layout).gamma(ofRow));
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void layers_withoutParameters_passTheShortForms(Layout layout) {
        float[] x = x(-3);
        long[] rows = Arrays.copyOfRange(layout.memoryOrder(SHAPE), 1, 3);

        assertThat(plain(BatchNorm.builder(CHANNELS).gamma(false).beta(false).build(REFERENCE), x, layout))
                .isBatchNormOf(x, SHAPE, layout);
        assertThat(plain(InstanceNorm.builder(CHANNELS).gamma(false).beta(false).build(REFERENCE), x, layout))
                .isInstanceNormOf(x, SHAPE, layout);
        assertThat(plain(GroupNorm.builder(2, CHANNELS).gamma(false).beta(false).build(REFERENCE), x, layout))
                .isGroupNormOf(x, SHAPE, layout, 2);
        assertThat(plain(LayerNorm.builder(rows).gamma(false).beta(false).build(REFERENCE), x, layout))
                .isLayerNormOf(x, SHAPE, layout, rows)
                .hasSize(x.length);
        assertThat(plain(RmsNorm.builder(rows).gamma(false).build(REFERENCE), x, layout))
                .isRmsNormOf(x, SHAPE, layout, rows);
    }

    private static float[] plain(Normalizer layer, float[] x, Layout layout) {
        return forward(layer, x, SHAPE, layout);
    }

    @Test
    void tensors_onADevice_areComparedWithTheirShapeAndType(@OpenClDevice Device device) {
        float[] values = x(1);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = device.upload(values, SHAPE, Layout.CHANNELS_LAST);
                Tensor y = norm.forward(x);
                Tensor y16 = device.tensor(SHAPE, Layout.CHANNELS_LAST, DataType.BFLOAT16);
                Tensor other = device.upload(y.download(), SHAPE, Layout.CHANNELS_FIRST)) {
            y16.upload(y.download());

            assertThat(y).isBatchNormOf(x);
            assertThat(y16).isBatchNormOf(x);
            assertThat(y16.download()).is(batchNormOf(x).storedAs(DataType.BFLOAT16));
            assertThat(failure(() -> assertThat(y16.download()).isBatchNormOf(x)))
                    .isNotNull();
            assertThat(failure(() -> assertThat(other).isBatchNormOf(x)))
                    .hasMessageContaining("but y is of shape (5, 4, 3) channels-first");
            norm.eval();
            try (Tensor evaluated = norm.forward(x)) {
                assertThat(evaluated)
                        .is(batchNormOf(x)
                                .runningStatistics(
                                        norm.runningMean().orElseThrow().download(),
                                        norm.runningVariance().orElseThrow().download()));
                assertThat(failure(() -> assertThat(evaluated).isBatchNormOf(x)))
                        .isNotNull();
            }
        }
    }

    @Test
    void failure_ofSomeElements_countsThemAndShowsTheWorstByItsIndices() {
        float[] x = x(0);
        float[] y = new BatchLoop().of(x);
        y[BatchLoop.at(2, 4)] += 0.01f;
        y[BatchLoop.at(1, 8)] -= 0.25f;
        int at = BatchLoop.at(1, 8);
        float right = y[at] + 0.25f;

        assertThat(failure(() -> assertThat(y).as("mine").is(expected(x))))
                .hasMessageStartingWith(
                        "[mine] Expecting y to be batch norm of x, (5, 4, 3) channels-first, with gamma and"
                                + " with beta, epsilon 0.001,")
                .hasMessageContaining("but 2 of 60 elements are off by more than rounding explains.")
                .hasMessageContaining("The worst is element (2, 1, 2), which is number " + at + " in memory from 0:")
                .hasMessageContaining("expected: " + String.valueOf(right).substring(0, 6))
                .hasMessageContaining("actual:   " + y[at])
                .hasMessageNotContaining("Likely");
    }

    @Test
    void index_ofChannelsLast_isThatOfTheShape() {
        float[] x = x(0);
        float[] y = forward(
                BatchNorm.builder(CHANNELS).gamma(false).beta(false).build(REFERENCE), x, SHAPE, Layout.CHANNELS_LAST);
        y[(2 * POSITIONS + 1) * CHANNELS + 3] += 1;

        assertThat(failure(() -> assertThat(y).isBatchNormOf(x, SHAPE, Layout.CHANNELS_LAST)))
                .hasMessageContaining("element (2, 3, 1)");
    }

    @Test
    void mistakes_thatAreOftenMade_areNamed() {
        float[] x = x(0.5);
        assertThat(new BatchLoop().of(x)).is(expected(x));

        assertThat(failure(() -> assertThat(new float[60]).is(expected(x))))
                .hasMessageContaining("Likely: y is 0 throughout");
        assertThat(failure(() -> assertThat(x.clone()).is(expected(x))))
                .hasMessageContaining("Likely: y is x, unchanged");
        BatchLoop unbiased = new BatchLoop();
        unbiased.variance = v -> v * 15 / 14;
        assertThat(failure(x, unbiased)).hasMessageContaining("Likely: it divides by m - 1");
        BatchLoop outside = new BatchLoop();
        outside.invstd = v -> 1 / (Math.sqrt(v) + EPSILON);
        assertThat(failure(x, outside)).hasMessageContaining("Likely: epsilon is added outside of the root");
        BatchLoop tail = new BatchLoop();
        tail.kept = 8;
        assertThat(failure(x, tail)).hasMessageContaining("the tail is left out");
        BatchLoop exchanged = new BatchLoop();
        exchanged.gamma = BETA;
        exchanged.beta = GAMMA;
        assertThat(failure(x, exchanged)).hasMessageContaining("Likely: gamma and beta are exchanged");
        BatchLoop cancelling = new BatchLoop();
        cancelling.cancels = true;
        assertThat(failure(x(300), cancelling)).hasMessageContaining("Likely: errors grow with the mean");
    }

    @Test
    void mistakes_betweenNormalizations_areFailures() {
        float[] x = x(2);
        float[] y =
                plain(LayerNorm.builder(POSITIONS).gamma(false).beta(false).build(REFERENCE), x, Layout.CHANNELS_FIRST);

        assertThat(failure(() -> assertThat(y)
                        .is(rmsNormOf(x, SHAPE, Layout.CHANNELS_FIRST).epsilon(1e-5))))
                .hasMessageContaining("Likely: it subtracts the mean, as layer normalization does");
        assertThat(failure(() -> assertThat(y).isBatchNormOf(x, SHAPE, Layout.CHANNELS_FIRST)))
                .hasMessageContaining("of 60 elements are off");
    }

    @Test
    void nan_inAGroup_isToBeThere() {
        float[] x = x(0);
        x[BatchLoop.at(1, 5)] = Float.NaN;
        float[] y = new BatchLoop().of(x);
        assertThat(y).is(expected(x));

        y[BatchLoop.at(1, 0)] = 0;
        assertThat(failure(() -> assertThat(y).is(expected(x))))
                .hasMessageContaining("1 of 60 elements")
                .hasMessageContaining("expected: NaN")
                .hasMessageContaining("Likely: a NaN in x is lost");
    }

    @Test
    void tolerance_thatIsGiven_counts() {
        float[] x = x(0);
        float[] y = new BatchLoop().of(x);
        y[3] += 1e-4f;

        assertThat(y).is(expected(x).within(2e-4));
        assertThat(y).is(expected(x).tolerance(1000));
        assertThat(failure(() -> assertThat(y).is(expected(x).within(5e-5))))
                .hasMessageContaining("1 of 60 elements are off by more than 5.0E-5");
        assertThat(failure(() -> assertThat(y).is(expected(x).tolerance(2))))
                .hasMessageContaining("off by more than 2.0 times what rounding explains");
        assertThat(failure(() -> assertThat(y).is(expected(x)))).isNotNull();
    }

    @Test
    void y_thatIsNoneOfX_fails() {
        float[] x = x(0);

        assertThat(failure(() -> assertThat((float[]) null).is(expected(x)))).isNotNull();
        assertThat(failure(() -> assertThat((Tensor) null).is(expected(x)))).isNotNull();
        assertThat(failure(() -> assertThat(new float[59]).is(expected(x))))
                .hasMessageContaining("but y has 59 elements, not 60");
    }

    @Test
    void inputs_thatDoNotFit_areRefused() {
        float[] x = x(0);
        float[] y = new BatchLoop().of(x);

        assertThatIllegalArgumentException()
                .isThrownBy(() -> batchNormOf(new float[0], Shape.of(0, 4), Layout.CHANNELS_FIRST))
                .withMessageContaining("nothing is compared");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> batchNormOf(new float[59], SHAPE, Layout.CHANNELS_FIRST))
                .withMessageContaining("60 elements of shape (5, 4, 3), but has 59");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> batchNormOf(x, Shape.of(60), Layout.CHANNELS_FIRST))
                .withMessageContaining("2 to 5 dimensions");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> groupNormOf(x, SHAPE, Layout.CHANNELS_FIRST, 3))
                .withMessageContaining("divide the 4 channels");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> layerNormOf(x, SHAPE, Layout.CHANNELS_LAST, 4, 3))
                .withMessageContaining("[5, 3, 4], but are [4, 3]");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> assertThat(y).is(expected(x).gamma(1, 2)))
                .withMessageContaining("gamma must have 4 elements, but has 2");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> layerNormOf(x, SHAPE, Layout.CHANNELS_FIRST).runningStatistics(GAMMA, GAMMA))
                .withMessageContaining("not to layer norm");
        assertThatIllegalArgumentException().isThrownBy(() -> expected(x).epsilon(-1));
        assertThatIllegalArgumentException().isThrownBy(() -> expected(x).within(Double.NaN));
        assertThatIllegalArgumentException().isThrownBy(() -> expected(x).tolerance(0.5));
    }

    @Test
    void arrays_thatAreChangedLater_areTakenAsTheyWere() {
        float[] x = x(0);
        float[] y = new BatchLoop().of(x);
        float[] gamma = GAMMA.clone();
        ExpectedNormalization expected = expected(x).gamma(gamma);
        Arrays.fill(x, 0);
        Arrays.fill(gamma, 0);

        assertThat(y).is(expected);
    }
}
