package org.clnorm;

import java.util.Objects;

/**
 * How the statistics of a batch enter the running statistics:
 * {@code running = (1 − weight) · running + weight · batch}, where the weight depends on the kind and on t, the number
 * of batches absorbed including this one.
 *
 * <table>
 * <caption>Weights</caption>
 * <tr><th>kind</th><th>weight of the t-th batch</th></tr>
 * <tr><td>exponential</td><td>w</td></tr>
 * <tr><td>cumulative</td><td>1/t</td></tr>
 * <tr><td>bias-corrected exponential</td><td>w / (1 − (1−w)ᵗ)</td></tr>
 * </table>
 *
 * <p>The last one is Adam's correction (Kingma and Ba, 2015, §3): an exponential average that starts at 0, divided by 1
 * − (1−w)ᵗ. With a<sub>t</sub> = (1−w)·a<sub>t−1</sub> + w·b and c<sub>t</sub> = a<sub>t</sub> / D<sub>t</sub>,
 * D<sub>t</sub> = 1 − (1−w)ᵗ, the corrected average obeys c<sub>t</sub> = c<sub>t−1</sub> + (w/D<sub>t</sub>)·(b −
 * c<sub>t−1</sub>), so the corrected value itself is what is stored, and evaluation reads it as it is.
 *
 * <p>{@code newBatchWeight} is PyTorch's {@code momentum}, and one minus the {@code momentum} of Keras, ONNX and DJL.
 *
 * @param kind which of the four kinds of running average it is
 * @param newBatchWeight w, from 0 to 1 of an exponential average and above 0 of a bias-corrected one; 0 for the kinds
 *     that have none
 */
public record RunningAverage(Kind kind, double newBatchWeight) {
    /** The kinds of running average. */
    public enum Kind {
        /** A fixed weight. */
        EXPONENTIAL,
        /** The plain average of all batches. */
        CUMULATIVE,
        /** A fixed weight, without the pull of the initial value. */
        BIAS_CORRECTED_EXPONENTIAL,
        /** No running statistics: evaluation uses the batch's own. */
        NONE
    }

    /**
     * Checks that a weight is given where the kind has one, and none where it has not.
     *
     * @throws IllegalArgumentException for a weight that the kind cannot have
     */
    public RunningAverage {
        Objects.requireNonNull(kind, "kind");
        switch (kind) {
            case EXPONENTIAL -> check(kind, newBatchWeight, newBatchWeight >= 0 && newBatchWeight <= 1, "from 0 to 1");
            case BIAS_CORRECTED_EXPONENTIAL ->
                check(
                        kind,
                        newBatchWeight,
                        newBatchWeight > 0 && newBatchWeight <= 1,
                        "above 0 and at most 1, for its correction of weight 0 would be 0/0");
            case CUMULATIVE, NONE -> check(kind, newBatchWeight, newBatchWeight == 0, "0");
        }
    }

    private static void check(Kind kind, double newBatchWeight, boolean isAllowed, String allowed) {
        if (!isAllowed) {
            throw new IllegalArgumentException("newBatchWeight of a " + kind + " running average must be " + allowed
                    + ", but given was " + newBatchWeight);
        }
    }

    /**
     * The average running ← (1−w)·running + w·batch, which starts from mean 0 and variance 1. With w = 0 it keeps what it
     * has, bit for bit, whatever a batch's statistics are, and still counts the batches.
     *
     * @param newBatchWeight w, from 0 to 1
     * @throws IllegalArgumentException for another weight
     */
    public static RunningAverage exponential(double newBatchWeight) {
        return new RunningAverage(Kind.EXPONENTIAL, newBatchWeight);
    }

    /** The average of all batches so far, each with the same weight. */
    public static RunningAverage cumulative() {
        return new RunningAverage(Kind.CUMULATIVE, 0);
    }

    /**
     * An exponential average that starts at 0 and is divided by 1 − (1−w)ᵗ.
     *
     * @param newBatchWeight w, above 0 and at most 1
     * @throws IllegalArgumentException for another weight
     */
    public static RunningAverage biasCorrectedExponential(double newBatchWeight) {
        return new RunningAverage(Kind.BIAS_CORRECTED_EXPONENTIAL, newBatchWeight);
    }

    /** No running average: evaluation normalizes by the batch's own statistics. */
    public static RunningAverage none() {
        return new RunningAverage(Kind.NONE, 0);
    }

    /** Whether running statistics are kept at all. */
    public boolean isTracked() {
        return kind != Kind.NONE;
    }
}
