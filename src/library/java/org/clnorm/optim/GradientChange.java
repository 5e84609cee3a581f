package org.clnorm.optim;

/**
 * What is done to gradients before a step: they are multiplied by {@code scale}, then every element is clipped to ±{@code
 * most}, then all are multiplied by maxNorm / (norm + 1e-6), where that is less than 1 and norm is the root of the sum of
 * the squares of all elements of all gradients (Pascanu, Mikolov and Bengio, 2013; the form is PyTorch's).
 *
 * @param scale a finite number other than 0, such as one by the loss's scale
 * @param most a number larger than 0; infinity clips no element
 * @param maxNorm a number larger than 0; infinity clips no norm
 */
public record GradientChange(double scale, double most, double maxNorm) {
    /** Changes nothing. */
    public static final GradientChange NONE = new GradientChange(1, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY);

    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException for a number out of its range, in float32
     */
    public GradientChange {
        if ((float) scale == 0 || !Float.isFinite((float) scale)) {
            throw new IllegalArgumentException(
                    "The scale must be a finite float32 other than 0, but given was " + scale);
        }
        checkPositive("largest magnitude", most);
        checkPositive("largest norm", maxNorm);
    }

    private static void checkPositive(String what, double value) {
        if (!((float) value > 0)) {
            throw new IllegalArgumentException(
                    "The " + what + " must be more than 0, as float32 too, but given was " + value);
        }
    }
}
