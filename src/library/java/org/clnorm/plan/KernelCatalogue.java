package org.clnorm.plan;

import static org.clnorm.plan.KernelCatalogue.Step.APPLY;
import static org.clnorm.plan.KernelCatalogue.Step.CACHED;
import static org.clnorm.plan.KernelCatalogue.Step.COPY;
import static org.clnorm.plan.KernelCatalogue.Step.FOLD;
import static org.clnorm.plan.KernelCatalogue.Step.FUSED;
import static org.clnorm.plan.KernelCatalogue.Step.INFERENCE;
import static org.clnorm.plan.KernelCatalogue.Step.PIPELINED;
import static org.clnorm.plan.KernelCatalogue.Step.REDUCE;
import static org.clnorm.plan.KernelCatalogue.Step.UPDATE;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.clnorm.view.View;

/**
 * Every kernel, once. The backend finds its source here; the verifier finds which results it is answerable for, and so
 * what of the reference it is held against; a test holds that the sources have no kernel besides.
 */
public final class KernelCatalogue {
    /** Which step of reduce, fold, apply. */
    public enum Step {
        /** Numbers per group from elements. */
        REDUCE,
        /** Coefficients from numbers per group. */
        FOLD,
        /** Elements from coefficients. */
        APPLY,
        /** All three, by work-groups of several items. */
        FUSED,
        /** The same, what is read staying in registers. */
        CACHED,
        /** All three, by single work-items. */
        PIPELINED,
        /** Coefficients from given statistics, and elements from them, by single work-items. */
        INFERENCE,
        /** None: parameters by their gradients. */
        UPDATE,
        /** None: elements to elements. */
        COPY
    }

    /**
     * A kernel.
     *
     * @param name its name in the source
     * @param source the file
     * @param step what it does
     * @param geometry the macros of a strategy that it obeys: strategies that differ in others only share its binary
     * @param macros the macros it obeys besides those of the strategy
     * @param results the arrays of a pass, by the names of case files, whose error shows an error of this kernel
     */
    public record Entry(
            String name, String source, Step step, Set<String> geometry, Set<String> macros, Set<String> results) {
        /** The compiler's options that say how it goes over elements under a strategy. */
        String options(Strategy strategy) {
            boolean pairs = results.contains("grad_x") || results.contains("grad_weight");
            return (pairs ? strategy.forPairs() : strategy).options(geometry);
        }
    }

    private static final Set<String> VECTORS = Set.of("VW");
    private static final Set<String> WORK_GROUP = Set.of("VW", "WX", "WY");
    private static final Set<String> RUNS = union(WORK_GROUP, Set.of("TILE"));
    private static final Set<String> COLUMNS = union(WORK_GROUP, Set.of("VECTORS"));
    private static final Set<String> ROWS_OF_VECTORS = union(RUNS, COLUMNS);
    private static final Set<String> STREAM = Set.of("STREAM");
    private static final Set<String> REGISTERS = Set.of("CACHED", "STREAM");

    private static final Set<String> NO_MACROS = Set.of();
    private static final Set<String> STEPS = Set.of("MASKED");
    private static final Set<String> ACTIVATED = Set.of("ACTIVATION");
    private static final Set<String> ROWS = Set.of("ROWS", "ACTIVATION");
    private static final Set<String> MASK = Set.of("MASK", "ACTIVATION");
    private static final Set<String> MASKED_ROWS = union(MASK, ROWS);
    private static final Set<String> MOMENTS = Set.of("save_mean", "save_invstd");
    private static final Set<String> RUNNING = Set.of("running_mean", "running_var");
    private static final Set<String> OUTPUT = Set.of("y");
    /** Of what is added to x before. */
    private static final Set<String> SUM = Set.of("sum");

    private static final Set<String> SUMS = Set.of("grad_weight", "grad_bias");
    private static final Set<String> UPDATED = Set.of("parameter", "gradient", "first_moment", "second_moment");
    private static final Set<String> GRADIENTS = Set.of("grad_x", "grad_residual");

