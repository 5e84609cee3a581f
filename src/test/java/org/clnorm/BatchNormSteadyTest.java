package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The same call again and again: nothing is made anew, and what was kept is not mistaken for what is asked for. */
final class BatchNormSteadyTest {
    private static final Shape SHAPE = Shape.of(6, 8, 12);

    private static Tensor random(Device device, Shape shape, long seed) {
        return Batch.random(shape, Layout.CHANNELS_FIRST, seed).on(device);
    }

    @ParameterizedTest(name = "{0}")
    @EnumSource(value = TestDevice.class, mode = EnumSource.Mode.EXCLUDE, names = "REFERENCE")
    void step_sameTensors_allocatesNothing(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(8).activation(Activation.RELU).build(device);
                Tensor x = random(device, SHAPE, 1);
                Tensor residual = random(device, SHAPE, 2);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dy = random(device, SHAPE, 3);
                Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dresidual = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            assertNoAllocation("training", device, () -> {
                norm.forward(x, residual, y);
                norm.backward(dy, dx, dresidual);
            });
            norm.eval();
            assertNoAllocation("evaluation", device, () -> norm.forward(x, y));
        }
    }

    static void assertNoAllocation(String what, Device device, Runnable step) {
        assertAllocation(what, device, 0, step);
    }

    /** @param most bytes of a step */
    static void assertAllocation(String what, Device device, long most, Runnable step) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        repeat(500, device, step);
        // The JVM's compiler has a thread allocate now and then, once; a step that allocates does so in every round.
        long least = Long.MAX_VALUE;
        for (int round = 0; round < 20; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            repeat(50, device, step);
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
        }
        assertThat(least).as("bytes of Java memory for 50 steps of %s", what).isLessThanOrEqualTo(50 * most);
    }

    private static void repeat(int times, Device device, Runnable step) {
        for (int i = 0; i < times; i++) {
            step.run();
            if (i % 50 == 0) {
                device.finish();
            }
        }
    }

    @OnEveryDevice
    void shapes_moreThanAreKept_giveTheBitsOfALayerOfTheirOwn(TestDevice on) {
        try (BatchNorm norm = newLayer(on)) {
            for (int round = 0; round < 3; round++) {
                for (int n = 2; n < 14; n++) { // with forward and backward more than the 16 passes that a layer keeps
                    Batch x = Batch.random(Shape.of(n, 3, 5), Layout.CHANNELS_FIRST, n);
                    Batch dy = Batch.gradient(Shape.of(n, 3, 5), Layout.CHANNELS_FIRST, -n);
                    Batch residual = (n + round) % 3 == 0 ? dy : null;
                    try (BatchNorm alone = newLayer(on)) {
                        Step.of(norm, x, residual, dy)
                                .assertSameBits(Step.of(alone, x, residual, dy), "N = " + n + ", round " + round);
                    }
                }
            }
        }
    }

    private static BatchNorm newLayer(TestDevice on) {
        return BatchNorm.builder(3)
                .activation(Activation.RELU)
                .runningAverage(RunningAverage.none())
                .build(on.device());
    }

    @OnEveryDevice
    void tensors_otherPlacesFromCallToCall_giveTheBitsOfALayerOfTheirOwn(TestDevice on) {
        Device device = on.device();
        int n = (int) SHAPE.elements();
        try (BatchNorm norm = BatchNorm.builder(8).build(device);
                Tensor inputs = random(device, Shape.of(2, 8, 100), 7);
                Tensor outputs = device.tensor(Shape.of(2L * n + 8), Layout.CHANNELS_FIRST)) {
            for (int call = 0; call < 40; call++) {
                Tensor x = inputs.slice(call * 5 % 17, SHAPE, Layout.CHANNELS_FIRST);
                Tensor y = outputs.slice(call * 3 % 7, SHAPE, Layout.CHANNELS_FIRST);
                Tensor dx = outputs.slice(n + 7 - call % 4, SHAPE, Layout.values()[call / 20]);
                Tensor laidOut = x;
                if (call >= 20) {
                    laidOut = inputs.slice(call * 5 % 17, SHAPE, Layout.CHANNELS_LAST);
                    y = outputs.slice(call * 3 % 7, SHAPE, Layout.CHANNELS_LAST);
                }
                norm.forward(laidOut, y);
                float[] got = y.download();
                norm.backward(laidOut, dx);
                float[] gradient = dx.download();
                try (BatchNorm alone = BatchNorm.builder(8).build(device)) {
                    alone.forward(laidOut, y);
                    assertThat(got).as("y of call %d", call).isEqualTo(y.download());
                    alone.backward(laidOut, dx);
                    assertThat(gradient).as("dx of call %d", call).isEqualTo(dx.download());
                }
            }
        }
    }

    @OnEveryDevice
    void tensors_closedAndMadeAnew_areNotTakenForTheOldOnes(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(8).build(device)) {
            for (int i = 0; i < 20; i++) { // a driver may give the new buffer the old one's handle
                Batch x = Batch.random(SHAPE, Layout.CHANNELS_FIRST, i);
                try (Tensor input = x.on(device);
                        Tensor y = norm.forward(input);
                        BatchNorm alone = BatchNorm.builder(8).build(device);
                        Tensor expected = alone.forward(input)) {
                    assertThat(y.download()).as("call %d", i).isEqualTo(expected.download());
                }
            }
        }
    }

    @OnEveryDevice
    void layers_oneClosedWhileAnotherGoesOn_doNotDisturbIt(TestDevice on) throws Exception {
        Device device = on.device();
        ExecutorService thread = Executors.newSingleThreadExecutor();
        try (BatchNorm norm = BatchNorm.builder(8).build(device);
                Tensor x = random(device, SHAPE, 5);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            norm.forward(x, y);
            norm.backward(x, dx);
            float[] expected = dx.download();
            Future<?> others = thread.submit(() -> {
                for (int i = 0; i < 30; i++) {
                    try (BatchNorm other = BatchNorm.builder(8).build(device);
                            Tensor otherY = other.forward(x);
                            Tensor otherDx = other.backward(x)) {
                        assertThat(otherDx.download()).isEqualTo(expected);
                    }
                }
            });
            List<float[]> results = new ArrayList<>();
            while (!others.isDone() || results.isEmpty()) {
                norm.forward(x, y);
                norm.backward(x, dx);
                results.add(dx.download());
            }
            others.get();
            assertThat(results).allSatisfy(result -> assertThat(result).isEqualTo(expected));
        } finally {
            thread.shutdownNow();
        }
    }

    @OnEveryDevice
    void step_sameTensorsAgain_isWatchedAnew(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(8).build(device);
                Tensor x = random(device, SHAPE, 5);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            for (int i = 0; i < 3; i++) {
                norm.forward(x, y);
                norm.retainForward();
                norm.backward(x, dx);
                x.fill(i);
                assertThatThrownBy(() -> norm.backward(y, dx))
                        .as("pass %d", i)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("written since");
            }
            norm.forward(x, y);
            norm.reset();
            assertThatThrownBy(() -> norm.backward(y, dx))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("needs a forward pass");
            norm.forward(x, y);
            norm.backward(y, dx);
        }
    }

    @OnEveryDevice
    void step_sameTensorsButOneOfThemClosed_isRefused(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(8).build(device);
                Tensor x = random(device, SHAPE, 5);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            norm.forward(x, y);
            y.close();
            assertThatThrownBy(() -> norm.forward(x, y))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("closed");
        }
    }

    @OnEveryDevice
    void forward_failedOnTheSameTensors_isNotToBeGoneBackThrough(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm =
                        BatchNorm.builder(8).nonFinite(NonFinitePolicy.THROW).build(device);
                Tensor x = random(device, SHAPE, 5);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            norm.forward(x, y);
            x.fill(Float.NaN);
            assertThatThrownBy(() -> norm.forward(x, y)).isInstanceOf(NonFiniteException.class);
            assertThatThrownBy(() -> norm.backward(y, dx))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("needs a forward pass");
        }
    }
}
