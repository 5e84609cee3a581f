package org.clnorm.study;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class EstimateTest {
    @Test
    void of_fiveValues_hasTheirMeanAndStudentsInterval() {
        Estimate estimate = Estimate.of(1, 2, 3, 4, 5);

        assertThat(estimate.mean()).isEqualTo(3);
        assertThat(estimate.deviation()).isEqualTo(Math.sqrt(2.5));
        assertThat(estimate.half()).isCloseTo(1.9632, within(1e-3)); // 2.776 · √(2.5/5)
        assertThat(estimate.low()).isEqualTo(3 - estimate.half());
        assertThat(estimate.high()).isEqualTo(3 + estimate.half());
    }

    @Test
    void of_oneValue_hasNoSpread() {
        assertThat(Estimate.of(7)).isEqualTo(new Estimate(7, 0, 0, 1));
    }

    @ParameterizedTest
    @CsvSource({"1, 12.706", "4, 2.776", "10, 2.228", "15, 2.131", "29, 2.045", "100, 1.984"})
    void quantile_anyFreedom_isThatOfTheTables(int freedom, double expected) {
        assertThat(Estimate.quantile(freedom)).isCloseTo(expected, within(0.015));
    }

    @ParameterizedTest
    @CsvSource({
        "0.123456, 0.123",
        "-0.5, −0.5",
        "1234.5, 1230",
        "0, 0",
        "0.00000123, 1.23e-6",
        "NaN, no number",
        "Infinity, ∞",
        "-Infinity, −∞"
    })
    void number_anyValue_hasThreeDigits(double value, String expected) {
        assertThat(Estimate.number(value)).isEqualTo(expected);
    }
}
