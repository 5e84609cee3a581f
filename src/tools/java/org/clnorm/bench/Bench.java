package org.clnorm.bench;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.clnorm.backend.Operand;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Strategy;

/**
 * Times passes, and optimizers' steps, on a device against copies of the same device.
 *
 * <p>Copies and calls alternate in short blocks within one run, and the ratio is the median over the rounds of the ratio
 * in a round: machines that others use too get slower and faster over seconds, and both sides see the same. Buffers
 * rotate through more memory than a cache holds, so that every call reads from memory.
 *
 * <p>A call is the backend's, below a layer's or an optimizer's checks of its arguments.
 */
public final class Bench {
    /** How often each is measured; what is reported is the median. */
    static final int ROUNDS = 9;

    /** How long calls of one kind go on before it is the next kind's turn. */
    static final double BLOCK_SECONDS = 0.03;

    /** Calls in a round whose kernels are timed. */
    private static final int KERNEL_CALLS = 5;

    /** The most sets of buffers that are rotated through, however small. */
    static final int MOST_SETS = 64;

    /** Who is told how far it is. */
    public interface Progress {
        /** A workload's turn has come. */
        void starting(Timed workload);

        /** It is measured. */
        void measured(Measurement measurement);
    }

    private final OpenCl.Candidate device;
    private final String strategy;

    /** @param strategy a strategy's name, or null for the choice by shape */
    public Bench(OpenCl.Candidate device, String strategy) {
        this.device = device;
        this.strategy = strategy;
    }

    /** Measures all, telling each result as it comes. */
    public List<Measurement> run(List<? extends Timed> workloads, Progress progress) {
        List<Measurement> all = new ArrayList<>();
        // Two, since a queue that times kernels may be a slower one.
        try (OpenClBackend timing = device.openForTiming(strategy);
                OpenClBackend backend = (OpenClBackend) device.open(strategy)) {
            for (Timed workload : workloads) {
                progress.starting(workload);
                Measurement measurement = measure(timing, backend, workload);
                all.add(measurement);
                progress.measured(measurement);
            }
        }
        return all;
    }

    /**
     * Memory that the buffers of a workload rotate through: several times what the cache holds, where the device has
     * that much.
     */
    static long rotationBytes(long cacheBytes, long globalBytes) {
        return Math.max(320L << 20, Math.min(4 * cacheBytes, globalBytes / 8));
    }

    /** The same for a device. */
    public static long rotationBytes(DeviceFacts facts) {
        return rotationBytes(facts.cacheBytes(), facts.globalBytes());
    }

