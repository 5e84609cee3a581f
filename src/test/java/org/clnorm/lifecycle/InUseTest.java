package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.OnBothBackends;
import org.clnorm.RenormalizationSchedule;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.clnorm.state.StateDict;
import org.junit.jupiter.api.Timeout;

/**
 * What others, or the call itself, do to a layer that is in the middle of a call. A renormalization's schedule is asked in
 * the middle of a forward pass, and so lets a test be there.
 */
@Timeout(60)
final class InUseTest {
    private static final Shape SHAPE = Shape.of(4, 2, 3);
    private static final Layout LAYOUT = Layout.CHANNELS_FIRST;

    /** A layer, and what happens in the middle of its forward passes. */
    private static final class Scene implements AutoCloseable {
        final AtomicReference<Runnable> inTheMiddle = new AtomicReference<>(() -> {});
        final Device device;
        final BatchNorm norm;
        final Tensor x;
        final Tensor y;

        Scene(TestDevice on) {
            device = on.open();
            norm = BatchNorm.builder(2)
                    .renormalization(new RenormalizationSchedule() {
                        @Override
                        public double rMax(long batchesTracked) {
                            inTheMiddle.getAndSet(() -> {}).run();
                            return 1;
                        }

                        @Override
                        public double dMax(long batchesTracked) {
                            return 0;
                        }
                    })
                    .build(device);
            x = device.upload(new float[24], SHAPE, LAYOUT);
            y = device.tensor(SHAPE, LAYOUT);
        }

        @Override
        public void close() {
            device.close();
        }
    }

    private static void assertRefused(ThrowingCallable call, String... words) {
        assertThatThrownBy(call)
                .isExactlyInstanceOf(IllegalStateException.class)
                .hasMessageContainingAll(words);
    }

    @OnBothBackends
    void call_inTheMiddleOfAnotherThreads_isRefusedAndDisturbsNothing(TestDevice on) throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (Scene s = new Scene(on)) {
            StateDict state = s.norm.stateDict();
            CountDownLatch in = new CountDownLatch(1);
            CountDownLatch out = new CountDownLatch(1);
            s.inTheMiddle.set(() -> {
                in.countDown();
                await(out);
            });
            Future<?> forward = other.submit(() -> s.norm.forward(s.x, s.y));
            await(in);
            for (ThrowingCallable call : List.<ThrowingCallable>of(
                    () -> s.norm.forward(s.x),
                    () -> s.norm.forward(s.x, s.y),
                    () -> s.norm.backward(s.x),
                    () -> s.norm.backward(s.x, s.y),
                    () -> s.norm.moments(s.x),
                    () -> s.norm.loadState(state),
                    () -> s.norm.evalAdapted(0.5),
                    s.norm::retainForward,
                    s.norm::stateDict,
                    s.norm::snapshotRunning,
                    s.norm::reset,
                    s.norm::train,
                    s.norm::eval)) {
                assertRefused(call, "batch normalization of 2 channels", "one call at a time", "by another thread");
            }
            assertThat(s.norm.runningMean().orElseThrow().download())
                    .as("tensors are for any thread")
                    .hasSize(2);
            out.countDown();
            forward.get(30, TimeUnit.SECONDS);
            s.norm.backward(s.x, s.y);
            assertThat(s.norm.batchesTracked()).isEqualTo(1);
        } finally {
            other.shutdownNow();
        }
    }

    @OnBothBackends
    void close_inTheMiddleOfAnotherThreadsCall_waitsForIt(TestDevice on) throws Exception {
        ExecutorService others = Executors.newFixedThreadPool(2);
        try (Scene s = new Scene(on)) {
            Tensor mean = s.norm.runningMean().orElseThrow();
            CountDownLatch in = new CountDownLatch(1);
            CountDownLatch out = new CountDownLatch(1);
            s.inTheMiddle.set(() -> {
                in.countDown();
                await(out);
            });
            s.x.fill(3);
            Future<?> forward = others.submit(() -> s.norm.forward(s.x, s.y));
            await(in);
            Future<?> close = others.submit(s.norm::close);
            Thread.sleep(50);
            assertThat(close.isDone()).as("it waits").isFalse();
            out.countDown();
            forward.get(30, TimeUnit.SECONDS);
            close.get(30, TimeUnit.SECONDS);
            assertThat(s.y.download()).as("whoever comes first wins").containsOnly(0);
            assertRefused(() -> s.norm.forward(s.x, s.y), "is closed");
            assertRefused(mean::download, "running mean", "is closed");
        } finally {
            others.shutdownNow();
        }
    }

    @OnBothBackends
    void layer_closedInTheMiddleOfItsOwnCall_isReleasedAfterIt(TestDevice on) {
        try (Scene s = new Scene(on)) {
            Tensor mean = s.norm.runningMean().orElseThrow();
            s.inTheMiddle.set(s.norm::close);
            assertThatCode(() -> s.norm.forward(s.x, s.y)).doesNotThrowAnyException();
            assertThat(mean.isClosed()).isTrue();
            assertRefused(() -> s.norm.forward(s.x, s.y), "is closed");
            s.norm.close();
        }
    }

    @OnBothBackends
    void layer_askedInTheMiddleOfItsOwnCall_refuses(TestDevice on) {
        try (Scene s = new Scene(on)) {
            s.inTheMiddle.set(() -> s.norm.forward(s.x, s.y));
            assertRefused(() -> s.norm.forward(s.x, s.y), "in the middle of another call: ");
            s.norm.forward(s.x, s.y);
        }
    }

    @OnBothBackends
    void tensorOrDevice_closedInTheMiddleOfACall_endsIt(TestDevice on) {
        try (Scene s = new Scene(on)) {
            s.inTheMiddle.set(s.x::close);
            assertRefused(() -> s.norm.forward(s.x, s.y), "tensor (4, 2, 3)", "is closed");
            assertRefused(() -> s.norm.backward(s.y), "needs a forward pass");
            try (Tensor x = s.device.tensor(SHAPE, LAYOUT)) {
                s.norm.forward(x, s.y);
                s.inTheMiddle.set(s.device::close);
                assertRefused(() -> s.norm.forward(x, s.y), "is closed");
            }
            s.norm.close();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(30, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
