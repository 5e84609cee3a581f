package org.clnorm.cli;

import java.io.PrintStream;
import java.time.Duration;
import org.clnorm.bench.Timed;

/** On a terminal, a bar for the workload that is timed, below the lines of those that were. */
final class WorkloadBars implements AutoCloseable {
    private final PrintStream terminal;
    private final int total;
    private final long start = System.nanoTime();
    private int done;
    private ProgressLine bar;

    /** @param terminal where to draw; null for nowhere */
    WorkloadBars(PrintStream terminal, int total) {
        this.terminal = terminal;
        this.total = total;
    }

    void starting(Timed workload) {
        if (terminal != null) {
            // A bar for each, since the line of the one before is where the last bar was.
            Duration elapsed = Duration.ofNanos(System.nanoTime() - start);
            bar = new ProgressLine(
                    terminal, workload.row().name() + " " + workload.row().operation(), done, total, elapsed);
        }
    }

    /** Takes the bar away for a line. */
    void done() {
        close();
        done++;
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
            bar = null;
        }
    }
}