    private static final List<Entry> ENTRIES = List.of(
            new Entry("moments_segmented", "moments.cl", REDUCE, RUNS, STEPS, union(SUM, MOMENTS)),
            new Entry("moments_columnar", "moments.cl", REDUCE, ROWS_OF_VECTORS, STEPS, MOMENTS),
            new Entry("fold_moments", "fold_moments.cl", FOLD, WORK_GROUP, NO_MACROS, union(MOMENTS, RUNNING)),
            new Entry("fold_joined_moments", "fold_moments.cl", FOLD, WORK_GROUP, NO_MACROS, union(MOMENTS, RUNNING)),
            new Entry("fold_given", "fold_moments.cl", FOLD, VECTORS, NO_MACROS, MOMENTS),
            new Entry("join_moments", "fold_moments.cl", FOLD, WORK_GROUP, NO_MACROS, MOMENTS),
            new Entry("fold_combined", "fold_moments.cl", FOLD, VECTORS, NO_MACROS, union(MOMENTS, RUNNING)),
            new Entry("track", "fold_moments.cl", FOLD, VECTORS, NO_MACROS, RUNNING),
            new Entry("apply_segmented", "apply.cl", APPLY, union(RUNS, STREAM), union(ROWS, STEPS), OUTPUT),
            new Entry("apply_columnar", "apply.cl", APPLY, union(RUNS, STREAM), union(ACTIVATED, STEPS), OUTPUT),
            new Entry("apply_planes", "apply.cl", APPLY, union(RUNS, STREAM), ACTIVATED, OUTPUT),
            new Entry("infer", "inference.cl", INFERENCE, union(RUNS, STREAM), ACTIVATED, union(MOMENTS, OUTPUT)),
            new Entry(
                    "normalize_segmented",
                    "fused.cl",
                    FUSED,
                    union(ROWS_OF_VECTORS, STREAM),
                    ROWS,
                    union(SUM, MOMENTS, RUNNING, OUTPUT)),
            new Entry(
                    "normalize_pipelined_segmented",
                    "pipelined.cl",
                    PIPELINED,
                    union(ROWS_OF_VECTORS, STREAM),
                    ROWS,
                    union(SUM, MOMENTS, RUNNING, OUTPUT)),
            new Entry(
                    "normalize_columnar",
                    "fused.cl",
                    FUSED,
                    union(ROWS_OF_VECTORS, STREAM),
                    ACTIVATED,
                    union(MOMENTS, RUNNING, OUTPUT)),
            new Entry(
                    "normalize_pipelined_columnar",
                    "pipelined.cl",
                    PIPELINED,
                    union(ROWS_OF_VECTORS, STREAM),
                    ACTIVATED,
                    union(MOMENTS, RUNNING, OUTPUT)),
            new Entry(
                    "normalize_cached_segmented",
                    "cached.cl",
                    CACHED,
                    union(WORK_GROUP, REGISTERS),
                    ROWS,
                    union(SUM, MOMENTS, RUNNING, OUTPUT)),
            new Entry(
                    "normalize_cached_columnar",
                    "cached.cl",
                    CACHED,
                    union(COLUMNS, REGISTERS),
                    ACTIVATED,
                    union(MOMENTS, RUNNING, OUTPUT)),
            new Entry("gradient_sums_segmented", "gradient_sums.cl", REDUCE, RUNS, union(MASKED_ROWS, STEPS), SUMS),
            new Entry("gradient_sums_columnar", "gradient_sums.cl", REDUCE, ROWS_OF_VECTORS, union(MASK, STEPS), SUMS),
            new Entry("fold_gradients", "fold_gradients.cl", FOLD, WORK_GROUP, NO_MACROS, SUMS),
            new Entry("fold_joined_gradients", "fold_gradients.cl", FOLD, WORK_GROUP, NO_MACROS, SUMS),
            new Entry("join_gradients", "fold_gradients.cl", FOLD, WORK_GROUP, NO_MACROS, SUMS),
            new Entry("fold_combined_gradients", "fold_gradients.cl", FOLD, VECTORS, NO_MACROS, union(SUMS, GRADIENTS)),
            new Entry("fold_inverse", "fold_gradients.cl", FOLD, VECTORS, NO_MACROS, union(SUMS, GRADIENTS)),
            new Entry("sum_parts", "fold_gradients.cl", FOLD, VECTORS, NO_MACROS, SUMS),
            new Entry(
                    "gradient_rows",
                    "row_gradients.cl",
                    PIPELINED,
                    union(ROWS_OF_VECTORS, STREAM),
                    MASKED_ROWS,
                    union(SUMS, GRADIENTS)),
            new Entry("affine_sums", "row_gradients.cl", REDUCE, ROWS_OF_VECTORS, MASKED_ROWS, SUMS),
            new Entry(
                    "gradient_apply_segmented",
                    "gradient_apply.cl",
                    APPLY,
                    union(RUNS, STREAM),
                    union(MASKED_ROWS, STEPS),
                    GRADIENTS),
            new Entry(
                    "gradient_apply_columnar",
                    "gradient_apply.cl",
                    APPLY,
                    union(RUNS, STREAM),
                    union(MASK, STEPS),
                    GRADIENTS),
            new Entry(
                    "gradient_segmented",
                    "fused.cl",
                    FUSED,
                    union(ROWS_OF_VECTORS, STREAM),
                    MASKED_ROWS,
                    union(SUMS, GRADIENTS)),
            new Entry(
                    "gradient_pipelined_segmented",
                    "pipelined.cl",
                    PIPELINED,
                    union(ROWS_OF_VECTORS, STREAM),
                    MASKED_ROWS,
                    union(SUMS, GRADIENTS)),
            new Entry(
                    "gradient_columnar",
                    "fused.cl",
                    FUSED,
                    union(ROWS_OF_VECTORS, STREAM),
                    MASK,
                    union(SUMS, GRADIENTS)),
            new Entry(
                    "gradient_pipelined_columnar",
                    "pipelined.cl",
                    PIPELINED,
                    union(ROWS_OF_VECTORS, STREAM),
                    MASK,
                    union(SUMS, GRADIENTS)),
            new Entry(
                    "gradient_cached_segmented",
                    "cached.cl",
                    CACHED,
                    union(WORK_GROUP, REGISTERS),
                    MASKED_ROWS,
                    union(SUMS, GRADIENTS)),
            new Entry(
                    "gradient_cached_columnar",
                    "cached.cl",
                    CACHED,
                    union(COLUMNS, REGISTERS),
                    MASK,
                    union(SUMS, GRADIENTS)),
            new Entry("update_parameters", "optimizer.cl", UPDATE, WORK_GROUP, NO_MACROS, UPDATED),
            new Entry("gradient_norm", "optimizer.cl", UPDATE, WORK_GROUP, NO_MACROS, UPDATED),
            new Entry("fold_gradient_norm", "optimizer.cl", UPDATE, WORK_GROUP, NO_MACROS, UPDATED),
            new Entry("copy", "copy.cl", COPY, union(WORK_GROUP, STREAM), NO_MACROS, OUTPUT));

    private static final Map<String, Entry> BY_NAME =
            ENTRIES.stream().collect(Collectors.toUnmodifiableMap(Entry::name, Function.identity()));

    private KernelCatalogue() {}

    /** All kernels, in the order of the steps. */
    public static List<Entry> entries() {
        return ENTRIES;
    }

    /** What a kernel of all three steps is called, up to the pattern. */
    static String fusedStep(String step, Strategy strategy) {
        if (strategy.items() == 1) {
            return step + "_pipelined";
        }
        return strategy.isCached() ? step + "_cached" : step;
    }

    static String patternOf(View view) {
        return view instanceof View.Segmented ? "_segmented" : "_columnar";
    }

    public static Entry entry(String name) {
        Entry entry = BY_NAME.get(name);
        if (entry == null) {
            throw new IllegalArgumentException("No kernel is named '" + name + "'");
        }
        return entry;
    }

    @SafeVarargs
    private static Set<String> union(Set<String>... sets) {
        return java.util.Arrays.stream(sets).flatMap(Set::stream).collect(Collectors.toUnmodifiableSet());
    }
}
