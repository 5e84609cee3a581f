package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.DoubleSupplier;
import java.util.function.Function;
import org.clnorm.Mask.Outside;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Masks where statistics come from elsewhere: parts of a batch, a population, running ones; and gradients by differences. */
final class MaskedPartsTest {
    private static final int CHANNELS = 19;
    private static final int STEPS = 21;
    private static final MaskedBatch MASK = MaskedBatch.of(4, STEPS, i -> i >= STEPS && i * 3 % 7 < 2);

    private static Batch samples(Batch batch, int from, int to) {
        double[][] channels = new double[batch.channels()][];
        Arrays.setAll(channels, c -> Arrays.copyOfRange(batch.channel(c), from * STEPS, to * STEPS));
        return Batch.of(Shape.of(to - from, CHANNELS, STEPS), batch.layout(), channels);
    }

    private static MaskedBatch samples(int from, int to) {
        return new MaskedBatch(to - from, STEPS, Arrays.copyOfRange(MASK.valid(), from * STEPS, to * STEPS));
    }

    private static double[][] around(MaskedBatch mask, double[][] packed) {
        return Arrays.stream(packed).map(channel -> mask.unpacked(channel, 0)).toArray(double[][]::new);
    }

    /** A part of which nothing takes part, and one of which few steps do, are as the valid steps of both in one tensor. */
    @OnEveryDevice
    void parts_areThatOfTheValidStepsOfAll(TestDevice on) {
        Device device = on.device();
        for (Layout layout : Layout.values()) {
            Batch x = Batch.random(Shape.of(4, CHANNELS, STEPS), layout, 1);
            Batch dy = Batch.gradient(x.shape(), layout, 2);
            Formulas packed = Formulas.of(new Formulas.Given(
                    MASK.packed(x), null, MASK.packed(dy), null, null, Activation.NONE, 1e-5, null, null));
            try (BatchNorm first = BatchNorm.builder(CHANNELS).build(device);
                    BatchNorm second = BatchNorm.builder(CHANNELS).build(device);
                    Mask ofFirst = samples(0, 1).on(device, Outside.ZERO);
                    Mask ofSecond = samples(1, 4).on(device, Outside.ZERO);
                    Tensor x1 =
                            samples(0, 1).around(samples(x, 0, 1), Float.NaN).on(device);
                    Tensor x2 =
                            samples(1, 4).around(samples(x, 1, 4), Float.NaN).on(device);
                    Tensor dy1 =
                            samples(0, 1).around(samples(dy, 0, 1), Float.NaN).on(device);
                    Tensor dy2 =
                            samples(1, 4).around(samples(dy, 1, 4), Float.NaN).on(device);
                    Tensor y1 = device.tensor(x1.shape(), layout);
                    Tensor y2 = device.tensor(x2.shape(), layout)) {
                first.mask(ofFirst);
                second.mask(ofSecond);
                ChannelMoments none = first.moments(x1);
                assertThat(none.count()).isZero();
                ChannelMoments all = ChannelMoments.combine(List.of(none, second.moments(x2)));
                assertThat(all.count()).isEqualTo(MASK.count());
                first.forwardCombined(x1, null, y1, all);
                second.forwardCombined(x2, null, y2, all);
                assertThat(y1.download()).containsOnly(0);
                Batch ofY2 = samples(x, 1, 4).holding(y2.download());
                Closeness.assertClose("y", ofY2, around(samples(1, 4), packed.y()), 0);
                GradientSums sums = GradientSums.combine(List.of(first.gradientSums(dy1), second.gradientSums(dy2)));
                assertThat(sums.count()).isEqualTo(MASK.count());
                first.backwardCombined(dy1, y1, null, sums);
                second.backwardCombined(dy2, y2, null, sums);
                assertThat(y1.download()).containsOnly(0);
                Batch ofDx2 = samples(x, 1, 4).holding(y2.download());
                Closeness.assertClose("dx", ofDx2, around(samples(1, 4), packed.dx()), packed.largestTerm());
                assertThat(first.gamma().orElseThrow().gradient().download()).containsOnly(0);
                Closeness.assertClose(
                        "dgamma", second.gamma().orElseThrow().gradient().download(), packed.dgamma());
                Closeness.assertClose(
                        "dbeta", second.beta().orElseThrow().gradient().download(), packed.dbeta());
                for (BatchNorm each : List.of(first, second)) {
                    Closeness.assertClose(
                            "running mean",
                            each.runningMean().orElseThrow().download(),
                            Arrays.stream(packed.mean()).map(v -> 0.1 * v).toArray());
                }
            }
        }
    }

