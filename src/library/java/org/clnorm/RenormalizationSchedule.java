package org.clnorm;

/**
 * The bounds of batch renormalization (Ioffe, 2017) in the course of training: the factor r lies between 1/rMax and rMax,
 * the offset d between −dMax and dMax. With rMax = 1 and dMax = 0 it is batch normalization. Both methods are pure
 * functions of how many batches the running statistics have seen before.
 */
public interface RenormalizationSchedule {
    /** At least 1, and finite. */
    double rMax(long batchesTracked);

    /** At least 0, and finite. */
    double dMax(long batchesTracked);

    /**
     * The same bounds at all times.
     *
     * @throws IllegalArgumentException for rMax below 1, dMax below 0, or either not finite
     */
    static RenormalizationSchedule constant(double rMax, double dMax) {
        return new LinearSchedule(rMax, 0, 0, dMax, 0, 0);
    }

    /**
     * Batch normalization for the first {@code from} batches, and then both bounds along straight lines to what is given,
     * which they have from the batch {@code until} on.
     *
     * @throws IllegalArgumentException as {@link #constant}, for a negative {@code from}, or an {@code until} before it
     */
    static RenormalizationSchedule linear(double rMax, double dMax, long from, long until) {
        return new LinearSchedule(rMax, from, until, dMax, from, until);
    }

    /**
     * The schedule of the paper's experiments (§4): batch normalization for 5,000 batches, then rMax from 1 to 3 until
     * 40,000 batches and dMax from 0 to 5 until 25,000.
     */
    static RenormalizationSchedule linear() {
        return new LinearSchedule(3, 5_000, 40_000, 5, 5_000, 25_000);
    }
}
