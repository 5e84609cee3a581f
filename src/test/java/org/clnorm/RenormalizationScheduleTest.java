package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

final class RenormalizationScheduleTest {
    private static void assertBounds(RenormalizationSchedule schedule, long batches, double rMax, double dMax) {
        assertThat(schedule.rMax(batches)).as("rMax after %d", batches).isEqualTo(rMax);
        assertThat(schedule.dMax(batches)).as("dMax after %d", batches).isEqualTo(dMax);
    }

    @Test
    void constant_atAnyTime_isTheSame() {
        RenormalizationSchedule schedule = RenormalizationSchedule.constant(2, 0.5);
        for (long batches : new long[] {0, 1, 1_000_000, Long.MAX_VALUE}) {
            assertBounds(schedule, batches, 2, 0.5);
        }
    }

    @Test
    void linear_ofThePaper_isBatchNormalizationFirst() {
        RenormalizationSchedule schedule = RenormalizationSchedule.linear();
        assertBounds(schedule, 0, 1, 0);
        assertBounds(schedule, 5_000, 1, 0);
        assertBounds(schedule, 15_000, 1 + 2 * (10_000 / 35_000.0), 2.5);
        assertBounds(schedule, 25_000, 1 + 2 * (20_000 / 35_000.0), 5);
        assertBounds(schedule, 40_000, 3, 5);
        assertBounds(schedule, 1_000_000, 3, 5);
    }

    @Test
    void linear_betweenItsEnds_isAStraightLine() {
        RenormalizationSchedule schedule = RenormalizationSchedule.linear(3, 4, 10, 20);
        assertBounds(schedule, 9, 1, 0);
        assertBounds(schedule, 10, 1, 0);
        assertBounds(schedule, 15, 2, 2);
        assertBounds(schedule, 20, 3, 4);
        assertBounds(RenormalizationSchedule.linear(3, 4, 10, 10), 9, 1, 0);
        assertBounds(RenormalizationSchedule.linear(3, 4, 10, 10), 10, 3, 4);
    }

    @Test
    void bounds_thatCannotBe_areRefused() {
        for (double rMax : new double[] {0.99, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertThatThrownBy(() -> RenormalizationSchedule.constant(rMax, 0))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("rMax must be finite and at least 1", "given was " + rMax);
        }
        for (double dMax : new double[] {-0.1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertThatThrownBy(() -> RenormalizationSchedule.linear(1, dMax, 0, 1))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("dMax must be finite and at least 0", "given was " + dMax);
        }
        assertThatThrownBy(() -> RenormalizationSchedule.linear(3, 5, 10, 9))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("from 10 and until 9");
        assertThatThrownBy(() -> RenormalizationSchedule.linear(3, 5, -1, 9))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("from -1 and until 9");
    }
}
