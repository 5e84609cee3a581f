package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Moments and sums that are asked for before they are there. */
class StartMomentsTest {
    private static final Shape SHAPE = Shape.of(3, 5, 4, 3);

    private static Tensor random(Device device, int seed) {
        return device.upload(Batch.random(SHAPE, Layout.CHANNELS_FIRST, seed).values(), SHAPE, Layout.CHANNELS_FIRST);
    }

    /** As x was when they were begun, whatever was enqueued since, and in whatever order they are asked for. */
    @ParameterizedTest
    @EnumSource(TestDevice.class)
    void startMoments_thenOtherWork_areOfXAsItWas(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(5).build(device);
                Tensor one = random(device, 1);
                Tensor two = random(device, 2);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            ChannelMoments first = norm.moments(one);
            ChannelMoments second = norm.moments(two);
            List<Supplier<ChannelMoments>> begun = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                begun.add(norm.startMoments(i % 2 == 0 ? one : two));
            }
            norm.forward(one, y);
            one.upload(new float[(int) SHAPE.elements()]);
            for (int i = 19; i >= 0; i--) {
                assertThat(begun.get(i).get().toArray()).isEqualTo((i % 2 == 0 ? first : second).toArray());
                assertThat(begun.get(i).get().toArray())
                        .as("asked for again")
                        .isEqualTo((i % 2 == 0 ? first : second).toArray());
            }
        }
    }

    @ParameterizedTest
    @EnumSource(TestDevice.class)
    void startGradientSums_thenBackward_isAsWithAWait(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(5).activation(Activation.RELU).build(device);
                Tensor x = random(device, 3);
                Tensor dy = random(device, 4);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            norm.forwardCombined(x, null, y, norm.moments(x));
            GradientSums waited = norm.gradientSums(dy);
            norm.backwardCombined(dy, dx, null, waited);
            float[] expected = dx.download();

            norm.forwardCombined(x, null, y, norm.startMoments(x).get());
            Supplier<GradientSums> begun = norm.startGradientSums(dy);
            norm.moments(x);
            GradientSums sums = begun.get();
            assertThat(sums.toArray()).isEqualTo(waited.toArray());
            norm.backwardCombined(dy, dx, null, sums);
            assertThat(dx.download()).isEqualTo(expected);
        }
    }

    /** The layer closed, they are still there; the device closed, they are not, and that is no end of the process. */
    @Test
    void startMoments_thenClosed_isAClearError() {
        try (Device device = TestDevice.AUTO.open()) {
            BatchNorm norm = BatchNorm.builder(5).build(device);
            Tensor x = random(device, 5);
            double[] expected = norm.moments(x).toArray();
            Supplier<ChannelMoments> ofOpen = norm.startMoments(x);
            Supplier<ChannelMoments> ofClosed = norm.startMoments(x);
            norm.close();
            x.close();
            assertThat(ofOpen.get().toArray()).isEqualTo(expected);
            device.close();
            assertThatThrownBy(ofClosed::get)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("closed");
        }
    }

    /** Their room is the backend's again, once nobody can ask any more. */
    @Test
    void startMoments_neverAskedFor_areNoLeak() {
        Device device = TestDevice.AUTO.device();
        try (BatchNorm norm = BatchNorm.builder(5).build(device);
                Tensor x = random(device, 6)) {
            double[] expected = norm.moments(x).toArray();
            for (int i = 0; i < 2000; i++) {
                norm.startMoments(x);
                if (i % 500 == 0) {
                    System.gc();
                }
            }
            assertThat(norm.moments(x).toArray()).isEqualTo(expected);
        }
    }
}
