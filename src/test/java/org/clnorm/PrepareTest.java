package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.function.Function;
import java.util.stream.Stream;
import org.clnorm.opencl.Builds;
import org.clnorm.opencl.OpenClBackend;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** That a pass over what was prepared waits for no compiler, and that nothing else has come of it. */
class PrepareTest {
    private static final Shape SHAPE = Shape.of(4, 6, 5, 3);

    static Stream<Function<Device, Normalizer>> layers() {
        return Stream.of(
                device -> BatchNorm.builder(6).activation(Activation.RELU).build(device),
                device -> GroupNorm.builder(2, 6).build(device),
                device -> LayerNorm.builder(6, 5, 3).build(device));
    }

    @ParameterizedTest
    @MethodSource("layers")
    void trainingStep_prepared_buildsNothing(Function<Device, Normalizer> layer) {
        try (Device device = TestDevice.AUTO.open();
                Normalizer norm = layer.apply(device);
                Tensor x = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            norm.prepare(SHAPE, Layout.CHANNELS_FIRST);
            Builds before = ((OpenClBackend) device.backend()).builds();
            assertThat(before.programs()).isPositive();

            norm.forward(x, y);
            norm.backward(y, y);

            assertThat(((OpenClBackend) device.backend()).builds()).isEqualTo(before);
        }
    }

    @Test
    void trainingStep_preparedForAGivenLastSample_buildsNothing() {
        Shape shape = Shape.of(9, 6);
        try (Device device = TestDevice.AUTO.open();
                BatchNorm norm = BatchNorm.builder(6)
                        .virtualBatch(4, LastVirtualBatch.RUNNING)
                        .build(device);
                Tensor x = device.tensor(shape, Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(shape, Layout.CHANNELS_FIRST)) {
            norm.prepare(shape, Layout.CHANNELS_FIRST);
            Builds before = ((OpenClBackend) device.backend()).builds();

            norm.forward(x, y);
            norm.backward(y, y);

            assertThat(((OpenClBackend) device.backend()).builds()).isEqualTo(before);
        }
    }

    @Test
    void evaluation_preparedWithResidual_buildsNothing() {
        try (Device device = TestDevice.AUTO.open();
                BatchNorm norm = BatchNorm.builder(6).build(device);
                Tensor x = device.tensor(SHAPE, Layout.CHANNELS_LAST);
                Tensor residual = device.tensor(SHAPE, Layout.CHANNELS_LAST);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_LAST)) {
            norm.eval();
            norm.prepare(SHAPE, Layout.CHANNELS_LAST, DataType.FLOAT32, true);
            Builds before = ((OpenClBackend) device.backend()).builds();

            norm.forward(x, residual, y);

            assertThat(((OpenClBackend) device.backend()).builds()).isEqualTo(before);
        }
    }

    @Test
    void prepare_inTraining_leavesTheLayerAsItIs() {
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(6).build(device)) {
            norm.gamma().orElseThrow().gradient().fill(3);

            norm.prepare(SHAPE, Layout.CHANNELS_FIRST);

            assertThat(norm.runningMean().orElseThrow().download()).containsOnly(0);
            assertThat(norm.batchesTracked()).isZero();
            assertThat(norm.gamma().orElseThrow().gradient().download()).containsOnly(3);
            assertThat(norm.isTraining()).isTrue();
            try (Tensor dy = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
                assertThatThrownBy(() -> norm.backward(dy)).hasMessageContaining("forward pass");
            }
        }
    }

    @Test
    void prepare_shapeThatTheLayerIsNotFor_isRefusedAsInForward() {
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(6).build(device);
                Tensor x = device.tensor(Shape.of(2, 5), Layout.CHANNELS_FIRST)) {
            assertThatThrownBy(() -> norm.prepare(x.shape(), x.layout()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("(2, 5)");
        }
    }
}
