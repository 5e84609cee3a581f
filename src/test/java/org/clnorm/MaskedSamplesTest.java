package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.clnorm.Mask.Outside;

/**
 * Normalizations with statistics of each sample's own, and γ and β of each sample's own, over the steps that take part:
 * each sample is as the same layer has it of its valid steps alone, in a dense tensor.
 */
final class MaskedSamplesTest {
    private static final float BEFORE = 7;
    private static final MaskedBatch MASK =
            MaskedBatch.of(5, 37, i -> i < 37 || i >= 2 * 37 && i < 2 * 37 + 1 || i >= 3 * 37 && i * 5 % 7 < 4);

    private record Kind(String name, int channels, Function<Device, ChannelNormalizer> builder) {}

    private static List<Kind> kinds() {
        return List.of(
                new Kind("instance", 19, device -> InstanceNorm.builder(19)
                        .accumulateGradients(true)
                        .build(device)),
                new Kind("one channel", 1, device -> InstanceNorm.builder(1)
                        .accumulateGradients(true)
                        .build(device)),
                new Kind("group", 24, device -> GroupNorm.builder(3, 24)
                        .accumulateGradients(true)
                        .build(device)),
                new Kind("all channels", 6, device -> GroupNorm.builder(1, 6)
                        .accumulateGradients(true)
                        .build(device)));
    }

    private static void affine(Normalizer layer) {
        for (Parameter parameter : layer.parameters()) {
            float[] values = new float[(int) parameter.value().shape().elements()];
            for (int c = 0; c < values.length; c++) {
                values[c] = 0.5f + c % 3 * 0.4f;
            }
            parameter.value().upload(values);
        }
    }

    private static double[][] channels(Batch batch) {
        double[][] channels = new double[batch.channels()][];
        Arrays.setAll(channels, batch::channel);
        return channels;
    }

    /** What each sample's valid steps are to have, computed alone; another value at all other steps. */
    private static double[][] bySample(Batch like, Function<Integer, double[][]> ofSample, double outside) {
        double[][] all = new double[like.channels()][];
        for (int c = 0; c < all.length; c++) {
            double[] packed = new double[MASK.count()];
            int at = 0;
            for (int n = 0; n < MASK.samples(); n++) {
                for (double value : ofSample.apply(n)[c]) {
                    packed[at++] = value;
                }
            }
            all[c] = MASK.unpacked(packed, outside);
        }
        return all;
    }

    @OnEveryDevice
    void ofSamples_eachIsThatOfItsValidStepsPacked(TestDevice on) {
        for (Kind kind : kinds()) {
            check(on.device(), kind, Layout.CHANNELS_FIRST, Outside.ZERO);
            check(on.device(), kind, Layout.CHANNELS_LAST, Outside.UNTOUCHED);
        }
    }

    private static void check(Device device, Kind kind, Layout layout, Outside outside) {
        Shape shape = Shape.of(5, kind.channels, 37);
        Batch x = Batch.random(shape, layout, 1);
        Batch dy = Batch.gradient(shape, layout, 2);
        double[][][] y = new double[5][][];
        double[][][] dx = new double[5][][];
        float[] dgamma;
        float[] dbeta;
        try (ChannelNormalizer dense = kind.builder.apply(device)) {
            affine(dense);
            float[] beta = dense.beta().orElseThrow().value().download();
            for (int n = 0; n < 5; n++) {
                Batch own = MASK.packed(x, n, n + 1);
                if (MASK.count(n, n + 1) < 2) {
                    int few = MASK.count(n, n + 1);
                    y[n] = new double[kind.channels][few];
                    dx[n] = new double[kind.channels][few];
                    for (int c = 0; c < kind.channels; c++) {
                        Arrays.fill(y[n][c], beta[c]);
                    }
                    continue;
                }
                try (Tensor input = own.on(device);
                        Tensor gradient = MASK.packed(dy, n, n + 1).on(device);
                        Tensor out = dense.forward(input);
                        Tensor back = dense.backward(gradient)) {
                    y[n] = channels(own.holding(out.download()));
                    dx[n] = channels(own.holding(back.download()));
                }
            }
            dgamma = dense.gamma().orElseThrow().gradient().download();
            dbeta = dense.beta().orElseThrow().gradient().download();
        }
        double[] dbetas = Closeness.wide(dbeta);
        for (int c = 0; c < dbetas.length; c++) {
            dbetas[c] += MASK.packed(dy, 2, 3).channel(c)[0]; // where y is beta
        }
        double around = outside == Outside.ZERO ? 0 : BEFORE;
        try (ChannelNormalizer layer = kind.builder.apply(device);
                Mask mask = MASK.on(device, outside);
                Tensor input = MASK.around(x, Float.NaN).on(device);
                Tensor gradient = MASK.around(dy, Float.NaN).on(device);
                Tensor out = device.tensor(shape, layout)) {
            affine(layer);
            layer.mask(mask);
            out.fill(BEFORE);
            layer.forward(input, out);
            String name = kind.name + " " + layout;
            assertNear(name + ", y", x.holding(out.download()), bySample(x, n -> y[n], around));
            out.fill(BEFORE);
            layer.backward(gradient, out);
            assertNear(name + ", dx", x.holding(out.download()), bySample(x, n -> dx[n], around));
            assertNear(name + ", dgamma", layer.gamma().orElseThrow().gradient(), Closeness.wide(dgamma));
            assertNear(name + ", dbeta", layer.beta().orElseThrow().gradient(), dbetas);
        }
    }

