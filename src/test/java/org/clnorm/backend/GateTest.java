package org.clnorm.backend;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Whoever is in keeps what is behind the gate from being released. */
@Timeout(60)
final class GateTest {
    private final AtomicInteger releases = new AtomicInteger();
    private final Gate gate = new Gate(releases::incrementAndGet);

    @Test
    void shut_withNobodyIn_releasesAtOnceAndOnce() {
        assertThat(gate.enter()).isTrue();
        gate.leave();
        assertThat(gate.isReleased()).isFalse();
        gate.shut();
        gate.shut();
        gate.awaitRelease();
        assertThat(gate.enter()).isFalse();
        assertThat(gate.enterAlone()).isFalse();
        assertThat(gate.isReleased()).isTrue();
        assertThat(releases).hasValue(1);
    }

    @Test
    void shut_withSomebodyIn_leavesItToTheLastOneOut() {
        gate.enter();
        gate.enter();
        gate.shut();
        assertThat(gate.enter()).isFalse();
        gate.leave();
        assertThat(releases).hasValue(0);
        gate.leave();
        assertThat(releases).hasValue(1);
        assertThat(gate.enter()).isFalse();
        assertThat(releases).hasValue(1);
    }

    @Test
    void enterAlone_withSomebodyIn_isRefused() {
        assertThat(gate.enterAlone()).isTrue();
        assertThat(gate.enterAlone()).isFalse();
        gate.leave();
        assertThat(gate.enterAlone()).isTrue();
        gate.shut();
        assertThat(releases).hasValue(0);
        gate.leave();
        assertThat(releases).hasValue(1);
    }

    @Test
    void awaitRelease_interrupted_waitsAllTheSame() throws InterruptedException {
        gate.enter();
        gate.shut();
        AtomicInteger seen = new AtomicInteger(-1);
        Thread closer = new Thread(() -> {
            gate.awaitRelease();
            seen.set(Thread.currentThread().isInterrupted() ? 1 : 0);
        });
        closer.start();
        closer.interrupt();
        Thread.sleep(20);
        assertThat(seen).hasValue(-1);
        gate.leave();
        closer.join();
        assertThat(seen).as("and the thread is still told of it").hasValue(1);
    }

    @Test
    void shut_whileManyGoInAndOut_releasesOnceWithNobodyIn() throws InterruptedException {
        for (int round = 0; round < 200; round++) {
            AtomicInteger inside = new AtomicInteger();
            AtomicInteger wrong = new AtomicInteger();
            AtomicInteger released = new AtomicInteger();
            Gate busy = new Gate(() -> {
                released.incrementAndGet();
                wrong.addAndGet(inside.get());
            });
            CountDownLatch started = new CountDownLatch(4);
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                threads.add(new Thread(() -> {
                    started.countDown();
                    while (busy.enter()) {
                        inside.incrementAndGet();
                        wrong.addAndGet(released.get());
                        inside.decrementAndGet();
                        busy.leave();
                    }
                }));
            }
            threads.forEach(Thread::start);
            started.await();
            busy.shut();
            busy.awaitRelease();
            for (Thread thread : threads) {
                thread.join();
            }
            assertThat(released).hasValue(1);
            assertThat(wrong).as("calls that were in when it was released").hasValue(0);
        }
    }
}
