package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import org.assertj.core.data.Offset;
import org.clnorm.Activation;
import org.junit.jupiter.api.Test;

class ReferenceActivationTest {
    private static final Offset<Double> CLOSE = within(1e-15);

    /** Φ of tables: Abramowitz and Stegun, table 26.1, and its tails by 26.2.13. */
    @Test
    void normal_ofKnownPoints_isTheirs() {
        assertThat(ReferenceActivation.normal(0)).isEqualTo(0.5);
        assertThat(ReferenceActivation.normal(1)).isCloseTo(0.841344746068543, CLOSE);
        assertThat(ReferenceActivation.normal(-1)).isCloseTo(0.158655253931457, CLOSE);
        assertThat(ReferenceActivation.normal(-2)).isCloseTo(0.0227501319481792, CLOSE);
        assertThat(ReferenceActivation.normal(3)).isCloseTo(0.998650101968370, CLOSE);
        assertThat(ReferenceActivation.normal(-5) / 2.866515718791939e-7).isCloseTo(1, within(1e-12));
        assertThat(ReferenceActivation.normal(-10) / 7.619853024160527e-24).isCloseTo(1, within(1e-12));
        assertThat(ReferenceActivation.normal(Double.NEGATIVE_INFINITY)).isZero();
        assertThat(ReferenceActivation.normal(Double.NaN)).isNaN();
    }

    @Test
    void slope_ofEveryActivation_isTheLimitOfDifferences() {
        double h = 1e-6;
        for (Activation activation : Activation.values()) {
            for (double v = -7.013; v < 7; v += 0.0371) {
                double difference =
                        (ReferenceActivation.of(activation, v + h) - ReferenceActivation.of(activation, v - h))
                                / (2 * h);
                assertThat(ReferenceActivation.slope(activation, v))
                        .as("%s at %s", activation, v)
                        .isCloseTo(difference, within(1e-8));
                if (activation.kind().isByOutput()) {
                    assertThat(ReferenceActivation.slopeAtOutput(activation, ReferenceActivation.of(activation, v)))
                            .as("%s at %s", activation, v)
                            .isCloseTo(difference, within(1e-8));
                }
            }
        }
    }

    @Test
    void of_handWorkedPoints_areRight() {
        assertThat(ReferenceActivation.of(Activation.leakyRelu(0.25), -8)).isEqualTo(-2);
        assertThat(ReferenceActivation.of(Activation.RELU6, 7)).isEqualTo(6);
        assertThat(ReferenceActivation.of(Activation.HARD_SWISH, 1)).isCloseTo(4.0 / 6, CLOSE);
        assertThat(ReferenceActivation.of(Activation.HARD_SWISH, -4)).isZero();
        assertThat(ReferenceActivation.of(Activation.SIGMOID, 0)).isEqualTo(0.5);
        assertThat(ReferenceActivation.of(Activation.SILU, Math.log(3))).isCloseTo(0.75 * Math.log(3), CLOSE);
        assertThat(ReferenceActivation.of(Activation.GELU, 1)).isCloseTo(0.841344746068543, CLOSE);
        assertThat(ReferenceActivation.of(Activation.GELU_TANH, 1)).isCloseTo(0.841191990608276, CLOSE);
        for (Activation activation : Activation.values()) {
            assertThat(ReferenceActivation.of(activation, Double.NaN))
                    .as("%s", activation)
                    .isNaN();
        }
        assertThatThrownBy(() -> ReferenceActivation.slopeAtOutput(Activation.GELU, 0))
                .hasMessageContaining("gelu");
    }
}
