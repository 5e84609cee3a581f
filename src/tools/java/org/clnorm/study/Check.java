package org.clnorm.study;

/**
 * One part of a claim, held against numbers.
 *
 * @param part the part in words, a sentence without its full stop
 * @param outcome whether it holds
 * @param numbers what was measured, and what was asked
 */
record Check(String part, Outcome outcome, String numbers) {
    /** What an interval says about a bound. */
    enum Outcome {
        /** All of the interval is on the side that was asked for. */
        YES,
        /** All of it is on the other side. */
        NO,
        /** The bound lies within the interval. */
        OPEN
    }

    /** That a quantity is above a bound. */
    static Check above(String part, Estimate measured, double bound) {
        return new Check(
                part,
                outcome(measured.low() > bound, measured.high() <= bound),
                measured + ", asked: over " + Estimate.number(bound));
    }

    /** That a quantity is below a bound. */
    static Check below(String part, Estimate measured, double bound) {
        return new Check(
                part,
                outcome(measured.high() < bound, measured.low() >= bound),
                measured + ", asked: under " + Estimate.number(bound));
    }

    private static Outcome outcome(boolean yes, boolean no) {
        return yes ? Outcome.YES : no ? Outcome.NO : Outcome.OPEN;
    }

    /** As it stands in a verdict. */
    String inWords() {
        String start =
                switch (outcome) {
                    case YES -> "It holds that ";
                    case NO -> "It does not hold that ";
                    case OPEN -> "The numbers leave open whether ";
                };
        return start + part + " (" + numbers + ").";
    }
}
