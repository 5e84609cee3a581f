package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.clnorm.RunningAverage.Kind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

final class RunningAverageTest {
    @Test
    void factories_ofEachKind_giveThatKind() {
        assertThat(RunningAverage.exponential(0.1)).isEqualTo(new RunningAverage(Kind.EXPONENTIAL, 0.1));
        assertThat(RunningAverage.exponential(0)).isEqualTo(new RunningAverage(Kind.EXPONENTIAL, 0));
        assertThat(RunningAverage.biasCorrectedExponential(1))
                .isEqualTo(new RunningAverage(Kind.BIAS_CORRECTED_EXPONENTIAL, 1));
        assertThat(RunningAverage.cumulative()).isEqualTo(new RunningAverage(Kind.CUMULATIVE, 0));
        assertThat(RunningAverage.none()).isEqualTo(new RunningAverage(Kind.NONE, 0));
    }

    @ParameterizedTest
    @ValueSource(doubles = {-Double.MIN_VALUE, -0.1, 1.0000001, 10, Double.NaN, Double.POSITIVE_INFINITY})
    void newBatchWeight_outsideOfItsRange_isRefused(double weight) {
        assertThatThrownBy(() -> RunningAverage.exponential(weight))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("newBatchWeight", "from 0 to 1", "given was " + weight);
        assertThatThrownBy(() -> RunningAverage.biasCorrectedExponential(weight))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("newBatchWeight", "above 0 and at most 1", "given was " + weight);
    }

    @Test
    void newBatchWeight_noneOfABiasCorrectedAverage_isRefused() {
        assertThatThrownBy(() -> RunningAverage.biasCorrectedExponential(0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("above 0", "0/0", "given was 0.0");
    }

    @ParameterizedTest
    @EnumSource(
            value = Kind.class,
            names = {"CUMULATIVE", "NONE"})
    void newBatchWeight_ofAKindWithoutOne_isRefused(Kind kind) {
        assertThatThrownBy(() -> new RunningAverage(kind, 0.5))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("newBatchWeight", kind.toString(), "given was 0.5");
    }

    @Test
    void constructor_withoutAKind_isRefused() {
        assertThatThrownBy(() -> new RunningAverage(null, 0))
                .isInstanceOf(NullPointerException.class)
                .hasMessageContaining("kind");
    }

    @Test
    void isTracked_ofEachKind_isFalseForNoneOnly() {
        assertThat(RunningAverage.none().isTracked()).isFalse();
        assertThat(RunningAverage.cumulative().isTracked()).isTrue();
        assertThat(RunningAverage.exponential(0.5).isTracked()).isTrue();
        assertThat(RunningAverage.biasCorrectedExponential(0.5).isTracked()).isTrue();
    }
}
