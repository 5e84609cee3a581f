package org.clnorm.cli;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.util.Locale;
import org.clnorm.bench.Timed;
import org.clnorm.bench.against.ComparedRow;
import org.clnorm.bench.against.Comparison;
import org.clnorm.bench.against.Spread;
import org.clnorm.bench.against.Verdict;

/** A line for each row as it comes, and on a terminal a bar below for what is still to come. */
final class ComparisonTable implements Comparison.Progress, AutoCloseable {
    private static final String ROW = "%s %8s %9s %9s %19s %19s  %s%n";

    private final PrintWriter out;
    private final WorkloadBars bars;

    /** @param terminal where to draw the bar; null for none */
    ComparisonTable(PrintWriter out, PrintStream terminal, int total) {
        this.out = out;
        this.bars = new WorkloadBars(terminal, total);
        out.printf(ROW, Timed.Row.HEAD, "MB", "ms", "other ms", "ratio", "control", "verdict");
        out.flush();
    }

    @Override
    public void starting(Timed workload) {
        bars.starting(workload);
    }

    @Override
    public void compared(ComparedRow row) {
        bars.done();
        boolean absent = row.verdict() == Verdict.ABSENT;
        out.printf(
                ROW,
                row.workload().row(),
                String.format(Locale.ROOT, "%.2f", row.workload().minimalBytes() * 1e-6),
                absent ? "" : String.format(Locale.ROOT, "%.3f", row.milliseconds()),
                absent ? "" : String.format(Locale.ROOT, "%.3f", row.otherMilliseconds()),
                absent ? "" : text(row.ratio()),
                absent ? "" : text(row.control()),
                row.verdict() + (row.isWide() ? ", wide" : ""));
        out.flush();
    }

    private static String text(Spread spread) {
        return String.format(Locale.ROOT, "%.3f [%.3f %.3f]", spread.median(), spread.low(), spread.high());
    }

    /** Takes the bar away. */
    @Override
    public void close() {
        bars.close();
    }
}
