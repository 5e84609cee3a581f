package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.clnorm.reference.Values.assertClose;

import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.reference.ReferenceBatchNorm.Moments;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ReferenceRunningStatisticsTest {
    private static final double[] MEANS = {3, -1, 7, 0.5, 2, 40};
    private static final double[] VARIANCES = {1, 4, 0.25, 9, 1e-9, 3};

    @Test
    void updateRunning_exponential_movesByTheWeightOfTheNewBatch() {
        // From mean 0 and variance 1 with w = 1/4: 0 + (8 − 0)/4 = 2 and 1 + (5 − 1)/4 = 2; then 2 + (−6 − 2)/4 = 0 and
        // 2 + (4 − 2)/4 = 2.5.
        RunningAverage average = RunningAverage.exponential(0.25);
        Running first = update(start(), 8, 5, average);
        Running second = update(first, -6, 4, average);

        assertThat(first.mean()).containsExactly(2);
        assertThat(first.variance()).containsExactly(2);
        assertThat(first.absorbed()).containsExactly(1);
        assertThat(second.mean()).containsExactly(0);
        assertThat(second.variance()).containsExactly(2.5);
        assertThat(second.absorbed()).containsExactly(2);
    }

    @Test
    void updateRunning_cumulative_isThePlainMeanOfAllBatches() {
        Running running = start();
        double meanSum = 0;
        double varianceSum = 0;
        for (int t = 1; t <= MEANS.length; t++) {
            running = update(running, MEANS[t - 1], VARIANCES[t - 1], RunningAverage.cumulative());
            meanSum += MEANS[t - 1];
            varianceSum += VARIANCES[t - 1];
            assertClose("mean after " + t, running.mean()[0], meanSum / t, 1e-14);
            assertClose("variance after " + t, running.variance()[0], varianceSum / t, 1e-14);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e-6, 0.01, 0.1, 0.9, 1})
    void updateRunning_biasCorrected_isAdamsCorrectedAverage(double w) {
        // Kingma and Ba (2015), algorithm 1: a ← (1−w)·a + w·b from a = 0, then a / (1 − (1−w)ᵗ).
        Running running = start();
        double mean = 0;
        double variance = 0;
        for (int t = 1; t <= MEANS.length; t++) {
            running = update(running, MEANS[t - 1], VARIANCES[t - 1], RunningAverage.biasCorrectedExponential(w));
            mean = (1 - w) * mean + w * MEANS[t - 1];
            variance = (1 - w) * variance + w * VARIANCES[t - 1];
            double divisor = 1 - Math.pow(1 - w, t);
            // The divisor itself loses digits for small w.
            double tolerance = 1e-15 / w + 1e-14;
            assertClose("mean after " + t, running.mean()[0], mean / divisor, 40 * tolerance);
            assertClose("variance after " + t, running.variance()[0], variance / divisor, 40 * tolerance);
        }
    }

    @Test
    void updateRunning_firstBatchOfCorrectedAverage_forgetsTheInitialValue() {
        for (RunningAverage average :
                new RunningAverage[] {RunningAverage.cumulative(), RunningAverage.biasCorrectedExponential(0.1)}) {
            Running running = update(start(), 1e-9, 1e-9, average);

            assertClose("mean", running.mean()[0], 1e-9, 1e-15);
            assertClose("a variance of 1 must leave no trace in a quiet channel", running.variance()[0], 1e-9, 1e-15);
        }
    }

    @Test
    void updateRunning_unbiased_takesTheVarianceOverMMinusOne() {
        // m = 5 values of biased variance 4: Σ(x−mean)² = 20, over 4 is 5.
        RunningAverage average = RunningAverage.cumulative();
        Running unbiased = ReferenceBatchNorm.updateRunning(
                start(),
                new double[] {1},
                new double[] {4},
                5,
                average,
                RunningVariance.UNBIASED,
                NonFinitePolicy.PROPAGATE);
        Running biased = ReferenceBatchNorm.updateRunning(
                start(),
                new double[] {1},
                new double[] {4},
                5,
                average,
                RunningVariance.BIASED,
                NonFinitePolicy.PROPAGATE);

        assertThat(unbiased.variance()).containsExactly(5);
        assertThat(biased.variance()).containsExactly(4);
        assertThat(unbiased.mean()).containsExactly(biased.mean());
    }

    @Test
    void updateRunning_unbiasedOfOneValue_isAnError() {
        assertThatThrownBy(() -> ReferenceBatchNorm.updateRunning(
                        start(),
                        new double[] {1},
                        new double[] {0},
                        1,
                        RunningAverage.cumulative(),
                        RunningVariance.UNBIASED,
                        NonFinitePolicy.PROPAGATE))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("at least 2 values per channel")
                .hasMessageContaining("1");
    }

    @Test
    void updateRunning_newBatchWeight0_keepsWhatThereIsAndCounts() {
        for (double batch : new double[] {5, Double.NaN, Double.POSITIVE_INFINITY}) {
            Running running = ReferenceBatchNorm.updateRunning(
                    new Running(new double[] {-0.0}, new double[] {Double.NaN}, new double[] {2}),
                    new double[] {batch},
                    new double[] {batch},
                    4,
                    RunningAverage.exponential(0),
                    RunningVariance.UNBIASED,
                    NonFinitePolicy.PROPAGATE);

            assertThat(running.mean()).containsExactly(-0.0);
            assertThat(running.variance()).containsExactly(Double.NaN);
            assertThat(running.absorbed()).containsExactly(3);
        }
    }

    @Test
    void updateRunning_noAverage_isAnError() {
        assertThatThrownBy(() -> update(start(), 1, 1, RunningAverage.none()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("NONE");
    }

    @Test
    void updateRunning_propagate_nanEntersThatChannelOnly() {
        Running running = updateThree(NonFinitePolicy.PROPAGATE);

        assertThat(running.mean()).containsExactly(1, Double.NaN, 3);
        assertThat(running.variance()).containsExactly(1, Double.NaN, Double.NaN);
        assertThat(running.absorbed()).containsExactly(2, 3, 4);
    }

    @Test
    void updateRunning_skip_keepsTheBadChannelsStatisticsAndCount() {
        Running running = updateThree(NonFinitePolicy.SKIP_RUNNING_UPDATE);

        assertThat(running.mean()).containsExactly(1, 20, 30);
        assertThat(running.variance()).containsExactly(1, 200, 300);
        assertThat(running.absorbed())
                .as("a batch that was left out does not count")
                .containsExactly(2, 2, 3);
    }

    /** Channel 0 is good, channel 1 has no finite mean, channel 2 a finite mean alone. */
    private static Running updateThree(NonFinitePolicy policy) {
        return ReferenceBatchNorm.updateRunning(
                new Running(new double[] {10, 20, 30}, new double[] {100, 200, 300}, new double[] {1, 2, 3}),
                new double[] {1, Double.NaN, 3},
                new double[] {1, Double.NaN, Double.NaN},
                4,
                RunningAverage.exponential(1),
                RunningVariance.BIASED,
                policy);
    }

    @Test
    void updateRunning_skipAfterBadBatches_weighsByTheBatchesAbsorbed() {
        double[] good = {4, 8, 12};
        Running running = start();
        for (double mean : good) {
            running = update(running, Double.NaN, Double.NaN, RunningAverage.cumulative());
            running = update(running, mean, 1, RunningAverage.cumulative());
        }

        assertThat(running.absorbed()).containsExactly(3);
        assertClose("the mean of the good batches", running.mean()[0], 8, 1e-14);
    }

    @Test
    void updateRunning_varianceBeyondFloat32_countsAsInfinite() {
        Running running = update(start(), 1, 1e39, RunningAverage.exponential(0.1));

        assertThat(running.variance())
                .as("a running variance that is infinite as float32 would silence the channel for good")
                .containsExactly(1);
        assertThat(running.absorbed()).containsExactly(0);
    }

    @Test
    void updateRunning_anyBatch_leavesItsArgumentsAlone() {
        Running before = start();
        update(before, 5, 6, RunningAverage.exponential(0.5));

        assertThat(before.mean()).containsExactly(0);
        assertThat(before.variance()).containsExactly(1);
        assertThat(before.absorbed()).containsExactly(0);
    }

    @Test
    void checkFinite_throwPolicy_namesTheFirstBadChannel() {
        Moments moments = new Moments(new double[] {1, 2, 3}, new double[] {1, Double.POSITIVE_INFINITY, Double.NaN});

        assertThatThrownBy(() -> ReferenceBatchNorm.checkFinite(NonFinitePolicy.THROW, moments))
                .isInstanceOfSatisfying(
                        NonFiniteException.class, e -> assertThat(e.channel()).isEqualTo(1));
        assertThatCode(() -> ReferenceBatchNorm.checkFinite(NonFinitePolicy.PROPAGATE, moments))
                .doesNotThrowAnyException();
        assertThatCode(() -> ReferenceBatchNorm.checkFinite(NonFinitePolicy.SKIP_RUNNING_UPDATE, moments))
                .doesNotThrowAnyException();
    }

    private static Running start() {
        return new Running(new double[] {0}, new double[] {1}, new double[] {0});
    }

    private static Running update(Running running, double mean, double variance, RunningAverage average) {
        return ReferenceBatchNorm.updateRunning(
                running,
                new double[] {mean},
                new double[] {variance},
                10,
                average,
                RunningVariance.BIASED,
                NonFinitePolicy.SKIP_RUNNING_UPDATE);
    }
}
