package org.clnorm.example.device;

import org.clnorm.optim.AdamW;

/**
 * How a network is trained.
 *
 * @param batch digits per step
 * @param seed of the initial weights and of the order of the digits
 * @param rate the largest learning rate, which half an epoch rises to
 * @param halving the epochs after which it has come down to a half. What it is depends on the steps made alone and not on how
 *     many are to come, so that a training that is resumed goes on as one that was never interrupted.
 */
public record Plan(int batch, long seed, double rate, double halving) {
    private static final double DECAY = 0.1;

    /** Epochs in which the rate rises, from a small part of itself. */
    private static final double WARM_UP = 0.5;

    private static final double FIRST = 0.05;

    /** Checks each. */
    public Plan {
        check(batch >= 2, "A batch must have 2 digits or more, since one has no variance, but given was " + batch);
        check(
                (float) rate > 0 && rate <= Float.MAX_VALUE,
                "The learning rate must be a finite number above 0, but given was " + rate);
    }

    /** The rule that the steps follow. */
    AdamW rule() {
        return AdamW.rate(rate).weightDecay(DECAY);
    }

    /**
     * How many digits of a batch each of several ranks has.
     *
     * @throws IllegalArgumentException where they are not equally many
     */
    public int part(int ranks) {
        check(
                batch % ranks == 0,
                "A batch of " + batch + " cannot be cut into equal parts for " + ranks
                        + " ranks; take a multiple of that by --batch");
        return batch / ranks;
    }

    /** The learning rate after so many epochs, whole or not. */
    double rateAfter(double epochs) {
        return rate * Math.min(1, FIRST + epochs / WARM_UP) * Math.pow(0.5, epochs / halving);
    }

    private static void check(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
