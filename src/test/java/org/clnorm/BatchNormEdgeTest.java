package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Batches with nothing in them, with one value per channel, and with channels that do not vary. */
final class BatchNormEdgeTest {
    private static final Shape SHAPE = Shape.of(2, 3, 4);
    private static final Batch X = Batch.random(SHAPE, Layout.CHANNELS_FIRST, 1);
    private static final Batch DY = Batch.gradient(SHAPE, Layout.CHANNELS_FIRST, 2);

    private static Batch empty(Shape shape) {
        return new Batch(shape, Layout.CHANNELS_FIRST, new float[0]);
    }

    @OnEveryDevice
    void step_ofAnEmptyBatch_changesNoStatisticsAndZeroesTheGradients(TestDevice on) {
        for (Shape shape : new Shape[] {Shape.of(0, 3), Shape.of(0, 3, 4), Shape.of(2, 3, 0), Shape.of(0, 3, 0, 5)}) {
            try (BatchNorm norm = BatchNorm.builder(3).build(on.device())) {
                Step before = Step.of(norm, X, null, DY);
                assertThat(before.dgamma())
                        .as("there must be something to zero")
                        .doesNotContain(0);

                Step after = Step.of(norm, empty(shape), null, empty(shape));
                assertThat(after.y()).isEmpty();
                assertThat(after.dx()).isEmpty();
                assertThat(after.dgamma()).as("the sum over no elements").containsOnly(0);
                assertThat(after.dbeta()).as("the sum over no elements").containsOnly(0);
                assertThat(after.runningMean()).isEqualTo(before.runningMean());
                assertThat(after.runningVariance()).isEqualTo(before.runningVariance());
                assertThat(norm.batchesTracked()).isOne();
            }
        }
    }

