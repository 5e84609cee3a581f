package org.clnorm.tune;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;
import org.clnorm.backend.Backend;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Pass;
import org.clnorm.plan.Strategy;
import org.clnorm.verify.OutputCheck;
import org.clnorm.view.View;

/**
 * Times the candidate strategies of each pass over a ladder of shapes.
 *
 * <p>A short sprint leaves out what is much slower than the default. What remains is held against the reference, by the
 * bounds of {@code verify}, and only what is right races: candidates and default alternate in short blocks, and the ratio
 * is taken within a round, since machines that others use too get slower and faster over seconds.
 */
public final class Tuner implements AutoCloseable {
    private static final int ROUNDS = 9;
    private static final double BLOCK_SECONDS = 0.012;
    private static final int MOST_CALLS = 500;
    private static final int MOST_RACERS = 4;

    /** What is slower than the default by more than this in a sprint does not race; sprints are noisy. */
    private static final double HOPELESS = 1.1;

    /** At least, and several times the device's cache. */
    private static final long ROTATION_BYTES = 256L << 20;

    /** Is told how far it is. */
    @FunctionalInterface
    public interface Progress {
        /** Tells nobody. */
        Progress NONE = (what, done, heats) -> {};

        /** {@code done} of {@code heats} heats have been run, and what comes next. */
        void at(String what, int done, int heats);
    }

    private final OpenClBackend owner;
    private final Function<Strategy, Backend> under;
    private final Map<Strategy, Backend> backends = new HashMap<>();

    private Tuner(OpenClBackend owner, Function<Strategy, Backend> under) {
        this.owner = owner;
        this.under = under;
    }

    /**
     * Tunes a device. Stores nothing.
     *
     * @param ladder in the order of worth
     * @param seconds after which no heat begins
     */
    public static TuneReport run(OpenCl.Candidate device, List<Rung> ladder, double seconds, Progress progress) {
        try (OpenClBackend owner = (OpenClBackend) device.open(Strategy.AUTO)) {
            return run(owner, owner::under, ladder, seconds, progress);
        }
    }

    /** @param under the backend that is tried for a strategy */
    static TuneReport run(
            OpenClBackend owner,
            Function<Strategy, Backend> under,
            List<Rung> ladder,
            double seconds,
            Progress progress) {
        long start = System.nanoTime();
        List<Heat> heats = new ArrayList<>();
        int all = ladder.stream()
                .mapToInt(rung -> passes(owner.facts(), rung).size())
                .sum();
        try (Tuner tuner = new Tuner(owner, under)) {
            for (Rung rung : ladder) {
                if ((System.nanoTime() - start) * 1e-9 > seconds) {
                    break;
                }
                try (Rotation rotation = new Rotation(owner, rung, rotationBytes(owner.facts()))) {
                    Checks checks = tuner.new Checks(rung);
                    for (Pass pass : passes(owner.facts(), rung)) {
                        if ((System.nanoTime() - start) * 1e-9 <= seconds) {
                            progress.at(pass + " " + rung, heats.size(), all);
                            heats.add(tuner.heat(rung, pass, rotation, checks));
                        }
                    }
                }
            }
        }
        progress.at("", all, all);
        return new TuneReport(owner.facts(), heats, all - heats.size(), (System.nanoTime() - start) * 1e-9);
    }

    /** The passes for which a device has a choice. */
    static List<Pass> passes(DeviceFacts facts, Rung rung) {
        return Stream.of(Pass.values())
                .filter(pass -> {
                    List<Strategy> forms = Candidates.forms(facts, pass, rung.view());
                    return forms.size() > 1
                            || !Candidates.variants(facts, forms.get(0), pass, rung.view())
                                    .isEmpty();
                })
                .toList();
    }

    private static long rotationBytes(DeviceFacts facts) {
        return Math.max(ROTATION_BYTES, Math.min(facts.globalBytes() / 8, 4 * facts.cacheBytes()));
    }

    private Heat heat(Rung rung, Pass pass, Rotation rotation, Checks checks) {
        DeviceFacts facts = owner.facts();
        View view = rung.view();
        Strategy byDefault = Candidates.byDefault(facts, pass, view);
        Map<Strategy, String> wrong = new LinkedHashMap<>();
        Map<Strategy, Racer> racers = new LinkedHashMap<>();
        try {
            sprint(Candidates.forms(facts, pass, view), pass, rotation, racers, wrong);
            inOrder(racers).stream()
                    .findFirst()
                    .ifPresent(best ->
                            sprint(Candidates.variants(facts, best, pass, view), pass, rotation, racers, wrong));
            int candidates = racers.size() + wrong.size();
            Racer reigning = racers.get(byDefault);
            if (reigning == null) {
                return new Heat(rung, pass, byDefault, candidates, Map.of(), wrong);
            }
            checks.problemOf(byDefault, pass).ifPresent(problem -> wrong.put(byDefault, problem));
            Map<Strategy, Racer> challengers = new LinkedHashMap<>();
            inOrder(racers).stream()
                    .filter(strategy -> !strategy.equals(byDefault))
                    .filter(strategy -> racers.get(strategy).seconds <= HOPELESS * reigning.seconds)
                    .limit(MOST_RACERS)
                    .forEach(strategy -> checks.problemOf(strategy, pass)
                            .ifPresentOrElse(
                                    problem -> wrong.put(strategy, problem),
                                    () -> challengers.put(strategy, racers.get(strategy))));
            return new Heat(rung, pass, byDefault, candidates, raceTwice(reigning, challengers), wrong);
        } finally {
            racers.values().forEach(Racer::close);
        }
    }

