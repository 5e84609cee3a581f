package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What every layer refuses, before its backend hears of it. */
final class NormalizerArgumentsTest {
    private static final Shape SHAPE = TestLayer.SHAPE;
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    /** A layer and tensors that fit it. */
    private static final class Scene implements AutoCloseable {
        final Recorder recorder = new Recorder();
        final Device device = recorder.open();
        final Normalizer norm;
        final Tensor x = device.tensor(SHAPE, FIRST);
        final Tensor residual = device.tensor(SHAPE, FIRST);
        final Tensor y = device.tensor(SHAPE, FIRST);
        final Tensor dy = device.tensor(SHAPE, FIRST);
        final Tensor dx = device.tensor(SHAPE, FIRST);
        private final List<Tensor> tensors = new ArrayList<>(List.of(x, residual, y, dy, dx));

        Scene(TestLayer layer) {
            norm = layer.build(device);
            norm.forward(x, residual, y);
        }

        Tensor tensor(Shape shape, Layout layout) {
            Tensor tensor = device.tensor(shape, layout);
            tensors.add(tensor);
            return tensor;
        }

        void refuses(Class<? extends Exception> type, ThrowingCallable call, String... words) {
            int before = recorder.passes();
            assertThatThrownBy(call).isInstanceOf(type).hasMessageContainingAll(words);
            assertThat(recorder.passes()).isEqualTo(before);
            norm.retainForward();
            norm.backward(dy, dx);
            assertThat(recorder.passes())
                    .as("the forward pass is still there to go back through")
                    .isEqualTo(before + 1);
        }

        void refuses(ThrowingCallable call, String... words) {
            refuses(IllegalArgumentException.class, call, words);
        }

