package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What must be true of batch normalization whatever it is computed by. */
final class BatchNormPropertiesTest {
    private static final int CHANNELS = 5;
    private static final Shape SHAPE = Shape.of(6, CHANNELS, 7, 3);
    private static final int M = 6 * 7 * 3;
    private static final float[] GAMMA = {1, -2, 0.5f, 3, 0.125f};
    private static final float[] BETA = {0, 1, -2, 0.25f, 4};

    static Stream<Arguments> devicesAndLayouts() {
        return Stream.of(TestDevice.values())
                .flatMap(on -> Stream.of(Layout.values()).map(layout -> Arguments.of(on, layout)));
    }

    private static BatchNorm layer(TestDevice on) {
        BatchNorm norm = BatchNorm.builder(CHANNELS).epsilon(1e-7).build(on.device());
        norm.gamma().orElseThrow().value().upload(GAMMA);
        norm.beta().orElseThrow().value().upload(BETA);
        return norm;
    }

    @ParameterizedTest
    @MethodSource("devicesAndLayouts")
    void forward_inTraining_givesMeanBetaAndVarianceGammaSquared(TestDevice on, Layout layout) {
        Batch x = Batch.random(SHAPE, layout, 1);
        try (BatchNorm norm = layer(on)) {
            Batch y = x.holding(Step.of(norm, x, null, x).y());
            double[] means = new double[CHANNELS];
            double[] variances = new double[CHANNELS];
            double[] squares = new double[CHANNELS];
            double[] betas = Closeness.wide(BETA);
            for (int c = 0; c < CHANNELS; c++) {
                means[c] = Formulas.mean(y.channel(c));
                variances[c] = Formulas.variance(y.channel(c));
                squares[c] = (double) GAMMA[c] * GAMMA[c];
            }
            Closeness.assertWithin("mean of y", means, betas, 1e-6);
            Closeness.assertWithin("variance of y", variances, squares, 1e-5);
        }
    }

