package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.TunedTables;
import org.clnorm.plan.StrategyTable;
import org.clnorm.plan.StrategyTable.Pattern;
import org.clnorm.tune.Heat;
import org.clnorm.tune.Rung;
import org.clnorm.tune.TuneReport;
import org.clnorm.tune.Tuner;
import org.clnorm.view.View;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code clnorm tune}: which strategy is the fastest on this device. */
@Command(
        name = "tune",
        description = {
            "Times kernel strategies over a ladder of shapes on an OpenCL device, and keeps those that beat the default"
                    + " by 5 %% or more in the user's cache folder. Programs then use them, unless they name a strategy.",
            "A strategy is held against the double-precision reference at a shape before it may win there. Running"
                    + " statistics take no part.",
            "The folder is $CLNORM_CACHE_DIR, else where the system has such folders, such as ~/.cache/clnorm. What was"
                    + " stored counts for this device, driver and version of the kernels only."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:tuned", "1:a strategy computed something wrong", "2:wrong usage, or no OpenCL device"})
final class TuneCommand implements Callable<Integer> {
    @Option(
            names = "--device",
            paramLabel = "NAME",
            description = "Which device, as in the other commands. Default: $CLNORM_DEVICE, else the best there is.")
    private String selector;

    @Option(names = "--quick", description = "Only a few small shapes: for slow devices.")
    private boolean quick;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            description = "Begin with nothing new after so long; the most common shapes come first.")
    private Double seconds;

    @ArgGroup(exclusive = true)
    private Storing storing = new Storing();

    @Spec
    private CommandSpec spec;

    /** What becomes of what is found. */
    private static final class Storing {
        @Option(names = "--dry-run", description = "Print only; store nothing.")
        private boolean dryRun;

        @Option(names = "--reset", description = "Measure nothing; remove what was stored for the device.")
        private boolean reset;
    }

    @Override
    public Integer call() throws IOException {
        OpenCl.Candidate device = DeviceOptions.candidate(selector);
        TunedTables tables = TunedTables.ofUser();
        PrintWriter out = spec.commandLine().getOut();
        Optional<Path> file = tables.file(device.facts());
        if (storing.reset) {
            out.println(
                    tables.remove(device.facts())
                            ? "Removed " + file.orElseThrow()
                            : "Nothing was stored for " + device.describe());
            return Main.OK;
        }
        if (file.isEmpty() && !storing.dryRun) {
            throw new IllegalArgumentException(
                    "There is no cache folder to store in: CLNORM_CACHE says off, or the user has no home; --dry-run only"
                            + " prints");
        }
        if (seconds != null && !(seconds > 0)) {
            throw new IllegalArgumentException("--seconds must be more than 0, but is " + seconds);
        }
        TuneReport report;
        try (Steps steps = new Steps(out, Terminal.isThere())) {
            report = Tuner.run(
                    device,
                    quick ? Rung.QUICK : Rung.LADDER,
                    seconds == null ? Double.POSITIVE_INFINITY : seconds,
                    steps);
        }
        print(device, report);
        StrategyTable table = report.table();
        out.println();
        if (storing.dryRun) {
            out.printf("%d rows, which are not stored:%n%s", table.rows().size(), table);
        } else {
            out.printf("%d rows stored in %s%n", table.rows().size(), tables.store(device.facts(), table));
        }
        return report.allRight() ? Main.OK : Main.FAILED;
    }

    private void print(OpenCl.Candidate device, TuneReport report) {
        PrintWriter out = spec.commandLine().getOut();
        Ansi ansi = spec.commandLine().getColorScheme().ansi();
        out.printf("%nOn %s%n%n", device.describe());
        String row = "  %-20s %-14s %-9s %-9s %-22s %-28s %s%n";
        out.printf(row, "shape", "layout", "pass", "pattern", "default", "winner", "gain");
        for (Heat heat : report.heats()) {
            View view = View.batch(heat.rung().shape(), heat.rung().layout());
            Optional<String> winner = report.winnerOf(heat);
            out.printf(
                    row,
                    heat.rung().shape(),
                    heat.rung().layout(),
                    heat.pass(),
                    Pattern.of(view),
                    report.label(heat.byDefault()),
                    winner.orElse("the default"),
                    winner.isEmpty()
                            ? ""
                            : ansi.string(String.format(Locale.ROOT, "@|green %.2f|@", report.gainOf(heat))));
        }
        for (Heat heat : report.heats()) {
            heat.wrong()
                    .forEach((strategy, problem) -> out.printf(
                            "%n%s%s of %s, %s: %s%n",
                            ansi.string("@|bold,red EXCLUDED|@ "),
                            report.label(strategy),
                            heat.rung(),
                            heat.pass(),
                            problem));
        }
        out.printf(
                Locale.ROOT,
                "%n%d of %d defaults beaten, %d candidates, %.1f s%n",
                report.heats().stream()
                        .filter(heat -> report.winnerOf(heat).isPresent())
                        .count(),
                report.heats().size(),
                report.heats().stream().mapToInt(Heat::candidates).sum(),
                report.seconds());
        if (report.left() > 0) {
            out.printf("%d passes were left out: the time was up%n", report.left());
        }
    }

    /** A bar on a terminal, a line for each shape elsewhere. */
    private static final class Steps implements Tuner.Progress, AutoCloseable {
        private final PrintWriter out;
        private final boolean terminal;
        private ProgressLine bar;

        Steps(PrintWriter out, boolean terminal) {
            this.out = out;
            this.terminal = terminal;
        }

        @Override
        public void at(String what, int done, int heats) {
            if (terminal) {
                if (bar == null) {
                    bar = new ProgressLine(System.err, "Tuning", done, heats, Duration.ZERO);
                }
                bar.stepTo(done);
            } else if (done < heats) {
                out.printf("Timing %s%n", what);
                out.flush();
            }
        }

        @Override
        public void close() {
            if (bar != null) {
                bar.close();
            }
        }
    }
}
