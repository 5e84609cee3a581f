package org.clnorm.study;

import static org.assertj.core.api.Assertions.assertThat;

import org.clnorm.study.Check.Outcome;
import org.junit.jupiter.api.Test;

final class CheckTest {
    private static Estimate interval(double low, double high) {
        return new Estimate((low + high) / 2, (high - low) / 2, 1, 5);
    }

    @Test
    void above_byWhereTheIntervalLies() {
        assertThat(Check.above("", "", interval(1.1, 3), 1).outcome()).isEqualTo(Outcome.YES);
        assertThat(Check.above("", "", interval(0.9, 3), 1).outcome()).isEqualTo(Outcome.OPEN);
        assertThat(Check.above("", "", interval(-2, 0.9), 1).outcome()).isEqualTo(Outcome.NO);
        assertThat(Check.above("", "", interval(1, 1), 1).outcome())
                .as("no more than the bound")
                .isEqualTo(Outcome.NO);
    }

    @Test
    void below_byWhereTheIntervalLies() {
        assertThat(Check.below("", "", interval(-2, 0.9), 1).outcome()).isEqualTo(Outcome.YES);
        assertThat(Check.below("", "", interval(0.9, 3), 1).outcome()).isEqualTo(Outcome.OPEN);
        assertThat(Check.below("", "", interval(1.1, 3), 1).outcome()).isEqualTo(Outcome.NO);
    }

    @Test
    void above_noNumber_isOpen() {
        assertThat(Check.above("", "", Estimate.of(Double.NaN, 1), 0).outcome())
                .as("a number that is none decides nothing")
                .isEqualTo(Outcome.OPEN);
    }

    @Test
    void ratio_anyNumbers_isJudgedByTheGeometricMean() {
        Check balanced = Check.ratioAbove("part", "measure", new double[] {0.1, 10, 0.1, 10}, 1);
        assertThat(balanced.outcome()).isEqualTo(Outcome.OPEN);
        assertThat(balanced.numbers()).startsWith("1 times, from ").endsWith(", asked: over 1");

        assertThat(Check.ratioAbove("", "", new double[] {4, 5, 6}, 1).outcome())
                .isEqualTo(Outcome.YES);
        assertThat(Check.ratioAbove("", "", new double[] {0.2, 0.3, 0.2}, 1).outcome())
                .isEqualTo(Outcome.NO);
        assertThat(Check.ratioBelow("", "", new double[] {0.2, 0.3, 0.2}, 1).outcome())
                .isEqualTo(Outcome.YES);
        assertThat(Check.ratioBelow("", "", new double[] {4, 5, 6}, 1).outcome())
                .isEqualTo(Outcome.NO);
        assertThat(Check.ratioBelow("", "", new double[] {0, 0, 0}, 1).outcome())
                .as("0 has no logarithm, and is below")
                .isEqualTo(Outcome.YES);
    }

    @Test
    void numbers_ofAnEstimate_sayWhatWasAsked() {
        assertThat(Check.above("", "", interval(1, 3), 0.5).numbers()).isEqualTo("2 ± 1, asked: over 0.5");
        assertThat(Check.below("", "", interval(1, 3), 0.5).numbers()).isEqualTo("2 ± 1, asked: under 0.5");
    }
}
