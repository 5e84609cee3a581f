package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;

import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleSupplier;
import java.util.stream.Stream;
import org.clnorm.backend.Normalization;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Training whose y takes x's place: the gradients are those of a y beside x, up to what y's rounding took from x. */
final class InPlaceGradientTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final Layout LAST = Layout.CHANNELS_LAST;
    private static final double EPSILON = 1e-5;

    /** Without an activation, and two leaky ReLUs. */
    private static final List<Activation> ACTIVATIONS =
            List.of(Activation.NONE, Activation.LEAKY_RELU, Activation.leakyRelu(3));

    private record Placed(Shape shape, Layout layout) {}

    /** Runs and columns; whole vectors and not; planes smaller than a vector, few rows and many; groups cut into slices. */
    private static final List<Placed> PLACED = List.of(
            new Placed(Shape.of(4, 5, 9, 7), FIRST),
            new Placed(Shape.of(2, 11, 32, 32), FIRST),
            new Placed(Shape.of(3, 2, 101, 67), FIRST),
            new Placed(Shape.of(16, 33, 3), FIRST),
            new Placed(Shape.of(6, 19), FIRST),
            new Placed(Shape.of(129, 64), FIRST),
            new Placed(Shape.of(4, 17, 9, 7), LAST),
            new Placed(Shape.of(8, 32, 8, 8), LAST));

    /** From 1 down to the least that is allowed, of both signs. */
    private static double gamma(int channel) {
        return (channel % 2 == 0 ? 1 : -1) * Math.scalb(1 + channel % 4 / 4.0, -(channel * 3 % 11));
    }

    /** What a step left, read back. */
    private record Left(float[] y, float[] dx, float[] dgamma, float[] dbeta) {}

    private static Tensor tensor(Device device, Batch batch, DataType type) {
        Tensor tensor = device.tensor(batch.shape(), batch.layout(), type);
        tensor.upload(batch.values());
        return tensor;
    }

    /** A step, in place or not. */
    private static Left step(BatchNorm norm, Batch x, Batch dy, DataType type, boolean inPlace) {
        Device device = norm.device();
        try (Tensor input = tensor(device, x, type);
                Tensor output = inPlace ? null : device.tensor(x.shape(), x.layout(), type);
                Tensor gradient = dy.on(device);
                Tensor dx = device.tensor(x.shape(), x.layout())) {
            Tensor y = inPlace ? input : output;
            norm.forward(input, y);
            norm.backward(gradient, dx);
            return new Left(
                    y.download(),
                    dx.download(),
                    norm.gamma().orElseThrow().gradient().download(),
                    norm.beta().orElseThrow().gradient().download());
        }
    }

    /** Half the distance of a type's numbers at 1. */
    private static double roundoff(DataType type) {
        return switch (type) {
            case FLOAT32 -> 0x1p-24;
            case FLOAT16 -> 0x1p-11;
            case BFLOAT16 -> 0x1p-8;
        };
    }

    /** What is documented of the error of x̂ in a channel. */
    private static double bound(DataType type, double largest, double gamma, double beta) {
        return (2 * roundoff(type) + 0x1p-21) * (largest + Math.abs(beta / gamma));
    }

    private static double largest(double[] values) {
        return Arrays.stream(values).map(Math::abs).max().orElse(0);
    }

    /** Holds gradients against others, channel by channel, by what is documented and what each of the two promises. */
    private static void assertNear(
            Left actual, Left expected, Batch x, Batch dy, float[] gamma, float[] beta, DataType type, double slope) {
        ReferenceNormalization groups = new ReferenceNormalization(Normalization.BATCH, x.shape(), x.layout());
        Statistics statistics = groups.statistics(Closeness.wide(x.values()), EPSILON, null);
        double most = Math.max(1, slope); // of dy', by dy
        for (int c = 0; c < x.channels(); c++) {
            double mean = statistics.mean()[c];
            double invstd = statistics.inverseStandardDeviation()[c];
            double[] normalized = Arrays.stream(x.channel(c))
                    .map(value -> (value - mean) * invstd)
                    .toArray();
            double[] gradient = dy.channel(c);
            double sum = most * Arrays.stream(gradient).map(Math::abs).sum();
            double weighted = 0;
            for (int i = 0; i < gradient.length; i++) {
                weighted += most * Math.abs(gradient[i]) * (1 + Math.abs(normalized[i]));
            }
            double largest = largest(normalized);
            double ofX = bound(type, largest, gamma[c], beta[c]);
            double direct = Math.abs(gamma[c]) * invstd * most * largest(gradient);
            double ofDx = Math.abs(gamma[c]) * invstd * (1 + largest) * ofX * weighted / gradient.length;
            String where = "channel " + c + " of " + x + ", gamma " + gamma[c];
            Closeness.assertWithin(
                    "dx, " + where,
                    x.holding(actual.dx).channel(c),
                    x.holding(expected.dx).channel(c),
                    ofDx + 4 * Closeness.BOUND * direct * (1 + largest));
            assertThat((double) actual.dgamma[c])
                    .as("dgamma, " + where)
                    .isCloseTo(expected.dgamma[c], offset(ofX * sum + 2 * Closeness.BOUND * weighted));
        }
    }

    static Stream<Arguments> steps() {
        return Arrays.stream(TestDevice.values())
                .flatMap(on -> ACTIVATIONS.stream().map(activation -> Arguments.of(on, activation)));
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("steps")
    void step_inPlace_isThatBesideXWithinTheBound(TestDevice on, Activation activation) {
        for (Placed placed : PLACED) {
            Batch x = Batch.random(
                    placed.shape, placed.layout, 1, c -> c % 3 == 1 ? 1e4 : 0.3); // where x has no digit left
            Batch dy = Batch.gradient(placed.shape, placed.layout, 2);
            try (BatchNorm norm = InPlaceTest.layer(on, x.channels(), builder -> builder.activation(activation))) {
                InPlaceTest.set(norm.gamma().orElseThrow(), InPlaceGradientTest::gamma);
                InPlaceTest.set(norm.beta().orElseThrow(), c -> c % 3 - 0.7);
                Left beside = step(norm, x, dy, DataType.FLOAT32, false);
                Left inPlace = step(norm, x, dy, DataType.FLOAT32, true);

                assertThat(inPlace.y).as("y of %s", x).isEqualTo(beside.y);
                assertThat(inPlace.dbeta).as("dbeta of %s", x).isEqualTo(beside.dbeta);
                float[] gamma = norm.gamma().orElseThrow().value().download();
                float[] beta = norm.beta().orElseThrow().value().download();
                assertNear(inPlace, beside, x, dy, gamma, beta, DataType.FLOAT32, activation.slope());
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "AUTO", "CPU_SPLIT", "GPU_FUSED"})
    void step_inPlaceOf16Bits_isOffByTheRoundingOfY(TestDevice on) {
        for (DataType type : List.of(on.of16Bits())) {
            Activation activation = type == DataType.FLOAT16 ? Activation.LEAKY_RELU : Activation.NONE;
            for (Placed placed : List.of(PLACED.get(1), PLACED.get(5))) {
                Batch x = Batch.random(placed.shape, placed.layout, 3);
                Batch stored = x.holding(type.half().decode(type.half().encode(x.values())));
                Batch dy = Batch.gradient(placed.shape, placed.layout, 4);
                try (BatchNorm norm = InPlaceTest.layer(on, x.channels(), builder -> builder.activation(activation))) {
                    InPlaceTest.set(norm.gamma().orElseThrow(), c -> c % 2 == 0 ? 0.25 : -1.5);
                    InPlaceTest.set(norm.beta().orElseThrow(), c -> c % 3 - 0.7);
                    Left beside = step(norm, stored, dy, type, false);
                    Left inPlace = step(norm, stored, dy, type, true);

                    assertThat(inPlace.y).as("y of %s", x).isEqualTo(beside.y);
                    assertThat(inPlace.dbeta).as("dbeta of %s", x).isEqualTo(beside.dbeta);
                    float[] gamma = norm.gamma().orElseThrow().value().download();
                    float[] beta = norm.beta().orElseThrow().value().download();
                    assertNear(inPlace, beside, stored, dy, gamma, beta, type, activation.slope());
                }
            }
        }
    }

    /**
     * With a dy of 1 at one element of each channel, and 0 elsewhere, dγ is the x̂ of that element as the backward pass has
     * it. With a β of 1, what y's rounding took from it is divided by γ: half a γ is twice the error.
     */
    @OnEveryDevice
    void error_ofSmallGamma_growsAsOneOverGamma(TestDevice on) {
        Shape shape = Shape.of(4, 256, 3, 5);
        Batch x = Batch.random(shape, FIRST, 5);
        double[][] ones = new double[256][60];
        double[] exact = new double[256];
        ReferenceNormalization groups = new ReferenceNormalization(Normalization.BATCH, shape, FIRST);
        Statistics statistics = groups.statistics(Closeness.wide(x.values()), EPSILON, null);
        for (int c = 0; c < 256; c++) {
            ones[c][c % 60] = 1;
            exact[c] =
                    (x.channel(c)[c % 60] - statistics.mean()[c]) * statistics.inverseStandardDeviation()[c];
        }
        Batch dy = Batch.of(shape, FIRST, ones);
        double[] errors = new double[11];
        try (BatchNorm norm = InPlaceTest.layer(on, 256, builder -> builder)) {
            InPlaceTest.set(norm.beta().orElseThrow(), c -> 1);
            for (int k = 0; k < errors.length; k++) {
                double gamma = Math.scalb(1.0, -k);
                InPlaceTest.set(norm.gamma().orElseThrow(), c -> gamma);
                Left left = step(norm, x, dy, DataType.FLOAT32, true);
                for (int c = 0; c < 256; c++) {
                    double error = Math.abs(left.dgamma[c] - exact[c]);
                    errors[k] = Math.max(errors[k], error);
                    assertThat(error)
                            .as("of the normalized %s, gamma %s", exact[c], gamma)
                            .isLessThanOrEqualTo(bound(DataType.FLOAT32, Math.abs(exact[c]), gamma, 1));
                }
            }
        }
        String all = Arrays.toString(errors);
        for (int k = 3; k < errors.length; k++) {
            assertThat(Math.scalb(errors[k], -k))
                    .as("of gamma 2^-%d, by 2^%d: %s", k, k, all)
                    .isBetween(0x1p-26, 0x1p-23);
        }
    }

    /** Of a loss Σ dy·y, by the forward formula in double: the gradients that came from y are its slopes. */
    @OnEveryDevice
    void backward_inPlace_isTheSlopeOfTheLoss(TestDevice on) {
        Activation activation = Activation.leakyRelu(0.25);
        Shape shape = Shape.of(3, 4, 5);
        Batch x = Batch.random(shape, FIRST, 7);
        Batch dy = Batch.gradient(shape, FIRST, 8);
        try (BatchNorm norm = InPlaceTest.layer(on, 4, builder -> builder.activation(activation))) {
            InPlaceTest.set(norm.gamma().orElseThrow(), c -> c % 2 == 0 ? 0.5 : -1.25);
            InPlaceTest.set(norm.beta().orElseThrow(), c -> 0.3 * c - 0.4);
            Left left = step(norm, x, dy, DataType.FLOAT32, true);
            double[] wide = Closeness.wide(x.values());
            double[] gamma = Closeness.wide(norm.gamma().orElseThrow().value().download());
            double[] beta = Closeness.wide(norm.beta().orElseThrow().value().download());
            double h = 1e-6;
            for (int i = 0; i < wide.length; i++) {
                assertSlope("dx", left.dx[i], wide, i, h, () -> loss(wide, dy, activation, gamma, beta));
            }
            for (int c = 0; c < 4; c++) {
                assertSlope("dgamma", left.dgamma[c], gamma, c, h, () -> loss(wide, dy, activation, gamma, beta));
                assertSlope("dbeta", left.dbeta[c], beta, c, h, () -> loss(wide, dy, activation, gamma, beta));
            }
        }
    }

    private static void assertSlope(String what, double actual, double[] of, int i, double h, DoubleSupplier loss) {
        double there = of[i];
        of[i] = there + h;
        double above = loss.getAsDouble();
        of[i] = there - h;
        double below = loss.getAsDouble();
        of[i] = there;
        assertThat(actual).as("%s %d", what, i).isCloseTo((above - below) / (2 * h), offset(2e-5));
    }

    private static double loss(double[] x, Batch dy, Activation activation, double[] gamma, double[] beta) {
        ReferenceNormalization groups = new ReferenceNormalization(Normalization.BATCH, dy.shape(), dy.layout());
        double[] y = groups.normalize(x, null, activation, gamma, beta, groups.statistics(x, EPSILON, null));
        double loss = 0;
        for (int i = 0; i < y.length; i++) {
            loss += y[i] * dy.values()[i];
        }
        return loss;
    }

    /** Of which squares are no float32, or nothing: they have units of their own, which v does not have. */
    @OnEveryDevice
    void step_ofValuesFarOutOfRange_isThatBesideX(TestDevice on) {
        for (double scale : new double[] {1e30, 1e-25}) {
            Batch plain = Batch.random(Shape.of(5, 6, 7), FIRST, 9);
            float[] scaled = plain.values().clone();
            for (int i = 0; i < scaled.length; i++) {
                scaled[i] *= (float) scale;
            }
            Batch x = plain.holding(scaled);
            Batch dy = Batch.gradient(x.shape(), FIRST, 10);
            try (BatchNorm norm =
                    InPlaceTest.layer(on, 6, builder -> builder.epsilon(0).activation(Activation.LEAKY_RELU))) {
                InPlaceTest.set(norm.gamma().orElseThrow(), c -> 0.5 - c);
                InPlaceTest.set(norm.beta().orElseThrow(), c -> 0.1 * c);
                Left beside = step(norm, x, dy, DataType.FLOAT32, false);
                Left inPlace = step(norm, x, dy, DataType.FLOAT32, true);

                assertThat(inPlace.y).isEqualTo(beside.y);
                double largest = largest(Closeness.wide(beside.dx));
                assertThat(largest).isBetween(1e-3 / scale, 1e3 / scale);
                Closeness.assertWithin("dx", inPlace.dx, Closeness.wide(beside.dx), 1e-5 * largest);
                Closeness.assertWithin("dgamma", inPlace.dgamma, Closeness.wide(beside.dgamma), 1e-4);
            }
        }
    }

    @OnEveryDevice
    void step_ofAConstantChannel_isThatBesideX(TestDevice on) {
        Batch x = Batch.of(Shape.of(2, 1, 8), FIRST, new double[][] {new double[16]});
        Batch dy = Batch.gradient(x.shape(), FIRST, 11);
        try (BatchNorm norm = InPlaceTest.layer(on, 1, builder -> builder)) {
            InPlaceTest.set(norm.beta().orElseThrow(), c -> 0.7);

            Left inPlace = step(norm, x, dy, DataType.FLOAT32, true);

            Left beside = step(norm, x, dy, DataType.FLOAT32, false);
            Closeness.assertWithin(
                    "dx", inPlace.dx, Closeness.wide(beside.dx), 1e-5 * largest(Closeness.wide(beside.dx)));
            assertThat((double) inPlace.dgamma[0]).isCloseTo(beside.dgamma[0], offset(1e-6));
        }
    }
}
