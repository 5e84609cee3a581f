package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Ranks of a test, each a thread. */
final class RankThreads {
    /** What a rank does. */
    interface Work<T> {
        T of(Group group) throws Exception;
    }

    /**
     * How a rank ended.
     *
     * @param failure what it threw; null where it returned a value
     */
    record Outcome<T>(T value, Throwable failure) {}

    private RankThreads() {}

    /** Has every rank do its work and leave the group, however the work ends. */
    static <T> List<Outcome<T>> outcomes(int size, Duration deadline, Work<T> work) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(size);
        try {
            List<Future<Outcome<T>>> running = new ArrayList<>();
            for (Group group : Groups.local(size, deadline)) {
                running.add(pool.submit(() -> {
                    try (group) {
                        return new Outcome<>(work.of(group), null);
                    } catch (Throwable e) { // whatever it is, it is to be known
                        return new Outcome<>(null, e);
                    }
                }));
            }
            List<Outcome<T>> outcomes = new ArrayList<>();
            for (Future<Outcome<T>> each : running) {
                outcomes.add(each.get(60, TimeUnit.SECONDS));
            }
            return outcomes;
        } finally {
            pool.shutdownNow();
        }
    }

    /** What the ranks return, none of which may fail. */
    static <T> List<T> values(int size, Work<T> work) throws Exception {
        List<T> values = new ArrayList<>();
        for (Outcome<T> each : outcomes(size, Duration.ofSeconds(30), work)) {
            if (each.failure() != null) {
                throw new AssertionError("A rank failed", each.failure());
            }
            values.add(each.value());
        }
        return values;
    }

    /** Holds that every rank failed because of the group, and with these words. */
    static void assertAllToldOf(List<? extends Outcome<?>> outcomes, String... words) {
        assertThat(outcomes).allSatisfy(each -> assertThat(each.failure())
                .isInstanceOf(GroupException.class)
                .hasMessageContainingAll(words));
    }
}
