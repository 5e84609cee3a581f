package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

/** The three switches, and what can be done to a gradient, where passes are computed. */
final class FreezingTest {
    private static final Batch X = Batch.random(Shape.of(4, 3, 5), Layout.CHANNELS_FIRST, 1);
    private static final Batch DY = Batch.gradient(X.shape(), X.layout(), 2);

    private static BatchNorm layer(TestDevice on) {
        return BatchNorm.builder(3).activation(Activation.RELU).build(on.device());
    }

    @OnEveryDevice
    void backward_ofFrozenParameters_leavesTheirGradientsAndGivesTheSameDx(TestDevice on) {
        try (BatchNorm free = layer(on);
                BatchNorm halfFrozen = layer(on);
                BatchNorm frozen = layer(on)) {
            halfFrozen.gamma().orElseThrow().freeze();
            halfFrozen.gamma().orElseThrow().gradient().fill(7);
            for (Parameter parameter : frozen.parameters()) {
                parameter.freeze();
                parameter.gradient().fill(7);
            }
            Step expected = Step.of(free, X, null, DY);
            Step half = Step.of(halfFrozen, X, null, DY);
            Step none = Step.of(frozen, X, null, DY);
            assertThat(half.y()).isEqualTo(expected.y());
            assertThat(half.dx()).isEqualTo(expected.dx());
            assertThat(half.dgamma()).containsOnly(7);
            assertThat(half.dbeta()).isEqualTo(expected.dbeta());
            assertThat(none.dx()).isEqualTo(expected.dx());
            assertThat(none.dgamma()).containsOnly(7);
            assertThat(none.dbeta()).containsOnly(7);

            frozen.parameters().forEach(Parameter::unfreeze);
            assertThat(Step.of(frozen, X, null, DY).dgamma()).isEqualTo(expected.dgamma());
        }
    }

    @OnBothBackends
    void trackRunning_switchedOff_normalizesByTheBatchAsBefore(TestDevice on) {
        try (BatchNorm free = layer(on);
                BatchNorm frozen = layer(on)) {
            frozen.trackRunning(false);
            Step expected = Step.of(free, X, null, DY);
            Step step = Step.of(frozen, X, null, DY);
            assertThat(step.y()).isEqualTo(expected.y());
            assertThat(step.dx()).isEqualTo(expected.dx());
            assertThat(step.runningMean()).containsOnly(0);
            assertThat(step.runningVariance()).containsOnly(1);
            frozen.trackRunning(true);
            assertThat(Step.of(frozen, X, null, DY).runningMean()).isEqualTo(expected.runningMean());
        }
    }

    @OnBothBackends
    void gradient_zeroedScaledAndAccumulated_isThatOfAllBatches(TestDevice on) {
        try (BatchNorm once = layer(on);
                BatchNorm twice = BatchNorm.builder(3)
                        .activation(Activation.RELU)
                        .accumulateGradients(true)
                        .build(on.device())) {
            float[] expected = Step.of(once, X, null, DY).dgamma();
            Parameter gamma = twice.gamma().orElseThrow();
            gamma.gradient().fill(9);
            gamma.zeroGradient();
            Step.of(twice, X, null, DY);
            Step.of(twice, X, null, DY);
            gamma.scaleGradient(0.5f);
            assertThat(gamma.gradient().download()).isEqualTo(expected);
        }
    }

    /** See the comment on backward. */
    @OnBothBackends
    void backward_twiceForARetainedForward_givesTheSameAndAccumulates(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(3).accumulateGradients(true).build(on.device());
                Tensor x = X.on(on.device());
                Tensor dy = DY.on(on.device());
                Tensor y = norm.forward(x);
                Tensor dx = norm.backward(dy)) {
            float[] first = dx.download();
            float[] dbeta = norm.beta().orElseThrow().gradient().download();
            norm.retainForward();
            norm.backward(dy, dx);
            assertThat(dx.download()).isEqualTo(first);
            norm.beta().orElseThrow().scaleGradient(0.5f);
            assertThat(norm.beta().orElseThrow().gradient().download()).isEqualTo(dbeta);
            assertThat(y.isClosed()).isFalse();
        }
    }

    /** With running statistics, evaluation is batch normalization's, which every device computes. */
    @OnBothBackends
    void instanceNorm_inEvaluation_isBatchNormalizationInEvaluation(TestDevice on) {
        try (BatchNorm batch = BatchNorm.builder(3).build(on.device());
                InstanceNorm instance = InstanceNorm.builder(3)
                        .runningAverage(RunningAverage.exponential(0.1))
                        .build(on.device());
                Tensor x = X.on(on.device());
                Tensor dy = DY.on(on.device())) {
            for (RunningNormalizer norm : new RunningNormalizer[] {batch, instance}) {
                norm.runningMean().orElseThrow().upload(new float[] {1, -2, 0.5f});
                norm.runningVariance().orElseThrow().upload(new float[] {2, 0.25f, 3});
                norm.eval();
            }
            try (Tensor expected = batch.forward(x);
                    Tensor y = instance.forward(x);
                    Tensor expectedDx = batch.backward(dy);
                    Tensor dx = instance.backward(dy)) {
                assertThat(y.download()).isEqualTo(expected.download());
                assertThat(dx.download()).isEqualTo(expectedDx.download());
            }
        }
    }
}
