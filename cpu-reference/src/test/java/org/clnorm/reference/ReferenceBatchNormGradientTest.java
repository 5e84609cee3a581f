package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.reference.Values.assertClose;

import java.util.Arrays;
import java.util.function.DoubleSupplier;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.reference.ReferenceBatchNorm.Forward;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The backward pass against the forward pass: by differences, and by the Jacobian. */
class ReferenceBatchNormGradientTest {
    private static final Shape SHAPE = Shape.of(3, 2, 2, 2);
    private static final int ELEMENTS = 24;
    private static final int CHANNELS = 2;
    private static final double STEP = 1e-3;
    private static final double EPSILON = 0.1;

    /** Which of the options a pass uses. */
    record Options(Layout layout, boolean frozen, boolean relu, boolean residual, boolean gamma, boolean beta) {
        Activation activation() {
            return relu ? Activation.RELU : Activation.NONE;
        }
    }

    static Stream<Options> everyCombination() {
        return Stream.of(Layout.values()).flatMap(layout -> LongStream.range(0, 32)
                .mapToObj(bits -> new Options(
                        layout, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0)));
    }

    /** The arguments of a forward pass; the arrays are changed in place to take differences. */
    private record Inputs(
            Options options,
            double[] x,
            double[] residual,
            double[] gamma,
            double[] beta,
            double[] mean,
            double[] variance) {
        static Inputs random(Options options, long seed) {
            return new Inputs(
                    options,
                    Values.random(ELEMENTS, seed),
                    options.residual ? Values.random(ELEMENTS, seed + 1) : null,
                    options.gamma ? Values.random(CHANNELS, seed + 2) : null,
                    options.beta ? Values.random(CHANNELS, seed + 3) : null,
                    new double[] {0.4, -0.2},
                    new double[] {0.7, 2});
        }

        /** Where a step may carry an activation's input across 0, differences tell nothing about the gradient. */
        boolean isAwayFromTheKink() {
            return !options.relu || Arrays.stream(y(Activation.NONE)).allMatch(v -> Math.abs(v) > 20 * STEP);
        }

        double[] y(Activation activation) {
            return options.frozen
                    ? ReferenceBatchNorm.forwardInference(
                            SHAPE, options.layout, x, residual, activation, gamma, beta, EPSILON, mean, variance)
                    : training(activation).y();
        }

        Forward training(Activation activation) {
            return ReferenceBatchNorm.forwardTraining(
                    SHAPE, options.layout, x, residual, activation, gamma, beta, EPSILON);
        }

        Gradients backward(double[] dy) {
            Forward training = training(options.activation());
            return ReferenceBatchNorm.backward(
                    SHAPE,
                    options.layout,
                    options.frozen,
                    dy,
                    x,
                    y(options.activation()),
                    options.activation(),
                    gamma,
                    options.frozen ? mean : training.mean(),
                    options.frozen
                            ? ReferenceBatchNorm.inverseStandardDeviation(variance, EPSILON)
                            : training.inverseStandardDeviation());
        }
    }

    @ParameterizedTest
    @MethodSource("everyCombination")
    void backward_everyCombination_agreesWithDifferencesOfTheForwardPass(Options options) {
        Inputs inputs = LongStream.range(0, 1000)
                .mapToObj(seed -> Inputs.random(options, 10 * seed))
                .filter(Inputs::isAwayFromTheKink)
                .findFirst()
                .orElseThrow();
        double[] dy = Values.random(ELEMENTS, 77);
        Gradients gradients = inputs.backward(dy);
        DoubleSupplier loss = () -> {
            double[] y = inputs.y(options.activation());
            double sum = 0;
            for (int i = 0; i < y.length; i++) {
                sum += y[i] * dy[i];
            }
            return sum;
        };

        assertClose("dx", gradients.dx(), Values.differences(inputs.x, loss, STEP), 1e-9);
        if (options.residual) {
            assertClose("dresidual", gradients.dresidual(), Values.differences(inputs.residual, loss, STEP), 1e-9);
        }
        if (options.gamma) {
            assertClose("dγ", gradients.dgamma(), Values.differences(inputs.gamma, loss, STEP), 1e-9);
        }
        if (options.beta) {
            assertClose("dβ", gradients.dbeta(), Values.differences(inputs.beta, loss, STEP), 1e-9);
        }
        if (options.relu) {
            assertThat(gradients.dresidual())
                    .as("the activation blocks something, or it is not tested")
                    .contains(0);
        }
    }

    @Test
    void backward_unitGradients_giveTheRowsOfTheJacobian() {
        // ∂y_i/∂x_j = γ/σ·(δ_ij − 1/m − x̂_i·x̂_j/m) with σ = √(variance + ε), from differentiating x̂ = (x − mean)/σ.
        double[] x = {0.3, -1.2, 2.5, 0.9, -0.4};
        double gamma = -1.7;
        int m = x.length;
        Shape shape = Shape.of(m, 1);
        double mean = Values.mean(x);
        double sigma = Math.sqrt(Values.variance(x) + EPSILON);
        Forward forward = ReferenceBatchNorm.forwardTraining(
                shape, Layout.CHANNELS_FIRST, x, null, Activation.NONE, new double[] {gamma}, null, EPSILON);

        for (int i = 0; i < m; i++) {
            double[] unit = new double[m];
            unit[i] = 1;
            double[] row = new double[m];
            for (int j = 0; j < m; j++) {
                double product = (x[i] - mean) / sigma * ((x[j] - mean) / sigma);
                row[j] = gamma / sigma * ((i == j ? 1 : 0) - 1.0 / m - product / m);
            }
            Gradients gradients = ReferenceBatchNorm.backward(
                    shape,
                    Layout.CHANNELS_FIRST,
                    false,
                    unit,
                    x,
                    null,
                    Activation.NONE,
                    new double[] {gamma},
                    forward.mean(),
                    forward.inverseStandardDeviation());
            assertClose("row " + i + " of the Jacobian", gradients.dx(), row, 1e-14);
        }
    }
}
