package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.FloatBuffer;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.OnBothBackends;
import org.clnorm.OnEveryDevice;
import org.clnorm.Parameter;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;

/** Close once or often, and nothing works afterwards but says why. */
final class CloseTest {
    private static final Shape SHAPE = Shape.of(4, 2);

    private static void assertClosed(String what, List<ThrowingCallable> uses) {
        for (int i = 0; i < uses.size(); i++) {
            assertThatThrownBy(uses.get(i))
                    .as("use %d of a closed %s", i, what)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContainingAll(what, "made at " + CloseTest.class.getName(), "closed");
        }
    }

    @OnBothBackends
    void close_ofATensor_isIdempotentAndEndsItsUse(TestDevice on) {
        Tensor tensor = on.device().tensor(SHAPE, Layout.CHANNELS_FIRST);
        Tensor slice = tensor.slice(2, Shape.of(3), Layout.CHANNELS_FIRST);
        assertThat(tensor.isClosed()).isFalse();
        tensor.close();
        assertThatCode(tensor::close).doesNotThrowAnyException();
        assertThat(tensor.isClosed()).isTrue();
        assertThat(slice.isClosed()).as("a slice is closed with its tensor").isTrue();
        assertClosed(
                "tensor (4, 2)",
                List.of(
                        tensor::download,
                        () -> tensor.download(new float[8]),
                        () -> tensor.download(FloatBuffer.allocate(8)),
                        () -> tensor.upload(new float[8]),
                        () -> tensor.upload(FloatBuffer.allocate(8)),
                        () -> tensor.fill(1),
                        () -> tensor.slice(0, Shape.of(1), Layout.CHANNELS_FIRST),
                        slice::download,
                        () -> slice.fill(1)));
        assertThat(tensor.shape()).as("what it was can still be asked").isEqualTo(SHAPE);
    }

    @OnBothBackends
    void close_ofASlice_leavesTheTensorOpen(TestDevice on) {
        try (Tensor tensor = on.device().vector(1, 2, 3)) {
            Tensor slice = tensor.slice(1, Shape.of(2), Layout.CHANNELS_FIRST);
            slice.close();
            assertThat(slice.isClosed()).isFalse();
            assertThat(slice.download()).containsExactly(2, 3);
            assertThat(tensor.download()).containsExactly(1, 2, 3);
        }
    }

    @OnBothBackends
    void close_ofALayer_isIdempotentAndEndsItsUse(TestDevice on) {
        try (Tensor x = on.device().upload(new float[] {1, 2, 3, 5, 8, 9, 4, 7}, SHAPE, Layout.CHANNELS_FIRST);
                Tensor y = on.device().tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            BatchNorm norm = BatchNorm.builder(2).build(on.device());
            norm.forward(x, y);
            Parameter gamma = norm.gamma().orElseThrow();
            Tensor savedMean = norm.savedMean();
            Tensor runningMean = norm.runningMean().orElseThrow();
            norm.close();
            assertThatCode(norm::close).doesNotThrowAnyException();
            assertClosed(
                    "batch normalization of 2 channels",
                    List.of(
                            () -> norm.forward(x),
                            () -> norm.backward(x),
                            norm::train,
                            norm::eval,
                            norm::reset,
                            norm::gamma,
                            norm::beta,
                            norm::parameters,
                            norm::runningMean,
                            norm::runningVariance,
                            norm::savedMean,
                            norm::savedInverseStandardDeviation));
            for (Tensor own : List.of(gamma.value(), gamma.gradient(), savedMean, runningMean)) {
                assertThat(own.isClosed())
                        .as("what a layer owns is closed with it")
                        .isTrue();
                assertThatThrownBy(own::download).isInstanceOf(IllegalStateException.class);
            }
            assertThatThrownBy(gamma::zeroGradient).isInstanceOf(IllegalStateException.class);
            assertThat(x.isClosed()).as("what the caller owns is not").isFalse();
        }
    }

    /** As try-with-resources does with what it is given. */
    @OnEveryDevice
    void close_ofWhatALayerOwns_doesNothing(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(2).build(device);
                Tensor x = device.upload(new float[] {1, 10, 2, 20, 3, 30, 4, 40}, SHAPE, Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            norm.forward(x, y);
            norm.backward(x, dx);
            float[] expected = y.download();
            float[] gradient = dx.download();
            for (Tensor own : owned(norm)) {
                own.close();
                assertThat(own.isClosed()).as("%s", own).isFalse();
                assertThat(own.download()).hasSize(2);
            }
            for (int i = 0; i < 50; i++) { // were memory given back, it would be given out again here
                try (Tensor other = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                        Tensor small = device.vector(1, 2)) {
                    norm.forward(x, other);
                    norm.backward(x, dx);
                    assertThat(other.download()).isEqualTo(expected);
                    assertThat(dx.download()).isEqualTo(gradient);
                    assertThat(small.download()).containsExactly(1, 2);
                }
            }
        }
    }

