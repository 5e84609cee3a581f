package org.clnorm.diagnostics;

import java.util.Objects;

/** How much of the output of a bounded activation lies at its ends, where it lets next to no gradient through. */
public final class Saturation {
    private Saturation() {}

    /**
     * The share of a sigmoid's outputs that are at most {@code threshold} away from 0 or 1, from 0 to 1. NaN is none of
     * them; of no values the share is 0.
     *
     * @param values the outputs
     * @param threshold from 0 to below 0.5
     * @throws IllegalArgumentException for another threshold
     */
    public static double ofSigmoid(float[] values, double threshold) {
        Objects.requireNonNull(values, "values");
        return share(values, 0, 1, threshold);
    }

    /**
     * The share of a tanh's outputs that are at most {@code threshold} away from −1 or 1, from 0 to 1. NaN is none of
     * them; of no values the share is 0.
     *
     * @param values the outputs
     * @param threshold from 0 to below 1
     * @throws IllegalArgumentException for another threshold
     */
    public static double ofTanh(float[] values, double threshold) {
        Objects.requireNonNull(values, "values");
        return share(values, -1, 1, threshold);
    }

    private static double share(float[] values, double low, double high, double threshold) {
        double half = (high - low) / 2;
        if (!(threshold >= 0 && threshold < half)) {
            throw new IllegalArgumentException(
                    "threshold must be from 0 to below " + half + ", but given was " + threshold);
        }
        int saturated = 0;
        for (float value : values) {
            if (value <= low + threshold || value >= high - threshold) {
                saturated++;
            }
        }
        return values.length == 0 ? 0 : (double) saturated / values.length;
    }
}