    private Measurement measure(OpenClBackend timing, OpenClBackend backend, Timed workload) {
        try (Buffers timed = new Buffers(timing, workload, rotationBytes(device.facts()));
                Buffers buffers = new Buffers(backend, workload, rotationBytes(device.facts()))) {
            KernelBlock kernels = new KernelBlock(timing, timed);
            Block copy = new Block(backend, i -> buffers.copy(i, false), false);
            Block streamed = new Block(backend, i -> buffers.copy(i, true), false);
            Block queued = new Block(backend, buffers::call, false);
            Block waited = new Block(backend, buffers::call, true);
            double[] queuedSeconds = new double[ROUNDS];
            double[] waitedSeconds = new double[ROUNDS];
            double[] kernelSeconds = new double[ROUNDS];
            double[] hostSeconds = new double[ROUNDS];
            double[] copyRate = new double[ROUNDS];
            double[] streamedRate = new double[ROUNDS];
            double[] ofCopy = new double[ROUNDS];
            double[] ofStreamed = new double[ROUNDS];
            double gigabytes = workload.minimalBytes() * 1e-9;
            double copyGigabytes = 2e-9 * Float.BYTES * workload.copied();
            for (int round = 0; round < ROUNDS; round++) {
                copyRate[round] = copyGigabytes / copy.seconds();
                streamedRate[round] = copyGigabytes / streamed.seconds();
                queuedSeconds[round] = queued.seconds();
                hostSeconds[round] = queued.hostSeconds;
                waitedSeconds[round] = waited.seconds();
                kernelSeconds[round] = kernels.seconds();
                double rate = gigabytes / queuedSeconds[round];
                ofCopy[round] = rate / copyRate[round];
                ofStreamed[round] = rate / streamedRate[round];
            }
            double seconds = median(queuedSeconds);
            return new Measurement(
                    workload,
                    seconds * 1e3,
                    median(waitedSeconds) * 1e3,
                    median(kernelSeconds) * 1e3,
                    kernels.launches,
                    median(hostSeconds) * 1e6,
                    gigabytes / seconds,
                    median(copyRate),
                    median(streamedRate),
                    median(ofCopy),
                    median(ofStreamed));
        }
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    /** Calls one after another, so many that a block takes a while: waited for together, or each. */
    private static final class Block {
        private interface Call {
            void make(int i);
        }

        private final OpenClBackend backend;
        private final Call call;
        private final boolean waits;
        private final int calls;
        private int next;
        double hostSeconds;

        Block(OpenClBackend backend, Call call, boolean waits) {
            this.backend = backend;
            this.call = call;
            this.waits = waits;
            run(2);
            double one = Math.min(run(2), run(2)) / 2;
            this.calls = (int) Math.max(2, Math.min(2000, BLOCK_SECONDS / one));
        }

        /** Seconds of one call. */
        double seconds() {
            return run(calls) / calls;
        }

        private double run(int n) {
            long start = System.nanoTime();
            for (int i = 0; i < n; i++) {
                call.make(next++);
                if (waits) {
                    backend.finish();
                }
            }
            hostSeconds = (System.nanoTime() - start) * 1e-9 / n;
            backend.finish();
            return (System.nanoTime() - start) * 1e-9;
        }
    }

    /** A few calls whose kernels are timed by the device. */
    private static final class KernelBlock {
        private final OpenClBackend timing;
        private final Buffers buffers;
        private long nanoseconds;
        private int next;
        int launches;

        KernelBlock(OpenClBackend timing, Buffers buffers) {
            this.timing = timing;
            this.buffers = buffers;
            buffers.call(next++); // compiles
            timing.finish();
        }

        /** Seconds of one call's kernels. */
        double seconds() {
            nanoseconds = 0;
            launches = 0;
            timing.timeLaunches((kernel, time) -> {
                nanoseconds += time;
                launches++;
            });
            for (int i = 0; i < KERNEL_CALLS; i++) {
                buffers.call(next++);
            }
            timing.timeLaunches(null);
            launches /= KERNEL_CALLS;
            return nanoseconds * 1e-9 / KERNEL_CALLS;
        }
    }

    /** A workload's calls, and copies of its tensors, in as many sets as the rotation takes. */
    private static final class Buffers implements AutoCloseable {
        private final OpenClBackend backend;
        private final Timed workload;
        private final TimedOperands operands;
        private final Tensors tensors;
        private final Calls calls;

        Buffers(OpenClBackend backend, Timed workload, long rotation) {
            this.backend = backend;
            this.workload = workload;
            operands = new TimedOperands(backend, workload.room());
            tensors = workload.tensors(Tensors.sets(workload, rotation, MOST_SETS), operands);
            calls = workload.calls(backend, tensors);
        }

        void call(int i) {
            calls.make(i);
        }

        void copy(int i, boolean stream) {
            int set = i % tensors.sets();
            Operand from = new Operand(tensors.get(Tensors.Part.X, set).memory(), 0);
            Operand to = new Operand(tensors.get(Tensors.Part.Y, set).memory(), 0);
            Strategy strategy = backend.strategyForCopies().withStream(stream);
            backend.copy(from, to, workload.copied(), strategy);
        }

        @Override
        public void close() {
            operands.close();
            calls.close();
        }
    }
}
