package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.reference.Values.assertClose;

import java.util.Arrays;
import java.util.function.DoubleSupplier;
import java.util.stream.DoubleStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping.Batch.Rest;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The backward pass of every normalization against differences of its forward pass. */
class ReferenceNormalizationGradientTest {
    /** One value per channel is left of virtual batches of two samples. */
    private static final Shape LEAVING_ONE = Shape.of(5, 4);

    private static final double STEP = 1e-3;
    private static final double[] MEAN = {0.4, -0.2, 0.1, 1};
    private static final double[] VARIANCE = {0.7, 2, 1, 0.4};

    /** @param fused with a residual and an activation */
    record Options(
            Normalization normalization, Shape shape, Layout layout, boolean frozen, boolean fused, double epsilon) {
        Activation activation() {
            return fused ? Activation.RELU : Activation.NONE;
        }
    }

    static Stream<Options> everyNormalization() {
        return Normalizations.ALL.stream().flatMap(normalization -> Stream.of(Layout.values())
                .flatMap(layout -> Stream.of(false, true).flatMap(fused -> epsilons(normalization)
                        .mapToObj(epsilon ->
                                new Options(normalization, Normalizations.SHAPE, layout, false, fused, epsilon)))));
    }

    /** A length is above ε or below. */
    private static DoubleStream epsilons(Normalization normalization) {
        return normalization.statistic() == Statistic.LENGTH ? DoubleStream.of(0.1, 100) : DoubleStream.of(0.1);
    }

    static Stream<Options> everyFrozenOne() {
        return Stream.of(Normalization.BATCH, Normalizations.CONDITIONAL_BATCH, Normalizations.group(4))
                .flatMap(normalization -> Stream.of(Layout.values()).flatMap(layout -> Stream.of(false, true)
                        .map(fused -> new Options(normalization, Normalizations.SHAPE, layout, true, fused, 0.1))));
    }

    static Stream<Options> everyRest() {
        return Stream.of(Rest.MERGED, Rest.GIVEN).flatMap(rest -> Stream.of(LEAVING_ONE, Shape.of(5, 4, 3))
                .flatMap(shape -> Stream.of(Layout.values()).flatMap(layout -> Stream.of(false, true)
                        .map(fused -> new Options(Normalizations.ghost(2, rest), shape, layout, false, fused, 0.1)))));
    }

    /** The arguments of a forward pass; the arrays are changed in place to take differences. */
    private static final class Inputs {
        final Options options;
        final ReferenceNormalization normalization;
        final double[] x;
        final double[] residual;
        final double[] gamma;
        final double[] beta;
        final Statistics start;

        Inputs(Options options, long seed) {
            this.options = options;
            normalization = options.frozen
                    ? ReferenceNormalization.ofGivenStatistics(options.normalization, options.shape, options.layout)
                    : new ReferenceNormalization(options.normalization, options.shape, options.layout);
            x = Values.random(normalization.elements(), seed);
            residual = options.fused ? Values.random(normalization.elements(), seed + 1) : null;
            gamma = Values.random(normalization.affineElements(), seed + 2);
            beta = Values.random(normalization.affineElements(), seed + 3);
            start = options.frozen
                    ? normalization.given(MEAN, ReferenceBatchNorm.inverseStandardDeviation(VARIANCE, options.epsilon))
                    : withGiven(
                            normalization.statistics(x, options.epsilon, new Running(MEAN, VARIANCE, new double[4])));
        }

        private Statistics withGiven(Statistics own) {
            return normalization.hasGiven() ? normalization.withGiven(own, MEAN, VARIANCE, options.epsilon) : own;
        }

        /** Of x as it is now, but with the r and d of the start, which count as constants. */
        Statistics statistics() {
            if (options.frozen) {
                return start;
            }
            Statistics now = withGiven(normalization.statistics(x, options.epsilon, null));
            return new Statistics(
                    now.mean(), now.variance(), now.inverseStandardDeviation(), start.r(), start.d(), now.constant());
        }

        double[] y(Activation activation) {
            return normalization.normalize(x, residual, activation, gamma, beta, statistics());
        }

        /** Where a step may carry an activation's input across 0, differences tell nothing about the gradient. */
        boolean isAwayFromTheKink() {
            return !options.fused || Arrays.stream(y(Activation.NONE)).allMatch(v -> Math.abs(v) > 10 * STEP);
        }
    }

    @ParameterizedTest
    @MethodSource({"everyNormalization", "everyFrozenOne", "everyRest"})
    void backward_everyNormalization_agreesWithDifferencesOfTheForwardPass(Options options) {
        Inputs inputs = LongStream.range(0, 1000)
                .mapToObj(seed -> new Inputs(options, 10 * seed))
                .filter(Inputs::isAwayFromTheKink)
                .findFirst()
                .orElseThrow();
        double[] dy = Values.random(inputs.normalization.elements(), 77);
        Gradients gradients = inputs.normalization.backward(
                dy, inputs.x, inputs.y(options.activation()), options.activation(), inputs.gamma, inputs.start);
        DoubleSupplier loss = () -> {
            double[] y = inputs.y(options.activation());
            double sum = 0;
            for (int i = 0; i < y.length; i++) {
                sum += y[i] * dy[i];
            }
            return sum;
        };

        assertClose("dx", gradients.dx(), Values.differences(inputs.x, loss, STEP), 1e-8);
        assertClose("dγ", gradients.dgamma(), Values.differences(inputs.gamma, loss, STEP), 1e-9);
        assertClose("dβ", gradients.dbeta(), Values.differences(inputs.beta, loss, STEP), 1e-9);
        if (options.fused) {
            assertClose("dresidual", gradients.dresidual(), Values.differences(inputs.residual, loss, STEP), 1e-9);
            assertThat(gradients.dresidual())
                    .as("the activation blocks something, or it is not tested")
                    .contains(0);
        }
    }
}
