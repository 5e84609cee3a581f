package org.clnorm;

/** A training batch had NaN or infinite statistics and the layer's policy is {@link NonFinitePolicy#THROW}. */
public final class NonFiniteException extends ArithmeticException {
    private final int channel;

    /**
     * Says which statistics are not finite.
     *
     * @param channel the first channel whose batch statistics are not finite, from 0
     * @param mean the channel's mean
     * @param variance the channel's variance
     */
    public NonFiniteException(int channel, double mean, double variance) {
        super("The batch statistics of channel " + channel + " are not finite"
                + (isPastFloats(mean, variance) ? " as float32, in which they are kept" : "") + " (mean " + mean
                + ", variance " + variance
                + "), and the policy is THROW");
        this.channel = channel;
    }

    /** Whether the batch itself is finite: then its values are about 1e19 or more. */
    private static boolean isPastFloats(double mean, double variance) {
        return Double.isFinite(mean) && Double.isFinite(variance);
    }

    /** The first channel whose batch statistics are not finite, from 0. */
    public int channel() {
        return channel;
    }
}
