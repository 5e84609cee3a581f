package org.clnorm.verify;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.stream.Collectors;
import org.clnorm.opencl.EditedKernels;
import org.clnorm.plan.Strategy;

/**
 * What {@code ci/mutants} runs: mutants of the kernels, each in a process of its own, by those cases of {@code verify} that
 * reach it, the smallest first, until one fails. What is found is kept, so that a run that was stopped goes on.
 */
public final class MutantRun {
    private static final Path FOLDER = Path.of("target", "mutants");
    private static final Path TABLE = Path.of("target", "mutants.md");
    private static final Path KEPT = Path.of("src", "test", "mutants", "equivalent.txt");

    private static final String UNREACHED = "unreached";
    private static final String ENDED = "ends the process";
    private static final String HUNG = "does not end";

    private record Reached(KernelTrial trial, int elements) {}

    /** What came of a mutant; {@code by} is the check, or the number of cases that it survived. */
    private record Outcome(String what, String trial, String shape, String by) {
        static Outcome parse(String line) {
            String[] parts = line.split("\t", -1);
            return new Outcome(parts[0], parts[1], parts[2], parts[3]);
        }

        @Override
        public String toString() {
            return String.join("\t", what, trial, shape, by);
        }
    }

    private static final Outcome NO_CASE = new Outcome(UNREACHED, "", "", "");

    private final int sample;
    private final long seed;
    private final int most;
    private final int processes;
    private final List<String> strategies;
    private final Map<String, String> sources = Mutants.sources();
    private final List<Mutant> all = Mutants.of(sources);
    private final List<Mutant> mutants;
    private final Path folder;
    private final Map<Integer, Outcome> outcomes = new HashMap<>();
    private final Map<String, List<VerifierCase>> cases = new HashMap<>();
    /** Processes that wait for the next question. */
    private final BlockingQueue<MutantProcess> idle = new LinkedBlockingQueue<>();

    private String alone = "";

    private MutantRun(int sample, long seed, int most, int processes) {
        try (EditedKernels kernels = new EditedKernels(Path.of("target"))) {
            // The choice by shape last: it has the kernels of the others.
            this.strategies = kernels.strategies().stream()
                    .sorted(Comparator.comparing(Strategy.AUTO::equals))
                    .toList();
        }
        this.sample = sample;
        this.seed = seed;
        this.most = most;
        this.processes = processes;
        this.mutants = Mutants.sample(all, sample, seed);
        this.folder = FOLDER.resolve(KernelTrial.digest(sources) + "-" + sample + "-" + seed);
    }

    /** Options, each with a value: {@code --sample}, {@code --seed}, {@code --cases}, {@code --processes}. */
    public static void main(String[] arguments) throws Exception {
        Map<String, Long> options =
                new LinkedHashMap<>(Map.of("--sample", 300L, "--seed", 1L, "--cases", 1000L, "--processes", 2L));
        for (int i = 0; i < arguments.length; i += 2) {
            if (!options.containsKey(arguments[i])
                    || i + 1 == arguments.length
                    || !arguments[i + 1].matches("\\d{1,9}")) {
                System.err.println("mutants: expected are options of " + options.keySet() + " with a whole number each,"
                        + " but given was " + String.join(" ", arguments));
                System.exit(2);
            }
            options.put(arguments[i], Long.valueOf(arguments[i + 1]));
        }
        MutantRun run = new MutantRun(
                options.get("--sample").intValue(),
                options.get("--seed"),
                options.get("--cases").intValue(),
                options.get("--processes").intValue());
        System.exit(run.run() ? 0 : 1);
    }

    private boolean run() throws Exception {
        Files.createDirectories(folder);
        for (String strategy : strategies) {
            Map<Integer, List<Reached>> reached = reached(strategy);
            Path results = folder.resolve("results-" + strategy + ".txt");
            Set<Integer> known = new HashSet<>();
            if (Files.exists(results)) {
                for (String line : Files.readAllLines(results)) {
                    String[] parts = line.split("\t", 2);
                    known.add(Integer.valueOf(parts[0]));
                    add(Integer.parseInt(parts[0]), Outcome.parse(parts[1]));
                }
            }
            SwitchedKernels switched = new SwitchedKernels(sources, mutants);
            switched.makeAlone(alone);
            List<Mutant> left = switched.mutants().stream()
                    .filter(m -> !known.contains(m.number()) && reached.containsKey(m.number()) && lives(m))
                    .toList();
            System.out.printf("mutants: under %s, %d to try%n", strategy, left.size());
            attempt(left, reached, results);
        }
        return report();
    }

    private boolean lives(Mutant m) {
        Outcome outcome = outcomes.get(m.number());
        return outcome == null || outcome.what.equals(MutantTrial.SURVIVED);
    }

