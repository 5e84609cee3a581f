package org.clnorm.benchmark;

import java.util.Arrays;

/**
 * One peer's times for one task.
 *
 * @param seconds of a call, by round; NaN where the machine was disturbed
 */
record Timing(String peer, Task task, double[] seconds) {
    double milliseconds() {
        return median(seconds) * 1e3;
    }

    /** How many times as long as this the other takes: the median of the rounds' ratios. */
    double advantageOver(Timing other) {
        return median(ratios(other));
    }

    /** The same, round by round. */
    double[] ratios(Timing other) {
        double[] ratios = new double[seconds.length];
        for (int round = 0; round < ratios.length; round++) {
            ratios[round] = other.seconds[round] / seconds[round];
        }
        return ratios;
    }

    /** Of the values that are not NaN; NaN where there are none. */
    static double median(double[] values) {
        double[] valid =
                Arrays.stream(values).filter(v -> !Double.isNaN(v)).sorted().toArray();
        if (valid.length == 0) {
            return Double.NaN;
        }
        return (valid[(valid.length - 1) / 2] + valid[valid.length / 2]) / 2;
    }
}
