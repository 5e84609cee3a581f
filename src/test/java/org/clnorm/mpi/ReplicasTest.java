package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletionException;
import org.clnorm.Activation;
import org.clnorm.Batch;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.OnBothBackends;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.clnorm.interop.SubDevices;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.junit.jupiter.api.Test;

final class ReplicasTest {
    private static final Duration LONG = Duration.ofMinutes(1);
    private static final Shape HALF = Shape.of(4, 6, 10);
    private static final int CUT = (int) HALF.elements();
    private static final Batch X = Batch.random(Shape.of(8, 6, 10), Layout.CHANNELS_FIRST, 1);
    private static final Batch DY = Batch.gradient(Shape.of(8, 6, 10), Layout.CHANNELS_FIRST, 2);

    private static Tensor half(Batch batch, Device device, int part) {
        return device.upload(
                Arrays.copyOfRange(batch.values(), part * CUT, (part + 1) * CUT), HALF, Layout.CHANNELS_FIRST);
    }

    private static BatchNorm layer(Device device) {
        return BatchNorm.builder(6).activation(Activation.SILU).build(device);
    }

    /** y, dx, dγ and the running variance. */
    private static List<float[]> arrays(BatchNorm norm, Tensor y, Tensor dx) {
        return List.of(
                y.download(),
                dx.download(),
                norm.gamma().orElseThrow().gradient().download(),
                norm.runningVariance().orElseThrow().download());
    }

    private static List<List<float[]>> byReplicas(List<Device> devices) {
        return Replicas.of(devices, LONG).run((all, device) -> {
            int part = all.group().rank();
            try (BatchNorm norm = layer(device);
                    Tensor x = half(X, device, part);
                    Tensor dy = half(DY, device, part);
                    Tensor y = device.tensor(HALF, Layout.CHANNELS_FIRST)) {
                SyncBatchNorm synced = all.synchronize(norm);
                synced.forward(x, y);
                synced.backward(dy, dy);
                return arrays(norm, y, dy);
            }
        });
    }

    /** The whole batch on one device, cut alike, by the layers' own calls. */
    private static List<List<float[]>> byHand(Device device) {
        List<List<float[]>> results = new ArrayList<>();
        try (BatchNorm left = layer(device);
                BatchNorm right = layer(device);
                Tensor xLeft = half(X, device, 0);
                Tensor xRight = half(X, device, 1);
                Tensor dyLeft = half(DY, device, 0);
                Tensor dyRight = half(DY, device, 1);
                Tensor yLeft = device.tensor(HALF, Layout.CHANNELS_FIRST);
                Tensor yRight = device.tensor(HALF, Layout.CHANNELS_FIRST)) {
            ChannelMoments moments = ChannelMoments.combine(left.moments(xLeft), right.moments(xRight));
            left.forwardCombined(xLeft, null, yLeft, moments);
            right.forwardCombined(xRight, null, yRight, moments);
            GradientSums sums = GradientSums.combine(left.gradientSums(dyLeft), right.gradientSums(dyRight));
            left.backwardCombined(dyLeft, dyLeft, null, sums);
            right.backwardCombined(dyRight, dyRight, null, sums);
            results.add(arrays(left, yLeft, dyLeft));
            results.add(arrays(right, yRight, dyRight));
        }
        return results;
    }

    private static void assertSameBits(List<List<float[]>> actual, List<List<float[]>> expected) {
        for (int part = 0; part < 2; part++) {
            for (int i = 0; i < expected.get(part).size(); i++) {
                assertThat(actual.get(part).get(i))
                        .as("part %d, array %d", part, i)
                        .isEqualTo(expected.get(part).get(i));
            }
        }
    }

    @OnBothBackends
    void replicas_onTwoDevices_giveTheBitsOfTheWholeBatchCutAlike(TestDevice on) {
        try (Device one = on.open();
                Device other = on.open()) {
            assertSameBits(byReplicas(List.of(one, other)), byHand(one));
        }
    }

    /** Which have as many compute units as the device has that the whole batch is on. */
    @Test
    void replicas_onPartsOfAProcessor_giveTheBitsOfTheWholeBatchCutAlike() {
        try (SubDevices parts = SubDevices.ofOneUnit()) {
            assertThat(parts.units().stream().distinct()).hasSize(1);
            List<Device> two = List.of(
                    parts.devices().get(0), parts.devices().get(parts.devices().size() - 1));
            assertSameBits(byReplicas(two), byHand(two.get(0)));
        }
    }

    @Test
    void exception_ofOneReplica_isTheCauseAndEndsTheOthers() {
        try (Device device = Device.cpuReference()) {
            Replicas replicas = Replicas.of(List.of(device, device, device), Duration.ofHours(1));
            assertThatThrownBy(() -> replicas.run((all, on) -> {
                        if (all.group().rank() == 1) {
                            throw new java.io.IOException("no such image");
                        }
                        try (BatchNorm norm = layer(on)) {
                            all.synchronize(norm).forward(half(X, on, 0), half(X, on, 0));
                        }
                        return null;
                    }))
                    .isInstanceOf(CompletionException.class)
                    .hasMessage("no such image")
                    .cause()
                    .satisfies(cause -> assertThat(cause.getSuppressed())
                            .hasSize(3)
                            .allSatisfy(each -> assertThat(each).isInstanceOf(GroupException.class)));
        }
    }

    @Test
    void interrupt_ofTheCaller_endsAllReplicas() throws Exception {
        try (Device device = Device.cpuReference()) {
            Thread.currentThread().interrupt();
            assertThatThrownBy(() -> Replicas.of(List.of(device, device), Duration.ofHours(1))
                            .run((all, on) -> {
                                if (all.group().rank() == 1) {
                                    Thread.sleep(500);
                                }
                                all.gradientsOf(layer(on).parameters()).sum();
                                return null;
                            }))
                    .hasCauseInstanceOf(GroupException.class)
                    .hasMessageContaining("was interrupted");
            assertThat(Thread.interrupted()).isTrue();
        }
    }

    @Test
    void of_noDevice_isRefused() {
        assertThatThrownBy(() -> Replicas.of(List.of(), LONG))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("given was none");
    }
}