    private static void assertNear(String what, Batch actual, double[][] expected) {
        double largest =
                Arrays.stream(expected).mapToDouble(Closeness::largest).max().orElseThrow();
        for (int c = 0; c < expected.length; c++) {
            Closeness.assertWithin(what + ", channel " + c, actual.channel(c), expected[c], 2e-6 * largest);
        }
    }

    private static void assertNear(String what, Tensor actual, double[] expected) {
        Closeness.assertWithin(what, actual.download(), expected, 2e-6 * Closeness.largest(expected));
    }

    /** A sample with one valid step has no variance, and what that step holds says nothing of the others. */
    @OnEveryDevice
    void instanceNorm_runningStatistics_areAveragesOverSamplesWithAtLeastTwoSteps(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(5, 19, 37);
        for (Layout layout : Layout.values()) {
            for (RunningVariance estimate : RunningVariance.values()) {
                for (float ofOne : new float[] {1, 1e38f, Float.NaN}) {
                    Batch x = Batch.random(shape, layout, 3);
                    double[] mean = new double[19];
                    double[] variance = new double[19];
                    for (int n = 0; n < 5; n++) {
                        double m = MASK.count(n, n + 1);
                        for (int c = 0; c < 19 && m > 1; c++) {
                            double[] values = MASK.packed(x, n, n + 1).channel(c);
                            mean[c] += 0.1 * Formulas.mean(values) / 3;
                            variance[c] += 0.1
                                    * Formulas.variance(values)
                                    / 3
                                    * (estimate == RunningVariance.UNBIASED ? m / (m - 1) : 1);
                        }
                    }
                    for (int c = 0; c < 19; c++) {
                        variance[c] += 0.9;
                        x = x.with(c, 2 * 37, ofOne);
                    }
                    try (InstanceNorm norm = InstanceNorm.builder(19)
                                    .runningAverage(RunningAverage.exponential(0.1))
                                    .runningVariance(estimate)
                                    .build(device);
                            Mask mask = MASK.on(device, Outside.ZERO);
                            Tensor input = MASK.around(x, Float.NaN).on(device);
                            Tensor y = device.tensor(shape, layout)) {
                        norm.mask(mask);
                        norm.forward(input, y);
                        Closeness.assertClose(
                                "mean", norm.runningMean().orElseThrow().download(), mean);
                        Closeness.assertClose(
                                "variance beside " + ofOne,
                                norm.runningVariance().orElseThrow().download(),
                                variance);
                        assertThat(norm.batchesTracked()).isEqualTo(1);
                    }
                }
            }
        }
    }

    /** A batch in which no sample has two steps leaves the running statistics as they are. */
    @OnEveryDevice
    void instanceNorm_ofNothingToAverage_tracksNothing(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(3, 4, 6);
        Batch x = Batch.random(shape, Layout.CHANNELS_FIRST, 4);
        try (InstanceNorm norm = InstanceNorm.builder(4)
                        .runningAverage(RunningAverage.cumulative())
                        .build(device);
                Mask mask = Mask.of(device, 3, 6, Outside.ZERO);
                Tensor input = x.on(device);
                Tensor y = device.tensor(shape, Layout.CHANNELS_FIRST)) {
            norm.mask(mask);
            mask.setLengths(1, 0, 1);
            norm.forward(input, y);
            assertThat(norm.runningMean().orElseThrow().download()).containsOnly(0);
            assertThat(norm.runningVariance().orElseThrow().download()).containsOnly(1);
            assertThat(y.download()).containsOnly(0);
            mask.setLengths(0, 6, 0);
            norm.forward(input, y);
            double[] mean = new double[4];
            Arrays.setAll(mean, c -> Formulas.mean(Arrays.copyOfRange(x.channel(c), 6, 12)));
            Closeness.assertClose(
                    "the first batch that enters",
                    norm.runningMean().orElseThrow().download(),
                    mean);
        }
    }

