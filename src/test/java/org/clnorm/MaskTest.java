package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.List;
import org.clnorm.Mask.Outside;
import org.junit.jupiter.api.Test;

/**
 * Batch normalization of the steps that take part, which is that of the same values in a dense tensor. The values of the
 * other steps are NaN, so that one that enters anywhere shows.
 */
final class MaskTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final Layout LAST = Layout.CHANNELS_LAST;
    private static final float BEFORE = 7;

    /** @param residual whether there is one, and ReLU after it */
    private record Case(Shape shape, Layout layout, MaskedBatch mask, Outside outside, boolean residual) {}

    private static List<Case> cases() {
        MaskedBatch lengths = MaskedBatch.ofLengths(37, 37, 0, 1, 20, 9);
        MaskedBatch any = MaskedBatch.of(2, 60, i -> i * 7 % 11 < 6);
        MaskedBatch samples = MaskedBatch.of(40, 1, i -> i % 3 != 1);
        return List.of(
                new Case(Shape.of(5, 19, 37), FIRST, lengths, Outside.ZERO, true),
                new Case(Shape.of(5, 19, 37), LAST, lengths, Outside.UNTOUCHED, true),
                new Case(Shape.of(2, 3, 4, 15), FIRST, any, Outside.UNTOUCHED, false),
                new Case(Shape.of(2, 3, 3, 4, 5), LAST, any, Outside.ZERO, false),
                new Case(Shape.of(40, 21), FIRST, samples, Outside.ZERO, true),
                new Case(Shape.of(2, 1, 60), FIRST, any, Outside.ZERO, false),
                new Case(Shape.of(3, 2, 3001), FIRST, MaskedBatch.ofLengths(3001, 3001, 17, 1600), Outside.ZERO, false),
                new Case(
                        Shape.of(3, 2, 3001),
                        LAST,
                        MaskedBatch.of(3, 3001, i -> i > 3001 && i % 5 != 0),
                        Outside.ZERO,
                        false),
                new Case(Shape.of(2, 1, 60), LAST, any, Outside.UNTOUCHED, true),
                new Case(Shape.of(2, 1030, 60), LAST, any, Outside.ZERO, true));
    }

    private static double[][] around(MaskedBatch mask, double[][] packed, double outside) {
        return Arrays.stream(packed)
                .map(channel -> mask.unpacked(channel, outside))
                .toArray(double[][]::new);
    }

    private static void upload(Parameter parameter, float[] values) {
        parameter.value().upload(values);
    }

    private static float[] affine(int channels, double from) {
        float[] values = new float[channels];
        for (int c = 0; c < channels; c++) {
            values[c] = (float) (from + c % 3 * 0.4);
        }
        return values;
    }

    @OnEveryDevice
    void batchNorm_isThatOfTheValidStepsPacked(TestDevice on) {
        for (Case each : cases()) {
            check(on.device(), each);
        }
    }

    private static void check(Device device, Case of) {
        Shape shape = of.shape;
        MaskedBatch mask = of.mask;
        int channels = (int) shape.channels();
        Batch x = Batch.random(shape, of.layout, 1);
        Batch dy = Batch.gradient(shape, of.layout, 2);
        Batch residual = of.residual ? Batch.random(shape, of.layout, 3, c -> 0) : null;
        float[] gamma = affine(channels, 0.5);
        float[] beta = affine(channels, -0.3);
        Activation activation = of.residual ? Activation.RELU : Activation.NONE;
        Formulas packed = Formulas.of(new Formulas.Given(
                mask.packed(x),
                of.residual ? mask.packed(residual) : null,
                mask.packed(dy),
                gamma,
                beta,
                activation,
                1e-5,
                null,
                null));
        double outside = of.outside == Outside.ZERO ? 0 : BEFORE;
        double m = mask.count();

        try (BatchNorm norm = BatchNorm.builder(channels).activation(activation).build(device);
                Mask given = mask.on(device, of.outside);
                Tensor input = mask.around(x, Float.NaN).on(device);
                Tensor added = of.residual ? mask.around(residual, Float.NaN).on(device) : null;
                Tensor gradient = mask.around(dy, Float.NaN).on(device);
                Tensor y = device.tensor(shape, of.layout);
                Tensor dx = device.tensor(shape, of.layout);
                Tensor dresidual = of.residual ? device.tensor(shape, of.layout) : null) {
            upload(norm.gamma().orElseThrow(), gamma);
            upload(norm.beta().orElseThrow(), beta);
            norm.mask(given);
            y.fill(BEFORE);
            dx.fill(BEFORE);
            if (of.residual) {
                dresidual.fill(BEFORE);
            }
            norm.forward(input, added, y);
            norm.backward(gradient, dx, dresidual);

            String name = of.toString();
            Closeness.assertClose(name + ", y", x.holding(y.download()), around(mask, packed.y(), outside), 0);
            Closeness.assertClose(
                    name + ", dx", x.holding(dx.download()), around(mask, packed.dx(), outside), packed.largestTerm());
            if (of.residual) {
                Closeness.assertClose(
                        name + ", dresidual",
                        x.holding(dresidual.download()),
                        around(mask, packed.dresidual(), outside),
                        0);
            }
            Closeness.assertClose(
                    "dgamma", norm.gamma().orElseThrow().gradient().download(), packed.dgamma());
            // A sum whose terms, of magnitude 2 and more, come to less than 1: with vectors of eight 6.0e-7 off by its
            // own.
            double largest =
                    java.util.Arrays.stream(packed.dbeta()).map(Math::abs).max().orElse(0);
            Closeness.assertWithin(
                    "dbeta",
                    norm.beta().orElseThrow().gradient().download(),
                    packed.dbeta(),
                    Closeness.BOUND * Math.max(2, largest));
            Closeness.assertClose("mean", norm.savedMean().download(), packed.mean());
            Closeness.assertClose("invstd", norm.savedInverseStandardDeviation().download(), packed.invstd());
            Closeness.assertClose(
                    "running mean",
                    norm.runningMean().orElseThrow().download(),
                    Arrays.stream(packed.mean()).map(v -> 0.1 * v).toArray());
            Closeness.assertClose(
                    "running variance",
                    norm.runningVariance().orElseThrow().download(),
                    Arrays.stream(packed.variance())
                            .map(v -> 0.9 + 0.1 * v * m / (m - 1))
                            .toArray());
        }
    }

    /** In place too, which evaluation allows; going back, the statistics are constants. */
    @OnEveryDevice
    void batchNorm_evaluated_isByRunningStatisticsWhereValid(TestDevice on) {
        Device device = on.device();
        for (Layout layout : Layout.values()) {
            for (Outside outside : Outside.values()) {
                Shape shape = Shape.of(3, 19, 21);
                MaskedBatch mask = MaskedBatch.of(3, 21, i -> i % 4 == 1);
                Batch x = Batch.random(shape, layout, 4);
                Batch dy = Batch.gradient(shape, layout, 5);
                float[] mean = affine(19, 0.25);
                float[] variance = affine(19, 2);
                Formulas packed = Formulas.of(new Formulas.Given(
                        mask.packed(x), null, mask.packed(dy), null, null, Activation.NONE, 1e-5, mean, variance));
                try (BatchNorm norm = BatchNorm.builder(19).build(device);
                        Mask given = mask.on(device, outside);
                        Tensor input = mask.around(x, Float.NaN).on(device);
                        Tensor inPlace = mask.around(x, BEFORE).on(device);
                        Tensor gradient = mask.around(dy, Float.NaN).on(device);
                        Tensor y = device.tensor(shape, layout);
                        Tensor dx = device.tensor(shape, layout)) {
                    norm.runningMean().orElseThrow().upload(mean);
                    norm.runningVariance().orElseThrow().upload(variance);
                    norm.mask(given);
                    norm.eval();
                    y.fill(BEFORE);
                    dx.fill(BEFORE);
                    norm.forward(input, y);
                    norm.backward(gradient, dx);
                    double around = outside == Outside.ZERO ? 0 : BEFORE;
                    Closeness.assertClose("y", x.holding(y.download()), around(mask, packed.y(), around), 0);
                    Closeness.assertClose("dx", x.holding(dx.download()), around(mask, packed.dx(), around), 0);
                    Closeness.assertClose(
                            "dgamma", norm.gamma().orElseThrow().gradient().download(), packed.dgamma());
                    Closeness.assertClose(
                            "dbeta", norm.beta().orElseThrow().gradient().download(), packed.dbeta());
                    norm.forward(inPlace, inPlace);
                    assertThat(inPlace.download()).as("in place").isEqualTo(y.download());
                    checkAffineOfSamples(norm, input, gradient, y, dx);
                }
            }
        }
    }

    /** γ = 1 and β = 0 of each sample change nothing, and their gradients are those of the layer's in parts. */
    private static void checkAffineOfSamples(BatchNorm norm, Tensor x, Tensor dy, Tensor y, Tensor dx) {
        Shape perSample = Shape.of(3, 19);
        double[] whole = Closeness.wide(norm.gamma().orElseThrow().gradient().download());
        float[] expectedY = y.download();
        float[] expectedDx = dx.download();
        try (Tensor gamma = norm.device().tensor(perSample, FIRST);
                Tensor dgamma = norm.device().tensor(perSample, FIRST)) {
            gamma.fill(1);
            y.fill(BEFORE);
            dx.fill(BEFORE);
            norm.forward(x, null, y, new SampleAffine(gamma, null));
            norm.backward(dy, dx, null, new SampleAffine(dgamma, null));
            Closeness.assertClose("y, gamma of samples", y.download(), Closeness.wide(expectedY));
            Closeness.assertClose("dx, gamma of samples", dx.download(), Closeness.wide(expectedDx));
            float[] parts = dgamma.download();
            for (int c = 0; c < 19; c++) {
                double sum = parts[c] + (double) parts[19 + c] + parts[38 + c];
                assertThat(sum).as("dgamma of samples").isCloseTo(whole[c], within(1e-6 * Closeness.largest(whole)));
            }
        }
    }

    @OnAFewDevices
    void batchNorm_of16Bits_isThatOfTheValidStepsPacked(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(4, 18, 21);
        MaskedBatch mask = MaskedBatch.ofLengths(21, 21, 3, 0, 16);
        for (DataType type : List.of(on.of16Bits())) {
            for (Layout layout : Layout.values()) {
                Batch x = Batch.random(shape, layout, 6);
                Batch dy = Batch.gradient(shape, layout, 7);
                try (BatchNorm norm = BatchNorm.builder(18).build(device);
                        Mask given = Mask.of(device, 4, 21, Outside.UNTOUCHED);
                        Tensor input = device.upload(mask.around(x, Float.NaN).values(), shape, layout, type);
                        Tensor gradient =
                                device.upload(mask.around(dy, Float.NaN).values(), shape, layout, type);
                        Tensor y = device.tensor(shape, layout, type);
                        Tensor dx = device.tensor(shape, layout, type)) {
                    Formulas packed = Formulas.of(new Formulas.Given(
                            mask.packed(x.holding(input.download())),
                            null,
                            mask.packed(x.holding(gradient.download())),
                            null,
                            null,
                            Activation.NONE,
                            1e-5,
                            null,
                            null));
                    given.setLengths(21, 3, 0, 16);
                    norm.mask(given);
                    y.fill(BEFORE);
                    dx.fill(BEFORE);
                    norm.forward(input, y);
                    norm.backward(gradient, dx);
                    double half = type == DataType.FLOAT16 ? 0x1p-11 : 0x1p-8; // a rounding
                    assertNear("y", x.holding(y.download()), around(mask, packed.y(), BEFORE), half);
                    assertNear("dx", x.holding(dx.download()), around(mask, packed.dx(), BEFORE), half);
                    Closeness.assertClose("mean", norm.savedMean().download(), packed.mean());
                    Closeness.assertClose(
                            "dgamma", norm.gamma().orElseThrow().gradient().download(), packed.dgamma());
                }
            }
        }
    }

    private static void assertNear(String what, Batch actual, double[][] expected, double relative) {
        double largest =
                Arrays.stream(expected).mapToDouble(Closeness::largest).max().orElseThrow();
        for (int c = 0; c < expected.length; c++) {
            double[] found = actual.channel(c);
            for (int i = 0; i < found.length; i++) {
                assertThat(found[i])
                        .as("%s at %d of channel %d", what, i, c)
                        .isCloseTo(expected[c][i], within(relative * Math.abs(expected[c][i]) + 1e-6 * largest));
            }
        }
    }

    /** Slices of which no step takes part say nothing of the units in which the moments of the others are. */
    @OnEveryDevice
    void batchNorm_ofValuesNearTheEndsOfTheRange_isThatOfTheValidSteps(TestDevice on) {
        Device device = on.device();
        for (double size : new double[] {1e-30, 1e30}) {
            for (Case of : List.of(cases().get(0), cases().get(1), cases().get(6), cases().get(7))) {
                MaskedBatch mask = of.mask;
                int channels = (int) of.shape.channels();
                Batch x = Batch.random(of.shape, of.layout, 8, c -> 0);
                Batch scaled = new Batch(of.shape, of.layout, x.values().clone());
                for (int i = 0; i < scaled.values().length; i++) {
                    scaled.values()[i] *= (float) size;
                }
                Formulas packed = Formulas.of(new Formulas.Given(
                        mask.packed(scaled), null, mask.packed(x), null, null, Activation.NONE, 0, null, null));
                try (BatchNorm norm = BatchNorm.builder(channels).epsilon(0).build(device);
                        Mask given = mask.on(device, Outside.ZERO);
                        Tensor input = mask.around(scaled, Float.NaN).on(device);
                        Tensor y = device.tensor(of.shape, of.layout)) {
                    norm.mask(given);
                    norm.forward(input, y);
                    Closeness.assertClose(size + " " + of, x.holding(y.download()), around(mask, packed.y(), 0), 0);
                }
            }
        }
    }

    /** A mask serves several layers, and says something else of the next batch. */
    @OnEveryDevice
    void mask_setAnew_isThatOfTheNextPasses(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(2, 5, 9);
        Batch x = Batch.random(shape, FIRST, 9);
        try (BatchNorm norm = BatchNorm.builder(5).build(device);
                BatchNorm other = BatchNorm.builder(5).build(device);
                Mask given = Mask.of(device, 2, 9, Outside.ZERO);
                Tensor input = x.on(device);
                Tensor y = device.tensor(shape, FIRST)) {
            norm.forward(input, y);
            float[] whole = y.download();
            norm.mask(given);
            other.mask(given);
            assertThat(given.count()).isEqualTo(18);
            norm.forward(input, y);
            for (int i = 0; i < whole.length; i++) {
                assertThat(y.download()[i]).isCloseTo(whole[i], within(1e-6f));
            }
            given.setLengths(3, 6);
            MaskedBatch mask = MaskedBatch.ofLengths(9, 3, 6);
            Formulas packed = Formulas.of(new Formulas.Given(
                    mask.packed(x), null, mask.packed(x), null, null, Activation.NONE, 1e-5, null, null));
            for (BatchNorm layer : List.of(norm, other)) {
                y.fill(BEFORE);
                layer.forward(input, y);
                Closeness.assertClose("y", x.holding(y.download()), around(mask, packed.y(), 0), 0);
            }
            assertThat(given.count()).isEqualTo(9);
            assertThat(given).hasToString("mask of 2 samples of 9 steps, of which 9 take part");
            norm.mask(null);
            norm.forward(input, y);
            assertThat(y.download()).isEqualTo(whole);
        }
    }

    /** A recorded pass goes back by the mask that it had, whatever the layer has since. */
    @Test
    void recordedPass_goesBackByItsOwnMask() {
        Device device = TestDevice.CPU_FUSED.device();
        Shape shape = Shape.of(2, 5, 9);
        Batch x = Batch.random(shape, FIRST, 10);
        try (BatchNorm norm = BatchNorm.builder(5).build(device);
                Mask given = Mask.of(device, 2, 9, Outside.ZERO);
                Mask next = Mask.of(device, 2, 9, Outside.ZERO);
                Tensor input = x.on(device);
                Tensor dy = Batch.gradient(shape, FIRST, 11).on(device);
                Tensor y = device.tensor(shape, FIRST);
                Tensor dx = device.tensor(shape, FIRST)) {
            given.setLengths(4, 8);
            next.setLengths(9, 1);
            norm.mask(given);
            norm.forward(input, y);
            norm.backward(dy, dx);
            float[] expected = dx.download();
            try (ForwardPass first = norm.record(input, y)) {
                norm.mask(next);
                try (ForwardPass second = norm.record(input, y)) {
                    norm.mask(null);
                    first.retain();
                    first.backward(dy, dx);
                    assertThat(dx.download()).isEqualTo(expected);
                    second.backward(dy, dx);
                    assertThat(dx.download()).isNotEqualTo(expected);
                    first.backward(dy, dx);
                    assertThat(dx.download()).isEqualTo(expected);
                }
            }
        }
    }

    /** Statistics enter by the fold, or, where the host looks first, after it. */
    @OnEveryDevice
    void runningStatistics_ofEachPolicy_areOfTheValidSteps(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(3, 19, 21);
        MaskedBatch mask = MaskedBatch.ofLengths(21, 4, 0, 12);
        Batch x = Batch.random(shape, FIRST, 12);
        for (NonFinitePolicy policy : NonFinitePolicy.values()) {
            try (BatchNorm norm = BatchNorm.builder(19)
                            .nonFinite(policy)
                            .runningAverage(RunningAverage.exponential(1))
                            .build(device);
                    Mask given = mask.on(device, Outside.ZERO);
                    Tensor input = mask.around(x, Float.NaN).on(device);
                    Tensor y = device.tensor(shape, FIRST)) {
                norm.mask(given);
                norm.forward(input, y);
                double[] mean = new double[19];
                double[] variance = new double[19];
                for (int c = 0; c < 19; c++) {
                    double[] values = mask.packed(x).channel(c);
                    mean[c] = Formulas.mean(values);
                    variance[c] = Formulas.variance(values) * 16 / 15;
                }
                Closeness.assertClose(
                        "mean, " + policy, norm.runningMean().orElseThrow().download(), mean);
                Closeness.assertClose(
                        "variance, " + policy,
                        norm.runningVariance().orElseThrow().download(),
                        variance);
            }
        }
    }

    /** What came past the layer is added wherever dx is written, and gradients to those that there were. */
    @OnEveryDevice
    void backwardAdding_accumulating_isTheSumOfBoth(TestDevice on) {
        Device device = on.device();
        for (Layout layout : Layout.values()) {
            Shape shape = Shape.of(3, 19, 21);
            MaskedBatch mask = MaskedBatch.ofLengths(21, 4, 0, 12);
            Batch x = Batch.random(shape, layout, 13);
            Batch dy = Batch.gradient(shape, layout, 14);
            Formulas packed = Formulas.of(new Formulas.Given(
                    mask.packed(x), null, mask.packed(dy), null, null, Activation.NONE, 1e-5, null, null));
            try (BatchNorm norm =
                            BatchNorm.builder(19).accumulateGradients(true).build(device);
                    Mask given = mask.on(device, Outside.ZERO);
                    Tensor input = mask.around(x, Float.NaN).on(device);
                    Tensor gradient = mask.around(dy, Float.NaN).on(device);
                    Tensor past = device.tensor(shape, layout);
                    Tensor y = device.tensor(shape, layout)) {
                past.fill(BEFORE);
                norm.mask(given);
                norm.forward(input, y);
                norm.retainForward();
                norm.backward(gradient, y);
                norm.backwardAdding(gradient, past, past, null);
                double[][] expected = around(mask, packed.dx(), 0);
                for (double[] channel : expected) {
                    Arrays.setAll(channel, i -> channel[i] + BEFORE);
                }
                Closeness.assertClose("dx", x.holding(past.download()), expected, packed.largestTerm());
                Closeness.assertClose(
                        "dgamma",
                        norm.gamma().orElseThrow().gradient().download(),
                        Arrays.stream(packed.dgamma()).map(v -> 2 * v).toArray());
                Closeness.assertClose(
                        "dbeta",
                        norm.beta().orElseThrow().gradient().download(),
                        Arrays.stream(packed.dbeta()).map(v -> 2 * v).toArray());
            }
        }
    }
}
