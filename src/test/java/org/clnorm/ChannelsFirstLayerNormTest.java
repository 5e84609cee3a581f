package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Layer normalization over channels that lie apart, against the same elements where they are rows. */
final class ChannelsFirstLayerNormTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final Layout LAST = Layout.CHANNELS_LAST;

    /** Runs of positions and numbers of channels around vectors and tiles; the last one is more than is gone over at a time. */
    private static final List<Shape> SHAPES = List.of(
            Shape.of(2, 3, 5),
            Shape.of(3, 16, 4, 4),
            Shape.of(2, 13, 1, 17),
            Shape.of(2, 1, 7),
            Shape.of(4, 7, 1, 1),
            Shape.of(5, 9),
            Shape.of(2, 96, 7, 7),
            Shape.of(1, 33, 65, 64),
            Shape.of(3, 5, 2, 3, 4),
            Shape.of(5, 8, 250, 251));

    /** Both sides of a comparison are within the bound. */
    private static final double TWICE = 2 * Closeness.BOUND;

    private final Random random = new Random(5);

    private float[] normal(long count) {
        float[] values = new float[(int) count];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** Elements in the memory order of one layout, in that of the other. */
    private static float[] reordered(float[] values, Shape shape, Layout to) {
        int channels = (int) shape.channels();
        int spatial = (int) shape.spatial();
        float[] reordered = new float[values.length];
        for (int n = 0; n < shape.batch(); n++) {
            for (int c = 0; c < channels; c++) {
                for (int s = 0; s < spatial; s++) {
                    int first = (n * channels + c) * spatial + s;
                    int last = (n * spatial + s) * channels + c;
                    reordered[to == FIRST ? first : last] = values[to == FIRST ? last : first];
                }
            }
        }
        return reordered;
    }

    /** What a step is given, channels-first, and what it found. */
    private record Given(float[] x, float[] residual, float[] dy, float[] past, float[] gamma, float[] beta) {
        Given in(Layout layout, Shape shape) {
            return layout == FIRST
                    ? this
                    : new Given(
                            reordered(x, shape, LAST),
                            reordered(residual, shape, LAST),
                            reordered(dy, shape, LAST),
                            reordered(past, shape, LAST),
                            gamma,
                            beta);
        }
    }

    private record Found(float[] y, float[] dx, float[] dresidual, float[] dgamma, float[] dbeta) {}

    private Given given(Shape shape) {
        return new Given(
                normal(shape.elements()),
                normal(shape.elements()),
                normal(shape.elements()),
                normal(shape.elements()),
                normal(shape.channels()),
                normal(shape.channels()));
    }

    private static void fill(Normalizer layer, Given given) {
        layer.gamma().ifPresent(gamma -> gamma.value().upload(given.gamma));
        layer.beta().ifPresent(beta -> beta.value().upload(given.beta));
    }

    private static float[] gradient(java.util.Optional<Parameter> parameter) {
        return parameter.map(p -> p.gradient().download()).orElse(new float[0]);
    }

    /** A step with all there is, in the given layout; what it found is channels-first. */
    private static Found step(LayerNorm layer, Shape shape, Layout layout, Given of, boolean residual, boolean past) {
        Given given = of.in(layout, shape);
        Device device = layer.device();
        try (Tensor x = device.upload(given.x, shape, layout);
                Tensor added = residual ? device.upload(given.residual, shape, layout) : null;
                Tensor y = device.tensor(shape, layout);
                Tensor dy = device.upload(given.dy, shape, layout);
                Tensor came = device.upload(given.past, shape, layout);
                Tensor dx = device.tensor(shape, layout);
                Tensor dresidual = residual ? device.tensor(shape, layout) : null) {
            fill(layer, given);
            layer.forward(x, added, y);
            if (past) {
                layer.backwardAdding(dy, came, dx, dresidual);
            } else {
                layer.backward(dy, dx, dresidual);
            }
            assertThat(x.download()).as("x stays").isEqualTo(given.x);
            return new Found(
                    first(y),
                    first(dx),
                    residual ? first(dresidual) : new float[0],
                    gradient(layer.gamma()),
                    gradient(layer.beta()));
        }
    }

    private static float[] first(Tensor tensor) {
        float[] values = tensor.download();
        return tensor.layout() == FIRST ? values : reordered(values, tensor.shape(), FIRST);
    }

    private static void assertClose(String what, Found found, Found expected) {
        assertClose(what + ", y", found.y, expected.y);
        assertClose(what + ", dx", found.dx, expected.dx);
        assertClose(what + ", dresidual", found.dresidual, expected.dresidual);
        assertClose(what + ", dgamma", found.dgamma, expected.dgamma);
        assertClose(what + ", dbeta", found.dbeta, expected.dbeta);
    }

    private static void assertClose(String what, float[] found, float[] expected) {
        double[] wide = Closeness.wide(expected);
        Closeness.assertWithin(what, found, wide, TWICE * Closeness.largest(wide));
    }

    @OnEveryDevice
    void step_ofChannelsFirst_isThatOfTheSameElementsAsRows(TestDevice on) {
        List<Activation> activations =
                List.of(Activation.NONE, Activation.RELU, Activation.SILU, Activation.leakyRelu(0.1));
        int i = 0;
        for (Shape shape : SHAPES) {
            for (int more = shape.elements() < 1 << 20 ? 0 : 2; more < 3; more++, i++) {
                LayerNorm.Builder like = LayerNorm.overChannels(shape.channels())
                        .gamma(i % 5 != 3)
                        .beta(i % 7 != 4)
                        .activation(activations.get(i % activations.size()));
                Given given = given(shape);
                boolean residual = more > 0;
                boolean past = more == 2;
                try (LayerNorm layer = like.build(on.device());
                        LayerNorm rows = LayerNorm.builder(shape.channels())
                                .gamma(i % 5 != 3)
                                .beta(i % 7 != 4)
                                .activation(activations.get(i % activations.size()))
                                .build(on.device())) {
                    String what = shape + " " + activations.get(i % activations.size()) + " " + more;
                    Found expected = step(rows, shape, LAST, given, residual, past);
                    assertClose(what, step(layer, shape, FIRST, given, residual, past), expected);
                    Found last = step(layer, shape, LAST, given, residual, past);
                    assertThat(last.y).as("the same rows").isEqualTo(expected.y);
                    assertThat(last.dx).isEqualTo(expected.dx);
                }
            }
        }
    }

    @OnEveryDevice
    void step_inPlace_isTheSameToTheBit(TestDevice on) {
        Shape shape = Shape.of(3, 21, 6, 7);
        Given given = given(shape);
        for (Activation activation : List.of(Activation.NONE, Activation.RELU)) {
            try (LayerNorm layer =
                            LayerNorm.overChannels(21).activation(activation).build(on.device());
                    Tensor x = on.device().upload(given.x, shape, FIRST);
                    Tensor residual = on.device().upload(given.residual, shape, FIRST);
                    Tensor dy = on.device().upload(given.dy, shape, FIRST);
                    Tensor past = on.device().upload(given.past, shape, FIRST);
                    Tensor dx = on.device().tensor(shape, FIRST)) {
                Found apart = step(layer, shape, FIRST, given, true, true);
                layer.forward(x, residual, residual);
                layer.retainForward();
                assertThat(residual.download()).as("y in place of the residual").isEqualTo(apart.y);
                layer.backwardAdding(dy, past, past, null);
                assertThat(past.download()).as("dx in place of past").isEqualTo(apart.dx);
                past.upload(given.past);
                layer.backwardAdding(dy, past, dx, dy);
                assertThat(dx.download()).isEqualTo(apart.dx);
                assertThat(dy.download()).as("dresidual in place of dy").isEqualTo(apart.dresidual);
                dy.upload(given.dy);
                layer.backwardAdding(dy, past, dy, null);
                assertThat(dy.download()).as("dx in place of dy").isEqualTo(apart.dx);
                assertThat(gradient(layer.gamma())).isEqualTo(apart.dgamma);
                assertThatThrownBy(() -> layer.forward(x, x))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("share memory");
            }
        }
    }

    @OnEveryDevice
    void record_severalPassesOfSeveralShapes_eachGoesBackThroughItsOwn(TestDevice on) {
        List<Shape> shapes = List.of(Shape.of(2, 6, 9), Shape.of(3, 6, 4, 5), Shape.of(2, 6, 9));
        List<Tensor> tensors = new ArrayList<>();
        List<ForwardPass> passes = new ArrayList<>();
        List<Given> givens = new ArrayList<>();
        try (LayerNorm layer =
                LayerNorm.overChannels(6).activation(Activation.RELU).build(on.device())) {
            Given affine = given(shapes.get(0));
            for (Shape shape : shapes) {
                Given some = given(shape);
                givens.add(new Given(some.x, some.residual, some.dy, some.past, affine.gamma, affine.beta));
            }
            fill(layer, affine);
            for (int i = 0; i < shapes.size(); i++) {
                Tensor x = on.device().upload(givens.get(i).x, shapes.get(i), FIRST);
                Tensor y = on.device().tensor(shapes.get(i), FIRST);
                tensors.addAll(List.of(x, y));
                passes.add(layer.record(x, y));
            }
            for (int i = shapes.size() - 1; i >= 0; i--) {
                try (LayerNorm alone = LayerNorm.overChannels(6)
                                .activation(Activation.RELU)
                                .build(on.device());
                        Tensor dy = on.device().upload(givens.get(i).dy, shapes.get(i), FIRST);
                        Tensor dx = on.device().tensor(shapes.get(i), FIRST)) {
                    passes.get(i).backward(dy, dx);
                    Found expected = step(alone, shapes.get(i), FIRST, givens.get(i), false, false);
                    assertThat(dx.download()).isEqualTo(expected.dx);
                    assertThat(gradient(layer.gamma())).isEqualTo(expected.dgamma);
                }
            }
        } finally {
            passes.forEach(ForwardPass::close);
            tensors.forEach(Tensor::close);
        }
    }

    @OnEveryDevice
    void backward_accumulatingOrFrozen_addsOrLeavesGradients(TestDevice on) {
        Shape shape = Shape.of(2, 10, 3, 3);
        Given given = given(shape);
        try (LayerNorm once = LayerNorm.overChannels(10).build(on.device());
                LayerNorm layer =
                        LayerNorm.overChannels(10).accumulateGradients(true).build(on.device());
                LayerNorm shared =
                        LayerNorm.overChannels(10).accumulateGradients(true).buildSharing(layer)) {
            Found expected = step(once, shape, FIRST, given, false, false);
            step(layer, shape, FIRST, given, false, false);
            Found twice = step(shared, shape, FIRST, given, false, false);
            for (int c = 0; c < 10; c++) {
                assertThat(twice.dgamma[c]).isEqualTo(2 * expected.dgamma[c]);
                assertThat(twice.dbeta[c]).isEqualTo(2 * expected.dbeta[c]);
            }
            once.gamma().orElseThrow().freeze();
            once.gamma().orElseThrow().gradient().fill(7);
            Found frozen = step(once, shape, FIRST, given, false, false);
            assertThat(frozen.dgamma).containsOnly(7);
            assertThat(frozen.dbeta).isEqualTo(expected.dbeta);
            assertThat(frozen.dx).isEqualTo(expected.dx);
            once.beta().orElseThrow().freeze();
            assertThat(step(once, shape, FIRST, given, false, false).dx).isEqualTo(expected.dx);
        }
    }

    @OnAFewDevices
    void step_of16BitTensors_isThatOfRowsRoundedOnce(TestDevice on) {
        Shape shape = Shape.of(2, 24, 5, 9);
        for (DataType type : List.of(on.of16Bits())) {
            Given given = given(shape);
            List<float[]> found = new ArrayList<>();
            for (Layout layout : List.of(LAST, FIRST)) {
                Given in = given.in(layout, shape);
                try (LayerNorm layer = LayerNorm.overChannels(24)
                                .activation(Activation.SILU)
                                .build(on.device());
                        Tensor x = on.device().upload(in.x, shape, layout, type);
                        Tensor residual = on.device().upload(in.residual, shape, layout, type);
                        Tensor y = on.device().tensor(shape, layout, type);
                        Tensor dy = on.device().upload(in.dy, shape, layout, type);
                        Tensor dx = on.device().tensor(shape, layout, type)) {
                    fill(layer, in);
                    layer.forward(x, residual, y);
                    layer.backward(dy, dx);
                    found.addAll(List.of(first(y), first(dx), gradient(layer.gamma())));
                }
            }
            double ulp = type == DataType.BFLOAT16 ? 1.0 / 128 : 1.0 / 1024;
            for (int i = 0; i < 2; i++) {
                int different = 0;
                for (int e = 0; e < found.get(i).length; e++) {
                    float expected = found.get(i)[e];
                    float actual = found.get(i + 3)[e];
                    assertThat((double) Math.abs(actual - expected))
                            .isLessThanOrEqualTo(ulp * Math.abs(expected) + 1e-6);
                    different += actual == expected ? 0 : 1;
                }
                assertThat(different)
                        .as("rounded otherwise, of %d", found.get(i).length)
                        .isLessThan(found.get(i).length / 50);
            }
            assertClose("dgamma", found.get(5), found.get(2));
        }
    }

    /** Passes of several threads share the room that what goes between two passes is in. */
    @OnEveryDevice
    void step_ofSeveralThreads_isEachItsOwn(TestDevice on) {
        List<Shape> shapes = List.of(Shape.of(2, 6, 9), Shape.of(3, 16, 9, 9));
        List<CompletableFuture<Void>> running = new ArrayList<>();
        for (Shape shape : shapes) {
            Given given = given(shape);
            running.add(CompletableFuture.runAsync(() -> {
                try (LayerNorm layer = LayerNorm.overChannels(shape.channels()).build(on.device())) {
                    Found expected = step(layer, shape, FIRST, given, true, true);
                    for (int i = 0; i < 30; i++) {
                        Found again = step(layer, shape, FIRST, given, true, true);
                        assertThat(again.y).isEqualTo(expected.y);
                        assertThat(again.dx).isEqualTo(expected.dx);
                        assertThat(again.dgamma).isEqualTo(expected.dgamma);
                    }
                }
            }));
        }
        running.forEach(CompletableFuture::join);
    }

    @OnEveryDevice
    void step_farFromZeroOrOfOtherMagnitudes_isAsCloseAsOthers(TestDevice on) {
        Shape shape = Shape.of(2, 40, 3, 5);
        Given plain = given(shape);
        for (float scale : new float[] {1e-20f, 1e15f}) {
            float[] far = plain.x.clone();
            for (int i = 0; i < far.length; i++) {
                far[i] = scale * (100 + far[i]);
            }
            Given given = new Given(far, plain.residual, plain.dy, plain.past, plain.gamma, plain.beta);
            try (LayerNorm layer = LayerNorm.overChannels(40).epsilon(0).build(on.device());
                    LayerNorm rows = LayerNorm.builder(40).epsilon(0).build(on.device())) {
                assertClose(
                        "at " + scale,
                        step(layer, shape, FIRST, given, false, false),
                        step(rows, shape, LAST, given, false, false));
            }
        }
    }

    @OnEveryDevice
    void forward_ofNaN_isNaNAtItsPositionAlone(TestDevice on) {
        Shape shape = Shape.of(2, 3, 4);
        Given given = given(shape);
        given.x[5] = Float.NaN; // channel 1, position 1
        try (LayerNorm layer = LayerNorm.overChannels(3).build(on.device())) {
            float[] y = step(layer, shape, FIRST, given, false, false).y;
            for (int i = 0; i < y.length; i++) {
                assertThat(Float.isNaN(y[i])).as("%d", i).isEqualTo(i < 12 && i % 4 == 1);
            }
        }
    }

    @OnEveryDevice
    void forward_ofNoSamples_leavesGradientsOfZero(TestDevice on) {
        Shape shape = Shape.of(0, 3, 4);
        try (LayerNorm layer = LayerNorm.overChannels(3).build(on.device());
                Tensor x = on.device().tensor(shape, FIRST);
                Tensor y = layer.forward(x);
                Tensor dx = layer.backward(y)) {
            assertThat(dx.shape()).isEqualTo(shape);
            assertThat(gradient(layer.gamma())).containsOnly(0);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = TestDevice.class,
            names = {"REFERENCE", "AUTO"})
    void whatNeedsRows_ofChannelsFirst_isRefusedBeforeAnythingChanges(TestDevice on) {
        Shape shape = Shape.of(2, 3, 4);
        Device device = on.device();
        try (LayerNorm layer = LayerNorm.overChannels(3).build(device);
                Mask mask = Mask.of(device, 2, 4, Mask.Outside.ZERO);
                Tensor x = device.tensor(shape, FIRST);
                Tensor rows = device.tensor(shape, LAST);
                Tensor sum = device.tensor(shape, FIRST);
                Tensor y = device.tensor(shape, FIRST);
                Tensor yOfRows = device.tensor(shape, LAST)) {
            y.fill(3);
            assertThatThrownBy(() -> layer.forwardAdding(x, y, sum, y))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("makes no sum");
            layer.mask(mask);
            assertThatThrownBy(() -> layer.forward(x, y))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("takes no mask");
            layer.forward(rows, yOfRows);
            layer.mask(null);
            assertThat(layer.savedMean().shape()).isEqualTo(Shape.of(8));
            assertThat(y.download()).containsOnly(3);
            layer.forward(x, y);
            assertThatThrownBy(layer::savedMean)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("not shown");
            assertThatThrownBy(layer::savedInverseStandardDeviation).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void overChannels_ofOthers_isRefused() {
        assertThatThrownBy(() -> LayerNorm.overChannels(0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("channels must be at least 1, but given was 0");
        Device device = TestDevice.REFERENCE.device();
        try (LayerNorm layer = LayerNorm.overChannels(3).build(device);
                Tensor wrong = device.tensor(Shape.of(2, 4, 3), FIRST);
                Tensor flat = device.tensor(Shape.of(3), FIRST)) {
            assertThat(layer.toString()).contains("layer normalization over 3 channels");
            assertThat(layer.gamma().orElseThrow().value().shape()).isEqualTo(Shape.of(3));
            assertThatThrownBy(() -> layer.forward(wrong))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("the second of them 3 channels, but given was (2, 4, 3)");
            assertThatThrownBy(() -> layer.forward(flat)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @OnBothBackends
    void prepare_thenStep_makesNothingMore(TestDevice on) {
        try (LayerNorm layer = LayerNorm.overChannels(5).build(on.device())) {
            layer.prepare(Shape.of(2, 5, 3, 3), FIRST);
            layer.prepare(Shape.of(2, 5, 3, 3), FIRST, DataType.BFLOAT16, true);
            layer.prepare(Shape.of(2, 5, 3, 3), LAST);
        }
    }
}
