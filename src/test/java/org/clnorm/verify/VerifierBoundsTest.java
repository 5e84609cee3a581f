package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.reference.ReferenceBackend;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierExpectation.Expected;
import org.junit.jupiter.api.Test;

/**
 * Bounds are wider where count or condition make them so, and there alone. Each case was found to be off by the first number, which
 * rounding explains, and may be off by no more than the second.
 */
class VerifierBoundsTest {
    /** What of an array's scale each may be off by. */
    private static Map<String, Double> bounds(VerifierCase c) {
        VerifierInputs inputs = VerifierInputs.of(c);
        VerifierExpectation expectation = new VerifierExpectation(c, inputs);
        Map<String, Expected> expected = new HashMap<>(new VerifierUpdate(c, inputs).expected());
        try (ReferenceBackend backend = new ReferenceBackend()) {
            float[] y = VerifierTrial.run(backend, Map::of, c, inputs)
                    .get(1)
                    .arrays()
                    .get("y");
            expected.putAll(expectation.forward(y));
            expected.putAll(expectation.backward(y));
        }
        Map<String, Double> bounds = new HashMap<>();
        expected.forEach((array, each) -> bounds.put(array, each.bound()));
        return bounds;
    }

    private static VerifierCase withFusion(VerifierCase c, Fusion fusion) {
        return c.with(c.normalization(), c.data(), c.affine(), fusion, c.average(), c.estimate(), c.policy());
    }

    /** A gradient and its decay cancel to 1e-5 of either, and the moments there are as small. */
    @Test
    void parameter_whereASmallNumberIsDividedByAnother_mayBeFurtherOff() {
        assertThat(bounds(FuzzedCases.of(9, 1310)).get("parameter")).isBetween(7.7e-7, 1e-5);
        assertThat(bounds(FuzzedCases.of(9, 13986)).get("parameter")).isBetween(5e-7, 1e-6);
    }

    /** Of 1,039 batches of two values, the mean and the variance are rounded as often. */
    @Test
    void runningStatistics_ofManyVirtualBatches_mayBeFurtherOffByTheRootOfTheirNumber() {
        Map<String, Double> many = bounds(FuzzedCases.of(9, 9968));
        Map<String, Double> one = bounds(FuzzedCases.of(9, 1310));

        assertThat(many.get("running_mean")).isBetween(5.47e-7, 5e-6);
        assertThat(many.get("running_var")).isBetween(5.47e-7, 5e-6);
        assertThat(one.get("running_mean")).isEqualTo(VerifierExpectation.BOUND);
        assertThat(one.get("running_var")).isEqualTo(2 * VerifierExpectation.BOUND);
    }

    /** Of 2,540 values the slopes of SiLU move alike; those of ReLU do not move. */
    @Test
    void gradientOfBeta_ofACurvedActivation_mayBeFurtherOff() {
        VerifierCase curved = FuzzedCases.of(9, 13986);
        VerifierCase bent = withFusion(curved, Fusion.MASKED_RESIDUAL_RELU);

        assertThat(bounds(curved).get("grad_bias")).isBetween(5.31e-7, 2e-5);
        assertThat(bounds(bent).get("grad_bias")).isEqualTo(VerifierExpectation.BOUND);
    }

    /** All values of the one group are 0.1: x̂ is 0 but for the last bits of the mean. */
    @Test
    void constants_haveTheScaleOfARoundingOfTheirMean() {
        VerifierCase c = Simplification.all(FuzzedCases.of(101, 5152), List.of("plain", "no-affine"));
        Expected y = new VerifierExpectation(c, VerifierInputs.of(c))
                .forward(new float[c.elements()])
                .get("y");

        assertThat(y.values()).containsOnly(0);
        assertThat(y.scale() * y.bound()).isBetween(2.3e-14, 1e-11);
    }
}
