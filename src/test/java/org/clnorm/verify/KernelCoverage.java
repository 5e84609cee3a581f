package org.clnorm.verify;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.clnorm.verify.KernelProbes.Goal;
import org.clnorm.verify.KernelProbes.Sort;

/**
 * What {@code ci/kernel-coverage} runs: which lines of the kernels run in the cases of {@code verify}, whether each branch goes
 * both ways, and whether each loop has no turn, one, and many.
 */
public final class KernelCoverage {
    private static final Path TABLE = Path.of("target", "kernel-coverage.md");
    private static final Path UNREACHED = Path.of("src", "test", "mutants", "unreached.txt");

    private static final Path FOLDER = Path.of("target", "kernel-coverage");

    private final Map<String, String> sources = Mutants.sources();
    private final KernelProbes probes = new KernelProbes(sources);
    private final Set<Integer> reached = new HashSet<>();
    private final Reasons reasons = Reasons.read(UNREACHED);

    private KernelCoverage() throws IOException {}

    /** Arguments: the strategies, or none for all. What was reached under one is kept for as long as the kernels are the same. */
    public static void main(String[] arguments) throws IOException {
        KernelCoverage coverage = new KernelCoverage();
        coverage.run(Set.of(arguments));
        System.exit(coverage.report() ? 0 : 1);
    }

    private void run(Set<String> wanted) throws IOException {
        Path folder = Files.createDirectories(FOLDER.resolve(KernelTrial.digest(sources)));
        SharedPage page = new SharedPage();
        try (KernelTrials run = new KernelTrials(FOLDER.resolve("programs"), probes.edit())) {
            if (!run.strategies().containsAll(wanted)) {
                throw new IllegalArgumentException(
                        "The strategies are " + run.strategies() + ", but given was " + wanted);
            }
            for (String strategy : run.strategies()) {
                if (wanted.isEmpty() || wanted.contains(strategy)) {
                    Path kept = folder.resolve("reached-" + strategy + ".txt");
                    if (!Files.exists(kept)) {
                        Files.write(kept, reached(run, strategy, page));
                    }
                    Files.readAllLines(kept).forEach(number -> reached.add(Integer.valueOf(number)));
                }
            }
        }
    }

    private List<String> reached(KernelTrials run, String strategy, SharedPage page) {
        page.forget();
        List<KernelTrial> trials = KernelTrial.all(strategy);
        int done = 0;
        for (KernelTrial trial : trials) {
            CaseResult result = run.run(trial);
            if (!result.failures().isEmpty()) {
                throw new IllegalStateException("The kernels are to pass with probes in them: " + trial + ": "
                        + result.failures().get(0).problem());
            }
            if (++done % 100 == 0) {
                System.out.println("kernel-coverage: " + strategy + ": " + done + " of " + trials.size() + " cases");
            }
        }
        return probes.goals().stream()
                .map(Goal::number)
                .filter(page::isReached)
                .map(String::valueOf)
                .toList();
    }

    /** Numbers of a file. */
    private static final class Tally {
        int lines;
        int linesReached;
        final Map<Sort, int[]> goals = new LinkedHashMap<>();
        int explained;

        String of(Sort sort) {
            int[] count = goals.getOrDefault(sort, new int[2]);
            return count[1] + " of " + count[0];
        }
    }

    private boolean report() throws IOException {
        Map<String, Tally> files = new LinkedHashMap<>();
        Tally all = new Tally();
        List<Goal> open = new ArrayList<>();
        Map<String, Integer> byReason = new LinkedHashMap<>();
        probes.goals().stream().map(Goal::file).distinct().sorted().forEach(file -> files.put(file, new Tally()));
        for (Goal goal : probes.goals()) {
            boolean isReached = reached.contains(goal.number());
            String reason = isReached ? null : reasons.of(keys(goal));
            for (Tally tally : List.of(files.get(goal.file()), all)) {
                if (reason != null) {
                    tally.explained++;
                    continue;
                }
                tally.lines += goal.lines().size();
                tally.linesReached += isReached ? goal.lines().size() : 0;
                int[] count = tally.goals.computeIfAbsent(goal.sort(), sort -> new int[2]);
                count[0]++;
                count[1] += isReached ? 1 : 0;
            }
            if (reason != null) {
                byReason.merge(reason, 1, Integer::sum);
            } else if (!isReached) {
                open.add(goal);
            }
        }
        List<String> page = new ArrayList<>(List.of(
                "Reached by the cases of `verify`, apart from what is explained below.",
                "",
                "| file | lines | ways of branches | turns of loops | explained |",
                "|---|---|---|---|---|"));
        files.forEach((file, tally) -> page.add(row(file, tally)));
        page.add(row("all", all));
        page.addAll(List.of("", "| explained | why |", "|---|---|"));
        byReason.forEach((reason, count) -> page.add("| " + count + " | " + reason + " |"));
        if (!open.isEmpty()) {
            page.addAll(List.of("", "| not reached | what | text |", "|---|---|---|"));
            open.sort(Comparator.comparing(Goal::file).thenComparingInt(Goal::line));
            open.forEach(goal -> page.add("| " + goal.file() + ":" + goal.line() + " | " + goal.what() + " | `"
                    + goal.text().replace("|", "\\|") + "` |"));
        }
        Files.write(TABLE, page);
        open.forEach(goal ->
                System.out.println("kernel-coverage: not reached: " + keys(goal).get(0)
                        + goal.conditions().stream().skip(1).collect(Collectors.joining(" ; ", "   [", "]"))));
        System.out.printf(
                Locale.ROOT,
                "kernel-coverage: lines %d of %d, ways of branches %s, turns of loops %s, explained %d%n",
                all.linesReached,
                all.lines,
                all.of(Sort.BRANCH),
                all.of(Sort.LOOP),
                all.explained);
        return open.isEmpty();
    }

    /** What an explanation may name: the goal itself, all of its line, or a condition of the preprocessor around it. */
    private static List<String> keys(Goal goal) {
        List<String> keys = new ArrayList<>(List.of(
                goal.file() + " | " + goal.what() + " | " + goal.text(), goal.file() + " | all | " + goal.text()));
        keys.addAll(goal.conditions());
        return keys;
    }

    private static String row(String file, Tally tally) {
        return String.format(
                Locale.ROOT,
                "| %s | %d of %d | %s | %s | %d |",
                file,
                tally.linesReached,
                tally.lines,
                tally.of(Sort.BRANCH),
                tally.of(Sort.LOOP),
                tally.explained);
    }
}
