package org.clnorm.bench.against;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class VerdictTest {
    @ParameterizedTest
    @CsvSource({
        // ratio's interval, control's, verdict
        "0.90, 0.94, 0.99, 1.01, SLOWER",
        "1.06, 1.10, 0.99, 1.01, QUICKER",
        "0.98, 1.02, 0.99, 1.01, SAME",
        // The interval reaches into what the copies do.
        "0.90, 0.99, 0.98, 1.01, SAME",
        "1.01, 1.10, 0.98, 1.01, SAME",
        // Copies that differ, in either direction: as far the ratio may go too.
        "0.93, 0.94, 1.06, 1.08, SAME",
        "0.93, 0.94, 0.92, 0.95, SAME",
        "1.06, 1.07, 0.92, 0.95, SAME",
        "0.90, 0.91, 0.92, 0.95, SLOWER",
        "1.10, 1.12, 0.92, 0.95, QUICKER"
    })
    void verdict_ofRatioBesideControl_isADifferenceOnlyBeyondIt(
            double low, double high, double controlLow, double controlHigh, Verdict verdict) {
        Spread control = new Spread((controlLow + controlHigh) / 2, controlLow, controlHigh);

        assertThat(Verdict.of(new Spread((low + high) / 2, low, high), control)).isEqualTo(verdict);
    }

    @Test
    void difference_thatIsNotThereAgain_isNone() {
        ComparedRow slower = row(0.8);
        ComparedRow same = row(1);
        ComparedRow quicker = row(1.2);

        assertThat(slower.confirmedBy(row(0.7)).verdict()).isEqualTo(Verdict.SLOWER);
        assertThat(slower.confirmedBy(same).verdict()).isEqualTo(Verdict.SAME);
        assertThat(slower.confirmedBy(quicker).verdict()).isEqualTo(Verdict.SAME);
        assertThat(slower.confirmedBy(quicker).ratio()).isEqualTo(quicker.ratio());
    }

    private static ComparedRow row(double ratio) {
        return ComparedRow.of(null, new double[] {1}, new double[] {1}, new double[] {ratio});
    }
}