    /** Of several strategies that let a mutant live, the cases add up. */
    private void add(int number, Outcome outcome) {
        outcomes.merge(
                number,
                outcome,
                (before, now) -> now.what.equals(MutantTrial.SURVIVED)
                        ? new Outcome(
                                now.what,
                                "",
                                "",
                                Integer.toString(Integer.parseInt(before.by) + Integer.parseInt(now.by)))
                        : now);
    }

    private void attempt(List<Mutant> left, Map<Integer, List<Reached>> reached, Path results) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(processes);
        List<Future<?>> tries = new ArrayList<>();
        for (Mutant m : left) {
            tries.add(threads.submit(() -> {
                Outcome outcome = attempt(m, reached.get(m.number()));
                synchronized (this) {
                    add(m.number(), outcome);
                    Files.writeString(
                            results,
                            m.number() + "\t" + outcome + "\n",
                            StandardOpenOption.CREATE,
                            StandardOpenOption.APPEND);
                    System.out.printf("mutants: %s:%d: %s: %s%n", m.file(), m.line(), m.change(), outcome.what);
                }
                return null;
            }));
        }
        threads.shutdown();
        for (Future<?> one : tries) {
            one.get();
        }
        for (MutantProcess process = idle.poll(); process != null; process = idle.poll()) {
            process.close();
        }
    }

    /**
     * The trials of a strategy that reach mutants, in the order in which they are to be tried: from a file where a run before left
     * it, or by running all.
     */
    private Map<Integer, List<Reached>> reached(String strategy) throws Exception {
        Path known = folder.resolve("alone.txt");
        alone = Files.exists(known) ? Files.readString(known) : "";
        Path file = folder.resolve("reached-" + strategy + ".txt");
        while (!Files.exists(file)) {
            System.out.println("mutants: what the cases reach under " + strategy);
            List<String> lines = reachedUnder(strategy);
            String[] last = lines.get(lines.size() - 1).split("\t");
            if (last[0].equals(MutantTrial.ALL)) {
                Files.write(file, lines);
            } else if (last[0].equals(MutantTrial.ALONE)) {
                alone += (alone.isEmpty() ? "" : ",") + last[1];
                Files.writeString(known, alone);
            } else {
                throw new IllegalStateException("The kernels are to pass before they are changed: " + List.of(last));
            }
        }
        Map<Integer, List<Reached>> reached = new HashMap<>();
        for (String line : Files.readAllLines(file)) {
            String[] parts = line.split("\t", -1);
            if (parts[0].equals(MutantTrial.REACHED)) {
                Reached by = new Reached(KernelTrial.parse(parts[1]), Integer.parseInt(parts[2]));
                Arrays.stream(parts[3].split(","))
                        .filter(number -> !number.isEmpty())
                        .forEach(number -> reached.computeIfAbsent(Integer.valueOf(number), n -> new ArrayList<>())
                                .add(by));
            }
        }
        reached.replaceAll((number, by) -> inOrder(by));
        return reached;
    }

    /** The smallest of each kind first, then the second ones: what fails mostly does so at once, if it is of the right kind. */
    private List<Reached> inOrder(List<Reached> by) {
        List<Reached> bySize = by.stream()
                .sorted(Comparator.comparingInt(Reached::elements)
                        .thenComparing(one -> one.trial.index())
                        .thenComparing(one -> one.trial.type()))
                .toList();
        Map<String, Integer> seen = new HashMap<>();
        Map<Reached, Integer> places = new HashMap<>();
        bySize.forEach(one -> places.put(one, seen.merge(kind(one.trial), 1, Integer::sum)));
        return bySize.stream().sorted(Comparator.comparing(places::get)).toList();
    }

    private String kind(KernelTrial trial) {
        VerifierCase c = cases.computeIfAbsent(trial.strategy() + trial.type(), key -> KernelTrial.extent(trial.type())
                        .cases(trial.strategy()))
                .get(trial.index());
        return String.join(
                " ",
                trial.type().name(),
                c.normalization().grouping().getClass().getSimpleName(),
                c.normalization().statistic().name(),
                c.data().name(),
                c.mode().name(),
                c.fusion().name());
    }

    private List<String> reachedUnder(String strategy) throws Exception {
        List<String> lines = new ArrayList<>(List.of("nothing"));
        try (MutantProcess process = started()) {
            process.say(strategy);
            for (String[] parts = process.hear(); parts != null; parts = process.hear()) {
                lines.add(String.join("\t", parts));
                if (!parts[0].equals(MutantTrial.REACHED)) {
                    return lines;
                }
                if (lines.size() % 100 == 0) {
                    System.out.println("mutants: " + lines.size() + " cases");
                }
            }
        }
        return lines;
    }

    private Outcome attempt(Mutant mutant, List<Reached> by) throws Exception {
        String question = mutant.number() + "\t"
                + by.stream().limit(most).map(one -> one.trial.toString()).collect(Collectors.joining("\t"));
        boolean isAlone = mutant.whole() == null;
        MutantProcess used = isAlone ? null : idle.poll();
        Outcome outcome = used == null ? null : answer(used, question, isAlone);
        // What a process says after others is heard from one of its own, too, where it may be for what they did to it.
        return outcome == null || Set.of(ENDED, HUNG, MutantTrial.SPOILT).contains(outcome.what)
                ? answer(started(), question, isAlone)
                : outcome;
    }

    private Outcome answer(MutantProcess process, String question, boolean isAlone) throws Exception {
        String trial = "";
        process.say(question);
        try {
            for (String[] parts = process.hear(); parts != null; parts = process.hear()) {
                if (parts[0].equals(MutantTrial.AT)) {
                    trial = parts[1];
                    continue;
                }
                boolean isSpoilt = parts[0].equals(MutantTrial.SPOILT);
                if (isAlone || isSpoilt) {
                    process.close();
                } else {
                    idle.add(process);
                }
                return parts[0].equals(MutantTrial.SURVIVED)
                        ? new Outcome(parts[0], "", "", parts[1])
                        : new Outcome(parts[0], parts[1], parts[2], parts[3]);
            }
        } catch (MutantProcess.StuckException e) {
            process.close();
            return new Outcome(HUNG, trial, "", "");
        }
        process.close();
        return new Outcome(ENDED, trial, "", "");
    }

    private MutantProcess started() throws IOException {
        return new MutantProcess(
                FOLDER, List.of(FOLDER.toString(), Integer.toString(sample), Long.toString(seed), alone));
    }

    private boolean report() throws IOException {
        Reasons kept = Reasons.read(KEPT);
        Map<String, Integer> counts = new HashMap<>();
        List<String> rows = new ArrayList<>();
        List<String> unexplained = new ArrayList<>();
        for (Mutant m : mutants) {
            Outcome outcome = outcomes.getOrDefault(m.number(), NO_CASE);
            boolean lives = outcome.what.equals(MutantTrial.SURVIVED) || outcome.what.equals(UNREACHED);
            String reason = lives ? kept.of(List.of(m.key())) : null;
            String what = reason == null ? outcome.what : "equivalent";
            counts.merge(what, 1, Integer::sum);
            String detail = reason != null
                    ? reason
                    : outcome.what.equals(MutantTrial.SURVIVED) ? outcome.by + " cases" : outcome.by;
            rows.add(row(
                    m.file(),
                    Integer.toString(m.line()),
                    code(m.text()),
                    m.change(),
                    what,
                    detail,
                    outcome.trial
                            .replaceAll(" \\d+$", "")
                            .replace(" FLOAT32", "")
                            .toLowerCase(Locale.ROOT),
                    outcome.shape));
            if (lives && reason == null) {
                unexplained.add(m.key());
            }
        }
        // One that a process was spoilt by at once is one that failed.
        int killed = counts.getOrDefault(MutantTrial.KILLED, 0)
                + counts.getOrDefault(MutantTrial.SPOILT, 0)
                + counts.getOrDefault(ENDED, 0)
                + counts.getOrDefault(HUNG, 0);
        int survived = counts.getOrDefault(MutantTrial.SURVIVED, 0);
        String summary = String.format(
                Locale.ROOT,
                "%d of %d mutants, seed %d: %d killed, %d survived: %.1f %% killed; apart from these %d unreached,"
                        + " %d equivalent, %d refused by the compiler",
                mutants.size(),
                all.size(),
                seed,
                killed,
                survived,
                100.0 * killed / Math.max(1, killed + survived),
                counts.getOrDefault(UNREACHED, 0),
                counts.getOrDefault("equivalent", 0),
                counts.getOrDefault(MutantTrial.UNCOMPILED, 0));
        List<String> page = new ArrayList<>(List.of(
                summary + ".",
                "",
                row("file", "line", "text", "change", "outcome", "by", "under", "case"),
                "|---|---|---|---|---|---|---|---|"));
        page.addAll(rows);
        Files.write(TABLE, page);
        System.out.println("mutants: " + summary);
        unexplained.forEach(key -> System.out.println("mutants: not killed, and not explained: " + key));
        return unexplained.isEmpty();
    }

    private static String code(String text) {
        return "`" + text.replace("`", "'") + "`";
    }

    private static String row(String... cells) {
        return Arrays.stream(cells)
                .map(cell -> cell.replace("|", "\\|"))
                .collect(Collectors.joining(" | ", "| ", " |"));
    }
}
