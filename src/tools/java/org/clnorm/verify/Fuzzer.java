package org.clnorm.verify;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.verify.VerifyReport.Failure;

/**
 * Runs cases that were drawn by chance against the reference, under each strategy in turn, and simplifies those that fail: a
 * shape that is smaller, an option that is the usual one, as long as the case still fails.
 */
public final class Fuzzer implements AutoCloseable {
    /** Runs a case under a strategy, and says what is wrong. */
    @FunctionalInterface
    interface Trial {
        List<Failure> failures(String strategy, VerifierCase c);
    }

    /**
     * What was found.
     *
     * @param seed of the cases
     * @param number of the case
     * @param strategy it was run under
     * @param simplifications by which the simplest case that still fails comes of it, in their order
     * @param failures of that one
     */
    public record Finding(
            long seed, long number, String strategy, List<String> simplifications, List<Failure> failures) {
        /** The words by which {@code clnorm fuzz} runs it again. */
        public String command() {
            return "clnorm fuzz --seed " + seed + " --case " + number + " --strategy " + strategy
                    + (simplifications.isEmpty() ? "" : " --simplified " + String.join(",", simplifications));
        }
    }

    /** Is told of each case before it runs. */
    @FunctionalInterface
    public interface Progress {
        /** The number of a case, and what it is. */
        void at(long number, String strategy, String description);
    }

    private final Trial trial;
    private final List<String> strategies;
    private final long seed;
    private final List<AutoCloseable> open = new ArrayList<>();

    Fuzzer(List<String> strategies, long seed, Trial trial) {
        this.strategies = List.copyOf(strategies);
        this.seed = seed;
        this.trial = trial;
    }

    /**
     * On a device.
     *
     * @param strategies their names
     * @param seed two of one seed run the same cases
     */
    public Fuzzer(OpenCl.Candidate device, List<String> strategies, long seed) {
        Map<String, VerifierRun> runs = new LinkedHashMap<>();
        this.strategies = List.copyOf(strategies);
        this.seed = seed;
        this.trial = (strategy, c) -> runs.computeIfAbsent(strategy, name -> {
                    OpenClBackend backend = (OpenClBackend) device.open(name, true);
                    open.add(backend);
                    return new VerifierRun(name, backend);
                })
                .verify(0, c)
                .failures();
    }

    /**
     * Runs cases from a number on.
     *
     * @param first the number of the first
     * @param goesOn asked before each
     * @param findings is told of each that fails, once it is simplified; false ends it
     * @return how many were run
     */
    public long run(long first, BooleanSupplier goesOn, Progress progress, Function<Finding, Boolean> findings) {
        long number = first;
        while (goesOn.getAsBoolean()) {
            Optional<Finding> finding = run(number, strategyOf(number), List.of(), progress);
            number++;
            if (finding.isPresent() && !findings.apply(simplified(finding.get()))) {
                break;
            }
        }
        return number - first;
    }

    /** The strategy that a case is run under. */
    public String strategyOf(long number) {
        return strategies.get((int) Math.floorMod(number, (long) strategies.size()));
    }

    /**
     * Runs one case.
     *
     * @param simplifications that are made to it before, as a {@link Finding} has them
     * @throws IllegalArgumentException for a simplification of another name
     */
    public Optional<Finding> run(long number, String strategy, List<String> simplifications, Progress progress) {
        VerifierCase c = Simplification.all(FuzzedCases.of(seed, number), simplifications);
        progress.at(number, strategy, c.describe());
        List<Failure> failures = trial.failures(strategy, c);
        return failures.isEmpty()
                ? Optional.empty()
                : Optional.of(new Finding(seed, number, strategy, simplifications, failures));
    }

    /** The simplest case that fails as this one does, in an array that it fails in. */
    private Finding simplified(Finding found) {
        Finding simplest = found;
        boolean isSimpler = true;
        while (isSimpler) {
            isSimpler = false;
            for (Simplification step : Simplification.values()) {
                VerifierCase before =
                        Simplification.all(FuzzedCases.of(seed, found.number()), simplest.simplifications());
                Optional<VerifierCase> simpler = step.of(before);
                if (simpler.isEmpty()) {
                    continue;
                }
                List<Failure> failures = trial.failures(found.strategy(), simpler.get());
                if (failures.stream().anyMatch(failure -> isAlike(failure, found))) {
                    List<String> steps = new ArrayList<>(simplest.simplifications());
                    steps.add(step.word());
                    simplest = new Finding(seed, found.number(), found.strategy(), List.copyOf(steps), failures);
                    isSimpler = true;
                }
            }
        }
        return simplest;
    }

    private static boolean isAlike(Failure failure, Finding found) {
        return found.failures().stream().anyMatch(other -> other.array().equals(failure.array()));
    }

    @Override
    public void close() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }
}
