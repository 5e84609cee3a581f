package org.clnorm.mpi;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/**
 * A program that measures what synchronization adds to a step of batch normalization, forward and backward, on the ranks of an
 * MPI job that runs it: medians in microseconds, as rank 0 has them. Its arguments are the dimensions of a rank's part of the batch,
 * 32 64 56 56 unless said; or {@code network}, the 20 layers of a small residual network for images of 32 by 32; or {@code
 * branches}, two layers beside each other, which share their messages, and {@code branches-apart}.
 *
 * <p>The baseline is the same step by each rank's own statistics, on all ranks at once. Of what a synchronized step takes more,
 * {@code compute} is what the kernels of three launches take more than the fused ones, {@code messages} what its messages take
 * where nobody waits for anybody, {@code wait} what it spends in them beyond that, and {@code copy} the rest: numbers to the host
 * and back, for which the device is waited for.
 */
final class StepTimes {
    private static final int WARM = 1000; // until the Java side is compiled, too
    private static final int STEPS = 100;

    private StepTimes() {}

    /** A group that sums up the time in messages. */
    private static final class Timed extends GroupAround {
        private long nanos;

        Timed(Group inner) {
            super(inner);
        }

        @Override
        public void allGather(String purpose, double[] own, double[] all) {
            long begin = System.nanoTime();
            super.allGather(purpose, own, all);
            nanos += System.nanoTime() - begin;
        }
    }

    /** The layers of a rank on a device, which go over tensors of their own. */
    private static final class Layers implements AutoCloseable {
        private final Deque<AutoCloseable> open = new ArrayDeque<>();
        private final List<BatchNorm> norms = new ArrayList<>();
        private final List<SyncBatchNorm> synced = new ArrayList<>();
        private final List<Tensor> x = new ArrayList<>();
        private final List<Tensor> y = new ArrayList<>();
        private final Tensor last;

        Layers(String strategy, DataParallel all, List<Shape> shapes) {
            Device device = kept(Device.builder().strategy(strategy).open());
            for (Shape shape : shapes) {
                BatchNorm norm = kept(BatchNorm.builder((int) shape.channels()).build(device));
                norms.add(norm);
                synced.add(all == null ? null : all.synchronize(norm));
                x.add(kept(device.tensor(shape, Layout.CHANNELS_FIRST)));
                y.add(kept(device.tensor(shape, Layout.CHANNELS_FIRST)));
            }
            last = norms.get(0).beta().orElseThrow().gradient();
        }

        private <T extends AutoCloseable> T kept(T opened) {
            open.push(opened);
            return opened;
        }

        private void alone() {
            for (int i = 0; i < norms.size(); i++) {
                norms.get(i).forward(x.get(i), y.get(i));
            }
            for (int i = norms.size() - 1; i >= 0; i--) {
                norms.get(i).backward(y.get(i), y.get(i));
            }
            last.download();
        }

        private void together(DataParallel all, boolean share) {
            if (share) {
                all.finish(steps(i -> synced.get(i).beginForward(x.get(i), null, y.get(i))));
                all.finish(steps(i -> synced.get(i).beginBackward(y.get(i), y.get(i), null)));
                last.download();
                return;
            }
            for (int i = 0; i < norms.size(); i++) {
                synced.get(i).forward(x.get(i), y.get(i));
            }
            for (int i = norms.size() - 1; i >= 0; i--) {
                synced.get(i).backward(y.get(i), y.get(i));
            }
            last.download();
        }

        private SyncStep[] steps(IntFunction<SyncStep> begin) {
            return IntStream.range(0, norms.size()).mapToObj(begin).toArray(SyncStep[]::new);
        }

        @Override
        public void close() throws Exception {
            for (AutoCloseable each : open) {
                each.close();
            }
        }
    }

    private static List<Shape> shapes(String[] args) {
        if (args.length == 1 && args[0].equals("network")) {
            return Stream.of(
                            Collections.nCopies(7, Shape.of(32, 16, 32, 32)),
                            Collections.nCopies(6, Shape.of(32, 32, 16, 16)),
                            Collections.nCopies(7, Shape.of(32, 64, 8, 8)))
                    .flatMap(List::stream)
                    .toList();
        }
        if (args.length == 1 && args[0].startsWith("branches")) {
            return List.of(Shape.of(32, 64, 14, 14), Shape.of(32, 64, 14, 14));
        }
        return List.of(Shape.of(
                args.length == 0
                        ? new long[] {32, 64, 56, 56}
                        : Arrays.stream(args).mapToLong(Long::parseLong).toArray()));
    }

    public static void main(String[] args) throws Exception {
        List<Shape> shapes = shapes(args);
        boolean share = args.length == 1 && args[0].equals("branches");
        Timed group = new Timed(Groups.mpi(Duration.ofMinutes(2)));
        try (DataParallel all = new DataParallel(group);
                Layers fused = new Layers("auto", all, shapes);
                Layers split = new Layers("cpu-split", null, shapes)) {
            double messages = shapes.stream()
                    .mapToDouble(shape -> 2 * MessageTimes.median(group, (int) shape.channels()))
                    .sum(); // of branches apart, too
            double[][] times = new double[4][STEPS];
            for (int step = -WARM; step < STEPS; step++) { // in turns, since machines change their speed
                double alone = micros(fused::alone);
                double apart = micros(split::alone);
                group.nanos = 0;
                double together = micros(() -> fused.together(all, share));
                if (step >= 0) {
                    times[0][step] = alone;
                    times[1][step] = apart;
                    times[2][step] = together;
                    times[3][step] = group.nanos / 1e3;
                }
                message(group); // that none begins before the others
            }
            if (group.rank() == 0) {
                report(args, shapes, group, messages, times);
            }
        }
    }

    private static void report(String[] args, List<Shape> shapes, Group group, double messages, double[][] times) {
        double alone = median(times[0]);
        double apart = median(times[1]);
        double together = median(times[2]);
        double spent = median(times[3]);
        System.out.printf(
                Locale.ROOT,
                "%s, %d layers, %d ranks: alone %.0f, synchronized %.0f, added %.0f: compute %.0f, copy %.0f,"
                        + " messages %.1f, wait %.0f us%n",
                args.length == 0 ? shapes.get(0) : String.join(" ", args),
                shapes.size(),
                group.size(),
                alone,
                together,
                together - alone,
                apart - alone,
                together - apart - spent,
                messages,
                spent - messages);
    }

    private static void message(Group group) {
        group.allGather("a message", new double[1], new double[group.size()]);
    }

    private static double micros(Runnable what) {
        long begin = System.nanoTime();
        what.run();
        return (System.nanoTime() - begin) / 1e3;
    }

    private static double median(double[] times) {
        double[] sorted = times.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
