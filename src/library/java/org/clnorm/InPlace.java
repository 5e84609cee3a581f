package org.clnorm;

/** What training in place asks of a layer, so that a backward pass has x again from the y that took its place. */
final class InPlace {
    /** The least slope of a leaky ReLU, and one over the largest: what y is of a v has its digits, and a v is of a y. */
    private static final float LEAST_SLOPE = 0x1p-10f;

    /** Of γ since it was looked at; watches none where what was found is not fit. */
    private final Watch looked = new Watch();

    /** Refuses an activation that y does not give v of. */
    static void check(Activation activation) {
        boolean undone = activation.kind() == Activation.Kind.NONE
                || activation.kind() == Activation.Kind.LEAKY_RELU
                        && activation.slope() >= LEAST_SLOPE
                        && activation.slope() <= 1 / LEAST_SLOPE;
        if (!undone) {
            throw new IllegalStateException(
                    "Training in place needs an activation that can be undone, none or a leaky ReLU"
                            + " with a slope from " + LEAST_SLOPE + " to " + 1 / LEAST_SLOPE + ", but it was "
                            + activation
                            + (activation.kind() == Activation.Kind.LEAKY_RELU
                                    ? " with the slope " + activation.slope()
                                    : ""));
        }
    }

    /**
     * Refuses a γ that y is not to be divided by. Waits for the device if γ was written since the last call.
     *
     * @param gamma null for 1
     */
    void check(Parameter gamma) {
        if (gamma == null || looked.tensor() != null && !looked.isWritten()) {
            return;
        }
        looked.begin(gamma.value());
        float[] values = gamma.value().download();
        for (int c = 0; c < values.length; c++) {
            float size = Math.abs(values[c]);
            if (!(size >= BatchNorm.LEAST_GAMMA_IN_PLACE && size < Float.POSITIVE_INFINITY)) {
                looked.end();
                throw new IllegalStateException("y may not be x while gamma of channel " + c + " is " + values[c]
                        + ": the backward pass has x again from y by dividing by gamma, which must be finite and at least "
                        + BatchNorm.LEAST_GAMMA_IN_PLACE + " in size");
            }
        }
    }
}
