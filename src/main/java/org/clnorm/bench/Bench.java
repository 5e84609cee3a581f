package org.clnorm.bench;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.opencl.Strategy;

/**
 * Times passes on a device against copies of the same device.
 *
 * <p>Copies and pass alternate in short blocks within one run, and the ratio is the median over the rounds of the ratio
 * in a round: machines that others use too get slower and faster over seconds, and both sides see the same. Buffers
 * rotate through more memory than a cache holds, so that every call reads from memory.
 */
public final class Bench {
    /** Memory that the buffers of a workload rotate through. */
    private static final long ROTATION_BYTES = 320L << 20;

    private static final int ROUNDS = 9;
    private static final double BLOCK_SECONDS = 0.03;

    private final OpenCl.Candidate device;
    private final String strategy;

    /** @param strategy a strategy's name, or null for the choice by shape */
    public Bench(OpenCl.Candidate device, String strategy) {
        this.device = device;
        this.strategy = strategy;
    }

    /** Measures all, telling each result as it comes. */
    public List<Measurement> run(List<Workload> workloads, Consumer<Measurement> progress) {
        List<Measurement> all = new ArrayList<>();
        for (Workload workload : workloads) {
            Measurement measurement = measure(workload);
            all.add(measurement);
            progress.accept(measurement);
        }
        return all;
    }

    private Measurement measure(Workload workload) {
        double kernelSeconds;
        int launches;
        try (OpenClBackend backend = device.openForTiming(strategy)) {
            Buffers buffers = new Buffers(backend, workload, ROTATION_BYTES);
            double[] seconds = new double[ROUNDS];
            int[] count = new int[1];
            buffers.call(0);
            backend.finish();
            for (int round = 0; round < ROUNDS; round++) {
                int now = round;
                count[0] = 0;
                backend.timeLaunches((kernel, nanoseconds) -> {
                    seconds[now] += nanoseconds * 1e-9;
                    count[0]++;
                });
                buffers.call(round + 1);
            }
            kernelSeconds = median(seconds);
            launches = count[0];
        }
        try (OpenClBackend backend = (OpenClBackend) device.open(strategy)) {
            Buffers buffers = new Buffers(backend, workload, ROTATION_BYTES);
            Block pass = new Block(backend, buffers::call);
            Block copy = new Block(backend, i -> buffers.copy(i, false));
            Block streamed = new Block(backend, i -> buffers.copy(i, true));
            double[] passSeconds = new double[ROUNDS];
            double[] ofCopy = new double[ROUNDS];
            double[] ofStreamed = new double[ROUNDS];
            double[] host = new double[ROUNDS];
            double passBytes = workload.minimalBytes();
            double copyBytes = 2.0 * Float.BYTES * workload.shape().elements();
            for (int round = 0; round < ROUNDS; round++) {
                double copySeconds = copy.seconds();
                double streamedSeconds = streamed.seconds();
                passSeconds[round] = pass.seconds();
                host[round] = pass.hostSeconds;
                ofCopy[round] = passBytes / passSeconds[round] / (copyBytes / copySeconds);
                ofStreamed[round] = passBytes / passSeconds[round] / (copyBytes / streamedSeconds);
            }
            double seconds = median(passSeconds);
            return new Measurement(
                    workload,
                    seconds * 1e3,
                    kernelSeconds * 1e3,
                    launches,
                    median(host) * 1e6,
                    passBytes / seconds * 1e-9,
                    median(ofCopy),
                    median(ofStreamed));
        }
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    /** Calls queued one after another, so many that a block takes a while, and waited for together. */
    private static final class Block {
        private interface Call {
            void make(int i);
        }

        private final OpenClBackend backend;
        private final Call call;
        private final int calls;
        private int next;
        double hostSeconds;

        Block(OpenClBackend backend, Call call) {
            this.backend = backend;
            this.call = call;
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
            }
            hostSeconds = (System.nanoTime() - start) * 1e-9 / n;
            backend.finish();
            return (System.nanoTime() - start) * 1e-9;
        }
    }