    @OnEveryDevice
    void population_isOfTheValidStepsOfItsBatches(TestDevice on) {
        Device device = on.device();
        Batch x = Batch.random(Shape.of(4, CHANNELS, STEPS), Layout.CHANNELS_LAST, 3);
        Batch more = Batch.random(Shape.of(4, CHANNELS, STEPS), Layout.CHANNELS_LAST, 4);
        MaskedBatch lengths = MaskedBatch.ofLengths(STEPS, 5, 0, 21, 1);
        double[] mean = new double[CHANNELS];
        double[] variance = new double[CHANNELS];
        double m = MASK.count() + lengths.count();
        for (int c = 0; c < CHANNELS; c++) {
            double[] both = Arrays.copyOf(MASK.packed(x).channel(c), (int) m);
            System.arraycopy(lengths.packed(more).channel(c), 0, both, MASK.count(), lengths.count());
            mean[c] = Formulas.mean(both);
            variance[c] = Formulas.variance(both) * m / (m - 1);
        }
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Mask mask = MASK.on(device, Outside.ZERO);
                Tensor first = MASK.around(x, Float.NaN).on(device);
                Tensor second = lengths.around(more, Float.NaN).on(device)) {
            norm.mask(mask);
            PopulationStatistics population = PopulationStatistics.over(norm);
            population.observe(norm, first);
            lengths.set(mask);
            population.observe(norm, second);
            population.apply();
            Closeness.assertClose("mean", norm.runningMean().orElseThrow().download(), mean);
            Closeness.assertClose(
                    "variance", norm.runningVariance().orElseThrow().download(), variance);
        }
    }

    /** By a batch of which nothing takes part the statistics are the running ones. */
    @OnEveryDevice
    void evalAdapted_mixesInTheStatisticsOfTheValidSteps(TestDevice on) {
        Device device = on.device();
        Layout layout = Layout.CHANNELS_FIRST;
        Batch x = Batch.random(Shape.of(4, CHANNELS, STEPS), layout, 5);
        Formulas batch = Formulas.of(new Formulas.Given(
                MASK.packed(x), null, MASK.packed(x), null, null, Activation.NONE, 1e-5, null, null));
        float[] mean = new float[CHANNELS];
        float[] variance = new float[CHANNELS];
        for (int c = 0; c < CHANNELS; c++) {
            mean[c] = (float) (0.25 * batch.mean()[c]);
            variance[c] = (float) (0.75 + 0.25 * batch.variance()[c]);
        }
        Formulas mixed = Formulas.of(new Formulas.Given(
                MASK.packed(x), null, MASK.packed(x), null, null, Activation.NONE, 1e-5, mean, variance));
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Mask mask = MASK.on(device, Outside.ZERO);
                Tensor input = MASK.around(x, Float.NaN).on(device);
                Tensor y = device.tensor(x.shape(), layout)) {
            norm.mask(mask);
            norm.evalAdapted(0.25);
            norm.forward(input, y);
            float[] found = y.download();
            double[][] expected = around(MASK, mixed.y());
            for (int c = 0; c < CHANNELS; c++) {
                Closeness.assertWithin("y", x.holding(found).channel(c), expected[c], 5e-6);
            }
            mask.setLengths(0, 0, 0, 0);
            norm.forward(input, y);
            assertThat(y.download()).containsOnly(0);
            norm.backward(input, y);
            assertThat(y.download()).containsOnly(0);
            assertThat(norm.gamma().orElseThrow().gradient().download()).containsOnly(0);
        }
    }

    @OnEveryDevice
    void batchRenorm_isThatOfTheValidStepsPacked(TestDevice on) {
        Device device = on.device();
        for (Layout layout : Layout.values()) {
            Batch x = Batch.random(Shape.of(4, CHANNELS, STEPS), layout, 6);
            Batch dy = Batch.gradient(x.shape(), layout, 7);
            Function<Device, BatchNorm> builder = of -> BatchNorm.builder(CHANNELS)
                    .renormalization(RenormalizationSchedule.constant(1.5, 0.4))
                    .build(of);
            try (BatchNorm norm = builder.apply(device);
                    BatchNorm dense = builder.apply(device);
                    Mask mask = MASK.on(device, Outside.ZERO);
                    Tensor input = MASK.around(x, Float.NaN).on(device);
                    Tensor gradient = MASK.around(dy, Float.NaN).on(device);
                    Tensor y = device.tensor(x.shape(), layout);
                    Tensor packedX = MASK.packed(x).on(device);
                    Tensor packedDy = MASK.packed(dy).on(device);
                    Tensor packedY = dense.forward(packedX);
                    Tensor packedDx = dense.backward(packedDy)) {
                norm.mask(mask);
                norm.forward(input, y);
                assertNear("y", x.holding(y.download()), MASK.packed(x).holding(packedY.download()));
                norm.backward(gradient, y);
                assertNear("dx", x.holding(y.download()), MASK.packed(x).holding(packedDx.download()));
                for (int i = 0; i < 2; i++) {
                    double[] expected =
                            Closeness.wide(dense.parameters().get(i).gradient().download());
                    Closeness.assertWithin(
                            "gradient",
                            norm.parameters().get(i).gradient().download(),
                            expected,
                            2e-6 * Closeness.largest(expected));
                }
            }
        }
    }

    private static void assertNear(String what, Batch found, Batch packed) {
        for (int c = 0; c < found.channels(); c++) {
            double[] expected = MASK.unpacked(packed.channel(c), 0);
            Closeness.assertWithin(what, found.channel(c), expected, 2e-6 * Math.max(1, Closeness.largest(expected)));
        }
    }

    static List<Function<Device, Normalizer>> layers() {
        return List.of(
                device -> BatchNorm.builder(4).activation(Activation.TANH).build(device),
                device -> InstanceNorm.builder(4).build(device),
                device -> GroupNorm.builder(2, 4).activation(Activation.SILU).build(device),
                device -> LayerNorm.builder(4, 5).build(device),
                device -> RmsNorm.builder(4, 5).build(device));
    }

    /** On the reference, which the kernels are compared with. */
    @ParameterizedTest
    @MethodSource("layers")
    void gradients_areFiniteDifferences(Function<Device, Normalizer> builder) {
        Device device = Device.cpuReference();
        Random random = new Random(8);
        Shape shape = Shape.of(3, 4, 5);
        float[] x = normal(random, 60);
        float[] dy = normal(random, 60);
        try (device;
                Normalizer layer = builder.apply(device);
                Mask mask = Mask.of(device, 3, layer instanceof RowNormalizer ? 1 : 5, Outside.ZERO);
                Tensor input = device.upload(x, shape, Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(shape, Layout.CHANNELS_FIRST);
                Tensor gradient = device.upload(dy, shape, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(shape, Layout.CHANNELS_FIRST)) {
            if (layer instanceof RowNormalizer rows) {
                mask.setLengths(1, 0, 1);
                rows.mask(mask);
            } else {
                mask.setLengths(4, 1, 3);
                ((ChannelNormalizer) layer).mask(mask);
            }
            for (Parameter parameter : layer.parameters()) {
                parameter.value().upload(normal(random, (int)
                        parameter.value().shape().elements()));
            }
            layer.forward(input, y);
            layer.backward(gradient, dx);
            assertDifferences("x", input, dx.download(), () -> loss(layer, input, y, dy));
            for (Parameter parameter : layer.parameters()) {
                float[] found = parameter.gradient().download();
                assertDifferences(parameter.toString(), parameter.value(), found, () -> loss(layer, input, y, dy));
            }
        }
    }

    private static float[] normal(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static double loss(Normalizer layer, Tensor x, Tensor y, float[] dy) {
        layer.forward(x, y);
        float[] out = y.download();
        double loss = 0;
        for (int i = 0; i < out.length; i++) {
            loss += out[i] * (double) dy[i];
        }
        return loss;
    }

    private static void assertDifferences(String what, Tensor of, float[] gradient, DoubleSupplier loss) {
        float[] values = of.download();
        double step = 0x1p-8;
        double largest = Closeness.largest(Closeness.wide(gradient));
        for (int i = 0; i < values.length; i++) {
            float[] moved = values.clone();
            moved[i] = (float) (values[i] + step);
            of.upload(moved);
            double above = loss.getAsDouble();
            double wide = moved[i];
            moved[i] = (float) (values[i] - step);
            of.upload(moved);
            double difference = (above - loss.getAsDouble()) / (wide - moved[i]);
            assertThat((double) gradient[i]).as("%s at %d", what, i).isCloseTo(difference, within(2e-3 * largest));
        }
        of.upload(values);
    }

    /** An observer sees a mask's moments as they are. */
    @Test
    void moments_areOfTheValidSteps() {
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(1).build(device);
                Mask mask = Mask.of(device, 2, 3, Outside.ZERO);
                Tensor x = device.upload(
                        new float[] {1, 3, 100, Float.NaN, 5, -7}, Shape.of(2, 1, 3), Layout.CHANNELS_FIRST)) {
            mask.setBytes((byte) 1, (byte) 1, (byte) 0, (byte) 0, (byte) 1, (byte) 0);
            norm.mask(mask);
            ChannelMoments moments = norm.moments(x);
            assertThat(moments.count()).isEqualTo(3);
            assertThat(moments.mean()).containsExactly(3);
            assertThat(moments.squares()).containsExactly(8);
        }
    }
}
