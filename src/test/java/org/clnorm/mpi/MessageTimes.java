package org.clnorm.mpi;

import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;

/**
 * A program that measures what a message takes, on the ranks of an MPI job that runs it: the median microseconds of an
 * all-gather of the sizes that batch normalization of C channels has, over all ranks and over groups of eight of them. No
 * device is used, so that there may be more ranks than cores.
 */
final class MessageTimes {
    private static final int WARM = 200;
    private static final int MESSAGES = 1000;
    private static final int PART = 8;

    private MessageTimes() {}

    public static void main(String[] args) {
        try (Group all = Groups.mpi(Duration.ofMinutes(5))) {
            Group part = all.sub(PART);
            for (int channels : new int[] {64, 256, 1024, 2048}) {
                double whole = median(all, channels);
                double parts = median(part, channels);
                if (all.rank() == 0) {
                    System.out.printf(
                            Locale.ROOT,
                            "%d channels: over %d ranks %.1f us, over %d %.1f us%n",
                            channels,
                            all.size(),
                            whole,
                            part.size(),
                            parts);
                }
            }
        }
    }

    /** What a message of a layer of so many channels takes where ranks do nothing else. */
    static double median(Group group, int channels) {
        double[] own = new double[DataParallel.HEADER + 1 + 2 * channels];
        double[] all = new double[own.length * group.size()];
        double[] times = new double[MESSAGES];
        for (int i = -WARM; i < MESSAGES; i++) {
            long begin = System.nanoTime();
            group.allGather("a message", own, all);
            if (i >= 0) {
                times[i] = (System.nanoTime() - begin) / 1e3;
            }
        }
        Arrays.sort(times);
        return times[MESSAGES / 2];
    }
}
