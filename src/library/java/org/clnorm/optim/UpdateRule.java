package org.clnorm.optim;

/**
 * How a parameter p is changed by its gradient g: {@link Sgd}, {@link Adam}, {@link AdamW} or {@link RmsProp}. All are
 * values; their methods return changed copies. Names and meanings are those of PyTorch's {@code torch.optim}.
 */
public sealed interface UpdateRule permits Sgd, Adam, AdamW, RmsProp {
    /** The learning rate to begin with. */
    double rate();

    /** The weight decay, 0 for none. */
    double weightDecay();

    /** PyTorch's name of the first moment, or momentum, that is kept of each parameter; null where none is. */
    String firstMoment();

    /** PyTorch's name of the second moment that is kept of each parameter; null where none is. */
    String secondMoment();

    /**
     * The numbers of one step.
     *
     * @param rate the learning rate of this step
     * @param number the step's number, from 1 on
     */
    UpdateStep step(double rate, long number);
}
