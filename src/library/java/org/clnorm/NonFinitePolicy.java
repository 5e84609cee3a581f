package org.clnorm;

/**
 * What NaN or infinite values in a training batch do. Under every policy they stay in their channel: the output and the
 * statistics of the other channels are as if the bad channel were not there.
 */
public enum NonFinitePolicy {
    /** The channel's output and its running statistics become NaN, as in PyTorch. */
    PROPAGATE,
    /** The channel's output becomes NaN; its running statistics and their count stay as they were. */
    SKIP_RUNNING_UPDATE,
    /**
     * {@code forward} waits for the batch statistics and throws {@link NonFiniteException} when one is not finite; no
     * running statistics have changed then, and y is undefined.
     */
    THROW
}
