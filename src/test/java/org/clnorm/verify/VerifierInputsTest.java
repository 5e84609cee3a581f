package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.clnorm.reference.ReferenceBatchNorm;
import org.clnorm.reference.ReferenceBatchNorm.Moments;
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
            Moments moments = moments(c);
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
                Moments moments = moments(c);
                for (int channel = 0; channel < c.channels() && c.valuesPerChannel() > 100; channel++) {
                    double deviations = Math.abs(moments.mean()[channel]) / Math.sqrt(moments.variance()[channel]);
                    assertThat(deviations / data.mean).as(c.describe()).isBetween(0.7, 1.4);
                }
            }
        }
    }

    @Test
    void of_constantChannels_areEveryThirdAndNoOther() {
        for (VerifierCase c : cases(Data.CONSTANT)) {
            double[] variance = moments(c).variance();
            for (int channel = 0; channel < c.channels() && c.valuesPerChannel() > 1; channel++) {
                assertThat(variance[channel] < 1e-20).as(c.describe()).isEqualTo(channel % 3 == 0);
            }
        }
    }

    @Test
    void of_nonFiniteData_differsFromTheFiniteInOneElementOfEachBadChannel() {
        for (VerifierCase c : cases(Data.NON_FINITE)) {
            float[] x = VerifierInputs.of(c).x();
            float[] finite = VerifierInputs.finite(c).x();
            int[] changed = IntStream.range(0, x.length)
                    .filter(i -> Float.compare(x[i], finite[i]) != 0)
                    .toArray();

            boolean one = VerifierInputs.channelWithNan(c) == VerifierInputs.channelWithInfinity(c);
            assertThat(changed).as(c.describe()).hasSize(one ? 1 : 2);
            assertThat(Arrays.stream(changed).map(c::channelOf))
                    .as(c.describe())
                    .contains(VerifierInputs.channelWithNan(c), VerifierInputs.channelWithInfinity(c));
            assertThat(Arrays.stream(changed).filter(i -> Float.isNaN(x[i])))
                    .as(c.describe())
                    .hasSize(1);
        }
    }

    private static Moments moments(VerifierCase c) {
        double[] x = new double[c.elements()];
        float[] floats = VerifierInputs.of(c).x();
        Arrays.setAll(x, i -> floats[i]);
        return ReferenceBatchNorm.moments(c.shape(), c.layout(), x);
    }

    private static List<VerifierCase> cases(Data data) {
        List<VerifierCase> cases =
                VerifierCases.all().stream().filter(c -> c.data() == data).toList();
        assertThat(cases).isNotEmpty();
        return cases;
    }
}