    @ParameterizedTest
    @MethodSource("devicesAndLayouts")
    void forward_ofScaledData_isTheSame(TestDevice on, Layout layout) {
        Batch x = Batch.random(SHAPE, layout, 2);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).epsilon(0).build(on.device())) {
            Step plain = Step.of(norm, x, null, x);
            Step doubled = Step.of(norm, scaled(x, 64), null, x);
            Step stretched = Step.of(norm, scaled(x, 3.7f), null, x);
            assertThat(doubled.y())
                    .as("a power of two changes no rounding, so not a bit of y")
                    .isEqualTo(plain.y());
            assertThat(doubled.dgamma()).isEqualTo(plain.dgamma());
            Closeness.assertClose("y", stretched.y(), Closeness.wide(plain.y()));
        }
    }

    private static Batch scaled(Batch x, float factor) {
        float[] values = x.values().clone();
        for (int i = 0; i < values.length; i++) {
            values[i] *= factor;
        }
        return x.holding(values);
    }

    @ParameterizedTest
    @MethodSource("devicesAndLayouts")
    void backward_inTraining_isOrthogonalToOnesAndToTheNormalized(TestDevice on, Layout layout) {
        Batch x = Batch.random(SHAPE, layout, 3);
        Batch dy = Batch.gradient(SHAPE, layout, 4);
        try (BatchNorm norm = layer(on)) {
            Batch dx = x.holding(Step.of(norm, x, null, dy).dx());
            for (int c = 0; c < CHANNELS; c++) {
                double[] gradient = dx.channel(c);
                double[] values = x.channel(c);
                double mean = Formulas.mean(values);
                double deviation = Math.sqrt(Formulas.variance(values));
                double sum = 0;
                double product = 0;
                for (int i = 0; i < M; i++) {
                    sum += gradient[i];
                    product += gradient[i] * (values[i] - mean) / deviation;
                }
                double tolerance = 1e-6 * M * Closeness.largest(gradient);
                assertThat(Math.abs(sum) <= tolerance)
                        .as("moving all of a channel changes nothing, but dx sums to %s", sum)
                        .isTrue();
                assertThat(Math.abs(product) <= tolerance)
                        .as("scaling all of a channel changes nothing, but dx·x̂ is %s", product)
                        .isTrue();
            }
        }
    }

    /** One backward pass for each row: dy is 1 at i and 0 elsewhere, so that dx is the i-th row of the Jacobian. */
    @ParameterizedTest
    @MethodSource("devicesAndLayouts")
    void backward_ofUnitGradients_givesTheRowsOfTheJacobian(TestDevice on, Layout layout) {
        int m = 6;
        Device device = on.device();
        Batch x = Batch.random(Shape.of(3, 2, 2), layout, 5);
        float[] gamma = {1.5f, -0.75f};
        try (BatchNorm norm = BatchNorm.builder(2).epsilon(0).build(device);
                Tensor input = x.on(device);
                Tensor y = norm.forward(input)) {
            norm.gamma().orElseThrow().value().upload(gamma);
            norm.forward(input, y);
            norm.retainForward();
            for (int c = 0; c < 2; c++) {
                double mean = Formulas.mean(x.channel(c));
                double deviation = Math.sqrt(Formulas.variance(x.channel(c)));
                double[] normalized = Arrays.stream(x.channel(c))
                        .map(v -> (v - mean) / deviation)
                        .toArray();
                for (int i = 0; i < m; i++) {
                    double[] expected = new double[m];
                    for (int j = 0; j < m; j++) {
                        double delta = i == j ? 1 : 0;
                        expected[j] = gamma[c] / deviation * (delta - 1.0 / m - normalized[i] * normalized[j] / m);
                    }
                    Batch unit = x.holding(new float[2 * m]).with(c, i, 1);
                    try (Tensor dy = unit.on(device);
                            Tensor dx = norm.backward(dy)) {
                        Batch row = x.holding(dx.download());
                        Closeness.assertWithin(
                                "row " + i + " of channel " + c,
                                row.channel(c),
                                expected,
                                Closeness.BOUND * Math.abs(gamma[c]) / deviation);
                        assertThat(DoubleStream.of(row.channel(1 - c)))
                                .as("channels do not depend on each other, and a zero may have either sign")
                                .allMatch(value -> value == 0);
                    }
                }
            }
        }
    }

    /**
     * With L = Σ w·y, dL/dx by central differences is what backward gives for dy = w. The step is 2⁻⁷, so that adding it
     * is nearly exact; what is left is the third derivative's h² and y's rounding over h, both below the tolerance.
     */
    @ParameterizedTest
    @MethodSource("devicesAndLayouts")
    void backward_ofALoss_isWhatFiniteDifferencesSay(TestDevice on, Layout layout) {
        Shape shape = Shape.of(4, 3, 3);
        float h = 1f / 128;
        Batch x = Batch.random(shape, layout, 6);
        Batch residual = Batch.random(shape, layout, 7);
        Batch w = Batch.gradient(shape, layout, 8);
        try (BatchNorm norm = BatchNorm.builder(3)
                .activation(Activation.RELU)
                .runningAverage(RunningAverage.none())
                .build(on.device())) {
            Step step = Step.of(norm, x, residual, w);
            Batch dx = x.holding(step.dx());
            Batch dresidual = x.holding(step.dresidual());
            for (int c = 0; c < 3; c++) {
                for (int i = 0; i < 12; i++) {
                    float value = (float) x.channel(c)[i];
                    float added = (float) residual.channel(c)[i];
                    double up = loss(norm, x.with(c, i, value + h), residual, w);
                    double down = loss(norm, x.with(c, i, value - h), residual, w);
                    double upResidual = loss(norm, x, residual.with(c, i, added + h), w);
                    double downResidual = loss(norm, x, residual.with(c, i, added - h), w);
                    assertNear("dx", dx.channel(c)[i], (up - down) / (2 * h));
                    assertNear("dresidual", dresidual.channel(c)[i], (upResidual - downResidual) / (2 * h));
                }
            }
        }
    }

    private static double loss(BatchNorm norm, Batch x, Batch residual, Batch w) {
        Device device = norm.device();
        try (Tensor input = x.on(device);
                Tensor added = residual.on(device);
                Tensor y = device.tensor(x.shape(), x.layout())) {
            norm.forward(input, added, y);
            float[] values = y.download();
            double sum = 0;
            for (int i = 0; i < values.length; i++) {
                sum += (double) w.values()[i] * values[i];
            }
            return sum;
        }
    }

    private static void assertNear(String what, double gradient, double difference) {
        assertThat(Math.abs(gradient - difference) <= 2e-3)
                .as("%s: backward gives %s, finite differences %s", what, gradient, difference)
                .isTrue();
    }

    @ParameterizedTest
    @MethodSource("devicesAndLayouts")
    void step_takenTwice_givesTheSameBits(TestDevice on, Layout layout) {
        Shape shape = Shape.of(9, 11, 31, 17);
        Batch x = Batch.random(shape, layout, 9);
        Batch dy = Batch.gradient(shape, layout, 10);
        Batch residual = Batch.random(shape, layout, 11);
        BatchNorm.Builder builder = BatchNorm.builder(11).activation(Activation.RELU);
        try (BatchNorm norm = builder.build(on.device());
                BatchNorm again = builder.build(on.device());
                Device another = on.open();
                BatchNorm elsewhere = builder.build(another)) {
            Step first = Step.of(norm, x, residual, dy);
            for (int i = 0; i < 3; i++) {
                again.reset();
                Step.of(again, x, residual, dy).assertSameBits(first, "run " + i);
            }
            Step.of(elsewhere, x, residual, dy).assertSameBits(first, "on the same device opened again");
        }
    }
}
