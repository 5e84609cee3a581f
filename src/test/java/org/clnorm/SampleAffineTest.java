package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.backend.Role;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A γ and a β for each sample in the place of γ and β. */
final class SampleAffineTest {
    private static final Shape SHAPE = TestLayer.SHAPE;
    private static final Shape PER_SAMPLE = Shape.of(2, 4);
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    private final Recorder recorder = new Recorder();
    private final Device device = recorder.open();
    private final Tensor x = device.tensor(SHAPE, FIRST);
    private final Tensor y = device.tensor(SHAPE, FIRST);
    private final Tensor dy = device.tensor(SHAPE, FIRST);
    private final Tensor dx = device.tensor(SHAPE, FIRST);
    private final Tensor scale = device.tensor(PER_SAMPLE, FIRST);
    private final Tensor shift = device.tensor(PER_SAMPLE, FIRST);
    private final Tensor dscale = device.tensor(PER_SAMPLE, FIRST);
    private final Tensor dshift = device.tensor(PER_SAMPLE, FIRST);
    private final SampleAffine both = new SampleAffine(scale, shift);
    private final SampleAffine gradients = new SampleAffine(dscale, dshift);

    @AfterEach
    void close() {
        List.of(x, y, dy, dx, scale, shift, dscale, dshift).forEach(Tensor::close);
        device.close();
    }

    private void refuses(Class<? extends Exception> type, ThrowingCallable call, String... words) {
        int before = recorder.passes();
        assertThatThrownBy(call).isInstanceOf(type).hasMessageContainingAll(words);
        assertThat(recorder.passes()).isEqualTo(before);
    }

    private void refuses(ThrowingCallable call, String... words) {
        refuses(IllegalArgumentException.class, call, words);
    }

    @Test
    void affine_ofNothing_isRefused() {
        refuses(() -> new SampleAffine(null, null), "gamma or beta must be given");
    }

    private void assertStep(ChannelNormalizer norm, Grouping grouping) {
        Normalization expected = new Normalization(grouping, Statistic.CENTERED, true, null);
        norm.forward(x, null, y, both);
        norm.retainForward();
        assertThat(recorder.training().spec().normalization()).isEqualTo(expected);
        assertThat(recorder.training().operand(Role.GAMMA)).isSameAs(scale.operand());
        assertThat(recorder.training().operand(Role.BETA)).isSameAs(shift.operand());
        assertThat(recorder.training().coefficients())
                .isInstanceOfSatisfying(Recorder.Room.class, room -> assertThat(room.normalization)
                        .isEqualTo(expected));
        norm.backward(dy, dx, null, gradients);
        assertThat(recorder.backward().spec().normalization()).isEqualTo(expected);
        assertThat(recorder.backward().operand(Role.DGAMMA)).isSameAs(dscale.operand());
        assertThat(recorder.backward().operand(Role.DBETA)).isSameAs(dshift.operand());
        norm.backward(dy, dx, null, new SampleAffine(null, dshift));
        assertThat(recorder.backward().operand(Role.DGAMMA)).isNull();
        norm.backward(dy, dx);
        assertThat(recorder.backward().operand(Role.DGAMMA))
                .as("the layer's gradients stay as they are")
                .isNull();
        assertThat(recorder.backward().operand(Role.DBETA)).isNull();
        norm.forward(x, null, y, new SampleAffine(null, shift));
        assertThat(recorder.training().operand(Role.GAMMA))
                .as("nor is the layer's γ used with a shift alone")
                .isNull();
        norm.forward(x, y);
        assertThat(recorder.training().spec().normalization().perSample()).isFalse();
        assertThat(recorder.training().operand(Role.GAMMA))
                .isSameAs(norm.gamma().orElseThrow().value().operand());
        norm.backward(dy, dx);
        assertThat(recorder.backward().operand(Role.DGAMMA))
                .isSameAs(norm.gamma().orElseThrow().gradient().operand());
    }

    @Test
    void step_withAnAffinePerSample_handsItOver() {
        try (BatchNorm batch = BatchNorm.builder(4).build(device);
                GroupNorm group = GroupNorm.builder(2, 4).build(device);
                InstanceNorm instance = InstanceNorm.builder(4).build(device)) {
            assertStep(batch, Grouping.batch());
            assertStep(group, new Grouping.Channels(2));
            assertStep(instance, new Grouping.Channels(4));
        }
        assertThat(recorder.openRooms()).isZero();
    }

    @Test
    void step_again_runsTheSamePreparedPassesAndAllocatesNothing() {
        try (GroupNorm norm = GroupNorm.builder(2, 4).build(device)) {
            for (int i = 0; i < 2; i++) {
                norm.forward(x, null, y, both);
                norm.backward(dy, dx, null, gradients);
            }
            assertThat(recorder.prepared).as("one forward, one backward").hasSize(2);
            assertThat(recorder.trainings.get(1)).isEqualTo(recorder.trainings.get(0));
            assertThat(recorder.backwards.get(1)).isEqualTo(recorder.backwards.get(0));
            recorder.keeps = false;
            BatchNormSteadyTest.assertNoAllocation("conditional", device, () -> {
                norm.forward(x, null, y, both);
                norm.backward(dy, dx, null, gradients);
            });
        }
    }

