package org.clnorm.verify;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.clnorm.verify.VerifyReport.Failure;

/**
 * A process of {@link MutantRun}, since a mutant may end it or never. It answers on standard output in lines, parts of which
 * have tabs between them.
 */
final class MutantTrial {
    /** What an answer begins with. */
    static final String ANSWER = "mutant trial: ";

    private static final String PROGRAMS = "programs";

    /** A trial, its number of elements, and mutants. */
    static final String REACHED = "reached";
    /** All trials have run. */
    static final String ALL = "all";

    /** Mutants that are to be compiled alone, besides those that are known. */
    static final String ALONE = "alone";

    static final String WRONG = "wrong";
    static final String AT = "at";
    static final String KILLED = "killed";
    static final String UNCOMPILED = "uncompiled";
    static final String SPOILT = "spoilt";
    static final String SURVIVED = "survived";

    private MutantTrial() {}

    /**
     * Arguments: the folder, the sample's size, its seed, and the mutants that are compiled alone. Answers each line that it is
     * given: the number of a mutant and trials for it, or a strategy, to ask which mutants its trials reach.
     */
    public static void main(String[] arguments) throws IOException {
        Path folder = Path.of(arguments[0]);
        Map<String, String> sources = Mutants.sources();
        List<Mutant> sample =
                Mutants.sample(Mutants.of(sources), Integer.parseInt(arguments[1]), Long.parseLong(arguments[2]));
        SwitchedKernels switched = new SwitchedKernels(sources, sample);
        switched.makeAlone(arguments[3]);
        SharedPage page = new SharedPage();
        page.forget();
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
                KernelTrials run = new KernelTrials(folder.resolve(PROGRAMS), switched.edit())) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] parts = line.split("\t");
                if (parts.length == 1) {
                    reach(run, line, switched, page);
                    continue;
                }
                List<KernelTrial> trials =
                        Arrays.stream(parts).skip(1).map(KernelTrial::parse).toList();
                Mutant mutant = switched.mutants().stream()
                        .filter(m -> m.number() == Integer.parseInt(parts[0]))
                        .findFirst()
                        .orElseThrow();
                if (mutant.whole() != null) {
                    attempt(run, trials, page, mutant.number(), true);
                } else {
                    try (KernelTrials alone = new KernelTrials(
                            folder.resolve("alone-" + mutant.number()),
                            (file, text) -> file.equals(mutant.file()) ? mutant.in(text) : text)) {
                        attempt(alone, trials, page, mutant.number(), false);
                    }
                }
            }
        }
    }

    /** Runs all of a strategy with no mutant chosen: nothing may fail then. */
    private static void reach(KernelTrials run, String strategy, SwitchedKernels switched, SharedPage page) {
        for (KernelTrial trial : KernelTrial.all(strategy)) {
            page.forget();
            List<Failure> failures = run.run(trial).failures();
            if (!failures.isEmpty()) {
                String problem = failures.get(0).problem();
                String alone = switched.complained(problem).stream()
                        .map(String::valueOf)
                        .collect(Collectors.joining(","));
                say(alone.isEmpty() ? WRONG : ALONE, alone.isEmpty() ? problem.replaceAll("\\s+", " ") : alone);
                return;
            }
            String numbers = switched.mutants().stream()
                    .map(Mutant::number)
                    .filter(page::isReached)
                    .map(String::valueOf)
                    .collect(Collectors.joining(","));
            say(REACHED, trial.toString(), Integer.toString(run.caseOf(trial).elements()), numbers);
        }
        say(ALL);
    }

    private static void attempt(
            KernelTrials run, List<KernelTrial> trials, SharedPage page, int number, boolean isSwitched) {
        for (KernelTrial trial : trials) {
            say(AT, trial.toString());
            page.choose(number);
            List<Failure> failures = run.run(trial).failures();
            page.choose(-1);
            if (!failures.isEmpty()) {
                boolean isUncompiled = failures.get(0).problem().contains("does not build on");
                // Where it fails without the mutant, too, one before has spoilt this process.
                boolean isSpoilt = isSwitched && !run.run(trial).failures().isEmpty();
                Set<String> checks = failures.stream()
                        .map(failure -> FoundBy.check(failure.problem()))
                        .collect(Collectors.toCollection(TreeSet::new));
                say(
                        isSpoilt ? SPOILT : isUncompiled ? UNCOMPILED : KILLED,
                        trial.toString(),
                        FoundBy.shape(failures.get(0).caseDescription()),
                        isUncompiled ? "" : String.join(", ", checks).replaceAll("\\s+", " "));
                return;
            }
        }
        say(SURVIVED, Integer.toString(trials.size()));
    }

    private static void say(String... words) {
        System.out.println(ANSWER + String.join("\t", words));
    }
}
