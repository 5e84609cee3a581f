package org.clnorm.backend;

/**
 * What a forward pass leaves for its backward pass, on the device: per group the mean and inverse standard deviation
 * that were used, and the affine coefficients that produced y (the sign of the pre-activation must come out the same
 * again). Each backend keeps it in the precision it computes in; the two operands are its rounding to float32.
 */
public interface SavedStatistics extends AutoCloseable {
    /** How many groups there is room for. */
    int groups();

    /** The mean of each group, rounded to float32, where the groups are channels over the whole batch, or rows. */
    Operand mean();

    /** 1/√(variance + ε) of each group, rounded to float32, in the same cases. */
    Operand inverseStandardDeviation();

    @Override
    void close();
}
