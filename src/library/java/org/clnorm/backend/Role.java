package org.clnorm.backend;

/** What an operand of a pass is for. Which roles a pass has, and what their operands hold, says the {@link PassSpec}. */
public enum Role {
    X,
    /** What x is made of in a forward pass that adds first: x = addend + residual is written, and then normalized. */
    ADDEND,
    RESIDUAL,
    Y,
    DY,
    /** The gradient of the loss by x along what goes past the normalization; it is added to dx. */
    PAST,
    DX,
    DRESIDUAL,
    GAMMA,
    BETA,
    DGAMMA,
    DBETA,
    /** The mean of each channel that is given to a {@link ForwardInference}. */
    MEAN,
    /** The variance of each channel that is given to a {@link ForwardInference}. */
    VARIANCE,
    /** The running mean of each channel, which a training pass reads and writes. */
    RUNNING_MEAN,
    /** The running variance of each channel; likewise. */
    RUNNING_VARIANCE,
    /**
     * How many batches each channel's running statistics hold, as float32; read and written. It is per channel because a
     * channel may sit out a batch (see {@link org.clnorm.NonFinitePolicy#SKIP_RUNNING_UPDATE}).
     */
    ABSORBED,
    /**
     * Which steps take part, in 16-bit elements: those with 1; outputs are set to 0 at those with 0, and stay as they are at
     * those with 2. A step is a sample's spatial position, in this order, or a row; after the last there is room for 16 more.
     */
    VALID,
    /** How many steps take part: of each sample, where samples have statistics of their own, or else of all; float32. */
    COUNTS;

    /** Whether an operand has an element for each of x's, in the same order. */
    public boolean isElementwise() {
        return switch (this) {
            case X, ADDEND, RESIDUAL, Y, DY, PAST, DX, DRESIDUAL -> true;
            case GAMMA, BETA, DGAMMA, DBETA, MEAN, VARIANCE, RUNNING_MEAN, RUNNING_VARIANCE, ABSORBED, VALID, COUNTS ->
                false;
        };
    }
}
