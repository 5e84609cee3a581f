package org.clnorm.mpi;

import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/**
 * A program that measures what synchronization adds to a step of batch normalization, forward and backward, on the ranks of an
 * MPI job that runs it: medians in microseconds, as rank 0 has them. Its arguments are the dimensions of a rank's part of the batch,
 * 32 64 56 56 unless said.
 *
 * <p>The baseline is the same step by each rank's own statistics, on all ranks at once. Of what a synchronized step takes, {@code
 * messages} is what its two messages take where nobody waits for anybody, {@code wait} what it spends in them beyond that, and
 * {@code apart} what is left of the difference: passes in two parts, and copies to the host and back, for which the device is
 * waited for.
 */
final class StepTimes {
    private static final int WARM = 30;
    private static final int STEPS = 100;
    private static final int MESSAGES = 2000;

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

    public static void main(String[] args) {
        Shape shape = Shape.of(
                args.length == 0
                        ? new long[] {32, 64, 56, 56}
                        : Arrays.stream(args).mapToLong(Long::parseLong).toArray());
        Timed group = new Timed(Groups.mpi(Duration.ofMinutes(2)));
        try (DataParallel all = new DataParallel(group);
                Device device = Device.open();
                BatchNorm norm = BatchNorm.builder((int) shape.channels()).build(device);
                Tensor x = device.tensor(shape, Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(shape, Layout.CHANNELS_FIRST);
                Tensor dy = device.tensor(shape, Layout.CHANNELS_FIRST)) {
            SyncBatchNorm synced = all.synchronize(norm);
            double[] message = new double[DataParallel.HEADER + 1 + 2 * norm.channels()];
            double[] messages = new double[message.length * group.size()];
            double each = median(MESSAGES, () -> group.allGather("a message", message, messages));
            double[] alone = new double[STEPS];
            double[] together = new double[STEPS];
            double[] spent = new double[STEPS];
            for (int step = -WARM; step < STEPS; step++) { // in turns, since machines change their speed
                double one = micros(() -> {
                    norm.forward(x, y);
                    norm.backward(dy, dy);
                    norm.beta().orElseThrow().gradient().download();
                });
                group.nanos = 0;
                double other = micros(() -> {
                    synced.forward(x, y);
                    synced.backward(dy, dy);
                    norm.beta().orElseThrow().gradient().download();
                });
                if (step >= 0) {
                    alone[step] = one;
                    together[step] = other;
                    spent[step] = group.nanos / 1e3;
                }
                group.allGather("a message", message, messages); // that none begins before the others
            }
            report(shape, group, 8 * message.length, median(alone), median(together), 2 * each, median(spent));
        }
    }

    private static void report(
            Shape shape, Group group, int bytes, double alone, double together, double messages, double spent) {
        if (group.rank() == 0) {
            System.out.printf(
                    Locale.ROOT,
                    "%s on %d ranks, %d bytes a message: alone %.0f, synchronized %.0f, added %.0f: messages %.1f,"
                            + " wait %.0f, apart %.0f us%n",
                    shape,
                    group.size(),
                    bytes,
                    alone,
                    together,
                    together - alone,
                    messages,
                    spent - messages,
                    together - alone - spent);
        }
    }

    private static double micros(Runnable what) {
        long begin = System.nanoTime();
        what.run();
        return (System.nanoTime() - begin) / 1e3;
    }

    private static double median(int count, Runnable what) {
        double[] times = new double[count];
        for (int i = -WARM; i < count; i++) {
            double time = micros(what);
            if (i >= 0) {
                times[i] = time;
            }
        }
        return median(times);
    }

    private static double median(double[] times) {
        double[] sorted = times.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
