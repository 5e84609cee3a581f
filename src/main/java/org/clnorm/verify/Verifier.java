package org.clnorm.verify;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.opencl.DeviceFacts;
import org.clnorm.opencl.KernelCatalogue;
import org.clnorm.opencl.KernelCatalogue.Entry;
import org.clnorm.opencl.KernelCatalogue.Step;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.opencl.Strategy;
import org.clnorm.verify.VerifyReport.Failure;
import org.clnorm.verify.VerifyReport.Row;

/**
 * Every kernel of the catalogue, under every strategy, against the reference in double precision.
 *
 * <p>A case is a forward pass, its backward pass, and a plain copy of x. Every array lies inside a larger piece of
 * memory, at a 64-byte line or at an odd place; outputs hold NaN before, and what surrounds them, and all that is only to
 * be read, must be the same afterwards, bit by bit. Each case runs twice and must give the same bits. Where a group
 * gets a NaN or an infinity, the others must have the bits that they have without it. An error is charged to those
 * kernels of the pass that are answerable for the array, as {@link KernelCatalogue} has it. A kernel that a strategy has
 * but no case launched is a failure too.
 */
public final class Verifier {
    /**
     * Launched under every strategy: there is nothing to fuse in inference, in an update that comes later, in a copy, nor
     * where γ and β go by sample and statistics over all of them, or γ and β over rows and statistics by row.
     */
    private static final Set<String> ALWAYS = Set.of(
            "join_moments",
            "fold_combined",
            "join_gradients",
            "fold_combined_gradients",
            "fold_given",
            "track",
            "apply_columnar",
            "copy",
            "moments_segmented",
            "moments_columnar",
            "fold_joined_moments",
            "gradient_sums_segmented",
            "gradient_sums_columnar",
            "fold_joined_gradients",
            "gradient_apply_segmented",
            "gradient_apply_columnar",
            "sum_parts",
            "affine_sums");

    private Verifier() {}

    /** Is told how far it is. */
    @FunctionalInterface
    public interface Progress {
        /** Tells nobody. */
        Progress NONE = (strategy, done, cases) -> {};

        /** {@code done} of {@code cases} cases have run under a strategy; called for 0 too. */
        void at(String strategy, int done, int cases);
    }

    /**
     * How much is verified.
     *
     * @param quick only shapes of a few thousand elements: for slow devices
     * @param inPlace also outputs that take the place of inputs. A fused kernel reads whole vectors past a group's end and
     *     throws those lanes away; in place, another work-item may be writing them, which detectors of races report
     */
    public record Extent(boolean quick, boolean inPlace) {
        /** All cases. */
        public static final Extent FULL = new Extent(false, true);

        List<VerifierCase> cases() {
            List<VerifierCase> cases = quick ? VerifierCases.small() : VerifierCases.all();
            return inPlace
                    ? cases
                    : cases.stream().map(VerifierCase::outOfPlace).toList();
        }
    }

    /** The names of all strategies that a device can run, the choice by shape first. */
    public static List<String> strategies(DeviceFacts facts) {
        return Stream.concat(
                        Stream.of(Strategy.AUTO), Strategy.all(facts).stream().map(Strategy::name))
                .toList();
    }

    /** {@link #run(OpenCl.Candidate, List, Extent, Progress)} in full. */
    public static VerifyReport run(OpenCl.Candidate device, List<String> strategies, Progress progress) {
        return run(device, strategies, Extent.FULL, progress);
    }

    /**
     * Verifies.
     *
     * @param strategies their names
     * @throws IllegalArgumentException for a strategy that the device does not have, before anything runs
     */
    public static VerifyReport run(OpenCl.Candidate device, List<String> strategies, Extent extent, Progress progress) {
        long start = System.nanoTime();
        DeviceFacts facts = device.facts();
        strategies.stream().filter(name -> !isAuto(name)).forEach(name -> Strategy.named(name, facts));
        List<VerifierCase> cases = extent.cases();
        List<Row> rows = new ArrayList<>();
        List<Failure> failures = new ArrayList<>();
        for (String strategy : strategies) {
            try (OpenClBackend backend =
                    (OpenClBackend) device.open(strategy, false)) { // not from the cache: it is about the sources
                VerifierRun run = new VerifierRun(
                        strategy, backend, backend::launches, KernelCatalogue.entries(), kernels(strategy, facts));
                List<VerifierCase> its = isAuto(strategy) ? VerifierCases.forChoiceByShape(cases) : cases;
                progress.at(strategy, 0, its.size());
                for (int i = 0; i < its.size(); i++) {
                    run.verify(its.get(i));
                    progress.at(strategy, i + 1, its.size());
                }
                rows.addAll(run.rows());
                failures.addAll(run.failures());
            }
        }
        rows.sort(Comparator.comparingInt(row -> place(row.kernel())));
        return new VerifyReport(
                device.info(),
                facts.toMap(),
                strategies,
                cases.size(),
                (System.nanoTime() - start) / 1e9,
                rows,
                failures);
    }

    private static int place(String kernel) {
        return KernelCatalogue.entries().stream().map(Entry::name).toList().indexOf(kernel);
    }

    private static boolean isAuto(String strategy) {
        return strategy.equalsIgnoreCase(Strategy.AUTO);
    }

    /** The names of the kernels that a strategy has; none for the choice by shape, which has those of what it chooses. */
    static Set<String> kernels(String strategy, DeviceFacts facts) {
        return isAuto(strategy) ? Set.of() : kernels(Strategy.named(strategy, facts));
    }

    private static Set<String> kernels(Strategy strategy) {
        boolean oneItem = strategy.items() == 1;
        return KernelCatalogue.entries().stream()
                .filter(entry -> switch (entry.name()) {
                    case "apply_planes" -> oneItem;
                    case "gradient_rows" -> oneItem && strategy.fused();
                    case "affine_sums" -> !oneItem || !strategy.fused();
                    case "apply_segmented" -> !oneItem || !strategy.fused();
                    default -> ALWAYS.contains(entry.name()) || has(strategy, entry.step());
                })
                .map(Entry::name)
                .collect(Collectors.toSet());
    }

    private static boolean has(Strategy strategy, Step step) {
        return switch (step) {
            case CACHED -> strategy.isCached();
            case FUSED -> strategy.fused() && !strategy.isCached();
            default -> !strategy.fused();
        };
    }
}
