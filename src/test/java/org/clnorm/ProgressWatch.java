package org.clnorm;

import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Ends the tests' process when a test is stuck, after telling where each thread is. It looks at progress, not at a clock
 * that a slow machine runs out of: a test is stuck when no other has begun or ended for a while, and in that time neither
 * this process nor its children have computed; or, computing, after a time in which the slowest machine ends a test.
 *
 * <p>JUnit finds it by META-INF/services, for all tests.
 */
public final class ProgressWatch implements BeforeEachCallback, AfterEachCallback {
    static final Duration LOOK = Duration.ofSeconds(30);
    static final Duration IDLE = Duration.ofMinutes(10);
    static final Duration ENDLESS = Duration.ofHours(2);
    /** What an idle JVM's own threads take, and more. */
    static final Duration NOTHING = Duration.ofSeconds(5);

    private static final int EXIT_CODE = 86;
    private static final AtomicLong EVENTS = new AtomicLong();
    private static final AtomicReference<String> LAST = new AtomicReference<>("no test yet");

    static {
        Thread watch = new Thread(ProgressWatch::watch, "progress-watch");
        watch.setDaemon(true);
        watch.start();
    }

    /**
     * What was seen at one look.
     *
     * @param events tests begun and ended so far
     * @param at when it was, on any clock
     * @param computed processor time so far
     */
    record Look(long events, Duration at, Duration computed) {}

    @Override
    public void beforeEach(ExtensionContext context) {
        note("in " + context.getUniqueId());
    }

    @Override
    public void afterEach(ExtensionContext context) {
        note("after " + context.getUniqueId());
    }

    private static void note(String where) {
        LAST.set(where);
        EVENTS.incrementAndGet();
    }

    /** Whether tests are stuck now, if they came no further since then. */
    static boolean isStuck(Look then, Look now) {
        if (now.events() != then.events()) {
            return false;
        }
        Duration passed = now.at().minus(then.at());
        boolean idle = now.computed().minus(then.computed()).compareTo(NOTHING) < 0;
        return passed.compareTo(idle ? IDLE : ENDLESS) >= 0;
    }

    private static void watch() {
        Look since = look();
        while (true) {
            try {
                Thread.sleep(LOOK.toMillis());
            } catch (InterruptedException e) {
                return;
            }
            Look now = look();
            if (now.events() != since.events()) {
                since = now;
            } else if (isStuck(since, now)) {
                System.err.println("Stuck " + LAST.get() + ": no progress for "
                        + now.at().minus(since.at()).toMinutes() + " minutes. The threads are at:\n" + threads());
                System.err.flush();
                Runtime.getRuntime().halt(EXIT_CODE);
            }
        }
    }

    private static Look look() {
        return new Look(EVENTS.get(), Duration.ofNanos(System.nanoTime()), computed());
    }

    /** By this process and what it has started. */
    private static Duration computed() {
        ProcessHandle self = ProcessHandle.current();
        return Stream.concat(Stream.of(self), self.descendants())
                .map(process -> process.info().totalCpuDuration().orElse(Duration.ZERO))
                .reduce(Duration.ZERO, Duration::plus);
    }

    private static String threads() {
        return Arrays.stream(ManagementFactory.getThreadMXBean().dumpAllThreads(true, true))
                .map(thread -> "\"" + thread.getThreadName() + "\" " + thread.getThreadState()
                        + Arrays.stream(thread.getStackTrace())
                                .map(frame -> "\n    at " + frame)
                                .collect(Collectors.joining()))
                .collect(Collectors.joining("\n"));
    }
}
