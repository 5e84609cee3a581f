package org.clnorm.verify;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Normalization;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.Mode;
import org.clnorm.verify.VerifierExpectation.Expected;
import org.clnorm.verify.VerifierTrial.Outcome;

/**
 * Whether backends compute one shape right, by the bounds of the {@link Verifier}: a plain forward pass and its backward
 * pass, without running statistics. The reference computes what is right once, for any number of backends.
 */
public final class OutputCheck {
    private static final long SEED = 1;

    private final VerifierCase c;
    private final VerifierInputs inputs;
    private final Map<String, Expected> forward;
    private final Map<String, Expected> backward;

    /** @param training whether the statistics are the batch's own, or given */
    public OutputCheck(Shape shape, Layout layout, boolean training) {
        c = VerifierCase.usual(
                SEED,
                Normalization.BATCH,
                shape,
                layout,
                training ? Mode.TRAINING : Mode.INFERENCE,
                Data.NORMAL,
                Affine.BOTH,
                Fusion.PLAIN);
        inputs = VerifierInputs.of(c);
        VerifierExpectation expectation = new VerifierExpectation(c, inputs);
        // Without an activation, nothing that is expected depends on the y that was computed.
        float[] any = new float[c.elements()];
        forward = expectation.forward(any);
        backward = expectation.backward(any);
    }

    /** What is wrong with what a backend computes, in words; empty when nothing is. */
    public Optional<String> problemOf(Backend backend) {
        List<Outcome> outcomes;
        try {
            outcomes = VerifierTrial.runPasses(backend, c, inputs);
        } catch (RuntimeException e) {
            return Optional.of("it could not be computed: " + e);
        }
        List<String> problems = new ArrayList<>();
        outcomes.forEach(outcome -> problems.addAll(outcome.problems().values()));
        compare(outcomes.get(0), forward, problems);
        compare(outcomes.get(1), backward, problems);
        return problems.stream().findFirst();
    }

    private void compare(Outcome outcome, Map<String, Expected> arrays, List<String> problems) {
        arrays.forEach((array, expected) -> {
            double error = ArrayError.of(array, outcome.arrays().get(array), expected.values(), expected.scale())
                    .scaledError();
            if (!(error <= expected.bound())) {
                problems.add(String.format(
                        Locale.ROOT,
                        "%s of %s is off by %.3g of its scale, the bound is %.3g",
                        array,
                        c.describe(),
                        error,
                        expected.bound()));
            }
        });
    }
}
