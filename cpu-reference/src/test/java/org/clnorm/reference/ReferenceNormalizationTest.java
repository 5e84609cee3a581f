package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.clnorm.reference.Normalizations.CONDITIONAL_BATCH;
import static org.clnorm.reference.Normalizations.ghost;
import static org.clnorm.reference.Normalizations.group;
import static org.clnorm.reference.Normalizations.renormalization;
import static org.clnorm.reference.Normalizations.rows;
import static org.clnorm.reference.Values.assertClose;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Grouping.Batch.Rest;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Hand-worked cases, most of them of two groups: 0, 0, 4, 4 of mean 2 and variance 4, so that x̂ = −1, −1, 1, 1; and 10, 12,
 * 10, 12 of mean 11 and variance 1, so that x̂ = −1, 1, −1, 1.
 */
class ReferenceNormalizationTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final double[] X = {0, 0, 4, 4, 10, 12, 10, 12};
    private static final double[] DY = {1, 2, 3, 6, 0, 4, 0, 0};
    private static final double EXACT = 1e-15;

    /** A pass and what came of it. */
    private record Pass(ReferenceNormalization normalization, Statistics statistics, double[] y, Gradients gradients) {
        static Pass of(
                Normalization kind,
                Shape shape,
                double[] x,
                double[] dy,
                double[] gamma,
                double[] beta,
                double epsilon,
                Running running) {
            return of(kind, shape, FIRST, x, dy, gamma, beta, epsilon, running);
        }

        static Pass of(
                Normalization kind,
                Shape shape,
                Layout layout,
                double[] x,
                double[] dy,
                double[] gamma,
                double[] beta,
                double epsilon,
                Running running) {
            ReferenceNormalization normalization = new ReferenceNormalization(kind, shape, layout);
            Statistics statistics = normalization.statistics(x, epsilon, running);
            double[] y = normalization.normalize(x, null, Activation.NONE, gamma, beta, statistics);
            return new Pass(
                    normalization,
                    statistics,
                    y,
                    normalization.backward(dy, x, null, Activation.NONE, gamma, statistics));
        }

        void assertGradients(double[] dx, double[] dgamma, double[] dbeta) {
            assertClose("dx", gradients.dx(), dx, EXACT);
            assertClose("dγ", gradients.dgamma(), dgamma, EXACT);
            assertClose("dβ", gradients.dbeta(), dbeta, EXACT);
        }
    }

    @Test
    void groupNorm_twoGroupsOfTwoChannels_haveAnAffineByChannel() {
        // Group 0 is 0, 4 | 0, 4, group 1 is 8, 16 | 8, 16: x̂ = −1, 1 in each channel. γ = 2, 4 and β = 1, −1 in both.
        // h = γ·dy = 2, 6 | 8, 0 in both, Σh/4 = 4, Σh·x̂/4 = −1: dx = invstd·(h − 4 + x̂), with invstd 1/2 and 1/4.
        Pass pass = Pass.of(
                group(2),
                Shape.of(1, 4, 2),
                new double[] {0, 4, 0, 4, 8, 16, 8, 16},
                new double[] {1, 3, 2, 0, 1, 3, 2, 0},
                new double[] {2, 4, 2, 4},
                new double[] {1, -1, 1, -1},
                0,
                null);

        assertThat(pass.statistics.mean()).containsExactly(2, 12);
        assertThat(pass.statistics.variance()).containsExactly(4, 16);
        assertThat(pass.y).containsExactly(-1, 3, -5, 3, -1, 3, -5, 3);
        pass.assertGradients(
                new double[] {-1.5, 1.5, 1.5, -1.5, -0.75, 0.75, 0.75, -0.75},
                new double[] {2, -2, 2, -2},
                new double[] {4, 2, 4, 2});
        assertThat(pass.gradients.largestTerm()).as("h/2 of 8").isEqualTo(4);
    }

    @Test
    void groupNorm_channelsLast_takesTheSameChannels() {
        // The same, in memory order position, channel.
        Pass pass = Pass.of(
                group(2),
                Shape.of(1, 4, 2),
                Layout.CHANNELS_LAST,
                new double[] {0, 0, 8, 8, 4, 4, 16, 16},
                new double[] {1, 2, 1, 2, 3, 0, 3, 0},
                new double[] {2, 4, 2, 4},
                new double[] {1, -1, 1, -1},
                0,
                null);

        assertThat(pass.y).containsExactly(-1, -5, -1, -5, 3, 3, 3, 3);
        pass.assertGradients(
                new double[] {-1.5, 1.5, -0.75, 0.75, 1.5, -1.5, 0.75, -0.75},
                new double[] {2, -2, 2, -2},
                new double[] {4, 2, 4, 2});
    }

    @Test
    void instanceNorm_twoSamples_shareGammaAndBeta() {
        // h = 3, 6, 9, 18 | 0, 12, 0, 0. Sample 0: Σh/4 = 9, Σh·x̂/4 = 4.5, dx = (h − 9 − 4.5·x̂)/2; sample 1: both 3.
        Pass pass = Pass.of(group(1), Shape.of(2, 1, 4), X, DY, new double[] {3}, new double[] {1}, 0, null);

        assertThat(pass.statistics.mean()).containsExactly(2, 11);
        assertThat(pass.statistics.inverseStandardDeviation()).containsExactly(0.5, 1);
        assertThat(pass.y).containsExactly(-2, -2, 4, 4, -2, 4, -2, 4);
        pass.assertGradients(
                new double[] {-0.75, 0.75, -2.25, 2.25, 0, 6, 0, -6}, new double[] {6 + 4}, new double[] {12 + 4});
    }

    @Test
    void instanceNorm_perSample_hasAGammaForEachSample() {
        // γ = 2: dx = 2/2·(dy − 3 − 1.5·x̂). γ = −1: dx = −(dy − 1 − x̂).
        Pass pass = Pass.of(
                new Normalization(new Grouping.Channels(1), Statistic.CENTERED, true, null),
                Shape.of(2, 1, 4),
                X,
                DY,
                new double[] {2, -1},
                new double[] {1, 0},
                0,
                null);

        assertThat(pass.y).containsExactly(-1, -1, 3, 3, 1, -1, 1, -1);
        pass.assertGradients(
                new double[] {-0.5, 0.5, -1.5, 1.5, 0, -2, 0, 2}, new double[] {6, 4}, new double[] {12, 4});
    }

    @Test
    void ghostBatchNorm_remainder_isAGroupOfItsOwn() {
        // Samples 0, 1 | 2, 3 | 4, of two values each; 1, 3 have mean 2 and variance 1, and two values leave dx = 0.
        Pass pass = Pass.of(
                ghost(2),
                Shape.of(5, 1, 2),
                new double[] {0, 0, 4, 4, 10, 12, 10, 12, 1, 3},
                new double[] {1, 2, 3, 6, 0, 4, 0, 0, 1, 2},
                new double[] {3},
                null,
                0,
                null);

        assertThat(pass.statistics.mean()).containsExactly(2, 11, 2);
        assertThat(pass.statistics.variance()).containsExactly(4, 1, 1);
        assertThat(pass.y).containsExactly(-3, -3, 3, 3, -3, 3, -3, 3, -3, 3);
        pass.assertGradients(
                new double[] {-0.75, 0.75, -2.25, 2.25, 0, 6, 0, -6, 0, 0},
                new double[] {6 + 4 + 1},
                new double[] {12 + 4 + 3});
    }

    @Test
    void conditionalBatchNorm_sums_areOfEachSamplesOwnGamma() {
        // h = γ·dy = 4, 4, 0, 4: Σh/4 = 3, Σh·x̂/4 = −1, dx = (h − 3 + x̂)/2.
        Pass pass = Pass.of(
                CONDITIONAL_BATCH,
                Shape.of(4, 1),
                new double[] {0, 0, 4, 4},
                new double[] {4, 2, 0, -4},
                new double[] {1, 2, 3, -1},
                new double[] {0, 1, 0, 1},
                0,
                null);

        assertThat(pass.y).containsExactly(-1, -1, 3, 0);
        pass.assertGradients(new double[] {0, 0, -1, 1}, new double[] {-4, -2, 0, -4}, new double[] {4, 2, 0, -4});
    }

    @Test
    void layerNorm_affineByElement_isSummedOverTheRows() {
        // Row 0 as the conditional case; row 1: h = 0, 4, 0, 0, Σh/4 = Σh·x̂/4 = 1, dx = h − 1 − x̂.
        Pass pass = Pass.of(
                rows(1, true, Statistic.CENTERED),
                Shape.of(2, 4),
                X,
                new double[] {4, 2, 0, -4, 0, 2, 0, 0},
                new double[] {1, 2, 3, -1},
                new double[] {0, 1, 0, 1},
                0,
                null);

        assertThat(pass.statistics.mean()).containsExactly(2, 11);
        assertThat(pass.y).containsExactly(-1, -1, 3, 0, -1, 3, -3, 0);
        pass.assertGradients(
                new double[] {0, 0, -1, 1, 0, 2, 0, -2}, new double[] {-4, 0, 0, -4}, new double[] {4, 4, 0, -4});
    }

    @Test
    void layerNorm_affineByRow_isSummedOverTheElements() {
        Pass pass = Pass.of(
                rows(1, false, Statistic.CENTERED),
                Shape.of(2, 4),
                X,
                DY,
                new double[] {2, -1},
                new double[] {1, 0},
                0,
                null);

        assertThat(pass.y).containsExactly(-1, -1, 3, 3, 1, -1, 1, -1);
        pass.assertGradients(
                new double[] {-0.5, 0.5, -1.5, 1.5, 0, -2, 0, 2}, new double[] {6, 4}, new double[] {12, 4});
    }

    @Test
    void rmsNorm_handWorkedRow_subtractsNoMean() {
        // Mean square (4 + 16 + 16 + 64)/4 = 25, x̂ = 0.4, 0.8, 0.8, 1.6. h = 5, 0, 0, 5, Σh·x̂/4 = 2.5, dx = (h −
        // 2.5·x̂)/5.
        double[] x = {2, 4, 4, 8};
        Pass pass = Pass.of(
                rows(1, true, Statistic.ROOT_MEAN_SQUARE),
                Shape.of(1, 4),
                x,
                new double[] {5, 0, 0, 10},
                new double[] {1, 1, 1, 0.5},
                null,
                0,
                null);

        assertThat(pass.statistics.mean()).containsExactly(0);
        assertThat(pass.statistics.inverseStandardDeviation()).containsExactly(0.2);
        assertClose("y", pass.y, new double[] {0.4, 0.8, 0.8, 0.8}, EXACT);
        pass.assertGradients(
                new double[] {0.8, -0.4, -0.4, 0.2}, new double[] {2, 0, 0, 16}, new double[] {5, 0, 0, 10});

        double[] y = Pass.of(rows(1, true, Statistic.ROOT_MEAN_SQUARE), Shape.of(1, 4), x, x, null, null, 11, null).y;
        assertClose("ε is inside the root: x/√36", y, new double[] {2 / 6.0, 4 / 6.0, 4 / 6.0, 8 / 6.0}, EXACT);
    }

    @Test
    void length_aboveAndBelowEpsilon_projectsOnlyAbove() {
        // Row 0: length 5, x̂ = 0.6, 0.8, Σdy·x̂ = 11, dx = (dy − 11·x̂)/5. Row 1: length 0.5 < ε = 2, so that y = x/2
        // and
        // dx = dy/2. Row 2 is 0.
        Pass pass = Pass.of(
                rows(1, false, Statistic.LENGTH),
                Shape.of(3, 2),
                new double[] {3, 4, 0.3, 0.4, 0, 0},
                new double[] {5, 10, 5, 10, 5, 10},
                null,
                null,
                2,
                null);

        assertThat(pass.statistics.inverseStandardDeviation()).containsExactly(0.2, 0.5, 0.5);
        assertClose("y", pass.y, new double[] {0.6, 0.8, 0.15, 0.2, 0, 0}, EXACT);
        pass.assertGradients(
                new double[] {-0.32, 0.24, 2.5, 5, 2.5, 5}, new double[] {11, 2.75, 0}, new double[] {15, 15, 15});
    }

    @Test
    void length_equalToEpsilon_projects() {
        Pass pass = Pass.of(
                rows(1, false, Statistic.LENGTH),
                Shape.of(1, 2),
                new double[] {3, 4},
                new double[] {5, 10},
                null,
                null,
                5,
                null);

        assertClose("dx", pass.gradients.dx(), new double[] {-0.32, 0.24}, EXACT);
    }

    private static Pass renormalized(
            double rMax, double dMax, double runningMean, double runningVariance, double epsilon) {
        return Pass.of(
                renormalization(Grouping.batch(), rMax, dMax),
                Shape.of(4, 1),
                new double[] {0, 0, 4, 4},
                new double[] {1, 2, 3, 6},
                new double[] {2},
                new double[] {1},
                epsilon,
                running(runningMean, runningVariance));
    }

    @Test
    void renormalization_withinBounds_normalizesWithTheRunningStatistics() {
        // r = 2/1 and d = (2 − 1)/1, so that x̂·r + d = (x − 1)/1; y = 2·(x − 1) + 1.
        Pass pass = renormalized(3, 5, 1, 1, 0);

        assertThat(pass.statistics.r()).containsExactly(2);
        assertThat(pass.statistics.d()).containsExactly(1);
        assertThat(pass.y).containsExactly(-1, -1, 7, 7);
        assertThat(renormalized(3, 5, -2, 4, 12).statistics.d())
                .as("ε counts in the running deviation: (2 + 2)/√(4 + 12)")
                .containsExactly(1);
    }

    @Test
    void renormalization_pastBounds_countsThemAsConstants() {
        // r = 1.5 and d = 0.5: x̂·r + d = −1, −1, 2, 2, y = 2·that + 1, dγ = −3 + 18. h = 2·1.5·dy, and dx as of γ = 3.
        Pass pass = renormalized(1.5, 0.5, 1, 1, 0);

        assertThat(pass.y).containsExactly(-1, -1, 5, 5);
        pass.assertGradients(new double[] {-0.75, 0.75, -2.25, 2.25}, new double[] {15}, new double[] {12});

        // 2/4 is less than 1/1.25, and (2 − 10)/4 less than −0.5.
        Statistics below = renormalized(1.25, 0.5, 10, 16, 0).statistics;
        assertThat(below.r()).containsExactly(0.8);
        assertThat(below.d()).containsExactly(-0.5);
    }

    @Test
    void renormalization_withoutRunningStatistics_isBatchNorm() {
        ReferenceNormalization normalization =
                new ReferenceNormalization(renormalization(Grouping.batch(), 3, 5), Shape.of(4, 1), FIRST);
        Statistics statistics = normalization.statistics(new double[] {0, 0, 4, 4}, 0, null);

        assertThat(statistics.r()).isNull();
        assertThat(statistics.d()).isNull();
    }

    @Test
    void undo_yOfEachActivationThatCanBe_isX() {
        double[] x = {1, -2, 3.5, 0.25, 7, -1, 2, 4};
        double[] gamma = {0.5, -2};
        double[] beta = {1, 0.25};
        Running running = new Running(new double[] {1, 0}, new double[] {2, 9}, new double[2]);
        for (Normalization.Renormalization bounds :
                new Normalization.Renormalization[] {null, new Normalization.Renormalization(1.5, 0.5)}) {
            ReferenceNormalization norm = new ReferenceNormalization(
                    new Normalization(Grouping.batch(), Statistic.CENTERED, false, bounds), Shape.of(2, 2, 2), FIRST);
            Statistics statistics = norm.statistics(x, 1e-3, running);
            for (Activation activation : List.of(Activation.NONE, Activation.leakyRelu(0.125))) {
                double[] y = norm.normalize(x, null, activation, gamma, beta, statistics);

                assertThat(norm.undo(y, activation, gamma, beta, statistics)).containsExactly(x, within(1e-13));
            }
            assertThatThrownBy(() -> norm.undo(x, Activation.RELU, gamma, beta, statistics))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("relu cannot be undone");
        }
    }

    @Test
    void groupOf_virtualBatches_isByBlockAndChannel() {
        ReferenceNormalization normalization = new ReferenceNormalization(
                new Normalization(new Grouping.Batch(2), Statistic.CENTERED, true, null), Shape.of(3, 2), FIRST);

        assertThat(normalization.groups()).isEqualTo(4);
        assertThat(groups(normalization, 6)).containsExactly(0, 1, 0, 1, 2, 3);
        assertThat(normalization.affineElements()).isEqualTo(6);
        assertThat(affine(normalization, 6)).containsExactly(0, 1, 2, 3, 4, 5);
    }

    @Test
    void groupOf_restOfVirtualBatches_isByWhatIsSaid() {
        ReferenceNormalization merged = new ReferenceNormalization(ghost(2, Rest.MERGED), Shape.of(5, 2), FIRST);
        ReferenceNormalization given = new ReferenceNormalization(ghost(2, Rest.GIVEN), Shape.of(5, 2), FIRST);

        assertThat(groups(merged, 10)).containsExactly(0, 1, 0, 1, 2, 3, 2, 3, 2, 3);
        assertThat(merged.valuesOf(3)).isEqualTo(3);
        assertThat(groups(given, 10)).containsExactly(0, 1, 0, 1, 2, 3, 2, 3, 4, 5);
    }

    @ParameterizedTest
    @EnumSource(Rest.class)
    void virtualBatches_ofRests_areCountedForEveryBatch(Rest rest) {
        Grouping.Batch three = new Grouping.Batch(3, rest);
        int more = rest == Rest.MERGED ? 0 : 1;

        assertThat(three.virtualBatches(0)).isEqualTo(1);
        assertThat(three.virtualBatches(2)).isEqualTo(1);
        assertThat(three.virtualBatches(3)).isEqualTo(1);
        assertThat(three.virtualBatches(4)).isEqualTo(1 + more);
        assertThat(three.virtualBatches(6)).isEqualTo(2);
        assertThat(three.virtualBatches(8)).isEqualTo(2 + more);
        assertThat(three.givenSamples(Shape.of(8, 4))).isEqualTo(rest == Rest.GIVEN ? 2 : 0);
        assertThat(three.givenSamples(Shape.of(6, 4))).isZero();
    }

    @Test
    void updateRunning_restOfVirtualBatches_entersMergedOrNot() {
        // Means 2, then 11 or with the last sample 8: 0 → 1 → 6 or 4.5. Unbiased variances 16/3, then 4/3 or 114/5:
        // 1 → 19/6 → 9/4 or 779/60.
        double[] x = {0, 0, 4, 4, 10, 12, 10, 12, 1, 3};
        Running given = updated(ghost(2, Rest.GIVEN), Shape.of(5, 1, 2), x, NonFinitePolicy.PROPAGATE);
        Running merged = updated(ghost(2, Rest.MERGED), Shape.of(5, 1, 2), x, NonFinitePolicy.PROPAGATE);

        assertThat(given.mean()).containsExactly(6);
        assertClose("variance", given.variance(), new double[] {9 / 4.0}, EXACT);
        assertThat(given.absorbed()).containsExactly(2);
        assertThat(merged.mean()).containsExactly(4.5);
        assertClose("variance", merged.variance(), new double[] {779 / 60.0}, 10 * EXACT);
        assertThat(merged.absorbed()).containsExactly(2);
    }

    @Test
    void withGiven_lastSamples_areNormalizedByThem() {
        ReferenceNormalization normalization = new ReferenceNormalization(ghost(2, Rest.GIVEN), Shape.of(3, 1), FIRST);
        double[] x = {1, 3, 9};
        Statistics own = normalization.statistics(x, 0, null);
        Statistics statistics = normalization.withGiven(own, new double[] {5}, new double[] {4}, 0);

        assertThat(normalization.hasGiven()).isTrue();
        assertThat(normalization.normalize(x, null, Activation.NONE, null, null, statistics))
                .containsExactly(-1, 1, 2);
        Gradients gradients =
                normalization.backward(new double[] {1, 0, 7}, x, null, Activation.NONE, null, statistics);
        assertThat(gradients.dx()).as("0 of two values, and dy / 2").containsExactly(0, 0, 3.5);
        assertThat(gradients.dgamma()).containsExactly(-1 + 14);
        assertThat(gradients.dbeta()).containsExactly(8);
    }

    @Test
    void groupOf_channels_isBySampleAndGroup() {
        ReferenceNormalization first = new ReferenceNormalization(group(2), Shape.of(2, 4, 1, 2), FIRST);
        ReferenceNormalization last = new ReferenceNormalization(group(2), Shape.of(2, 4, 1, 2), Layout.CHANNELS_LAST);

        assertThat(groups(first, 16)).containsExactly(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        assertThat(affine(first, 16)).containsExactly(0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3);
        assertThat(groups(last, 16)).containsExactly(0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3);
        assertThat(affine(last, 16)).containsExactly(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    }

    @Test
    void groupOf_rows_isInTheOrderOfMemory() {
        // In memory (2, 3, 2) and (2, 2, 3): rows of two positions, or of three channels.
        Shape shape = Shape.of(2, 3, 2);
        ReferenceNormalization first = new ReferenceNormalization(rows(1, true, Statistic.CENTERED), shape, FIRST);
        ReferenceNormalization last =
                new ReferenceNormalization(rows(1, true, Statistic.CENTERED), shape, Layout.CHANNELS_LAST);
        ReferenceNormalization byRow =
                new ReferenceNormalization(rows(2, false, Statistic.CENTERED), shape, Layout.CHANNELS_LAST);

        assertThat(groups(first, 12)).containsExactly(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5);
        assertThat(affine(first, 12)).containsExactly(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1);
        assertThat(groups(last, 12)).containsExactly(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3);
        assertThat(affine(last, 12)).containsExactly(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2);
        assertThat(groups(byRow, 12)).containsExactly(0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1);
        assertThat(affine(byRow, 12)).containsExactly(0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1);
    }

    private static int[] groups(ReferenceNormalization normalization, int elements) {
        return IntStream.range(0, elements).map(normalization::groupOf).toArray();
    }

    private static int[] affine(ReferenceNormalization normalization, int elements) {
        return IntStream.range(0, elements).map(normalization::affineOf).toArray();
    }

    @Test
    void updateRunning_instanceNorm_takesTheAveragesOverTheSamples() {
        // Means 2, 11 and unbiased variances 4·4/3, 4/3: averages 6.5 and 10/3, half of which enters 0 and 1.
        Running running = updated(group(1), Shape.of(2, 1, 4), X, NonFinitePolicy.PROPAGATE);

        assertThat(running.mean()).containsExactly(3.25);
        assertClose("variance", running.variance(), new double[] {13 / 6.0}, EXACT);
        assertThat(running.absorbed()).containsExactly(1);
    }

    @Test
    void updateRunning_virtualBatches_enterOneAfterTheOther() {
        // Means 2, 11, 2: 0 → 1 → 6 → 4. Unbiased variances 16/3, 4/3 and, of two values, 2: 1 → 19/6 → 9/4 → 17/8.
        double[] x = {0, 0, 4, 4, 10, 12, 10, 12, 1, 3};
        Running running = updated(ghost(2), Shape.of(5, 1, 2), x, NonFinitePolicy.PROPAGATE);

        assertThat(running.mean()).containsExactly(4);
        assertClose("variance", running.variance(), new double[] {17 / 8.0}, EXACT);
        assertThat(running.absorbed()).containsExactly(3);
    }

    @Test
    void updateRunning_nonFiniteVirtualBatch_sitsOutAlone() {
        // Without the second: 0 → 1 → 1.5, 1 → 19/6 → 31/12.
        double[] x = {0, 0, 4, 4, 10, Double.NaN, 10, 12, 1, 3};
        Running running = updated(ghost(2), Shape.of(5, 1, 2), x, NonFinitePolicy.SKIP_RUNNING_UPDATE);

        assertThat(running.mean()).containsExactly(1.5);
        assertClose("variance", running.variance(), new double[] {31 / 12.0}, EXACT);
        assertThat(running.absorbed()).containsExactly(2);
    }

    @Test
    void updateRunning_nonFiniteSampleOfInstanceNorm_makesTheChannelSitOut() {
        double[] x = X.clone();
        x[6] = Double.POSITIVE_INFINITY;

        assertThat(updated(group(1), Shape.of(2, 1, 4), x, NonFinitePolicy.SKIP_RUNNING_UPDATE)
                        .absorbed())
                .containsExactly(0);
        assertThat(updated(group(1), Shape.of(2, 1, 4), x, NonFinitePolicy.PROPAGATE)
                        .mean())
                .containsExactly(Double.NaN);
    }

    @Test
    void updateRunning_renormalization_takesTheBatchsOwnStatistics() {
        // Mean 2 and unbiased variance 16/3, half of which enters 0 and 1, whatever r and d.
        double[] x = {0, 0, 4, 4};
        Running running =
                updated(renormalization(Grouping.batch(), 1.5, 0.5), Shape.of(4, 1), x, NonFinitePolicy.PROPAGATE);

        assertThat(running.mean()).containsExactly(1);
        assertClose("variance", running.variance(), new double[] {19 / 6.0}, EXACT);
    }

    @Test
    void updateRunning_groupsOfSeveralChannels_isAnError() {
        assertThatThrownBy(() -> updated(group(1), Shape.of(2, 2, 2), X, NonFinitePolicy.PROPAGATE))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("Channels[groups=1]");
    }

    @Test
    void checkFinite_secondVirtualBatch_namesTheChannel() {
        // Samples 0 | 1 of two channels; channel 1 of sample 1 is bad.
        ReferenceNormalization normalization = new ReferenceNormalization(ghost(1), Shape.of(2, 2, 2), FIRST);
        double[] x = X.clone();
        x[7] = Double.NaN;
        Statistics statistics = normalization.statistics(x, 0, null);

        assertThatThrownBy(() -> normalization.checkFinite(NonFinitePolicy.THROW, statistics))
                .isInstanceOfSatisfying(
                        NonFiniteException.class, e -> assertThat(e.channel()).isEqualTo(1));
        normalization.checkFinite(NonFinitePolicy.SKIP_RUNNING_UPDATE, statistics);
    }

    private static Running updated(Normalization kind, Shape shape, double[] x, NonFinitePolicy policy) {
        ReferenceNormalization normalization = new ReferenceNormalization(kind, shape, FIRST);
        Running start = running(0, 1);
        return normalization.updateRunning(
                start,
                normalization.statistics(x, 0, start),
                RunningAverage.exponential(0.5),
                RunningVariance.UNBIASED,
                policy);
    }

    private static Running running(double mean, double variance) {
        return new Running(new double[] {mean}, new double[] {variance}, new double[] {0});
    }

    @Test
    void forwardAndBackward_emptyBatch_giveEmptyOutputAndZeroParameterGradients() {
        for (Normalization kind : Normalizations.ALL) {
            ReferenceNormalization normalization = new ReferenceNormalization(kind, Shape.of(0, 4, 2, 2), FIRST);
            double[] none = {};
            Statistics statistics = normalization.statistics(none, 1e-5, null);
            Gradients gradients = normalization.backward(none, none, null, Activation.NONE, null, statistics);

            assertThat(gradients.dx()).isEmpty();
            assertThat(gradients.dgamma())
                    .hasSize(normalization.affineElements())
                    .doesNotContain(Double.NaN);
        }
    }

    @Test
    void forwardAndBackward_nanInOneGroup_leavesTheOthersAsTheyWere() {
        int elements = (int) Normalizations.SHAPE.elements();
        double[] clean = Values.random(elements, 1);
        double[] dy = Values.random(elements, 2);
        int bad = 29;
        double[] x = clean.clone();
        x[bad] = Double.NaN;
        for (Normalization kind : Normalizations.ALL) {
            Pass expected = Pass.of(kind, Normalizations.SHAPE, clean, dy, null, null, 0.1, null);
            Pass pass = Pass.of(kind, Normalizations.SHAPE, x, dy, null, null, 0.1, null);
            double[] y = expected.y.clone();
            double[] dx = expected.gradients.dx().clone();
            for (int i = 0; i < elements; i++) {
                if (pass.normalization.groupOf(i) == pass.normalization.groupOf(bad)) {
                    y[i] = Double.NaN;
                    dx[i] = Double.NaN;
                }
            }
            assertThat(pass.y).as("y of " + kind).containsExactly(y);
            assertThat(pass.gradients.dx()).as("dx of " + kind).containsExactly(dx);
        }
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void instanceNorm_asVirtualBatchesOfOneSample_isTheSame(Layout layout) {
        assertSame(layout, group(4), ghost(1));
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void ghostBatchNorm_asManySamplesAsThereAre_isBatchNorm(Layout layout) {
        assertSame(layout, ghost(3), Normalization.BATCH);
        assertSame(layout, ghost(100), Normalization.BATCH);
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void renormalization_tightBounds_isBatchNorm(Layout layout) {
        assertSame(layout, renormalization(Grouping.batch(), 1, 0), Normalization.BATCH);
        assertSame(layout, renormalization(new Grouping.Batch(2), 1, 0), ghost(2));
    }

    private static void assertSame(Layout layout, Normalization one, Normalization other) {
        double[] gamma = Values.random(4, 3);
        double[] beta = Values.random(4, 4);
        assertSame(run(layout, one, gamma, beta), run(layout, other, gamma, beta), EXACT);
    }

    private static Pass run(Layout layout, Normalization kind, double[] gamma, double[] beta) {
        int elements = (int) Normalizations.SHAPE.elements();
        Running running = new Running(Values.random(4, 5), new double[] {1, 2, 0.5, 3}, new double[4]);
        return Pass.of(
                kind,
                Normalizations.SHAPE,
                layout,
                Values.random(elements, 1),
                Values.random(elements, 2),
                gamma,
                beta,
                0.1,
                running);
    }

    private static void assertSame(Pass one, Pass other, double tolerance) {
        assertClose("y", one.y, other.y, tolerance);
        assertClose("dx", one.gradients.dx(), other.gradients.dx(), tolerance);
        if (one.normalization.affineElements() == other.normalization.affineElements()) {
            assertClose("dγ", one.gradients.dgamma(), other.gradients.dgamma(), tolerance);
            assertClose("dβ", one.gradients.dbeta(), other.gradients.dbeta(), tolerance);
        }
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void layerNorm_overAllOfASampleWithoutAffine_isGroupNormOfOneGroup(Layout layout) {
        double[] ones = new double[16];
        Arrays.fill(ones, 1);
        for (Statistic statistic : Statistic.values()) {
            Pass layer = run(layout, rows(3, true, statistic), ones, new double[16]);
            Pass group = run(layout, new Normalization(new Grouping.Channels(1), statistic), null, null);

            assertSame(layer, group, 1e-14);
        }
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void perSample_sameForAllSamples_sumsToTheSharedGradients(Layout layout) {
        double[] gamma = Values.random(4, 3);
        double[] beta = Values.random(4, 4);
        for (Grouping grouping : new Grouping[] {Grouping.batch(), new Grouping.Batch(2), new Grouping.Channels(2)}) {
            Pass shared = run(layout, new Normalization(grouping, Statistic.CENTERED), gamma, beta);
            Pass perSample = run(
                    layout,
                    new Normalization(grouping, Statistic.CENTERED, true, null),
                    threeTimes(gamma),
                    threeTimes(beta));

            assertSame(perSample, shared, EXACT);
            assertClose("dγ", summed(perSample.gradients.dgamma()), shared.gradients.dgamma(), 1e-13);
            assertClose("dβ", summed(perSample.gradients.dbeta()), shared.gradients.dbeta(), 1e-13);
        }
    }

    private static double[] threeTimes(double[] values) {
        double[] repeated = new double[12];
        Arrays.setAll(repeated, i -> values[i % 4]);
        return repeated;
    }

    private static double[] summed(double[] perSample) {
        double[] sum = new double[4];
        Arrays.setAll(sum, c -> perSample[c] + perSample[4 + c] + perSample[8 + c]);
        return sum;
    }

    @Test
    void normalize_arrayOfWrongLength_isNamedInTheError() {
        ReferenceNormalization normalization = new ReferenceNormalization(CONDITIONAL_BATCH, Shape.of(4, 2), FIRST);
        Statistics statistics = normalization.statistics(X, 0, null);
        double[] two = {1, 1};

        assertThatThrownBy(() -> normalization.normalize(X, null, Activation.NONE, two, null, statistics))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("gamma must have 8 elements, but has 2");
        assertThatThrownBy(() -> normalization.statistics(two, 0, null))
                .hasMessage("x must have 8 elements, but has 2");
        assertThatThrownBy(() -> normalization.normalize(
                        X, null, Activation.NONE, null, null, normalization.given(new double[1], two)))
                .hasMessage("mean must have 2 elements, but has 1");
    }
}
