package org.clnorm.mpi;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import org.clnorm.Device;

/**
 * Replicas of a network, one on each of several devices of this process: all GPUs of a machine, or the parts that a CPU was
 * divided into ({@code clCreateSubDevices}), by way of {@link org.clnorm.OpenClInterop#device}. Each has a thread of its own, in
 * which it is made, used and closed, and is a rank of a {@link LocalGroup}:
 *
 * <pre>{@code
 * try (Replicas<Net> replicas = Replicas.of(devices, Duration.ofMinutes(1), Net::new)) { // new Net(device, ranks)
 *     for (Batch batch : batches) {
 *         List<Double> losses = replicas.each((rank, net) -> net.step(batch.part(rank)));
 *     }
 * }
 * }</pre>
 *
 * <p>One that throws ends the step for all: those that wait for it get a {@link GroupException}, and {@link #each} throws what
 * the first one threw. The replicas are of no use then, but to be closed.
 *
 * @param <N> the network, which is closed with the replicas
 */
public final class Replicas<N extends AutoCloseable> implements AutoCloseable {
    /** Makes a replica on its device, of layers that its ranks {@linkplain DataParallel#synchronize synchronize}. */
    @FunctionalInterface
    public interface Factory<N> {
        /**
         * Makes one.
         *
         * @param device the replica's device
         * @param ranks the ranks that train together, as this replica sees them; closed with the replicas
         * @throws Exception for which there are no replicas then
         */
        N make(Device device, DataParallel ranks) throws Exception;
    }

    /** What a replica does. */
    @FunctionalInterface
    public interface Work<N, T> {
        /**
         * Does it.
         *
         * @param rank which replica it is, from 0 on, in the order of the devices
         * @param network the replica
         * @throws Exception which {@link #each} throws
         */
        T of(int rank, N network) throws Exception;
    }

    private final List<ExecutorService> threads = new ArrayList<>();
    private final List<DataParallel> ranks = new ArrayList<>();
    private final List<N> networks = new ArrayList<>();

    private Replicas() {}

    /**
     * Makes a replica on each of several devices.
     *
     * @param devices at least one, each for a replica; they stay the caller's, to be closed after these
     * @param deadline how long a replica waits for the others before all give up
     * @param make makes a replica; called in each one's thread, at the same time
     * @throws IllegalArgumentException for no device, one that is there twice, and a deadline that is not above 0
     * @throws IllegalStateException when a replica cannot be made; its cause says why
     */
    public static <N extends AutoCloseable> Replicas<N> of(
            List<Device> devices, Duration deadline, Factory<? extends N> make) {
        Objects.requireNonNull(devices, "devices")
                .forEach(each -> Objects.requireNonNull(each, "devices has null in it"));
        Objects.requireNonNull(make, "make");
        if (devices.isEmpty() || devices.stream().distinct().count() != devices.size()) {
            throw new IllegalArgumentException(
                    "devices must be at least one, and each another, but given were " + devices);
        }
        List<Group> groups = Groups.local(devices.size(), deadline);
        Replicas<N> replicas = new Replicas<>();
        for (int rank = 0; rank < devices.size(); rank++) {
            int number = rank;
            replicas.ranks.add(new DataParallel(groups.get(rank)));
            replicas.networks.add(null);
            replicas.threads.add(Executors.newSingleThreadExecutor(work -> {
                Thread thread = new Thread(work, "replica " + number);
                thread.setDaemon(true); // a program that ends without closing them ends
                return thread;
            }));
        }
        try {
            replicas.inEach(rank -> {
                N network = make.make(devices.get(rank), replicas.ranks.get(rank));
                replicas.networks.set(rank, Objects.requireNonNull(network, "make returned null"));
                return null;
            });
        } catch (RuntimeException e) {
            replicas.close();
            throw e;
        }
        return replicas;
    }

    /** How many there are. */
    public int size() {
        return threads.size();
    }

    /**
     * Has every replica do something at the same time, and waits for all.
     *
     * @param work what, in each one's thread; what it touches of the caller's is the caller's care
     * @return what they returned, in the order of the devices
     * @throws IllegalStateException when one threw, by the first that did not because of another; its cause is what that threw
     */
    public <T> List<T> each(Work<? super N, ? extends T> work) {
        Objects.requireNonNull(work, "work");
        return inEach(rank -> work.of(rank, networks.get(rank)));
    }

    private interface InThread<T> {
        T of(int rank) throws Exception;
    }

    private <T> List<T> inEach(InThread<? extends T> work) {
        List<Future<T>> running = new ArrayList<>();
        for (int rank = 0; rank < threads.size(); rank++) {
            int number = rank;
            Callable<T> call = () -> {
                try {
                    return work.of(number);
                } catch (Exception | Error e) {
                    ranks.get(number).group().fail("Replica " + number + " failed: " + e);
                    throw e;
                }
            };
            running.add(threads.get(rank).submit(call));
        }
        List<T> results = new ArrayList<>();
        Throwable first = null;
        int failed = 0;
        for (int rank = 0; rank < running.size(); rank++) {
            try {
                results.add(await(running.get(rank)));
            } catch (ExecutionException e) {
                // What a replica found out by itself says more than what the others were told of it.
                if (first == null || first instanceof GroupException && !(e.getCause() instanceof GroupException)) {
                    first = e.getCause();
                    failed = rank;
                }
            }
        }
        if (first != null) {
            throw new IllegalStateException("Replica " + failed + " failed: " + first.getMessage(), first);
        }
        return results;
    }

    /** Waits, also when interrupted: a replica is not left alone at work on the caller's tensors. */
    private static <T> T await(Future<T> running) throws ExecutionException {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return running.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (CancellationException e) {
                    throw new ExecutionException(e);
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Closes the replicas, each in its thread, and ends the threads. Closing twice is harmless. */
    @Override
    public void close() {
        try {
            inEach(rank -> {
                N network = networks.set(rank, null);
                try {
                    if (network != null) {
                        network.close();
                    }
                } finally {
                    leave(ranks.get(rank));
                }
                return null;
            });
        } catch (RejectedExecutionException e) {
            return; // closed before
        } finally {
            threads.forEach(ExecutorService::shutdown);
        }
    }

    private static void leave(DataParallel ranks) {
        try {
            ranks.close();
        } catch (GroupException e) {
            // Whoever made it fail was told.
        }
    }

    @Override
    public String toString() {
        return size() + " replicas";
    }
}
