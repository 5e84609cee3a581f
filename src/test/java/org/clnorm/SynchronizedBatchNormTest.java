package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A batch in parts, each on a device and queue of its own, against the same batch in one piece. */
final class SynchronizedBatchNormTest {
    private static final Map<TestDevice, List<Device>> DEVICES = new EnumMap<>(TestDevice.class);
    private static final int QUEUES = 2;

    @AfterAll
    static void closeDevices() {
        DEVICES.values().forEach(devices -> devices.forEach(Device::close));
        DEVICES.clear();
    }

    private static Device device(TestDevice on, int replica) {
        return DEVICES.computeIfAbsent(
                        on, kind -> Stream.generate(kind::open).limit(QUEUES).toList())
                .get(replica % QUEUES);
    }

    /** Layers of the same options, one on each device, and what they are given. */
    private static final class Replicas implements AutoCloseable {
        final List<BatchNorm> layers = new ArrayList<>();
        final List<Tensor> tensors = new ArrayList<>();

        Replicas(TestDevice on, BatchNorm.Builder builder, int count) {
            for (int i = 0; i < count; i++) {
                layers.add(builder.build(device(on, i)));
            }
        }

        Tensor keep(Tensor tensor) {
            tensors.add(tensor);
            return tensor;
        }

        /** Each one's part of a batch, so many samples; null for null. */
        Tensor[] parts(Batch batch, int... samples) {
            Tensor[] parts = new Tensor[samples.length];
            int from = 0;
            for (int i = 0; i < samples.length && batch != null; i++) {
                parts[i] = keep(part(batch, from, samples[i]).on(layers.get(i).device()));
                from += samples[i];
            }
            return parts;
        }

        Tensor like(Tensor tensor) {
            return tensor == null ? null : keep(tensor.device().tensor(tensor.shape(), tensor.layout()));
        }

        /** As {@link Step#of}, dγ and dβ being the sums over the replicas; all have the same statistics. */
        Step step(Batch x, Batch residual, Batch dy, int... samples) {
            Tensor[] inputs = parts(x, samples);
            Tensor[] added = parts(residual, samples);
            Tensor[] gradients = parts(dy, samples);
            Tensor[] outputs = Stream.of(inputs).map(this::like).toArray(Tensor[]::new);
            Tensor[] dx = Stream.of(inputs).map(this::like).toArray(Tensor[]::new);
            Tensor[] dresidual = Stream.of(added).map(this::like).toArray(Tensor[]::new);
            List<ChannelMoments> moments = new ArrayList<>();
            for (int i = 0; i < samples.length; i++) {
                moments.add(layers.get(i).moments(inputs[i]));
            }
            ChannelMoments all = ChannelMoments.combine(moments);
            List<GradientSums> sums = new ArrayList<>();
            for (int i = 0; i < samples.length; i++) {
                layers.get(i).forwardCombined(inputs[i], added[i], outputs[i], all);
                sums.add(layers.get(i).gradientSums(gradients[i]));
            }
            for (int i = 0; i < samples.length; i++) {
                layers.get(i).backwardCombined(gradients[i], dx[i], dresidual[i], GradientSums.combine(sums));
            }
            BatchNorm first = layers.get(0);
            for (BatchNorm layer : layers) {
                assertThat(layer.runningMean().orElseThrow().download())
                        .as("all replicas have the same statistics, also one without a value")
                        .isEqualTo(first.runningMean().orElseThrow().download());
                assertThat(layer.runningVariance().orElseThrow().download())
                        .isEqualTo(first.runningVariance().orElseThrow().download());
                assertThat(layer.batchesTracked()).isEqualTo(first.batchesTracked());
            }
            return new Step(
                    joined(outputs),
                    joined(dx),
                    residual == null ? null : joined(dresidual),
                    sum(layers.stream().map(l -> l.gamma().orElseThrow()).toList()),
                    sum(layers.stream().map(l -> l.beta().orElseThrow()).toList()),
                    first.savedMean().download(),
                    first.savedInverseStandardDeviation().download(),
                    first.runningMean().orElseThrow().download(),
                    first.runningVariance().orElseThrow().download());
        }

        /** Of all replicas' γ and β. */
        double largestGradient() {
            return layers.stream()
                    .flatMap(layer -> layer.parameters().stream())
                    .mapToDouble(p -> Closeness.largest(wide(p.gradient().download())))
                    .max()
                    .orElseThrow();
        }

