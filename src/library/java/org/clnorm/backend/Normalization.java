package org.clnorm.backend;

import java.util.Objects;

/**
 * Which normalization a pass is: what is normalized together, by which statistic, and what γ and β belong to.
 *
 * @param grouping whose elements share statistics
 * @param statistic what they are divided by, and whether their mean is subtracted
 * @param perSample whether γ and β, and their gradients, are of shape (N, C), each sample having its own; only where
 *     they go by channel
 * @param renormalization the bounds of batch renormalization, or null for none
 */
public record Normalization(
        Grouping grouping, Statistic statistic, boolean perSample, Renormalization renormalization) {
    /** Batch normalization: what a pass is that says nothing else. */
    public static final Normalization BATCH = new Normalization(Grouping.batch(), Statistic.CENTERED);

    /** What a group's elements are divided by, ε being inside the root of the first two. */
    public enum Statistic {
        /** √(variance + ε), of x − mean. */
        CENTERED,
        /** √(mean of x² + ε), of x itself. */
        ROOT_MEAN_SQUARE,
        /** max(√(sum of x²), ε), of x itself: the Euclidean length. */
        LENGTH
    }

    /**
     * Bounds of batch renormalization (Ioffe, 2017): r between 1/rMax and rMax, d between −dMax and dMax.
     *
     * @param rMax at least 1
     * @param dMax at least 0
     */
    public record Renormalization(double rMax, double dMax) {}

    /** Checks that nothing is missing. */
    public Normalization {
        Objects.requireNonNull(grouping, "grouping");
        Objects.requireNonNull(statistic, "statistic");
    }

    /** With one γ and β for all samples. */
    public Normalization(Grouping grouping, Statistic statistic) {
        this(grouping, statistic, false, null);
    }
}
