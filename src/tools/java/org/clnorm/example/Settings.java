package org.clnorm.example;

import java.math.BigDecimal;
import java.util.List;

/**
 * What is trained, and how.
 *
 * @param epochs passes over the training data, 1 to 1000
 * @param batch digits per step, at least 2; what is left of an epoch's digits after the last whole batch is left out
 * @param smallRate the learning rate at which a plain network learns too, above 0
 * @param largeRate a larger one
 * @param seed of the initial weights and of the order of the digits
 * @param diagnose steps from one look into the normalization to the next; 0 for none, as for all but batch
 *     normalization and renormalization
 * @param norm which normalization; {@code NONE} trains the plain networks only
 */
public record Settings(int epochs, int batch, double smallRate, double largeRate, long seed, int diagnose, Norm norm) {
    /** Checks each. */
    public Settings {
        check(epochs >= 1 && epochs <= 1000, "The number of epochs must be 1 to 1000, but given was " + epochs);
        check(batch >= 2, "A batch must have 2 digits or more, since one has no variance, but given was " + batch);
        check(
                (float) smallRate > 0 && smallRate < largeRate && largeRate <= Float.MAX_VALUE,
                "The learning rates must be two finite numbers above 0, the small one first, but given were "
                        + number(smallRate) + " and " + number(largeRate));
        check(diagnose >= 0, "The steps between two diagnoses must be 0, for none, or more, but given was " + diagnose);
        check(
                diagnose == 0 || norm.isDiagnosed(),
                "Diagnoses compare batches with running statistics and are for " + Norm.BATCH + " and " + Norm.RENORM
                        + ", but the normalization is " + norm);
    }

    /** With batch normalization and without diagnoses. */
    public Settings(int epochs, int batch, double smallRate, double largeRate, long seed) {
        this(epochs, batch, smallRate, largeRate, seed, 0, Norm.BATCH);
    }

    /** Checks that there is at least one batch to train with, and something to test with. */
    void checkAgainst(Digits.Split digits) {
        check(
                batch <= digits.train().size() && digits.test().size() > 0,
                "A batch of " + batch
                        + " needs as many digits to train with and one or more to test with, but there are "
                        + digits.train().size() + " and " + digits.test().size());
    }

    List<Double> rates() {
        return List.of(smallRate, largeRate);
    }

    /** A number as people write it. */
    public static String number(double number) {
        return number > 1e-4 && number < 1e6
                ? BigDecimal.valueOf(number).stripTrailingZeros().toPlainString()
                : Double.toString(number).replace(".0E", "e").replace("E", "e");
    }

    private static void check(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