    /** γ and β of each sample, with the statistics of the batch and with those of samples. */
    @OnEveryDevice
    void affineOfSamples_isByTheValidSteps(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(5, 6, 37);
        for (Layout layout : Layout.values()) {
            for (ChannelNormalizer layer : List.of(
                    BatchNorm.builder(6).build(device),
                    InstanceNorm.builder(6).build(device),
                    GroupNorm.builder(2, 6).build(device))) {
                checkAffineOfSamples(layer, shape, layout);
            }
        }
    }

    /** The same is had from the layer without γ and β, times γ of the sample and β added. */
    private static void checkAffineOfSamples(ChannelNormalizer layer, Shape shape, Layout layout) {
        Device device = layer.device();
        Batch x = Batch.random(shape, layout, 5);
        Batch dy = Batch.gradient(shape, layout, 6);
        float[] gammas = new float[30];
        float[] betas = new float[30];
        for (int i = 0; i < 30; i++) {
            gammas[i] = 0.5f + i % 7 * 0.25f;
            betas[i] = i % 5 * 0.1f;
        }
        Shape perSample = Shape.of(5, 6);
        try (layer;
                Mask mask = MASK.on(device, Outside.ZERO);
                Tensor input = MASK.around(x, Float.NaN).on(device);
                Tensor gradient = MASK.around(dy, Float.NaN).on(device);
                Tensor y = device.tensor(shape, layout);
                Tensor plain = device.tensor(shape, layout);
                Tensor dx = device.tensor(shape, layout);
                Tensor gamma = device.upload(gammas, perSample, Layout.CHANNELS_FIRST);
                Tensor beta = device.upload(betas, perSample, Layout.CHANNELS_FIRST);
                Tensor dgamma = device.tensor(perSample, Layout.CHANNELS_FIRST);
                Tensor dbeta = device.tensor(perSample, Layout.CHANNELS_FIRST)) {
            layer.mask(mask);
            layer.forward(input, plain);
            layer.forward(input, null, y, new SampleAffine(gamma, beta));
            layer.backward(gradient, dx, null, new SampleAffine(dgamma, dbeta));
            float[] foundGamma = dgamma.download();
            float[] foundBeta = dbeta.download();
            Batch ys = x.holding(y.download());
            Batch normalized = x.holding(plain.download());
            double[][] scaled = new double[6][5 * 37]; // dy times gamma, of which dx is the plain layer's
            for (int c = 0; c < 6; c++) {
                double[] found = ys.channel(c);
                double[] of = normalized.channel(c);
                double[] dys = dy.channel(c);
                for (int n = 0; n < 5; n++) {
                    double sum = 0;
                    double product = 0;
                    for (int i = n * 37; i < (n + 1) * 37; i++) {
                        double expected = MASK.valid()[i] ? of[i] * gammas[n * 6 + c] + betas[n * 6 + c] : 0;
                        assertThat(Math.abs(found[i] - expected)).as("y").isLessThan(5e-6);
                        sum += MASK.valid()[i] ? dys[i] : 0;
                        product += MASK.valid()[i] ? dys[i] * of[i] : 0;
                        scaled[c][i] = dys[i] * gammas[n * 6 + c];
                    }
                    assertThat(Math.abs(foundBeta[n * 6 + c] - sum)).as("dbeta").isLessThan(5e-5);
                    assertThat(Math.abs(foundGamma[n * 6 + c] - product))
                            .as("dgamma")
                            .isLessThan(5e-5);
                }
            }
            float[] found = dx.download();
            try (Tensor ofPlain = Batch.of(shape, layout, scaled).on(device)) {
                layer.forward(input, plain);
                layer.backward(ofPlain, dx);
            }
            Closeness.assertWithin("dx", found, Closeness.wide(dx.download()), 5e-6);
        }
    }
}