        @Override
        public void close() {
            norm.close();
            tensors.forEach(Tensor::close);
            device.close();
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void forward_ofAWrongShape_namesIt(TestLayer layer) {
        try (Scene s = new Scene(layer)) {
            List<Shape> wrong = new ArrayList<>(layer.wrong());
            wrong.add(Shape.of(24));
            wrong.add(Shape.of(2, 4, 1, 1, 1, 3));
            for (Shape shape : wrong) {
                Tensor x = s.tensor(shape, FIRST);
                s.refuses(() -> s.norm.forward(x), "x must have ", "but given was " + shape);
                s.refuses(() -> s.norm.forward(x, x), "x must have ", "but given was " + shape);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void call_withAnotherShapeOrLayout_namesBoth(TestLayer layer) {
        try (Scene s = new Scene(layer)) {
            Tensor longer = s.tensor(Shape.of(3, 4, 3), FIRST);
            Tensor last = s.tensor(SHAPE, Layout.CHANNELS_LAST);
            s.refuses(() -> s.norm.forward(s.x, longer), "y must have x's shape (2, 4, 3), but given was (3, 4, 3)");
            s.refuses(() -> s.norm.forward(s.x, last), "y must have x's layout");
            s.refuses(() -> s.norm.forward(s.x, longer, s.y), "residual must have x's shape");
            s.refuses(() -> s.norm.backward(longer), "dy must have x's shape (2, 4, 3), but given was (3, 4, 3)");
            s.refuses(() -> s.norm.backward(last, s.dx), "dy must have x's layout");
            s.refuses(() -> s.norm.backward(s.dy, longer), "dx must have dy's shape");
            s.refuses(() -> s.norm.backward(s.dy, s.dx, longer), "dresidual must have dy's shape");
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void call_withATensorOfAnotherDeviceAClosedOneOrNone_saysSo(TestLayer layer) {
        try (Scene s = new Scene(layer);
                Device other = Device.cpuReference();
                Tensor foreign = other.tensor(SHAPE, FIRST)) {
            Tensor closed = s.tensor(SHAPE, FIRST);
            closed.close();
            s.refuses(() -> s.norm.forward(foreign), "x must be on the layer's");
            s.refuses(() -> s.norm.forward(s.x, foreign, s.y), "residual must be on the layer's");
            s.refuses(() -> s.norm.forward(s.x, foreign), "y must be on the layer's");
            s.refuses(() -> s.norm.backward(foreign), "dy must be on the layer's");
            s.refuses(() -> s.norm.backward(s.dy, foreign), "dx must be on the layer's");
            s.refuses(IllegalStateException.class, () -> s.norm.forward(closed), "is closed");
            s.refuses(IllegalStateException.class, () -> s.norm.forward(s.x, closed), "is closed");
            s.refuses(IllegalStateException.class, () -> s.norm.backward(closed), "is closed");
            s.refuses(NullPointerException.class, () -> s.norm.forward(null), "x");
            s.refuses(NullPointerException.class, () -> s.norm.forward(s.x, null), "y");
            s.refuses(NullPointerException.class, () -> s.norm.backward(s.dy, null), "dx");
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void call_intoMemoryThatIsInUse_isRefused(TestLayer layer) {
        try (Scene s = new Scene(layer)) {
            s.refuses(() -> s.norm.forward(s.x, s.x), "y may not share memory with x");
            s.refuses(() -> s.norm.backward(s.dy, s.x), "dx may not share memory with x");
            s.refuses(() -> s.norm.backward(s.dy, s.dx, s.dx), "dresidual may not share memory with dx");
            s.refuses(() -> s.norm.backward(s.dy, s.dx, s.x), "dresidual may not share memory with x");
            s.norm.forward(s.x, s.residual, s.residual);
            s.norm.retainForward();
            s.norm.backward(s.dy, s.dy);
            s.norm.backward(s.dy, s.dx, s.dy);
        }
    }

    @Test
    void call_intoTheLayersOwnTensors_isRefused() {
        Shape shape = Shape.of(1, 6);
        try (Device device = new Recorder().open();
                LayerNorm norm = LayerNorm.builder(1, 6).build(device);
                Tensor x = device.tensor(shape, FIRST);
                Tensor y = device.tensor(shape, FIRST)) {
            norm.forward(x, y);
            for (Parameter parameter : norm.parameters()) {
                for (Tensor own : List.of(parameter.value(), parameter.gradient())) {
                    assertThatThrownBy(() -> norm.forward(x, own.slice(0, shape, FIRST)))
                            .isInstanceOf(IllegalArgumentException.class)
                            .hasMessageContaining("y may not share memory with the layer's own");
                    assertThatThrownBy(() -> norm.backward(y, own.slice(0, shape, FIRST)))
                            .isInstanceOf(IllegalArgumentException.class)
                            .hasMessageContaining("dx may not share memory with the layer's own");
                }
            }
        }
        Shape single = Shape.of(2, 1);
        try (Device device = new Recorder().open();
                LayerNorm norm = LayerNorm.builder(1).build(device);
                Tensor x = device.tensor(single, FIRST);
                Tensor y = norm.forward(x)) {
            for (Tensor own : List.of(norm.savedMean(), norm.savedInverseStandardDeviation())) {
                assertThatThrownBy(() -> norm.forward(x, own.slice(0, single, FIRST)))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("y may not share memory with the layer's own");
            }
            assertThat(y.isClosed()).isFalse();
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void backward_afterXChangedOrWithoutAForwardPass_isRefused(TestLayer layer) {
        try (Scene s = new Scene(layer)) {
            s.x.fill(1);
            assertThatThrownBy(() -> s.norm.backward(s.dy))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContainingAll("the forward pass's x (2, 4, 3)", "written since");
            s.norm.forward(s.x, s.y);
            s.norm.reset();
            assertThatThrownBy(() -> s.norm.backward(s.dy))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("needs a forward pass");
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void backward_again_isRefusedUnlessTheForwardPassIsRetained(TestLayer layer) {
        try (Scene s = new Scene(layer)) {
            s.norm.forward(s.x, s.y);
            s.norm.backward(s.dy, s.dx);
            int once = s.recorder.passes();
            assertSpent(() -> s.norm.backward(s.dy, s.dx));
            assertSpent(() -> s.norm.backward(s.dy));
            assertThat(s.recorder.passes()).isEqualTo(once);
            s.norm.retainForward();
            for (int i = 1; i < 4; i++) {
                s.norm.backward(s.dy, s.dx);
                assertThat(s.recorder.passes()).isEqualTo(once + i);
            }
            s.norm.forward(s.x, s.y);
            s.norm.backward(s.dy, s.dx);
            assertSpent(() -> s.norm.backward(s.dy, s.dx));
            s.norm.reset();
            assertThatThrownBy(s.norm::retainForward)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("needs a forward pass");
        }
    }

    private static void assertSpent(ThrowingCallable backward) {
        assertThatThrownBy(backward)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContainingAll("gone back through already", "retainForward");
    }

    @Test
    void backward_thatWasRefused_mayBeAskedForAgain() {
        try (Scene s = new Scene(TestLayer.BATCH)) {
            assertThatThrownBy(() -> s.norm.backward(s.dy, s.x)).isInstanceOf(IllegalArgumentException.class);
            s.norm.backward(s.dy, s.dx);
        }
    }

    @Test
    void backward_afterGammaOfRowsChanged_isRefused() {
        try (Device device = new Recorder().open();
                LayerNorm rows = LayerNorm.builder(3).build(device);
                BatchNorm channels = BatchNorm.builder(2).build(device);
                Tensor x = device.tensor(Shape.of(4, 2, 3), Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(Shape.of(4, 2, 3), Layout.CHANNELS_FIRST);
                Tensor dy = device.tensor(Shape.of(4, 2, 3), Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(Shape.of(4, 2, 3), Layout.CHANNELS_FIRST)) {
            channels.forward(x, y);
            channels.gamma().orElseThrow().value().fill(2);
            assertThatCode(() -> channels.backward(dy, dx))
                    .as("its coefficients were kept")
                    .doesNotThrowAnyException();
            rows.forward(x, y);
            rows.backward(dy, dx);
            rows.gamma().orElseThrow().value().fill(2);

            assertThatThrownBy(() -> rows.backward(dy, dx))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("gamma")
                    .hasMessageContaining("written since");
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void call_afterClose_saysWhatIsClosed(TestLayer layer) {
        Scene s = new Scene(layer);
        s.norm.close();
        s.norm.close();
        for (ThrowingCallable use : List.<ThrowingCallable>of(
                () -> s.norm.forward(s.x),
                () -> s.norm.forward(s.x, s.y),
                () -> s.norm.backward(s.dy),
                s.norm::train,
                s.norm::eval,
                s.norm::reset,
                s.norm::parameters,
                s.norm::gamma,
                s.norm::beta)) {
            assertThatThrownBy(use)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContainingAll(layer.what(), "is closed");
        }
        assertThat(s.recorder.openRooms()).isZero();
        s.close();
    }

    private static void assertTooFew(Normalizer norm, Shape shape, String... words) {
        try (Tensor x = norm.device().tensor(shape, FIRST)) {
            assertThatThrownBy(() -> norm.forward(x))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll(words);
        }
    }

    @Test
    void forward_ofOneValuePerGroup_isRefused() {
        try (Device device = new Recorder().open();
                GroupNorm group = GroupNorm.builder(4, 4).build(device);
                GroupNorm pairs = GroupNorm.builder(2, 4).build(device);
                InstanceNorm instance = InstanceNorm.builder(4).build(device);
                InstanceNorm running = InstanceNorm.builder(4)
                        .runningAverage(RunningAverage.exponential(0.1))
                        .build(device);
                Tensor x = device.tensor(Shape.of(3, 4), FIRST)) {
            assertTooFew(group, Shape.of(3, 4), "more than one value per group", "(3, 4) in 4 groups");
            assertTooFew(group, Shape.of(3, 4, 1), "more than one value per group");
            pairs.forward(x).close();
            assertTooFew(instance, Shape.of(3, 4, 1, 1), "more than one value per sample and channel", "(3, 4, 1, 1)");
            instance.eval();
            assertTooFew(instance, Shape.of(3, 4), "more than one value per sample and channel");
            assertTooFew(running, Shape.of(3, 4), "more than one value per sample and channel");
            running.eval();
            running.forward(x).close();
        }
    }

    @Test
    void forward_ofOneValueThatNothingIsBefore_isRefusedWhereItIsToJoinAnother() {
        try (Device device = new Recorder().open();
                BatchNorm merging = BatchNorm.builder(4)
                        .virtualBatch(3, LastVirtualBatch.MERGE)
                        .build(device);
                BatchNorm single = BatchNorm.builder(4)
                        .virtualBatch(1, LastVirtualBatch.RUNNING)
                        .build(device)) {
            assertTooFew(merging, Shape.of(1, 4), "more than one value per channel", "use eval()");
            assertTooFew(single, Shape.of(1, 4), "more than one value per channel", "use eval()");
            assertTooFew(single, Shape.of(3, 4), "each has only one");
        }
    }

    @Test
    void forward_ofVirtualBatchesWithOneValuePerChannel_isRefusedInTrainingOnly() {
        try (Device device = new Recorder().open();
                BatchNorm three = BatchNorm.builder(4).virtualBatch(3).build(device);
                BatchNorm one = BatchNorm.builder(4).virtualBatch(1).build(device);
                Tensor seven = device.tensor(Shape.of(7, 4), FIRST);
                Tensor eight = device.tensor(Shape.of(8, 4), FIRST);
                Tensor planes = device.tensor(Shape.of(7, 4, 2), FIRST)) {
            assertTooFew(three, Shape.of(7, 4), "(7, 4), in virtual batches of 3 samples, the last has only one");
            assertTooFew(three, Shape.of(7, 4), "LastVirtualBatch.MERGE and RUNNING are ways to normalize it");
            assertTooFew(one, Shape.of(8, 4), "in virtual batches of 1 samples, each has only one");
            assertTooFew(three, Shape.of(1, 4), "more than one value per channel");
            three.forward(eight).close();
            three.forward(planes).close();
            one.forward(planes).close();
            three.eval();
            three.forward(seven).close();
        }
    }
}
