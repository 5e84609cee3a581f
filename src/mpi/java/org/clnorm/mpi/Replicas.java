package org.clnorm.mpi;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.clnorm.Device;

/**
 * Devices of this process that train together, each by a thread with a part of every batch: all GPUs of a machine, or parts of a
 * processor.
 *
 * <pre>{@code
 * List<Double> losses = Replicas.of(devices, Duration.ofSeconds(60)).run((all, device) -> {
 *     ...
 *     return loss;
 * });
 * }</pre>
 */
public final class Replicas {
    /**
     * What each replica does, on a thread of its own.
     *
     * @param <T> what it returns
     */
    @FunctionalInterface
    public interface Work<T> {
        /**
         * Does the work of one replica.
         *
         * @param all the replicas as this one sees them, which are left when this returns or throws
         * @param device its device, which stays the caller's
         * @throws Exception for any reason; the others then get a {@link GroupException}
         */
        T run(DataParallel all, Device device) throws Exception;
    }

    private final List<Device> devices;
    private final Duration deadline;

    private Replicas(List<Device> devices, Duration deadline) {
        this.devices = devices;
        this.deadline = deadline;
    }

    /**
     * Replicas on some devices, numbered as these are. A device may be there twice, where what two replicas do on it may take
     * turns.
     *
     * @param devices at least one
     * @param deadline how long a replica waits for the others before all give up
     * @throws IllegalArgumentException for no device, and for a deadline that is not above 0
     */
    public static Replicas of(List<Device> devices, Duration deadline) {
        Groups.checkDeadline(deadline);
        Objects.requireNonNull(devices, "devices")
                .forEach(each -> Objects.requireNonNull(each, "devices has null in it"));
        if (devices.isEmpty()) {
            throw new IllegalArgumentException("devices must have at least one, but given was none");
        }
        return new Replicas(List.copyOf(devices), deadline);
    }

    /**
     * Has every replica do its work, and waits for all.
     *
     * @param work what each does
     * @param <T> what each returns
     * @return what they returned, in the order of devices
     * @throws CompletionException when one or more threw an exception, with the first that is not about another replica as its
     *     cause; that one has the others' as suppressed exceptions
     */
    public <T> List<T> run(Work<T> work) {
        Objects.requireNonNull(work, "work");
        List<Group> ranks = LocalGroup.of(devices.size(), deadline);
        ExecutorService threads = Executors.newFixedThreadPool(devices.size(), task -> {
            Thread thread = new Thread(task, "clnorm-replica");
            thread.setDaemon(true);
            return thread;
        });
        try {
            List<Future<T>> running = new ArrayList<>();
            for (Group rank : ranks) {
                Callable<T> task = () -> {
                    try (DataParallel all = new DataParallel(rank)) {
                        return work.run(all, devices.get(rank.rank()));
                    }
                };
                running.add(threads.submit(task));
            }
            return results(running, ranks.get(0));
        } finally {
            threads.shutdownNow();
        }
    }

    private static <T> List<T> results(List<Future<T>> running, Group group) {
        List<T> results = new ArrayList<>();
        List<Throwable> failures = new ArrayList<>();
        boolean isInterrupted = false;
        for (Future<T> each : running) {
            while (true) {
                try {
                    results.add(each.get());
                    break;
                } catch (ExecutionException e) {
                    failures.add(e.getCause());
                    break;
                } catch (InterruptedException e) { // the replicas are to know, and to end as after any fault
                    isInterrupted = true;
                    group.fail("The thread that waits for the replicas was interrupted");
                }
            }
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
        if (failures.isEmpty()) {
            return results;
        }
        Throwable first = failures.stream()
                .filter(each -> !(each instanceof GroupException))
                .findFirst()
                .orElse(failures.get(0));
        failures.stream().filter(each -> each != first).forEach(first::addSuppressed);
        throw new CompletionException(first.getMessage(), first);
    }

    /** The devices, and how long one waits for the others. */
    @Override
    public String toString() {
        return "replicas on " + devices + ", which wait " + deadline.toMillis() + " ms for each other";
    }
}
