package org.clnorm.bench.against;

import java.util.Arrays;

/**
 * A median and how sure it is.
 *
 * @param median in the middle
 * @param low the lower end of the interval that has the true median in it with a probability of at least 95 %
 * @param high its upper end
 */
public record Spread(double median, double low, double high) {
    /** A spread wider than this says little of differences that matter. */
    private static final double WIDE = 0.1;

    private static final double MISSED_ON_ONE_SIDE = 0.025;

    /**
     * Of independent values, whatever their distribution: between the k-th smallest and the k-th largest, the true median
     * is not below the former but by the chance of fewer than k heads among as many coins.
     */
    public static Spread of(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int n = sorted.length;
        int k = 0;
        double chance = Math.pow(0.5, n);
        double below = chance;
        while (below <= MISSED_ON_ONE_SIDE && k < n / 2) {
            k++;
            chance *= (n - k + 1) / (double) k;
            below += chance;
        }
        int outer = Math.max(0, k - 1);
        return new Spread((sorted[(n - 1) / 2] + sorted[n / 2]) / 2, sorted[outer], sorted[n - 1 - outer]);
    }

    /** Whether it is too wide to tell much. */
    public boolean isWide() {
        return high / low - 1 > WIDE;
    }
}
