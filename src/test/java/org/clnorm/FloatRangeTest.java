package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.clnorm.replicas.ChannelMoments;

/**
 * Finite values whose squares, sums or reciprocals are no float32, beside usual ones, on every device as on the reference;
 * and what infinities do where no mean takes them in.
 */
final class FloatRangeTest {
    /** What a channel's or a row's values are times. */
    private static final float[] MAGNITUDES = {1, 1e20f, 1e-25f, 3e37f, 1e-30f, 7, 1e12f, 1e-36f, 2e19f};

    private static final int ELEMENTS = 37;

    /** Channels of few values and of many, planes that are taken together, and blocks of a GPU's columns. */
    private static final List<Shape> SHAPES =
            List.of(Shape.of(3, 9), Shape.of(700, 9), Shape.of(40, 9, 2, 3), Shape.of(5, 9, 31, 33));

    private static Batch scaled(Batch batch) {
        double[][] channels = new double[batch.channels()][];
        for (int c = 0; c < channels.length; c++) {
            float magnitude = MAGNITUDES[c % MAGNITUDES.length];
            channels[c] = Arrays.stream(batch.channel(c))
                    .map(value -> value * magnitude / 4)
                    .toArray();
        }
        return Batch.of(batch.shape(), batch.layout(), channels);
    }

    @OnEveryDevice
    void batchNorm_channelsOfAllMagnitudes_isWhatTheReferenceGives(TestDevice on) {
        BatchNorm.Builder builder = BatchNorm.builder(9).epsilon(0).runningAverage(RunningAverage.exponential(1e-3));
        for (Layout layout : Layout.values()) {
            for (Shape shape : SHAPES) {
                Batch x = scaled(Batch.random(shape, layout, 1, channel -> channel % 4));
                Batch dy = Batch.gradient(shape, layout, 2);
                try (BatchNorm norm = builder.build(on.device());
                        BatchNorm reference = builder.build(TestDevice.REFERENCE.device())) {
                    Step actual = Step.of(norm, x, null, dy);
                    Step expected = Step.of(reference, x, null, dy);
                    String where = " of " + x + " under " + on;
                    for (int c = 0; c < 9; c++) {
                        double[] wantedDx = x.holding(expected.dx()).channel(c);
                        double terms = expected.savedInvstd()[c] * Closeness.largest(dy.channel(c));
                        close(
                                "y" + where,
                                x.holding(actual.y()).channel(c),
                                x.holding(expected.y()).channel(c),
                                0);
                        close("dx" + where, x.holding(actual.dx()).channel(c), wantedDx, terms);
                        double sum =
                                Math.sqrt(wantedDx.length) * 4; // dgamma and dbeta may be small sums of large terms
                        close("dgamma" + where, at(actual.dgamma(), c), at(expected.dgamma(), c), sum);
                        close("dbeta" + where, at(actual.dbeta(), c), at(expected.dbeta(), c), sum);
                        double spread = 1.0 / expected.savedInvstd()[c];
                        close("mean" + where, at(actual.savedMean(), c), at(expected.savedMean(), c), spread);
                        close("1/sigma" + where, at(actual.savedInvstd(), c), at(expected.savedInvstd(), c), 0);
                        close(
                                "running mean" + where,
                                at(actual.runningMean(), c),
                                at(expected.runningMean(), c),
                                spread * 1e-3);
                        close(
                                "running variance" + where,
                                at(actual.runningVariance(), c),
                                at(expected.runningVariance(), c),
                                0);
                    }
                }
            }
        }
    }

    @OnEveryDevice
    void groupAndInstanceNorm_channelsOfAllMagnitudes_areWhatTheReferenceGives(TestDevice on) {
        for (Layout layout : Layout.values()) {
            Batch x = scaled(Batch.random(Shape.of(3, 9, 4, 5), layout, 3, channel -> channel % 4));
            Batch dy = Batch.gradient(x.shape(), layout, 4);
            for (int groups : new int[] {3, 9}) {
                GroupNorm.Builder builder = GroupNorm.builder(groups, 9);
                try (GroupNorm norm = builder.build(on.device());
                        GroupNorm reference = builder.build(TestDevice.REFERENCE.device())) {
                    float[][] actual = pass(norm, x.values(), dy.values(), x.shape(), layout);
                    float[][] expected = pass(reference, x.values(), dy.values(), x.shape(), layout);
                    String where = " of " + groups + " groups of " + x + " under " + on;
                    for (int c = 0; c < 9; c++) {
                        double[] wanted = x.holding(expected[1]).channel(c);
                        double[] y = x.holding(expected[0]).channel(c);
                        close("y" + where, x.holding(actual[0]).channel(c), y, 1);
                        // A channel's gradient is at most what the group's least spread gives.
                        double terms =
                                Arrays.stream(wanted).map(Math::abs).max().orElse(0);
                        close("dx" + where, x.holding(actual[1]).channel(c), wanted, 4 * terms);
                    }
                }
            }
        }
    }