    @Test
    void evaluation_withRunningStatistics_takesAnAffineToo() {
        try (BatchNorm norm = BatchNorm.builder(4).build(device)) {
            norm.eval();
            norm.forward(x, null, x, both);
            assertThat(recorder.inference().spec().normalization())
                    .isEqualTo(new Normalization(Grouping.batch(), Statistic.CENTERED, true, null));
            assertThat(recorder.inference().operand(Role.GAMMA)).isSameAs(scale.operand());
            assertThat(norm.savedMean().shape()).isEqualTo(Shape.of(4));
        }
    }

    @Test
    void affine_thatDoesNotFit_isRefused() {
        try (GroupNorm norm = GroupNorm.builder(2, 4).build(device);
                Device other = Device.cpuReference();
                Tensor foreign = other.tensor(PER_SAMPLE, FIRST);
                Tensor wide = device.tensor(Shape.of(2, 5), FIRST);
                Tensor flat = device.tensor(Shape.of(8), FIRST);
                Tensor closed = device.tensor(PER_SAMPLE, FIRST)) {
            closed.close();
            refuses(NullPointerException.class, () -> norm.forward(x, null, y, null), "affine");
            refuses(
                    () -> norm.forward(x, null, y, new SampleAffine(wide, null)),
                    "gamma must have shape (N, C) = (2, 4), but given was (2, 5)");
            refuses(
                    () -> norm.forward(x, null, y, new SampleAffine(scale, flat)),
                    "beta must have shape (N, C) = (2, 4), but given was (8)");
            refuses(() -> norm.forward(x, null, y, new SampleAffine(foreign, null)), "gamma must be on the layer's");
            refuses(
                    IllegalStateException.class,
                    () -> norm.forward(x, null, y, new SampleAffine(closed, null)),
                    "is closed");
            Tensor within = y.slice(3, PER_SAMPLE, FIRST);
            refuses(
                    () -> norm.forward(x, null, y, new SampleAffine(scale, within)),
                    "y may not share memory with beta");
        }
    }

    @Test
    void gradients_thatDoNotFit_areRefused() {
        try (InstanceNorm norm = InstanceNorm.builder(4).build(device);
                Tensor wide = device.tensor(Shape.of(2, 5), FIRST)) {
            norm.forward(x, y);
            refuses(() -> norm.backward(dy, dx, null, gradients), "gradient of gamma was given", "none per sample");
            norm.forward(x, null, y, new SampleAffine(scale, null));
            refuses(() -> norm.backward(dy, dx, null, gradients), "gradient of beta was given", "none per sample");
            norm.forward(x, null, y, both);
            refuses(NullPointerException.class, () -> norm.backward(dy, dx, null, null), "gradients");
            refuses(
                    () -> norm.backward(dy, dx, null, new SampleAffine(wide, null)),
                    "gradient of gamma must have shape (N, C) = (2, 4), but given was (2, 5)");
            refuses(
                    () -> norm.backward(dy, dx, null, new SampleAffine(dscale, dscale)),
                    "gradient of beta may not share memory with gradient of gamma");
            for (Tensor used : List.of(x, dy, dx)) {
                refuses(
                        () -> norm.backward(dy, dx, null, new SampleAffine(null, used.slice(0, PER_SAMPLE, FIRST))),
                        "gradient of beta may not share memory with");
            }
            norm.backward(dy, dx, null, both);
        }
    }

    @Test
    void layer_withVirtualBatchesOrRenormalization_takesNone() {
        try (BatchNorm virtual = BatchNorm.builder(4).virtualBatch(2).build(device);
                BatchNorm renormalized = BatchNorm.builder(4)
                        .renormalization(RenormalizationSchedule.linear())
                        .build(device)) {
            refuses(
                    IllegalStateException.class,
                    () -> virtual.forward(x, null, y, both),
                    "virtual batches takes no gamma and beta per sample");
            refuses(
                    IllegalStateException.class,
                    () -> renormalized.forward(x, null, y, both),
                    "batch renormalization takes no gamma and beta per sample");
        }
    }

    @Test
    void gradients_ofNoElements_areZero() {
        try (GroupNorm norm = GroupNorm.builder(2, 4).build(device);
                Tensor none = device.tensor(Shape.of(2, 4, 0), FIRST);
                Tensor alsoNone = device.tensor(Shape.of(2, 4, 0), FIRST)) {
            dscale.fill(3);
            norm.gamma().orElseThrow().gradient().fill(3);
            norm.forward(none, null, alsoNone, both);
            norm.backward(alsoNone, alsoNone, null, gradients);
            assertThat(dscale.download()).containsOnly(0);
            assertThat(norm.gamma().orElseThrow().gradient().download()).containsOnly(3);
        }
    }
}