    private static List<Tensor> owned(BatchNorm norm) {
        Parameter gamma = norm.gamma().orElseThrow();
        Parameter beta = norm.beta().orElseThrow();
        return List.of(
                gamma.value(),
                gamma.gradient(),
                beta.value(),
                beta.gradient(),
                norm.runningMean().orElseThrow(),
                norm.runningVariance().orElseThrow(),
                norm.savedMean(),
                norm.savedInverseStandardDeviation());
    }

    @OnBothBackends
    void tensor_thatALayerOwns_isNamedAsSuch(TestDevice on) {
        BatchNorm norm = BatchNorm.builder(2).build(on.device());
        List<Tensor> owned = owned(norm);
        List<String> names = List.of(
                "weight",
                "gradient of weight",
                "bias",
                "gradient of bias",
                "running mean",
                "running variance",
                "saved mean",
                "saved inverse standard deviation");
        for (int i = 0; i < names.size(); i++) {
            assertThat(owned.get(i))
                    .asString()
                    .startsWith(names.get(i) + " of batch normalization of 2 channels, Tensor(2)");
        }
        norm.close();
        assertThatThrownBy(() -> owned.get(4).download())
                .isInstanceOf(IllegalStateException.class)
                .hasMessageStartingWith(
                        "This running mean of batch normalization of 2 channels, made at " + CloseTest.class.getName());
    }

    @OnBothBackends
    void close_ofADevice_isIdempotentAndClosesWhatLivesOnIt(TestDevice on) {
        Device device = on.open();
        Tensor x = device.upload(new float[8], SHAPE, Layout.CHANNELS_FIRST);
        Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
        BatchNorm norm = BatchNorm.builder(2).build(device);
        norm.forward(x, y);
        Tensor mean = norm.runningMean().orElseThrow();
        assertThat(device.isClosed()).isFalse();
        device.close();
        assertThatCode(device::close).doesNotThrowAnyException();
        assertThat(device.isClosed()).isTrue();
        assertThat(List.of(x, y, mean)).allMatch(Tensor::isClosed);
        assertClosed(
                "device",
                List.of(
                        device::finish,
                        () -> device.tensor(SHAPE, Layout.CHANNELS_FIRST),
                        () -> device.upload(new float[8], SHAPE, Layout.CHANNELS_FIRST),
                        () -> device.vector(1),
                        () -> BatchNorm.builder(2).build(device),
                        x::download,
                        () -> x.fill(1),
                        mean::download,
                        () -> norm.forward(x),
                        () -> norm.forward(x, y),
                        norm::reset));
        assertThat(device.info().name()).as("who it was can still be asked").isNotBlank();
        assertThatCode(() -> {
                    x.close();
                    y.close();
                    norm.close();
                })
                .as("in whatever order try-with-resources has them")
                .doesNotThrowAnyException();
    }

    @OnBothBackends
    void close_ofADeviceWithWorkUnderWay_waitsForIt(TestDevice on) {
        for (int i = 0; i < 5; i++) {
            Device device = on.open();
            Shape large = Shape.of(16, 8, 64, 64);
            Tensor x = device.upload(new float[(int) large.elements()], large, Layout.CHANNELS_FIRST);
            BatchNorm norm = BatchNorm.builder(8).build(device);
            Tensor y = norm.forward(x);
            device.close();
            assertThat(y.isClosed()).isTrue();
            norm.close();
            x.close();
            y.close();
        }
    }

    @OnBothBackends
    void close_ofATensorInUse_letsTheWorkBeDone(TestDevice on) {
        Shape large = Shape.of(8, 4, 64, 64);
        float[] values = new float[(int) large.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = i % 97;
        }
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(4).build(device);
                Tensor y = device.tensor(large, Layout.CHANNELS_FIRST);
                Tensor again = device.tensor(large, Layout.CHANNELS_FIRST)) {
            Tensor x = device.upload(values, large, Layout.CHANNELS_FIRST);
            norm.forward(x, again);
            norm.forward(x, y);
            x.close();
            assertThat(y.download()).as("calls take effect in their order").isEqualTo(again.download());
        }
    }
}
