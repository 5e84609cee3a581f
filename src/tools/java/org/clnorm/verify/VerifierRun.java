package org.clnorm.verify;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.clnorm.DataType;
import org.clnorm.backend.Backend;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.KernelCatalogue.Entry;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.verify.CaseResult.Share;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierExpectation.Expected;
import org.clnorm.verify.VerifierTrial.Outcome;
import org.clnorm.verify.VerifyReport.Failure;

/** One strategy on one backend: a case is run, what is wrong is charged to the kernels that may have done it. */
final class VerifierRun {
    /** Arrays of x's shape. */
    private static final Set<String> TENSORS = Set.of("y", "grad_x", "grad_residual");

    private final String strategy;
    private final Backend backend;
    private final Supplier<Map<String, Long>> launches;
    private final Map<String, Entry> catalogue;
    private final boolean repeats;

    /** What is known of the case that is being verified. */
    private final Map<String, Share> shares = new LinkedHashMap<>();

    private final List<Failure> failures = new ArrayList<>();

    /** On a device, with all kernels that there are. */
    VerifierRun(String strategy, OpenClBackend backend) {
        this(
                strategy,
                backend,
                backend::launches,
                KernelCatalogue.entries(),
                !backend.facts().isOclgrind());
    }

    /**
     * @param launches how often each kernel was launched so far
     * @param catalogue the kernels that there are
     * @param repeats whether a case runs a second time. A simulator takes the work-items in the same order again, and reports
     *     what depends on their order by other means.
     */
    VerifierRun(
            String strategy,
            Backend backend,
            Supplier<Map<String, Long>> launches,
            Collection<Entry> catalogue,
            boolean repeats) {
        this.strategy = strategy;
        this.backend = backend;
        this.launches = launches;
        this.catalogue = catalogue.stream().collect(Collectors.toMap(Entry::name, entry -> entry));
        this.repeats = repeats;
    }

    /**
     * Runs a case, twice where that tells more, compares with the reference, and the two with each other.
     *
     * @param index the case's place among all
     */
    CaseResult verify(int index, VerifierCase c) {
        shares.clear();
        failures.clear();
        long start = System.nanoTime();
        String bits = "";
        VerifierInputs inputs = VerifierInputs.of(c);
        VerifierExpectation expectation = new VerifierExpectation(c, inputs);
        boolean spreads = c.data() == Data.NON_FINITE && !expectation.isRefused();
        try {
            List<Outcome> outcomes = VerifierTrial.run(backend, launches, c, inputs);
            bits = CaseResult.bitsOf(outcomes);
            check(c, inputs, outcomes, expectation);
            if (repeats) {
                same(
                        c,
                        outcomes,
                        VerifierTrial.run(backend, launches, c, inputs),
                        null,
                        "a second run gave other bits");
            }
            if (spreads) {
                List<Outcome> finite = VerifierTrial.run(backend, launches, c, VerifierInputs.finite(c));
                same(c, outcomes, finite, new Bad(c), "a bad value in another group changed the bits");
            }
        } catch (RuntimeException e) {
            failures.add(new Failure(strategy, List.of(), "", "it could not be computed: " + e, c.describe()));
        }
        return new CaseResult(
                strategy,
                index,
                c.describe(),
                0,
                (System.nanoTime() - start) * 1e-9,
                0,
                0,
                bits,
                List.copyOf(shares.values()),
                failures);
    }

    private Share share(String kernel) {
        return shares.getOrDefault(kernel, new Share(kernel));
    }

    private void check(VerifierCase c, VerifierInputs inputs, List<Outcome> outcomes, VerifierExpectation expectation) {
        Outcome forward = outcomes.get(1);
        outcomes.forEach(outcome -> {
            outcome.kernels().forEach(kernel -> shares.put(kernel, share(kernel)));
            outcome.problems().forEach((array, problem) -> fail(c, outcome, array, problem));
        });
        compare(c, outcomes.get(0), expectation.copy(), DataType.FLOAT32); // a copy is of float32
        compare(c, outcomes.get(outcomes.size() - 1), new VerifierUpdate(c, inputs).expected(), DataType.FLOAT32);
        if ((forward.refused() != null) != expectation.isRefused()) {
            fail(
                    c,
                    forward,
                    "y",
                    expectation.isRefused()
                            ? "the batch is not finite and the policy is throw, but nothing was thrown"
                            : "the batch is finite, but thrown was " + forward.refused());
        } else if (expectation.isRefused()) {
            compare(c, forward, expectation.refused(), c.type());
        } else {
            float[] y = forward.arrays().get("y");
            compare(c, forward, expectation.forward(y), c.type());
            compare(c, outcomes.get(2), expectation.backward(y), c.type());
        }
    }

    /** The values nearest to what was expected that are stored as what was got. */
    private static float[] beforeRounding(DataType type, float[] got, double[] expected) {
        float[] nearest = new float[got.length];
        double steps = type == DataType.FLOAT16 ? 0x1p12 : 0x1p15; // float32's that half of an element's step is
        double least = type == DataType.FLOAT16 ? 0x1p-25 : 0;
        for (int i = 0; i < got.length; i++) {
            float right = (float) expected[i];
            double error = got[i] - expected[i];
            double half = Math.max(least, steps * Math.ulp(Math.max(Math.abs(got[i]), Math.abs(right))));
            if (type.round(right) == got[i] || Float.isFinite(got[i]) && Math.abs(error) <= half) {
                nearest[i] = right;
            } else {
                nearest[i] = Float.isFinite(got[i]) ? (float) (got[i] - Math.copySign(half, error)) : got[i];
            }
        }
        return nearest;
    }