        @Override
        public void close() {
            tensors.forEach(Tensor::close);
            layers.forEach(BatchNorm::close);
        }
    }

    private static Batch part(Batch batch, int from, int samples) {
        int each = (int) (batch.shape().elements() / batch.shape().batch());
        long[] dimensions = batch.shape().toArray();
        dimensions[0] = samples;
        return new Batch(
                Shape.of(dimensions),
                batch.layout(),
                Arrays.copyOfRange(batch.values(), from * each, (from + samples) * each));
    }

    private static float[] joined(Tensor[] parts) {
        List<float[]> values = Stream.of(parts).map(Tensor::download).toList();
        float[] all = new float[values.stream().mapToInt(v -> v.length).sum()];
        int at = 0;
        for (float[] part : values) {
            System.arraycopy(part, 0, all, at, part.length);
            at += part.length;
        }
        return all;
    }

    private static float[] sum(List<Parameter> parameters) {
        double[] sum = new double[(int) parameters.get(0).value().shape().elements()];
        for (Parameter parameter : parameters) {
            float[] gradient = parameter.gradient().download();
            Arrays.setAll(sum, c -> sum[c] + gradient[c]);
        }
        return rounded(sum);
    }

    private static float[] rounded(double[] values) {
        float[] rounded = new float[values.length];
        for (int c = 0; c < values.length; c++) {
            rounded[c] = (float) values[c];
        }
        return rounded;
    }

    private static final int[][] SPLITS = {{5, 3}, {8, 0}, {0, 8}, {1, 7}, {3, 2, 3}, {4, 0, 4}};

