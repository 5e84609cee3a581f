package org.clnorm;

import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import org.clnorm.reference.ReferenceBatchNorm;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Data whose mean is many standard deviations, where E[x²] − E[x]² has no correct digit left: the promised bound holds
 * there as it does elsewhere, against the formulas in double precision on the same float32 inputs.
 */
final class BatchNormConditioningTest {
    static Stream<Arguments> offsets() {
        return Stream.of(TestDevice.values())
                .flatMap(on -> Stream.of(Layout.values()).flatMap(layout -> DoubleStream.of(0, 1e3, 1e4, 1e5)
                        .mapToObj(offset -> Arguments.of(on, layout, offset))));
    }

    @ParameterizedTest(name = "{0} {1}, mean {2} σ")
    @MethodSource("offsets")
    void step_ofDataFarFromZero_keepsTheBound(TestDevice on, Layout layout, double offset) {
        assertStepIsRight(on, Shape.of(4, 5, 16, 17), layout, offset, Activation.NONE);
    }

    @ParameterizedTest(name = "{0} {1}, mean {2} σ")
    @MethodSource("offsets")
    void step_ofDataFarFromZeroWithAnActivation_keepsTheBound(TestDevice on, Layout layout, double offset) {
        assertStepIsRight(on, Shape.of(41, 17), layout, offset, Activation.RELU);
    }

    private static void assertStepIsRight(
            TestDevice on, Shape shape, Layout layout, double offset, Activation activation) {
        Batch x = Batch.random(shape, layout, 1, channel -> channel % 2 == 0 ? offset : -offset);
        Batch dy = Batch.gradient(shape, layout, 2);
        Formulas expected = Formulas.of(new Formulas.Given(x, null, dy, null, null, activation, 1e-5, null, null));
        try (BatchNorm norm = BatchNorm.builder(x.channels())
                .activation(activation)
                .runningAverage(RunningAverage.exponential(1))
                .runningVariance(RunningVariance.BIASED)
                .build(on.device())) {
            Step step = Step.of(norm, x, null, dy);
            step.assertIs(expected, x);
            Closeness.assertClose("running mean", step.runningMean(), expected.mean());
            Closeness.assertClose("running variance", step.runningVariance(), expected.variance());
        }
    }

    @ParameterizedTest(name = "{0} {1}, mean {2} σ")
    @MethodSource("offsets")
    void step_ofManyValuesFarFromZero_keepsTheBound(TestDevice on, Layout layout, double offset) {
        Shape shape = Shape.of(8, 3, 64, 61);
        Batch x = Batch.random(shape, layout, 3, channel -> offset);
        Batch dy = Batch.gradient(shape, layout, 4);
        double[] wideX = Closeness.wide(x.values());
        double[] wideDy = Closeness.wide(dy.values());
        ReferenceBatchNorm.Forward forward =
                ReferenceBatchNorm.forwardTraining(shape, layout, wideX, null, Activation.NONE, null, null, 1e-5);
        ReferenceBatchNorm.Gradients gradients = ReferenceBatchNorm.backward(
                shape,
                layout,
                false,
                wideDy,
                wideX,
                null,
                Activation.NONE,
                null,
                forward.mean(),
                forward.inverseStandardDeviation());
        try (BatchNorm norm = BatchNorm.builder(3).build(on.device())) {
            Step step = Step.of(norm, x, null, dy);
            Closeness.assertClose("y", step.y(), forward.y());
            Closeness.assertWithin("dx", step.dx(), gradients.dx(), Closeness.BOUND * gradients.largestTerm());
            Closeness.assertClose("dgamma", step.dgamma(), gradients.dgamma());
            Closeness.assertClose("dbeta", step.dbeta(), gradients.dbeta());
            Closeness.assertClose("saved mean", step.savedMean(), forward.mean());
            Closeness.assertClose(
                    "saved inverse standard deviation", step.savedInvstd(), forward.inverseStandardDeviation());
        }
    }

    static Stream<Arguments> jumps() {
        return Stream.of(TestDevice.values())
                .flatMap(on -> Stream.of(Layout.values()).map(layout -> Arguments.of(on, layout)));
    }

    /** A lane sums around the mean of what came before: what comes first must not spoil what comes later. */
    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("jumps")
    void forward_ofDataThatJumps_keepsTheBound(TestDevice on, Layout layout) {
        Shape shape = Shape.of(16, 4, 33, 32);
        float[] values = Batch.random(shape, layout, 5, channel -> 0).values().clone();
        int first = values.length / 100;
        for (int i = 0; i < values.length; i++) {
            values[i] += i < first ? 0 : i < values.length / 2 ? 1e5f : 1.1e5f;
        }
        Batch x = new Batch(shape, layout, values);
        ReferenceBatchNorm.Forward expected = ReferenceBatchNorm.forwardTraining(
                shape, layout, Closeness.wide(values), null, Activation.NONE, null, null, 1e-5);
        try (BatchNorm norm = BatchNorm.builder(4).build(on.device())) {
            Step step = Step.of(norm, x, null, x);
            Closeness.assertClose("y", step.y(), expected.y());
            Closeness.assertClose("saved mean", step.savedMean(), expected.mean());
            Closeness.assertClose(
                    "saved inverse standard deviation", step.savedInvstd(), expected.inverseStandardDeviation());
        }
    }
}