    /** The tensors of a workload, in as many sets as the rotation takes. */
    private static final class Buffers {
        private final OpenClBackend backend;
        private final Workload workload;
        private final List<Runnable> calls = new ArrayList<>();
        private final List<Operand[]> copies = new ArrayList<>();

        Buffers(OpenClBackend backend, Workload workload, long rotation) {
            this.backend = backend;
            this.workload = workload;
            long elements = workload.shape().elements();
            int channels = (int) workload.shape().channels();
            Activation activation = workload.fusion() == Workload.Fusion.NONE ? Activation.NONE : Activation.RELU;
            Operand gamma = vector(channels, 1);
            Operand beta = vector(channels, 0.1f);
            Operand dgamma = vector(channels, 0);
            Operand dbeta = vector(channels, 0);
            RunningStatistics running = new RunningStatistics(
                    vector(channels, 0),
                    vector(channels, 1),
                    vector(channels, 0),
                    RunningAverage.exponential(0.1),
                    RunningVariance.UNBIASED);
            SavedStatistics saved = backend.newSavedStatistics(channels);
            float[] normal = normal((int) Math.min(elements, 1 << 20));
            int sets = (int) Math.max(2, Math.min(64, rotation / Math.max(1, workload.minimalBytes())));
            for (int set = 0; set < sets; set++) {
                Operand x = random(elements, normal);
                Operand y = zeros(elements);
                Operand residual = workload.hasResidual() ? random(elements, normal) : null;
                ForwardTraining forward = new ForwardTraining(
                        workload.shape(),
                        workload.layout(),
                        x,
                        residual,
                        y,
                        activation,
                        gamma,
                        beta,
                        1e-5,
                        saved,
                        running,
                        NonFinitePolicy.PROPAGATE);
                copies.add(new Operand[] {x, y});
                switch (workload.direction()) {
                    case FORWARD -> calls.add(() -> backend.forward(forward));
                    case INFERENCE -> {
                        ForwardInference inference = new ForwardInference(
                                workload.shape(),
                                workload.layout(),
                                x,
                                residual,
                                y,
                                activation,
                                gamma,
                                beta,
                                1e-5,
                                running.mean(),
                                running.variance(),
                                saved);
                        calls.add(() -> backend.forward(inference));
                    }
                    case BACKWARD -> {
                        backend.forward(forward);
                        // The residual has done its work; its memory serves as the residual's gradient.
                        Operand dy = random(elements, normal);
                        Operand dx = zeros(elements);
                        Backward backward = new Backward(
                                workload.shape(),
                                workload.layout(),
                                false,
                                dy,
                                x,
                                workload.hasResidual() ? y : null,
                                activation,
                                saved,
                                dx,
                                residual,
                                dgamma,
                                dbeta,
                                false);
                        calls.add(() -> backend.backward(backward));
                    }
                }
            }
        }

        private Operand vector(int n, float value) {
            Operand operand = new Operand(backend.allocate(n), 0);
            backend.fill(operand, n, value);
            return operand;
        }

        /** Written once, so that no measured call is the first to touch a page. */
        private Operand zeros(long n) {
            Operand operand = new Operand(backend.allocate(n), 0);
            backend.fill(operand, n, 0);
            return operand;
        }

        private Operand random(long elements, float[] normal) {
            Operand operand = new Operand(backend.allocate(elements), 0);
            for (long at = 0; at < elements; at += normal.length) {
                int count = (int) Math.min(normal.length, elements - at);
                backend.write(new Operand(operand.memory(), at), FloatBuffer.wrap(normal, 0, count));
            }
            return operand;
        }

        private static float[] normal(int n) {
            Random random = new Random(1);
            float[] values = new float[n];
            for (int i = 0; i < n; i++) {
                values[i] = (float) random.nextGaussian();
            }
            return values;
        }

        void call(int i) {
            calls.get(i % calls.size()).run();
        }

        void copy(int i, boolean stream) {
            Operand[] pair = copies.get(i % copies.size());
            Strategy strategy = backend.strategyForCopies().withStream(stream);
            backend.copy(pair[0], pair[1], workload.shape().elements(), strategy);
        }
    }
}