    static Stream<Arguments> shapes() {
        return Stream.of(TestDevice.values()).flatMap(on -> Stream.of(Layout.values())
                .flatMap(layout -> Stream.of(Shape.of(8, 19), Shape.of(8, 19, 5, 3), Shape.of(8, 1, 40))
                        .map(shape -> Arguments.of(on, layout, shape))));
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void step_inParts_isThatOfTheWholeBatch(TestDevice on, Layout layout, Shape shape) {
        for (int[] samples : SPLITS) {
            BatchNorm.Builder builder = BatchNorm.builder((int) shape.channels());
            Batch x = Batch.random(shape, layout, 5);
            Batch dy = Batch.gradient(shape, layout, 6);
            assertSame(on, builder, x, null, dy, samples);
            assertSame(on, builder.activation(Activation.RELU), x, Batch.gradient(shape, layout, 7), dy, samples);
        }
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void step_ofMeansFarFromZeroAndFromEachOther_isThatOfTheWholeBatch(TestDevice on, Layout layout, Shape shape) {
        BatchNorm.Builder builder = BatchNorm.builder((int) shape.channels()).activation(Activation.RELU);
        Batch far = Batch.random(shape, layout, 8, channel -> channel % 2 == 0 ? 1e4 : -1e4);
        assertSame(on, builder, far, null, Batch.gradient(shape, layout, 9), 5, 3);

        Batch apart = Batch.random(shape, layout, 10);
        int cut = apart.values().length / 8 * 5;
        for (int i = cut; i < apart.values().length; i++) {
            apart.values()[i] += 1e4f;
        }
        assertSame(on, builder, apart, null, Batch.gradient(shape, layout, 11), 5, 3);
    }

    /** Of two steps, by what one device gives for the whole batch, and by the formulas. */
    private static void assertSame(
            TestDevice on, BatchNorm.Builder builder, Batch x, Batch residual, Batch dy, int... samples) {
        try (Replicas replicas = new Replicas(on, builder, samples.length);
                BatchNorm whole = builder.build(on.device())) {
            float[] gamma = random(x.channels(), 0.5f);
            float[] beta = random(x.channels(), -0.5f);
            Stream.concat(replicas.layers.stream(), Stream.of(whole)).forEach(layer -> {
                layer.gamma().orElseThrow().value().upload(gamma);
                layer.beta().orElseThrow().value().upload(beta);
            });
            replicas.step(x, residual, dy, samples);
            Step.of(whole, x, residual, dy);
            Step parts = replicas.step(x, residual, dy, samples);
            Step expected = Step.of(whole, x, residual, dy);

            Formulas formulas = Formulas.of(
                    new Formulas.Given(x, residual, dy, gamma, beta, whole.activation(), whole.epsilon(), null, null));
            // The parts' sums are rounded one by one, and may cancel.
            double largestPart = replicas.largestGradient();
            Closeness.assertClose("y", x.holding(parts.y()), formulas.y(), 0);
            Closeness.assertClose("dx", x.holding(parts.dx()), formulas.dx(), formulas.largestTerm());
            assertClose("dgamma", parts.dgamma(), rounded(formulas.dgamma()), largestPart);
            assertClose("dbeta", parts.dbeta(), rounded(formulas.dbeta()), largestPart);
            assertClose("y", parts.y(), expected.y(), 0);
            assertClose("dx", parts.dx(), expected.dx(), formulas.largestTerm());
            if (residual != null) {
                assertClose("dresidual", parts.dresidual(), expected.dresidual(), 0);
            }
            assertClose("dgamma", parts.dgamma(), expected.dgamma(), largestPart);
            assertClose("dbeta", parts.dbeta(), expected.dbeta(), largestPart);
            assertClose("saved mean", parts.savedMean(), expected.savedMean(), 0);
            assertClose("saved invstd", parts.savedInvstd(), expected.savedInvstd(), 0);
            assertClose("running mean", parts.runningMean(), expected.runningMean(), 0);
            assertClose("running variance", parts.runningVariance(), expected.runningVariance(), 0);
            assertThat(replicas.layers.get(0).batchesTracked()).isEqualTo(2);
        }
    }

    private static float[] random(int channels, float base) {
        float[] values = new float[channels];
        for (int c = 0; c < channels; c++) {
            values[c] = base + (c % 7) / 8f;
        }
        return values;
    }

    private static void assertClose(String what, float[] actual, float[] expected, double scale) {
        double[] wide = Closeness.wide(expected);
        Closeness.assertWithin(what, actual, wide, Closeness.BOUND * Math.max(scale, Closeness.largest(wide)));
    }

    @OnEveryDevice
    void step_ofTwoTimesTwoValues_isThatByHand(TestDevice on) {
        BatchNorm.Builder builder = BatchNorm.builder(1).epsilon(0);
        try (Replicas replicas = new Replicas(on, builder, 2)) {
            Layout layout = Layout.CHANNELS_FIRST;
            Batch x = new Batch(Shape.of(4, 1), layout, new float[] {0, 2, 4, 6});
            Batch dy = new Batch(Shape.of(4, 1), layout, new float[] {1, 0, 0, 0});
            Tensor[] inputs = replicas.parts(x, 2, 2);
            ChannelMoments left = replicas.layers.get(0).moments(inputs[0]);
            ChannelMoments right = replicas.layers.get(1).moments(inputs[1]);
            assertThat(left).isEqualTo(new ChannelMoments(2, new double[] {1}, new double[] {2}));
            assertThat(right).isEqualTo(new ChannelMoments(2, new double[] {5}, new double[] {2}));
            assertThat(ChannelMoments.combine(left, right))
                    .isEqualTo(new ChannelMoments(4, new double[] {3}, new double[] {20}));

            Step step = replicas.step(x, null, dy, 2, 2);
            double invstd = 1 / Math.sqrt(5);
            assertThat(wide(step.y()))
                    .containsExactly(new double[] {-3 * invstd, -invstd, invstd, 3 * invstd}, within(1e-6));
            // The sums over all are 1 and -3: dx = (dy - 1/4 + (x - 3) 3/20) / sqrt(5).
            assertThat(wide(step.dx()))
                    .containsExactly(
                            new double[] {0.3 * invstd, -0.4 * invstd, -0.1 * invstd, 0.2 * invstd}, within(1e-6));
            assertThat(wide(step.runningMean())).containsExactly(new double[] {0.3}, within(1e-6));
            assertThat(wide(step.runningVariance()))
                    .as("the unbiased variance of all four is 20/3")
                    .containsExactly(new double[] {0.9 + 2.0 / 3}, within(1e-6));
            assertThat(replicas.layers.get(0).gamma().orElseThrow().gradient().download()[0])
                    .as("each replica's gradients are of its own part")
                    .isCloseTo((float) (-3 * invstd), within(1e-6f));
            assertThat(replicas.layers.get(1).gamma().orElseThrow().gradient().download())
                    .containsExactly(0);
            assertThat(replicas.layers.get(0).beta().orElseThrow().gradient().download())
                    .containsExactly(1);
        }
    }

    private static double[] wide(float[] values) {
        return Closeness.wide(values);
    }

    @OnEveryDevice
    void backwardCombined_accumulatingAndInPlace_addsToTheGradients(TestDevice on) {
        Shape shape = Shape.of(4, 5, 3);
        Batch x = Batch.random(shape, Layout.CHANNELS_FIRST, 1);
        Batch dy = Batch.gradient(shape, Layout.CHANNELS_FIRST, 2);
        BatchNorm.Builder builder = BatchNorm.builder(5).accumulateGradients(true);
        try (Replicas replicas = new Replicas(on, builder, 1)) {
            Step once = replicas.step(x, null, dy, 4);
            BatchNorm norm = replicas.layers.get(0);
            Tensor input = replicas.parts(x, 4)[0];
            Tensor gradient = replicas.parts(dy, 4)[0];
            norm.forwardCombined(input, null, replicas.like(input), norm.moments(input));
            GradientSums sums = norm.gradientSums(gradient);
            norm.backwardCombined(gradient, gradient, null, sums);

            assertThat(gradient.download()).isEqualTo(once.dx());
            float[] twice = once.dgamma().clone();
            for (int c = 0; c < twice.length; c++) {
                twice[c] *= 2;
            }
            assertClose("dgamma", norm.gamma().orElseThrow().gradient().download(), twice, 0);
            assertThatThrownBy(() -> norm.backwardCombined(gradient, gradient, null, sums))
                    .as("dy is not what it was")
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("dy was written since");
        }
    }

    @OnEveryDevice
    void forwardCombined_ofNothingFinite_followsThePolicy(TestDevice on) {
        Shape shape = Shape.of(4, 7, 3);
        for (Layout layout : Layout.values()) {
            Batch good = Batch.random(shape, layout, 1);
            Batch bad = good.with(4, 10, Float.NaN); // on the second replica
            Batch dy = Batch.gradient(shape, layout, 2);
            for (NonFinitePolicy policy : NonFinitePolicy.values()) {
                BatchNorm.Builder builder = BatchNorm.builder(7).nonFinite(policy);
                try (Replicas replicas = new Replicas(on, builder, 2);
                        Replicas clean = new Replicas(on, builder, 2)) {
                    Step before = replicas.step(good, null, dy, 2, 2);
                    clean.step(good, null, dy, 2, 2);
                    if (policy == NonFinitePolicy.THROW) {
                        assertThatThrownBy(() -> replicas.step(bad, null, dy, 2, 2))
                                .isInstanceOf(NonFiniteException.class)
                                .hasMessageContaining("channel 4");
                        assertThat(replicas.layers
                                        .get(0)
                                        .runningMean()
                                        .orElseThrow()
                                        .download())
                                .isEqualTo(before.runningMean());
                        assertThat(replicas.layers.get(0).batchesTracked()).isOne();
                        continue;
                    }
                    Step step = replicas.step(bad, null, dy, 2, 2);
                    Step other = clean.step(good, null, dy, 2, 2);
                    assertThat(bad.holding(step.y()).channel(4))
                            .as("on both replicas")
                            .containsOnly(Double.NaN);
                    assertThat(Float.isNaN(step.runningVariance()[4])).isEqualTo(policy == NonFinitePolicy.PROPAGATE);
                    if (policy == NonFinitePolicy.SKIP_RUNNING_UPDATE) {
                        assertThat(step.runningMean()[4]).isEqualTo(before.runningMean()[4]);
                    }
                    for (int c = 0; c < 7; c++) {
                        if (c != 4) {
                            assertThat(bad.holding(step.dx()).channel(c))
                                    .isEqualTo(good.holding(other.dx()).channel(c));
                            assertThat(step.runningMean()[c]).isEqualTo(other.runningMean()[c]);
                        }
                    }
                }
            }
        }
    }

    @OnBothBackends
    void calls_outOfOrder_areRefused(TestDevice on) {
        Shape shape = Shape.of(2, 3);
        Device device = on.device();
        ChannelMoments all = new ChannelMoments(6, new double[3], new double[] {6, 6, 6});
        try (BatchNorm norm = BatchNorm.builder(3).build(device);
                BatchNorm ghost = BatchNorm.builder(3).virtualBatch(1).build(device);
                Tensor x = device.tensor(shape, Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(shape, Layout.CHANNELS_FIRST);
                Tensor dy = device.tensor(shape, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(shape, Layout.CHANNELS_FIRST)) {
            refuses(IllegalStateException.class, () -> norm.gradientSums(dy), "needs a forward pass");
            norm.forward(x, y);
            refuses(IllegalStateException.class, () -> norm.gradientSums(dy), "statistics of its own");
            refuses(
                    IllegalStateException.class,
                    () -> norm.backwardCombined(dy, dx, null, GradientSums.empty(3)),
                    "statistics of its own");
            norm.backward(dy, dx);

            refuses(
                    IllegalArgumentException.class,
                    () -> norm.forwardCombined(x, null, y, ChannelMoments.empty(3)),
                    "those of 0 values");
            refuses(
                    IllegalArgumentException.class,
                    () -> norm.forwardCombined(
                            x, null, y, new ChannelMoments(6, new double[] {1, 2}, new double[] {1, 2})),
                    "in each of 2 channels");
            refuses(IllegalStateException.class, () -> ghost.forwardCombined(x, null, y, all), "virtual batches");
            assertThat(norm.batchesTracked()).isOne();

            norm.forwardCombined(x, null, y, all);
            refuses(IllegalStateException.class, () -> norm.backward(dy, dx), "forwardCombined");
            GradientSums own = new GradientSums(6, new double[3], new double[3]);
            refuses(
                    IllegalStateException.class,
                    () -> norm.backwardCombined(dy, dx, null, own),
                    "there were none since the forward pass");
            norm.gradientSums(dy);
            refuses(IllegalStateException.class, () -> norm.backwardCombined(x, dx, null, own), "of another tensor");
            refuses(
                    IllegalArgumentException.class,
                    () -> norm.backwardCombined(dy, dx, null, new GradientSums(2, new double[3], new double[3])),
                    "given were 2 in 3");
            norm.backwardCombined(dy, dx, null, own);
            norm.forwardCombined(x, null, y, all);
            refuses(IllegalStateException.class, () -> norm.backwardCombined(dy, dx, null, own), "none since");

            norm.eval();
            refuses(IllegalStateException.class, () -> norm.forwardCombined(x, null, y, all), "evaluation mode");
        }
    }

    @OnBothBackends
    void parts_allOfThemEmpty_changeNothing(TestDevice on) {
        try (Replicas replicas = new Replicas(on, BatchNorm.builder(3), 2)) {
            Batch nothing = new Batch(Shape.of(0, 3, 2), Layout.CHANNELS_LAST, new float[0]);
            for (BatchNorm norm : replicas.layers) {
                Tensor x = replicas.keep(nothing.on(norm.device()));
                norm.forwardCombined(x, null, replicas.like(x), norm.moments(x));
                GradientSums sums = norm.gradientSums(x);
                assertThat(sums).isEqualTo(GradientSums.empty(3));
                norm.backwardCombined(x, replicas.like(x), null, sums);
                assertThat(norm.batchesTracked()).isZero();
                assertThat(norm.runningVariance().orElseThrow().download()).containsOnly(1);
            }
        }
    }

    /** Moments do not disturb what a forward pass left to its backward pass. */
    @OnEveryDevice
    void moments_betweenForwardAndBackward_changeNothing(TestDevice on) {
        Shape shape = Shape.of(4, 5, 3);
        Batch dy = Batch.gradient(shape, Layout.CHANNELS_LAST, 2);
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(5).virtualBatch(2).build(device);
                Tensor x = Batch.random(shape, Layout.CHANNELS_LAST, 1).on(device);
                Tensor other = Batch.random(shape, Layout.CHANNELS_LAST, 3).on(device);
                Tensor gradient = dy.on(device);
                Tensor y = norm.forward(x);
                Tensor expected = norm.backward(gradient)) {
            ChannelMoments moments = norm.moments(other);
            assertThat(moments.count()).isEqualTo(12);
            norm.retainForward();
            try (Tensor dx = norm.backward(gradient)) {
                assertThat(dx.download()).isEqualTo(expected.download());
                assertThat(y.shape()).isEqualTo(shape);
            }
        }
    }

    private static void refuses(Class<? extends Throwable> type, ThrowingCallable call, String message) {
        assertThatThrownBy(call).isInstanceOf(type).hasMessageContaining(message);
    }
}