    @OnEveryDevice
    void step_ofAnEmptyBatchInEvaluation_works(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(3).activation(Activation.RELU).build(on.device())) {
            Step before = Step.of(norm, X, null, DY);
            norm.eval();
            Batch none = empty(Shape.of(0, 3, 4));
            Step after = Step.of(norm, none, none, none);
            assertThat(after.dgamma()).containsOnly(0);
            assertThat(after.dbeta()).containsOnly(0);
            assertThat(after.runningMean()).isEqualTo(before.runningMean());
        }
    }

    @OnEveryDevice
    void backward_ofAnEmptyBatchAccumulating_addsNothing(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(3).accumulateGradients(true).build(on.device())) {
            Step before = Step.of(norm, X, null, DY);
            Step after = Step.of(norm, empty(Shape.of(0, 3, 4)), null, empty(Shape.of(0, 3, 4)));
            assertThat(after.dgamma()).isEqualTo(before.dgamma());
            assertThat(after.dbeta()).isEqualTo(before.dbeta());
        }
    }

    @OnEveryDevice
    void forward_afterAnEmptyBatch_goesOn(TestDevice on) {
        try (BatchNorm interrupted = BatchNorm.builder(3).build(on.device());
                BatchNorm steady = BatchNorm.builder(3).build(on.device())) {
            Step.of(interrupted, X, null, DY);
            Step.of(interrupted, empty(Shape.of(0, 3, 4)), null, empty(Shape.of(0, 3, 4)));
            Step.of(steady, X, null, DY);
            Step.of(interrupted, X, null, DY)
                    .assertSameBits(Step.of(steady, X, null, DY), "as if the empty batch had not been");
        }
    }

    @OnEveryDevice
    void forward_ofOneValuePerChannelInTraining_isRefusedAndChangesNothing(TestDevice on) {
        Device device = on.device();
        for (Shape shape : new Shape[] {Shape.of(1, 3), Shape.of(1, 3, 1), Shape.of(1, 3, 1, 1)}) {
            try (BatchNorm norm = BatchNorm.builder(3).build(device);
                    Tensor x = X.on(device);
                    Tensor dy = DY.on(device);
                    Tensor y = norm.forward(x);
                    Tensor expected = goBackAndStay(norm, dy);
                    Tensor single = device.upload(new float[] {1, 2, 3}, shape, Layout.CHANNELS_FIRST);
                    Tensor untouched = device.upload(new float[] {7, 8, 9}, shape, Layout.CHANNELS_FIRST)) {
                float[] mean = norm.runningMean().orElseThrow().download();
                float[] savedMean = norm.savedMean().download();

                assertThatThrownBy(() -> norm.forward(single, untouched))
                        .as("its variance would be 0, and the unbiased one 0/0")
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("more than one value per channel")
                        .hasMessageContaining(shape.toString());
                assertThatThrownBy(() -> norm.forward(single)).isInstanceOf(IllegalArgumentException.class);

                assertThat(untouched.download()).containsExactly(7, 8, 9);
                assertThat(norm.runningMean().orElseThrow().download()).isEqualTo(mean);
                assertThat(norm.savedMean().download()).isEqualTo(savedMean);
                assertThat(norm.batchesTracked()).isOne();
                try (Tensor dx = norm.backward(dy)) {
                    assertThat(dx.download())
                            .as("the pass before is still there to go back through")
                            .isEqualTo(expected.download());
                }
                assertThat(y.isClosed()).isFalse();
            }
        }
    }

    /** Goes back through the last forward pass, which is kept. */
    private static Tensor goBackAndStay(BatchNorm norm, Tensor dy) {
        norm.retainForward();
        return norm.backward(dy);
    }

    @OnEveryDevice
    void forward_ofOneValuePerChannelInEvaluation_works(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(3).epsilon(0).build(device);
                Tensor x = device.upload(new float[] {1, 2, 3}, Shape.of(1, 3), Layout.CHANNELS_FIRST)) {
            norm.runningMean().orElseThrow().upload(new float[] {0, 1, 5});
            norm.runningVariance().orElseThrow().upload(new float[] {1, 4, 16});
            norm.eval();
            try (Tensor y = norm.forward(x)) {
                assertThat(y.download()).containsExactly(1, 0.5f, -0.5f);
            }
        }
    }

    @OnEveryDevice
    void step_ofAChannelThatDoesNotVary_isBetaAndFinite(TestDevice on) {
        Batch flat = Batch.random(SHAPE, Layout.CHANNELS_LAST, 3);
        for (int i = 0; i < 8; i++) {
            flat = flat.with(1, i, 1234.567f);
        }
        try (BatchNorm norm = BatchNorm.builder(3).build(on.device())) {
            norm.beta().orElseThrow().value().upload(new float[] {0, 0.75f, 0});
            Step step = Step.of(norm, flat, null, Batch.gradient(SHAPE, Layout.CHANNELS_LAST, 4));
            assertThat(flat.holding(step.y()).channel(1)).containsOnly(0.75);
            assertThat(step.dgamma()[1]).isZero();
            assertThat(step.savedMean()[1]).isEqualTo(1234.567f);
            for (double dx : flat.holding(step.dx()).channel(1)) {
                assertThat(dx).isFinite();
            }
        }
    }

    @ParameterizedTest
    @EnumSource(RunningVariance.class)
    void forward_ofTwoValuesPerChannel_hasTheVarianceByHand(RunningVariance estimate) {
        for (TestDevice on : TestDevice.values()) {
            Device device = on.device();
            try (BatchNorm norm = BatchNorm.builder(1)
                            .epsilon(0)
                            .runningVariance(estimate)
                            .runningAverage(RunningAverage.cumulative())
                            .build(device);
                    Tensor x = device.upload(new float[] {1, 5}, Shape.of(2, 1), Layout.CHANNELS_FIRST);
                    Tensor y = norm.forward(x)) {
                assertThat(y.download()).as("on %s", on).containsExactly(-1, 1);
                assertThat(norm.runningMean().orElseThrow().download()).containsExactly(3);
                assertThat(norm.runningVariance().orElseThrow().download())
                        .containsExactly(estimate == RunningVariance.UNBIASED ? 8 : 4);
                assertThat(norm.savedInverseStandardDeviation().download()).containsExactly(0.5f);
            }
        }
    }
}