    /** The fastest first. */
    private static List<Strategy> inOrder(Map<Strategy, Racer> racers) {
        return racers.keySet().stream()
                .sorted(Comparator.comparingDouble(strategy -> racers.get(strategy).seconds))
                .toList();
    }

    private void sprint(
            List<Strategy> strategies,
            Pass pass,
            Rotation rotation,
            Map<Strategy, Racer> racers,
            Map<Strategy, String> wrong) {
        for (Strategy strategy : strategies) {
            try {
                Backend backend = backend(strategy);
                racers.computeIfAbsent(strategy, absent -> new Racer(backend, rotation.new Calls(backend, pass)));
            } catch (RuntimeException e) {
                wrong.put(strategy, "it could not be run: " + e.getMessage());
            }
        }
    }

    /** Of many that are equally fast, one is the fastest by chance; what beats the default must do so again. */
    private static Map<Strategy, Double> raceTwice(Racer reigning, Map<Strategy, Racer> challengers) {
        Map<Strategy, Double> gains = race(reigning, challengers);
        challengers.keySet().removeIf(strategy -> gains.get(strategy) < TuneReport.LEAST_GAIN);
        race(reigning, challengers).forEach((strategy, gain) -> gains.merge(strategy, gain, Math::min));
        return gains;
    }

    private static Map<Strategy, Double> race(Racer reigning, Map<Strategy, Racer> challengers) {
        Map<Strategy, double[]> ratios = new LinkedHashMap<>();
        for (int round = 0; round < ROUNDS && !challengers.isEmpty(); round++) {
            double reigningSeconds = reigning.block();
            for (Map.Entry<Strategy, Racer> challenger : challengers.entrySet()) {
                ratios.computeIfAbsent(challenger.getKey(), strategy -> new double[ROUNDS])[round] =
                        reigningSeconds / challenger.getValue().block();
            }
        }
        Map<Strategy, Double> gains = new LinkedHashMap<>();
        ratios.forEach((strategy, ofRounds) -> {
            Arrays.sort(ofRounds);
            gains.put(strategy, ofRounds[ROUNDS / 4]);
        });
        return gains;
    }

    private Backend backend(Strategy strategy) {
        return backends.computeIfAbsent(strategy, under);
    }

    @Override
    public void close() {
        backends.values().forEach(Backend::close);
    }

    /** What the reference says of candidates at one rung; each is asked about once. */
    private final class Checks {
        private record Question(Strategy strategy, boolean training) {}

        private final Rung rung;
        private final Map<Boolean, OutputCheck> checks = new HashMap<>();
        private final Map<Question, Optional<String>> answers = new HashMap<>();

        Checks(Rung rung) {
            this.rung = rung;
        }

        Optional<String> problemOf(Strategy strategy, Pass pass) {
            return answers.computeIfAbsent(
                    new Question(strategy, pass != Pass.INFERENCE), question -> checks.computeIfAbsent(
                                    question.training,
                                    training -> new OutputCheck(rung.shape(), rung.layout(), training))
                            .problemOf(backend(question.strategy)));
        }
    }

    /** A candidate's calls, queued one after another and waited for together. */
    private static final class Racer implements AutoCloseable {
        private final Backend backend;
        private final Rotation.Calls of;
        private final int calls;
        final double seconds;

        Racer(Backend backend, Rotation.Calls of) {
            this.backend = backend;
            this.of = of;
            run(1); // compiles
            double once = run(2);
            int some = calls(once, BLOCK_SECONDS / 3);
            this.seconds = Math.min(once, Math.min(run(some), run(some)));
            this.calls = calls(seconds, BLOCK_SECONDS);
        }

        private static int calls(double seconds, double block) {
            return (int) Math.max(2, Math.min(MOST_CALLS, block / seconds));
        }

        /** Seconds of one call. */
        double block() {
            return run(calls);
        }

        private double run(int n) {
            long start = System.nanoTime();
            for (int i = 0; i < n; i++) {
                of.next();
            }
            backend.finish();
            return (System.nanoTime() - start) * 1e-9 / n;
        }

        @Override
        public void close() {
            of.close();
        }
    }
}