    @OnEveryDevice
    void rows_ofAllMagnitudes_areWhatTheReferenceGives(TestDevice on) {
        int rows = 4 * MAGNITUDES.length + 5; // several to a work-group, and some to the last
        Shape shape = Shape.of(rows, ELEMENTS);
        float[] x = new float[rows * ELEMENTS];
        float[] dy = new float[x.length];
        Random random = new Random(5);
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) (MAGNITUDES[i / ELEMENTS % MAGNITUDES.length] * (random.nextGaussian() + 0.5) / 4);
            dy[i] = (float) random.nextGaussian();
        }
        for (int kind = 0; kind < 4; kind++) {
            try (Normalizer norm = row(kind, rows, on.device());
                    Normalizer reference = row(kind, rows, TestDevice.REFERENCE.device())) {
                float[][] actual = pass(norm, x, dy, shape, Layout.CHANNELS_FIRST);
                float[][] expected = pass(reference, x, dy, shape, Layout.CHANNELS_FIRST);
                for (int r = 0; r < rows; r++) {
                    String where = " of row " + r + " of " + norm + " under " + on;
                    close("y" + where, slice(actual[0], r), slice(expected[0], r), 0);
                    close("dx" + where, slice(actual[1], r), slice(expected[1], r), 0);
                }
                for (int i = 2; i < actual.length; i++) {
                    close(
                            "a parameter's gradient under " + on,
                            Closeness.wide(actual[i]),
                            Closeness.wide(expected[i]),
                            1);
                }
            }
        }
    }

    /** Layer, RMS, weight and L2 norm. */
    private static Normalizer row(int kind, int rows, Device device) {
        return switch (kind) {
            case 0 -> LayerNorm.builder(ELEMENTS).epsilon(0).build(device);
            case 1 -> RmsNorm.builder(ELEMENTS).epsilon(0).build(device);
            case 2 -> WeightNorm.builder(rows).build(device);
            default -> L2Norm.builder().epsilon(1e-37).build(device);
        };
    }

    @OnEveryDevice
    void rows_ofOneValueEach_areShiftWhateverRoundingsLeaveOfTheVariance(TestDevice on) {
        int length = 1023;
        float[] x = new float[20 * length];
        for (int i = 0; i < x.length; i++) {
            x[i] = 0.1f + i / length * 1.7f;
        }
        try (LayerNorm norm = LayerNorm.builder(length).build(on.device())) {
            float[] y = pass(norm, x, null, Shape.of(20, length), Layout.CHANNELS_FIRST)[0];
            Closeness.assertWithin("y under " + on, y, new double[y.length], 1e-3);
        }
    }

    @OnEveryDevice
    void rows_withAnInfinity_areNanThereAndZeroElsewhere(TestDevice on) {
        int rows = 4;
        float[] x = new float[rows * ELEMENTS];
        for (int i = 0; i < x.length; i++) {
            x[i] = i % 7 - 2.5f;
        }
        x[ELEMENTS + 5] = Float.POSITIVE_INFINITY;
        x[2 * ELEMENTS + 36] = Float.NEGATIVE_INFINITY;
        x[3 * ELEMENTS] = Float.POSITIVE_INFINITY;
        x[3 * ELEMENTS + 1] = Float.NaN;
        float[] dy = new float[x.length];
        Arrays.fill(dy, 1);
        for (int kind = 1; kind < 4; kind++) {
            try (Normalizer norm = row(kind, rows, on.device());
                    Normalizer reference = row(kind, rows, TestDevice.REFERENCE.device())) {
                float[][] actual = pass(norm, x, dy, Shape.of(rows, ELEMENTS), Layout.CHANNELS_FIRST);
                float[][] expected = pass(reference, x, dy, Shape.of(rows, ELEMENTS), Layout.CHANNELS_FIRST);
                for (int i = ELEMENTS; i < 3 * ELEMENTS; i++) {
                    float y = i == ELEMENTS + 5 || i == 2 * ELEMENTS + 36 ? Float.NaN : 0;
                    assertThat(actual[0][i] + 0)
                            .as("element %s under %s", i, on)
                            .isEqualTo(Float.valueOf(y));
                    assertThat(actual[1][i])
                            .as("gradient of element %s under %s", i, on)
                            .isNaN();
                }
                for (int i = 0; i < actual.length; i++) {
                    assertSamePattern("array " + i + " under " + on, actual[i], expected[i]);
                }
            }
        }
    }

    @OnEveryDevice
    void backward_ofAnInfiniteGradient_isInfiniteWhereTheReferenceIs(TestDevice on) {
        for (Layout layout : Layout.values()) {
            Batch x = Batch.random(Shape.of(50, 5, 3, 3), layout, 6);
            Batch dy = Batch.gradient(x.shape(), layout, 7)
                    .with(1, 17, Float.POSITIVE_INFINITY)
                    .with(2, 400, Float.NEGATIVE_INFINITY)
                    .with(4, 0, Float.NaN);
            try (BatchNorm norm = BatchNorm.builder(5).build(on.device());
                    BatchNorm reference = BatchNorm.builder(5).build(TestDevice.REFERENCE.device())) {
                Step actual = Step.of(norm, x, null, dy);
                Step expected = Step.of(reference, x, null, dy);
                assertThat(expected.dgamma()[1]).isInfinite();
                assertSamePattern("dgamma under " + on, actual.dgamma(), expected.dgamma());
                assertSamePattern("dbeta under " + on, actual.dbeta(), expected.dbeta());
            }
        }
    }

    @OnEveryDevice
    void eval_ofVarianceZeroAndEpsilonZero_isInfiniteOrNanAsOnTheReference(TestDevice on) {
        Batch x = Batch.of(Shape.of(3, 2), Layout.CHANNELS_FIRST, new double[][] {{1, 2, 3}, {-1, 5, 2}});
        for (TestDevice each : List.of(on, TestDevice.REFERENCE)) {
            try (BatchNorm norm = BatchNorm.builder(2).epsilon(0).build(each.device())) {
                norm.runningMean().orElseThrow().upload(new float[] {2, 2});
                norm.runningVariance().orElseThrow().upload(new float[] {0, 4});
                norm.eval();
                assertThat(pass(norm, x.values(), null, x.shape(), x.layout())[0])
                        .as("under %s", each)
                        .containsExactly(Float.NEGATIVE_INFINITY, -1.5f, Float.NaN, 1.5f, Float.POSITIVE_INFINITY, 0);
            }
        }
    }

    @OnEveryDevice
    void running_ofAWeightOfOne_holdNothingOfWhatTheyWere(TestDevice on) {
        Batch x = Batch.of(Shape.of(2, 1), Layout.CHANNELS_FIRST, new double[][] {{1, 3}});
        try (BatchNorm norm = BatchNorm.builder(1)
                .runningAverage(RunningAverage.exponential(1))
                .build(on.device())) {
            norm.runningMean().orElseThrow().upload(new float[] {Float.NaN});
            norm.runningVariance().orElseThrow().upload(new float[] {Float.POSITIVE_INFINITY});
            Step step = Step.of(norm, x, null, x);
            assertThat(step.runningMean()).containsExactly(2);
            assertThat(step.runningVariance()).containsExactly(2);
        }
    }

    @OnEveryDevice
    void batchOnSeveralDevices_ofAllMagnitudes_isWhatOneDeviceGives(TestDevice on) {
        Batch x = scaled(Batch.random(Shape.of(60, 9), Layout.CHANNELS_FIRST, 8, channel -> channel % 4));
        Batch dy = Batch.gradient(x.shape(), x.layout(), 9);
        try (BatchNorm norm = BatchNorm.builder(9).epsilon(0).build(on.device());
                BatchNorm reference = BatchNorm.builder(9).epsilon(0).build(TestDevice.REFERENCE.device());
                Tensor input = x.on(on.device());
                Tensor y = on.device().tensor(x.shape(), x.layout());
                Tensor gradient = dy.on(on.device());
                Tensor dx = on.device().tensor(x.shape(), x.layout());
                Tensor onReference = x.on(reference.device())) {
            ChannelMoments moments = norm.moments(input);
            ChannelMoments wanted = reference.moments(onReference);
            norm.forwardCombined(input, null, y, moments);
            norm.backwardCombined(gradient, dx, null, norm.gradientSums(gradient));
            Step expected = Step.of(reference, x, null, dy);
            for (int c = 0; c < 9; c++) {
                String where = " of channel " + c + " under " + on;
                assertThat(moments.squares()[c] / wanted.squares()[c])
                        .as("M2" + where)
                        .isBetween(1 - 5e-7, 1 + 5e-7);
                double spread = 1.0 / expected.savedInvstd()[c];
                close("mean" + where, new double[] {moments.mean()[c]}, new double[] {wanted.mean()[c]}, spread);
                close(
                        "y" + where,
                        x.holding(y.download()).channel(c),
                        x.holding(expected.y()).channel(c),
                        0);
                double terms = expected.savedInvstd()[c] * Closeness.largest(dy.channel(c));
                close(
                        "dx" + where,
                        x.holding(dx.download()).channel(c),
                        x.holding(expected.dx()).channel(c),
                        terms);
            }
        }
    }

    @OnEveryDevice
    void throw_ofAVariancePastFloat32_saysThatTheBatchIsFinite(TestDevice on) {
        Batch x = Batch.of(Shape.of(2, 1), Layout.CHANNELS_FIRST, new double[][] {{1e25, -1e25}});
        try (BatchNorm norm =
                BatchNorm.builder(1).nonFinite(NonFinitePolicy.THROW).build(on.device())) {
            assertThatThrownBy(() -> Step.of(norm, x, null, x))
                    .isInstanceOf(NonFiniteException.class)
                    .hasMessageContainingAll("channel 0", "not finite as float32", "mean 0.0", "E49");
        }
    }

    /** y and, with a dy, dx and the parameters' gradients. */
    private static float[][] pass(Normalizer norm, float[] x, float[] dy, Shape shape, Layout layout) {
        Device device = norm.device();
        try (Tensor input = device.upload(x, shape, layout);
                Tensor y = device.tensor(shape, layout);
                Tensor gradient = device.upload(dy == null ? x : dy, shape, layout);
                Tensor dx = device.tensor(shape, layout)) {
            norm.forward(input, y);
            if (dy == null) {
                return new float[][] {y.download()};
            }
            norm.backward(gradient, dx);
            return Stream.of(
                            Stream.of(y.download(), dx.download()),
                            norm.gamma().stream().map(p -> p.gradient().download()),
                            norm.beta().stream().map(p -> p.gradient().download()))
                    .flatMap(arrays -> arrays)
                    .toArray(float[][]::new);
        }
    }

    /** Within the promised bound of the largest, or of {@code scale} if larger; an infinity is close to itself. */
    private static void close(String what, double[] actual, double[] expected, double scale) {
        if (Arrays.stream(expected).allMatch(Double::isInfinite)) {
            assertThat(actual).as(what).isEqualTo(expected);
            return;
        }
        double least = Float.MIN_VALUE; // rounding to a subnormal number
        double largest = Math.max(Closeness.largest(expected), scale);
        Closeness.assertWithin(what, actual, expected, Math.max(Closeness.BOUND * largest, least));
    }

    private static double[] at(float[] values, int i) {
        return new double[] {values[i]};
    }

    private static double[] slice(float[] values, int row) {
        return Closeness.wide(Arrays.copyOfRange(values, row * ELEMENTS, (row + 1) * ELEMENTS));
    }

    private static void assertSamePattern(String what, float[] actual, float[] expected) {
        for (int i = 0; i < expected.length; i++) {
            if (Float.isFinite(expected[i])) {
                assertThat(actual[i]).as("%s, element %s", what, i).isFinite();
            } else {
                assertThat(actual[i]).as("%s, element %s", what, i).isEqualTo(Float.valueOf(expected[i]));
            }
        }
    }
}
