package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.clnorm.files.WholeFile;
import org.clnorm.opencl.OpenCl;
import org.clnorm.verify.Verifier;
import org.clnorm.verify.VerifyReport;
import org.clnorm.verify.VerifyReport.Failure;
import org.clnorm.verify.VerifyReport.Row;
import org.clnorm.verify.VerifyReport.Verdict;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code clnorm verify}: every kernel against the reference. */
@Command(
        name = "verify",
        description = {
            "Cross-checks every kernel against the double-precision reference on an OpenCL device; under every strategy,"
                    + " unless one is named.",
            "A case is a forward and a backward pass. Its arrays lie inside larger ones, at even and at odd places: outputs"
                    + " hold NaN beforehand, and what lies around them must stay as it is, as must all inputs. Each case"
                    + " runs twice and must give the same bits.",
            "The error is the largest absolute one, divided by the array's scale: its largest magnitude, or that of the"
                    + " terms whose sum it is, if that is larger. Shown for a kernel is the error that comes nearest to its"
                    + " bound, among the arrays that the kernel is answerable for."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:all pass", "1:a kernel failed, or was not run", "2:wrong usage, or no OpenCL device"})
final class VerifyCommand implements Callable<Integer> {
    @Option(
            names = "--quick",
            description = "Only shapes of a few thousand elements, on which all kernels run too: for slow devices.")
    private boolean quick;

    @Option(
            names = "--out-of-place",
            description =
                    "Leave out passes in place, in which a detector of data races sees reads whose values are thrown"
                            + " away.")
    private boolean outOfPlace;

    @Mixin
    private DeviceOptions device;

    @Option(names = "--json", paramLabel = "FILE", description = "Write all of it to a file, too.")
    private Path json;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        OpenCl.Candidate on = device.candidate();
        String strategy = device.strategyName();
        List<String> strategies = strategy == null ? Verifier.strategies(on.facts()) : List.of(strategy);
        PrintWriter out = spec.commandLine().getOut();
        WholeFile file = BenchCommand.file("--json", json);
        try (Steps steps = new Steps(out, Terminal.isThere())) {
            VerifyReport report = Verifier.run(on, strategies, new Verifier.Extent(quick, !outOfPlace), steps);
            steps.close();
            if (file != null) {
                file.write(report.toJson() + "\n");
            }
            print(report);
            return report.passed() ? Main.OK : Main.FAILED;
        }
    }

    private void print(VerifyReport report) {
        PrintWriter out = spec.commandLine().getOut();
        Ansi ansi = spec.commandLine().getColorScheme().ansi();
        out.printf(
                "%nOn %s: %s%n%n", report.device().platform(), report.device().name());
        out.printf(
                "  %-26s %-10s %6s %12s %9s  %-13s %s%n",
                "kernel", "strategy", "cases", "worst error", "bound", "of", "verdict");
        for (Row row : report.rows()) {
            out.printf(
                    Locale.ROOT,
                    "  %-26s %-10s %6d %12.2e %9.2e  %-13s %s%n",
                    row.kernel(),
                    row.strategy(),
                    row.cases(),
                    row.worstError(),
                    row.bound(),
                    row.worstArray(),
                    ansi.string(inColour(row.verdict())));
        }
        printFailures(report, ansi);
        long passed = report.rows().stream()
                .filter(row -> row.verdict() == Verdict.PASS)
                .count();
        out.printf(
                Locale.ROOT,
                "%n%d of %d pass; %d cases under each strategy, %.1f s%n",
                passed,
                report.rows().size(),
                report.cases(),
                report.seconds());
    }

    private static String inColour(Verdict verdict) {
        return switch (verdict) {
            case PASS -> "@|green pass|@";
            case FAIL -> "@|bold,red FAIL|@";
            case NOT_RUN -> "@|bold,red NOT RUN|@";
        };
    }

    /** The first of each kind: what is wrong in one case mostly is in others too. */
    private void printFailures(VerifyReport report, Ansi ansi) {
        PrintWriter out = spec.commandLine().getOut();
        Map<String, List<Failure>> kinds = report.failures().stream()
                .collect(Collectors.groupingBy(
                        failure -> failure.strategy() + " " + failure.kernels() + " " + failure.array(),
                        LinkedHashMap::new,
                        Collectors.toList()));
        for (List<Failure> kind : kinds.values()) {
            Failure first = kind.get(0);
            out.printf(
                    "%n%s under %s: %s%n  in %s%s%n",
                    ansi.string("@|bold,red FAIL|@ ")
                            + (first.kernels().isEmpty() ? "" : String.join(" or ", first.kernels())),
                    first.strategy(),
                    first.problem(),
                    first.caseDescription(),
                    kind.size() == 1 ? "" : "; and " + (kind.size() - 1) + " more like it");
        }
    }

    /** A bar on a terminal, a line for each strategy elsewhere. */
    private static final class Steps implements Verifier.Progress, AutoCloseable {
        private final PrintWriter out;
        private final boolean terminal;
        private ProgressLine bar;

        Steps(PrintWriter out, boolean terminal) {
            this.out = out;
            this.terminal = terminal;
        }

        @Override
        public void at(String strategy, int done, int cases) {
            if (terminal) {
                if (done == 0) {
                    close();
                    bar = new ProgressLine(System.err, strategy, 0, cases, Duration.ZERO);
                }
                bar.stepTo(done);
            } else if (done == 0) {
                out.printf("Verifying %s: %d cases%n", strategy, cases);
                out.flush();
            }
        }

        @Override
        public void close() {
            if (bar != null) {
                bar.close();
                bar = null;
            }
        }
    }
}
