package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class AxisTest {
    @ParameterizedTest
    @CsvSource({"0, 1", "-2, 4", "0.78, 0.83", "3, 3", "0, 0", "-0.5, -0.5", "1e-7, 2e-7", "0, 1e6", "-1e-3, 12"})
    void linear_anyRange_ticksAroundIt(double smallest, double largest) {
        Axis axis = Axis.linear(smallest, largest);
        assertThat(axis.low()).isLessThanOrEqualTo(smallest + 1e-9);
        assertThat(axis.high()).isGreaterThanOrEqualTo(largest - 1e-9).isGreaterThan(axis.low());
        assertThat(axis.ticks()).hasSizeBetween(2, 9).isSorted();
        assertThat(axis.ticks().get(0)).isEqualTo(axis.low());
    }

    @Test
    void linear_tickLabels_areShort() {
        Axis axis = Axis.linear(-0.3, 0.3);
        assertThat(axis.ticks().stream().map(tick -> axis.label().apply(tick)))
                .containsExactly("−0.3", "−0.2", "−0.1", "0", "0.1", "0.2", "0.3");
    }

    @ParameterizedTest
    @CsvSource({
        "0.2, 1.7",
        "1, 1",
        "0.5, 0.5",
        "2.3, 2.31",
        "1e-9, 1e-9",
        "1e-9, 1e30",
        "0.0047, 13.1",
        "9.99, 10.01",
        "1000, 1000",
        "1e-9, 1e39"
    })
    void logarithmic_anyRange_ticksAroundIt(double smallest, double largest) {
        Axis axis = Axis.logarithmic(smallest, largest);
        assertThat(axis.low()).isLessThanOrEqualTo(smallest);
        assertThat(axis.high()).isGreaterThanOrEqualTo(largest).isGreaterThan(axis.low());
        checkTicks(axis);
        assertThat(axis.position(smallest)).isBetween(0.0, 1.0);
        assertThat(axis.position(axis.high())).isEqualTo(1);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, 0.09, 0.1, 0.4999, 0.75, 0.7505, 0.95, 0.99, 0.9995, 1})
    void percent_anySmallest_ticksFromBelowItToAll(double smallest) {
        Axis axis = Axis.percent(smallest);
        assertThat(axis.low()).isLessThanOrEqualTo(smallest + 1e-9);
        assertThat(axis.high()).isEqualTo(1);
        checkTicks(axis);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 10, 11, 80, 480, 1000, 123456})
    void counting_anyLast_ticksOnWholeNumbers(int last) {
        Axis axis = Axis.counting(last);
        checkTicks(axis);
        assertThat(axis.ticks().get(0)).isEqualTo(1);
        assertThat(axis.position(last)).isEqualTo(last == 1 ? 0 : 1);
    }

    @Test
    void position_outside_isMovedToTheEnd() {
        Axis axis = Axis.logarithmic(0.01, 1);
        assertThat(axis.position(0)).isZero();
        assertThat(axis.position(Double.MAX_VALUE)).isEqualTo(1);
        assertThat(axis.position(0.1)).isCloseTo(0.5, within(1e-12));
    }

    private static void checkTicks(Axis axis) {
        List<Double> ticks = axis.ticks();
        assertThat(ticks).isNotEmpty().doesNotHaveDuplicates().allMatch(axis::holds);
        assertThat(ticks.size())
                .as("more labels than these would run into each other")
                .isLessThanOrEqualTo(13);
        assertThat(ticks.stream().map(axis.label()::apply).toList()).doesNotHaveDuplicates();
    }
}
