package org.clnorm.bench.against;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class SpreadTest {
    private static double[] upTo(int n) {
        return IntStream.rangeClosed(1, n).mapToDouble(i -> n + 1 - i).toArray();
    }

    @Test
    void spread_ofMany_isBetweenTheRanksOfTheSignTest() {
        assertThat(Spread.of(upTo(32)))
                .as("fewer than 11 of 32 coins are heads with a chance of 2.51 %%, which is a little too much")
                .isEqualTo(new Spread(16.5, 10, 23));
        assertThat(Spread.of(upTo(9))).as("the textbook's ranks for 9 values").isEqualTo(new Spread(5, 2, 8));
    }

    @Test
    void spread_ofFew_isAllOfThem() {
        assertThat(Spread.of(new double[] {3})).isEqualTo(new Spread(3, 3, 3));
        assertThat(Spread.of(new double[] {9, 1, 5})).isEqualTo(new Spread(5, 1, 9));
        assertThat(Spread.of(upTo(6))).as("a chance of 1 in 32 to miss").isEqualTo(new Spread(3.5, 1, 6));
    }

    @Test
    void spread_ofManySamples_holdsTheTrueMedianInAtLeast95PercentOfThem() {
        Random random = new Random(7);
        int held = 0;
        for (int trial = 0; trial < 4000; trial++) {
            double[] values = new double[Comparison.ROUNDS];
            Arrays.setAll(values, i -> Math.exp(random.nextGaussian()));
            Spread spread = Spread.of(values);
            if (spread.low() <= 1 && 1 <= spread.high()) {
                held++;
            }
        }
        assertThat(held / 4000.0).isGreaterThan(0.95).isLessThan(0.995);
    }

    @Test
    void spread_oneDisturbedRound_leavesTheMedianWhereItIs() {
        double[] values = upTo(31);
        values[0] = 1e9;
        assertThat(Spread.of(values).median()).isEqualTo(16);
    }

    @Test
    void isWide_beyondTenPercent_isSo() {
        assertThat(new Spread(1, 0.96, 1.05).isWide()).isFalse();
        assertThat(new Spread(1, 0.95, 1.06).isWide()).isTrue();
    }

    @Test
    void row_ofRounds_comparesWithTheMeanOfBothCopiesInTheSameRound() {
        // A machine that gets slower by half from one round to the next, for all.
        double[] copy = {1, 1.5, 2.25};
        double[] control = {1.21, 1.5 * 1.21, 2.25 * 1.21};
        double[] other = {2.2, 3.3, 4.95};

        ComparedRow row = ComparedRow.of(null, copy, control, other);

        assertThat(row.ratio().median()).isEqualTo(2, within(1e-12));
        assertThat(row.ratio().high() / row.ratio().low())
                .as("the drift is gone")
                .isEqualTo(1, within(1e-12));
        assertThat(row.control().median()).isEqualTo(1.21, within(1e-12));
        assertThat(row.milliseconds()).isEqualTo(1650, within(1e-9));
        assertThat(row.otherMilliseconds()).isEqualTo(3300, within(1e-9));
        assertThat(row.verdict()).isEqualTo(Verdict.QUICKER);
        ComparedRow exchanged = ComparedRow.of(null, control, copy, other);
        assertThat(exchanged.ratio())
                .as("which copy is called the control is nothing")
                .isEqualTo(row.ratio());
        assertThat(exchanged.verdict()).isEqualTo(row.verdict());
    }
}
