package org.clnorm.bench.against;

import org.clnorm.bench.Timed;

/**
 * What came of one workload.
 *
 * @param milliseconds a call of this build, the mean of its two copies, queued; the median over the rounds
 * @param otherMilliseconds a call of the other build
 * @param ratio the other's time over this build's, so above 1 where this build is quicker
 * @param control one copy's time over the other copy's
 */
public record ComparedRow(
        Timed workload, double milliseconds, double otherMilliseconds, Spread ratio, Spread control, Verdict verdict) {
    /** From seconds of a call in each round: of two copies of this build, and of the other build */
    static ComparedRow of(Timed workload, double[] copy, double[] control, double[] other) {
        int rounds = copy.length;
        double[] mine = new double[rounds];
        double[] ratios = new double[rounds];
        double[] controls = new double[rounds];
        for (int round = 0; round < rounds; round++) {
            mine[round] = Math.sqrt(copy[round] * control[round]);
            ratios[round] = other[round] / mine[round];
            controls[round] = control[round] / copy[round];
        }
        Spread ratio = Spread.of(ratios);
        Spread betweenCopies = Spread.of(controls);
        return new ComparedRow(
                workload,
                1e3 * Spread.of(mine).median(),
                1e3 * Spread.of(other).median(),
                ratio,
                betweenCopies,
                Verdict.of(ratio, betweenCopies));
    }

    /** The second row of the same workload, whose difference counts only where this one has it too. */
    ComparedRow confirmedBy(ComparedRow second) {
        return second.verdict == verdict
                ? second
                : new ComparedRow(
                        second.workload,
                        second.milliseconds,
                        second.otherMilliseconds,
                        second.ratio,
                        second.control,
                        Verdict.SAME);
    }

    static ComparedRow absent(Timed workload) {
        Spread none = new Spread(Double.NaN, Double.NaN, Double.NaN);
        return new ComparedRow(workload, Double.NaN, Double.NaN, none, none, Verdict.ABSENT);
    }

    /** Whether the ratio, or its control, is too uncertain for small differences to show. */
    public boolean isWide() {
        return ratio.isWide() || control.isWide();
    }
}
