package org.clnorm.cli;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.util.Locale;
import org.clnorm.bench.Bench;
import org.clnorm.bench.Measurement;
import org.clnorm.bench.Timed;

/** A line for each measurement as it comes, and on a terminal a bar below for what is still to come. */
final class BenchTable implements Bench.Progress, AutoCloseable {
    private final PrintWriter out;
    private final WorkloadBars bars;

    /** @param terminal where to draw the bar; null for none */
    BenchTable(PrintWriter out, PrintStream terminal, int total) {
        this.out = out;
        this.bars = new WorkloadBars(terminal, total);
        out.printf(
                "%s %9s %9s %9s %8s %8s %7s %8s %9s%n",
                Timed.Row.HEAD, "ms", "waited ms", "kernel ms", "launches", "host us", "GB/s", "of copy", "of stream");
        out.flush();
    }

    @Override
    public void starting(Timed workload) {
        bars.starting(workload);
    }

    @Override
    public void measured(Measurement m) {
        bars.done();
        out.printf(
                Locale.ROOT,
                "%s %9.3f %9.3f %9.3f %8d %8.1f %7.1f %8.2f %9.2f%n",
                m.workload().row(),
                m.queuedMilliseconds(),
                m.waitedMilliseconds(),
                m.kernelMilliseconds(),
                m.launches(),
                m.hostMicroseconds(),
                m.gigabytesPerSecond(),
                m.ofCopy(),
                m.ofStreamedCopy());
        out.flush();
    }

    /** Takes the bar away. */
    @Override
    public void close() {
        bars.close();
    }
}
