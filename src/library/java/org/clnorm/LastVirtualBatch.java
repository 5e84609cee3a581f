package org.clnorm;

import java.util.Locale;

/**
 * What becomes of the last virtual batch of ghost batch normalization where it has a single value per channel, too few for
 * statistics of its own: one sample is left, N modulo the virtual batch's samples, and has no spatial extent. A last virtual
 * batch that is merely smaller than the others has statistics of its own, whatever is said here.
 */
public enum LastVirtualBatch {
    /** The batch is refused. */
    REFUSE,
    /**
     * The sample joins the virtual batch before, which then has one sample more than the others. If there is none, the
     * batch is refused.
     */
    MERGE,
    /**
     * The sample is normalized by the running statistics, as evaluation would do it after the virtual batches before have
     * entered them. It does not enter them itself, and the backward pass takes them as constants; the gradients of γ and β
     * are sums over all samples. {@link NonFinitePolicy} is of statistics of a batch, of which the sample has none. If
     * there is no virtual batch before, that is all of the pass, and no batch is counted.
     *
     * <p>{@link Normalizer#recompute} gives the same again as long as the running statistics are as they were after the
     * first pass: before another batch has entered.
     */
    RUNNING;

    /** The name used in files and on the command line: {@code refuse}, {@code merge} or {@code running}. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
