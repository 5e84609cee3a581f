package org.clnorm.study;

import java.util.stream.DoubleStream;

/**
 * One part of a claim, held against numbers.
 *
 * @param part the part in words, a clause that can follow “that”
 * @param measure what was measured
 * @param outcome whether it holds
 * @param numbers what came out, and what was asked
 */
record Check(String part, String measure, Outcome outcome, String numbers) {
    /** A ratio of 0 has no logarithm. */
    private static final double SMALLEST = 1e-12;

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
    static Check above(String part, String measure, Estimate measured, double bound) {
        return new Check(part, measure, above(measured, bound), measured + ", asked: over " + Estimate.number(bound));
    }

    /** That a quantity is below a bound. */
    static Check below(String part, String measure, Estimate measured, double bound) {
        return new Check(part, measure, below(measured, bound), measured + ", asked: under " + Estimate.number(bound));
    }

    /**
     * That a ratio is above a bound, by the mean of its logarithm: of one by 10 and one by a tenth the mean is 1.
     *
     * @param ratios one by seed, none negative
     */
    static Check ratioAbove(String part, String measure, double[] ratios, double bound) {
        Estimate logarithm = logarithm(ratios);
        return new Check(
                part,
                measure,
                above(logarithm, Math.log(bound)),
                ratio(logarithm) + ", asked: over " + Estimate.number(bound));
    }

    /** That it is below a bound. */
    static Check ratioBelow(String part, String measure, double[] ratios, double bound) {
        Estimate logarithm = logarithm(ratios);
        return new Check(
                part,
                measure,
                below(logarithm, Math.log(bound)),
                ratio(logarithm) + ", asked: under " + Estimate.number(bound));
    }

    private static Estimate logarithm(double[] ratios) {
        return Estimate.of(DoubleStream.of(ratios)
                .map(ratio -> Math.log(Math.max(ratio, SMALLEST)))
                .toArray());
    }

    private static String ratio(Estimate logarithm) {
        return Estimate.number(Math.exp(logarithm.mean())) + " times, from "
                + Estimate.number(Math.exp(logarithm.low())) + " to " + Estimate.number(Math.exp(logarithm.high()));
    }

    private static Outcome above(Estimate measured, double bound) {
        return measured.low() > bound ? Outcome.YES : measured.high() <= bound ? Outcome.NO : Outcome.OPEN;
    }

    private static Outcome below(Estimate measured, double bound) {
        return measured.high() < bound ? Outcome.YES : measured.low() >= bound ? Outcome.NO : Outcome.OPEN;
    }
}
