package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.backend.Role;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the builders of layers refuse; those of batch normalization have a test of their own. */
final class NormalizerBuilderTest {
    private static void refuses(ThrowingCallable call, String... words) {
        assertThatThrownBy(call).isInstanceOf(IllegalArgumentException.class).hasMessageContainingAll(words);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -1, Integer.MIN_VALUE})
    void builder_ofNone_isRefused(int none) {
        refuses(() -> GroupNorm.builder(none, 4), "groups must be at least 1, but given was " + none);
        refuses(() -> GroupNorm.builder(1, none), "channels must be at least 1, but given was " + none);
        refuses(() -> InstanceNorm.builder(none), "channels must be at least 1, but given was " + none);
        refuses(() -> LayerNorm.builder(4, none), "each at least 1", "[4, " + none + "]");
        refuses(() -> RmsNorm.builder(none), "each at least 1", "[" + none + "]");
        refuses(() -> WeightNorm.builder(none), "rows must be at least 1, but given was " + none);
        refuses(() -> L2Norm.builder().dimensions(none), "dimensions must be 1 to 5, but given was " + none);
        refuses(() -> BatchNorm.builder(4).virtualBatch(none), "at least 1 sample, but given was " + none);
    }

    @Test
    void builder_ofWhatCannotBe_isRefused() {
        refuses(() -> GroupNorm.builder(3, 4), "groups must divide channels", "3 groups and 4 channels");
        refuses(() -> GroupNorm.builder(8, 4), "groups must divide channels", "8 groups and 4 channels");
        refuses(() -> LayerNorm.builder(), "must be 1 to 5", "[]");
        refuses(() -> RmsNorm.builder(1, 2, 3, 4, 5, 6), "must be 1 to 5", "[1, 2, 3, 4, 5, 6]");
        refuses(() -> L2Norm.builder().dimensions(6), "dimensions must be 1 to 5, but given was 6");
    }

    @ParameterizedTest
    @ValueSource(doubles = {-1e-9, Double.NaN, Double.POSITIVE_INFINITY, 1e39})
    void epsilon_thatIsNegativeOrNotAFloat_isRefused(double epsilon) {
        for (ThrowingCallable call : List.<ThrowingCallable>of(
                () -> GroupNorm.builder(2, 4).epsilon(epsilon),
                () -> InstanceNorm.builder(4).epsilon(epsilon),
                () -> LayerNorm.builder(4).epsilon(epsilon),
                () -> RmsNorm.builder(4).epsilon(epsilon),
                () -> WeightNorm.builder(4).epsilon(epsilon),
                () -> L2Norm.builder().epsilon(epsilon))) {
            refuses(call, "epsilon must be finite and at least 0", "given was " + epsilon);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {Double.MIN_VALUE, 1e-45, 1e-38})
    void epsilon_thatIsNoNormalFloat_isRefusedWithTheLeastOne(double epsilon) {
        for (ThrowingCallable call : List.<ThrowingCallable>of(
                () -> BatchNorm.builder(4).epsilon(epsilon),
                () -> LayerNorm.builder(4).epsilon(epsilon),
                () -> L2Norm.builder().epsilon(epsilon))) {
            refuses(call, "epsilon must be 0 or at least 1.17549435E-38", "given was " + epsilon);
        }
        assertThat(L2Norm.builder().epsilon(Float.MIN_NORMAL)).isNotNull();
    }

    @Test
    void setters_ofNullAndBuildOnNoDevice_nameTheArgument() {
        for (ThrowingCallable call : List.<ThrowingCallable>of(
                () -> GroupNorm.builder(2, 4).activation(null),
                () -> InstanceNorm.builder(4).activation(null),
                () -> LayerNorm.builder(4).activation(null),
                () -> RmsNorm.builder(4).activation(null))) {
            assertThatThrownBy(call).isInstanceOf(NullPointerException.class).hasMessage("activation");
        }
        for (ThrowingCallable call : List.<ThrowingCallable>of(
                () -> GroupNorm.builder(2, 4).build(null),
                () -> InstanceNorm.builder(4).build(null),
                () -> LayerNorm.builder(4).build(null),
                () -> RmsNorm.builder(4).build(null),
                () -> WeightNorm.builder(4).build(null),
                () -> L2Norm.builder().build(null))) {
            assertThatThrownBy(call).isInstanceOf(NullPointerException.class).hasMessage("device");
        }
    }

    @Test
    void setters_ofABuilder_leaveItAsItWas() {
        Recorder recorder = new Recorder();
        try (Device device = recorder.open();
                Tensor x = device.tensor(TestLayer.SHAPE, Layout.CHANNELS_FIRST)) {
            LayerNorm.Builder builder = LayerNorm.builder(3);
            LayerNorm.Builder changed = builder.epsilon(0.5).gamma(false).activation(Activation.RELU);
            assertThat(changed).isNotSameAs(builder);
            try (LayerNorm norm = builder.build(device)) {
                norm.forward(x).close();
            }
            assertThat(recorder.training().spec().epsilon()).isEqualTo(1e-5);
            assertThat(recorder.training().operand(Role.GAMMA)).isNotNull();
            assertThat(recorder.training().spec().activation()).isEqualTo(Activation.NONE);
        }
    }

    @Test
    void builder_givenAnArray_keepsACopy() {
        long[] dimensions = {3};
        LayerNorm.Builder builder = LayerNorm.builder(dimensions);
        dimensions[0] = 7;
        try (LayerNorm norm = builder.build(TestDevice.REFERENCE.device())) {
            assertThat(norm.gamma().orElseThrow().value().shape()).isEqualTo(Shape.of(3));
        }
    }

    @Test
    void renormalization_withoutWhatItNeeds_isRefused() {
        Device device = TestDevice.REFERENCE.device();
        BatchNorm.Builder builder = BatchNorm.builder(4).renormalization(RenormalizationSchedule.constant(3, 5));
        assertThatThrownBy(() -> builder.runningAverage(RunningAverage.none()).build(device))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("needs running statistics");
        assertThatThrownBy(() -> builder.virtualBatch(8).build(device))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContainingAll("no virtual batches", "virtualBatch was 8");
        builder.virtualBatch(8).renormalization(null).build(device).close();
    }

    @Test
    void lastVirtualBatch_byRunningStatisticsThatThereAreNot_isRefused() {
        Device device = TestDevice.REFERENCE.device();
        BatchNorm.Builder builder = BatchNorm.builder(4).runningAverage(RunningAverage.none());
        assertThatThrownBy(
                        () -> builder.virtualBatch(8, LastVirtualBatch.RUNNING).build(device))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContainingAll("last virtual batch", "running statistics", "kind=NONE");
        refuses(() -> builder.virtualBatch(0, LastVirtualBatch.MERGE), "at least 1 sample, but given was 0");
        builder.virtualBatch(8, LastVirtualBatch.MERGE).build(device).close();
        builder.virtualBatch(8, LastVirtualBatch.RUNNING)
                .virtualBatch(8)
                .build(device)
                .close();
        builder.build(device).close();
    }
}
