package org.clnorm.backend;

import java.util.function.Supplier;
import org.clnorm.RunningVariance;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/**
 * What a forward pass leaves for its backward pass, on the device: per group the mean and inverse standard deviation
 * that were used, and the affine coefficients that produced y (the sign of the pre-activation must come out the same
 * again). Each backend keeps it in the precision it computes in; the two operands are its rounding to float32.
 *
 * <p>What several parts of a batch tell each other goes in and out here too: moments out after a {@link ReduceForward}
 * and in before a {@link ForwardCombined}, sums out after a {@link ReduceBackward} and in before a {@link
 * BackwardCombined}. Those four passes are of channels over the whole batch.
 */
public interface Coefficients extends AutoCloseable {
    /** How many groups there is room for. */
    int groups();

    /** The mean of each group, rounded to float32, where the groups are channels over the whole batch, or rows. */
    Operand mean();

    /** 1/√(variance + ε) of each group, rounded to float32, in the same cases. */
    Operand inverseStandardDeviation();

    /**
     * The moments that a {@link ReduceForward} left. Does not wait for them: what is returned does, and gives them as that pass
     * left them, whatever comes after it.
     *
     * @param count how many values each channel of that pass had
     */
    Supplier<ChannelMoments> readMoments(long count);

    /**
     * Gives the moments by which a {@link ForwardCombined} normalizes.
     *
     * @param moments of more than no values, and of more than one for the unbiased estimate
     * @param estimate which variance enters the running statistics, if that pass has any
     */
    void writeMoments(ChannelMoments moments, RunningVariance estimate);

    /**
     * The sums that a {@link ReduceBackward} left, as {@link #readMoments} gives moments.
     *
     * @param count how many values each channel of that pass had
     */
    Supplier<GradientSums> readSums(long count);

    /**
     * Gives the sums that a {@link BackwardCombined} goes by.
     *
     * @param own of this part, as {@link #readSums} gave them
     * @param all of all parts
     */
    void writeSums(GradientSums own, GradientSums all);

    @Override
    void close();
}