    /** @param type of the tensors */
    private void compare(VerifierCase c, Outcome outcome, Map<String, Expected> arrays, DataType type) {
        arrays.forEach((array, expected) -> compare(c, outcome, array, expected, type));
    }

    private void compare(VerifierCase c, Outcome outcome, String array, Expected expected, DataType type) {
        float[] got = outcome.arrays().get(array);
        double[] values = expected.values();
        if (c.data() == Data.NON_FINITE || c.dividesByZero()) {
            got = nanIfNotFinite(got);
            values = nanIfNotFinite(values);
        }
        if (TENSORS.contains(array) && type != DataType.FLOAT32) {
            got = beforeRounding(type, got, values);
        }
        ArrayError error = ArrayError.of(array, got, values, expected.scale());
        List<String> answerable = answerable(outcome, array);
        answerable.forEach(kernel -> shares.merge(
                kernel, new Share(kernel, error.scaledError(), expected.bound(), array, false), Share::and));
        if (answerable.isEmpty()) {
            fail(c, outcome, array, "no kernel that was launched is answerable for " + array);
        }
        if (!(error.scaledError() <= expected.bound())) {
            fail(
                    c,
                    outcome,
                    array,
                    String.format(
                            Locale.ROOT,
                            "%s is off by %.3g of its scale, the bound is %.3g; the worst is at %s: got %s, expected %.10g",
                            array,
                            error.scaledError(),
                            expected.bound(),
                            TENSORS.contains(array)
                                    ? error.worstAt(c.layout().memoryOrder(c.shape()))
                                    : error.worstAt(got.length),
                            (float) error.got(),
                            error.expected()));
        }
    }

    /** @param except what may differ, or null for nothing */
    private void same(VerifierCase c, List<Outcome> ones, List<Outcome> others, Bad except, String problem) {
        for (int pass = 0; pass < Math.min(ones.size(), others.size()); pass++) {
            Outcome one = ones.get(pass);
            Outcome other = others.get(pass);
            one.arrays().forEach((array, values) -> {
                int i = firstDifference(array, values, other.arrays().get(array), except);
                if (i >= 0) {
                    float before = other.arrays().get(array)[i];
                    fail(c, one, array, problem + ": element " + i + " of " + array + ", " + values[i] + ", " + before);
                }
            });
        }
    }

    private static int firstDifference(String array, float[] a, float[] b, Bad except) {
        for (int i = 0; i < a.length; i++) {
            // One NaN is like another: which bits it has, a Java compiler changes from one run to the next.
            if (Float.floatToIntBits(a[i]) != Float.floatToIntBits(b[i]) && !(except != null && except.has(array, i))) {
                return i;
            }
        }
        return -1;
    }

    /** What a NaN or an infinity may spread to: its group, and the γ, β and running statistics that the group has. */
    private static final class Bad {
        private final ReferenceNormalization groups;
        private final int channels;
        private final Set<Integer> affine = new HashSet<>();
        private final Set<Integer> tracked = new HashSet<>();

        Bad(VerifierCase c) {
            groups = c.groups();
            channels = c.channels();
            for (int i = 0; i < groups.elements(); i++) {
                if (isBad(groups.groupOf(i))) {
                    affine.add(groups.affineOf(i));
                    tracked.add(c.channelOf(i));
                }
            }
        }

        private boolean isBad(int group) {
            return group == VerifierInputs.groupWithNan(groups) || group == VerifierInputs.groupWithInfinity(groups);
        }

        boolean has(String array, int i) {
            if (TENSORS.contains(array) || array.equals("sum")) {
                return isBad(groups.groupOf(i));
            }
            return switch (array) {
                case "grad_weight", "grad_bias" -> affine.contains(i);
                case "save_mean", "save_invstd" -> isBad(i);
                default -> tracked.contains(i % channels);
            };
        }
    }

    /**
     * Those of the pass's kernels whose error shows in an array, as the catalogue has it; and for what the pass gives in
     * the end those, too, of which it shows nothing else.
     */
    private List<String> answerable(Outcome outcome, String array) {
        String asListed = array.equals("absorbed") ? "running_mean" : array;
        boolean last = array.equals("y") || array.equals("grad_x");
        return outcome.kernels().stream()
                .filter(kernel -> {
                    Set<String> results = catalogue.get(kernel).results();
                    return results.contains(asListed)
                            || last
                                    && Collections.disjoint(
                                            results, outcome.arrays().keySet());
                })
                .toList();
    }

    private void fail(VerifierCase c, Outcome outcome, String array, String problem) {
        List<String> answerable = answerable(outcome, array);
        List<String> kernels = answerable.isEmpty() ? List.copyOf(outcome.kernels()) : answerable;
        kernels.forEach(kernel -> shares.put(kernel, share(kernel).asFailed()));
        failures.add(new Failure(strategy, kernels, array, problem, c.describe()));
    }

    /** Whether a sum that has an infinity in it is one or NaN depends on the order, and so does what is divided by 0. */
    private static double[] nanIfNotFinite(double[] values) {
        double[] replaced = values.clone();
        for (int i = 0; i < replaced.length; i++) {
            replaced[i] = Double.isFinite(values[i]) ? values[i] : Double.NaN;
        }
        return replaced;
    }

    private static float[] nanIfNotFinite(float[] values) {
        float[] replaced = values.clone();
        for (int i = 0; i < replaced.length; i++) {
            replaced[i] = Float.isFinite(values[i]) ? values[i] : Float.NaN;
        }
        return replaced;
    }
}
