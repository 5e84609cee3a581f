package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.clnorm.verify.VerifierCase.Data;
import org.junit.jupiter.api.Test;

class VerifierInputsTest {
    @Test
    void of_sameCase_givesTheSameInputs() {
        for (VerifierCase c : VerifierCases.small()) {
            VerifierInputs one = VerifierInputs.of(c);
            VerifierInputs other = VerifierInputs.of(c);

            assertThat(one.x()).as(c.describe()).isEqualTo(other.x());
            assertThat(one.dy()).as(c.describe()).isEqualTo(other.dy());
            assertThat(one.runningVariance()).as(c.describe()).isEqualTo(other.runningVariance());
        }
    }

    @Test
    void of_exactData_hasRepresentableMeansAndVariances() {
        for (VerifierCase c : cases(Data.EXACT)) {
            Statistics moments = moments(c);
            for (int channel = 0; channel < c.channels(); channel++) {
                long m = c.valuesPerChannel();
                assertThat(moments.mean()[channel]).as(c.describe()).isEqualTo(512.0 * (1 + channel % 5));
                assertThat(moments.variance()[channel])
                        .as("%s: all but an odd one out are 2 from the mean", c.describe())
                        .isEqualTo(4.0 * (m - m % 2) / m);
            }
        }
    }

    @Test
    void of_dataFarFromZero_isSoManyDeviationsAway() {
        for (Data data : List.of(Data.MEAN_1E3, Data.MEAN_1E4, Data.MEAN_1E5)) {
            for (VerifierCase c : cases(data)) {
                Statistics moments = moments(c);
                ReferenceNormalization groups = c.groups();
                for (int group = 0; group < groups.groups(); group++) {
                    if (groups.valuesOf(group) <= 100) {
                        continue;
                    }
                    double deviations = Math.abs(moments.mean()[group]) / Math.sqrt(moments.variance()[group]);
                    assertThat(deviations / data.mean).as(c.describe()).isBetween(0.7, 1.4);
                }
            }
        }
    }

    @Test
    void of_constantGroups_areEveryThirdAndNoOther() {
        for (VerifierCase c : cases(Data.CONSTANT)) {
            double[] variance = moments(c).variance();
            ReferenceNormalization groups = c.groups();
            for (int group = 0; group < groups.groups(); group++) {
                if (groups.valuesOf(group) > 1) {
                    assertThat(variance[group] < 1e-20).as(c.describe()).isEqualTo(group % 3 == 0);
                }
            }
        }
    }

    @Test
    void of_nonFiniteData_differsFromTheFiniteInOneElementOfEachBadGroup() {
        for (VerifierCase c : cases(Data.NON_FINITE)) {
            float[] x = VerifierInputs.of(c).x();
            float[] finite = VerifierInputs.finite(c).x();
            int[] changed = IntStream.range(0, x.length)
                    .filter(i -> Float.compare(x[i], finite[i]) != 0)
                    .toArray();

            ReferenceNormalization groups = c.groups();
            int nan = VerifierInputs.groupWithNan(groups);
            int infinity = VerifierInputs.groupWithInfinity(groups);
            assertThat(changed).as(c.describe()).hasSize(nan == infinity ? 1 : 2);
            assertThat(Arrays.stream(changed).map(groups::groupOf))
                    .as(c.describe())
                    .contains(nan, infinity);
            assertThat(Arrays.stream(changed).filter(i -> Float.isNaN(x[i])))
                    .as(c.describe())
                    .hasSize(nan != infinity && c.normalization().statistic() != Statistic.CENTERED ? 2 : 1);
        }
    }

    /** Mean and variance of each group, whatever the case divides by. */
    private static Statistics moments(VerifierCase c) {
        double[] x = new double[c.elements()];
        float[] floats = VerifierInputs.of(c).x();
        Arrays.setAll(x, i -> floats[i]);
        return new ReferenceNormalization(
                        new Normalization(c.normalization().grouping(), Statistic.CENTERED), c.shape(), c.layout())
                .statistics(x, 0, null);
    }

    private static List<VerifierCase> cases(Data data) {
        List<VerifierCase> cases =
                VerifierCases.all().stream().filter(c -> c.data() == data).toList();
        assertThat(cases).isNotEmpty();
        return cases;
    }
}
