package org.clnorm.example;

import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** The example's plain-text output, in lines that arrive as the training goes on. */
final class ConsoleTables {
    private final PrintWriter out;

    ConsoleTables(PrintWriter out) {
        this.out = out;
    }

    void facts(Map<String, String> facts) {
        facts.forEach((name, value) -> line("%-10s %s", name, value));
    }

    void crossCheck(CrossCheck check) {
        if (check.rows().isEmpty()) {
            return; // nothing was there to check
        }
        line("");
        line(
                "Cross-check with the double-precision reference, %s and ReLU of %s:",
                check.norm().title(), check.shape());
        line("%-12s %-18s %12s %12s %10s", "pass", "array", "max error", "of largest", "");
        for (CrossCheck.Row row : check.rows()) {
            line(
                    "%-12s %-18s %12.2e %12.2e %10s",
                    row.pass(), ascii(row.array()), row.error(), row.relative(), row.agrees() ? "agrees" : "DIFFERS");
        }
        line("A row agrees up to %.0e of the array's largest magnitude.", CrossCheck.BOUND);
    }

    void heading(List<Run> runs) {
        line("");
        line("Training loss and test accuracy after each epoch:");
        line("%-6s%s", "", cells(runs, run -> run.kind()));
        line("%-6s%s", "epoch", cells(runs, run -> "rate " + Settings.number(run.rate())));
    }

    void epoch(int epoch, List<Run> runs) {
        line(
                "%5d %s",
                epoch, cells(runs, run -> {
                    if (run.divergedIn().isPresent()) {
                        return run.divergedIn().getAsInt() == epoch ? "diverged" : "";
                    }
                    Run.Epoch last = run.epochs().get(epoch - 1);
                    return String.format(Locale.ROOT, "%8.4f %6.2f %%", last.loss(), 100 * last.accuracy());
                }));
    }

    void summary(List<Run> runs, int classes) {
        line("");
        line("%-28s %10s %12s %14s %20s", "", "accuracy", "90 % after", "per epoch", "normalization, ReLU");
        for (Run run : runs) {
            line(
                    "%-28s %10s %12s %14s %20s",
                    run.kind() + ", rate " + Settings.number(run.rate()),
                    run.finalAccuracy().isEmpty()
                            ? "diverged"
                            : String.format(
                                    Locale.ROOT,
                                    "%.2f %%",
                                    100 * run.finalAccuracy().getAsDouble()),
                    run.epochOfNinetyPercent().isEmpty()
                            ? "never"
                            : "epoch " + run.epochOfNinetyPercent().getAsInt(),
                    milliseconds(run.millisecondsPerEpoch()),
                    milliseconds(run.normalizationMillisecondsPerEpoch()));
        }
        runs.stream()
                .filter(run -> run.stoppedLearning(classes))
                .forEach(run -> line(
                        "The %s network at rate %s stopped learning: its loss is no lower than ln %d, that of guessing.",
                        run.kind(), Settings.number(run.rate()), classes));
    }

    private static String cells(List<Run> runs, Function<Run, String> cell) {
        StringBuilder line = new StringBuilder();
        runs.forEach(run -> line.append(String.format(Locale.ROOT, "%20s", cell.apply(run))));
        return line.toString();
    }

    private static String milliseconds(double value) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, "%.0f ms", value);
    }

    /** Greek letters as words: not every terminal has them. */
    private static String ascii(String text) {
        return text.replace("σ", "sigma").replace("γ", "gamma").replace("β", "beta");
    }

    private void line(String format, Object... values) {
        out.println(String.format(Locale.ROOT, format, values).stripTrailing());
        out.flush();
    }
}
