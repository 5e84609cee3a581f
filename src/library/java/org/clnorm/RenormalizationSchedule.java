package org.clnorm;

/**
 * The bounds of batch renormalization (Ioffe, 2017) in the course of training: the factor r lies between 1/rMax and
 * rMax, the offset d between −dMax and dMax. With rMax = 1 and dMax = 0 it is batch normalization. Both methods are
 * pure functions of how many batches the running statistics have seen before.
 */
public interface RenormalizationSchedule {
    /**
     * The bound of r: at least 1 and finite as float32, or a forward pass throws {@link IllegalArgumentException}.
     *
     * @param batchesTracked how many batches the running statistics have seen before this one, from 0
     */
    double rMax(long batchesTracked);

    /**
     * The bound of d: at least 0 and finite as float32, or a forward pass throws {@link IllegalArgumentException}.
     *
     * @param batchesTracked how many batches the running statistics have seen before this one, from 0
     */
    double dMax(long batchesTracked);

    /**
     * A schedule of the same bounds at all times.
     *
     * @param rMax the bound of r, at least 1 and finite
     * @param dMax the bound of d, at least 0 and finite
     * @throws IllegalArgumentException for rMax below 1, dMax below 0, or either not finite
     */
    static RenormalizationSchedule constant(double rMax, double dMax) {
        return new LinearSchedule(rMax, 0, 0, dMax, 0, 0);
    }

    /**
     * A schedule of batch normalization for the first {@code from} batches, after which both bounds go along straight
     * lines to what is given, which they have from the batch {@code until} on.
     *
     * @param rMax the last bound of r, at least 1 and finite
     * @param dMax the last bound of d, at least 0 and finite
     * @param from how many batches come before the lines, at least 0
     * @param until how many batches come before the last bounds, at least {@code from}
     * @throws IllegalArgumentException for rMax below 1, dMax below 0, either not finite, a negative {@code from}, or
     *     an {@code until} before it
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
