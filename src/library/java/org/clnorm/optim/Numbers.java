package org.clnorm.optim;

/** What is checked of the numbers of all rules. */
final class Numbers {
    private Numbers() {}

    /** Refuses what is not finite, or less than 0. */
    static double notNegative(String name, double value) {
        if (!(value >= 0) || Double.isInfinite(value)) {
            throw new IllegalArgumentException(
                    "The " + name + " must be a finite number from 0 on, but given was " + value);
        }
        return value;
    }

    /** Refuses what is not from 0 to 1, without 1. */
    static double share(String name, double value) {
        if (!(value >= 0 && value < 1)) {
            throw new IllegalArgumentException(
                    "The " + name + " must be from 0 to less than 1, but given was " + value);
        }
        return value;
    }
}
