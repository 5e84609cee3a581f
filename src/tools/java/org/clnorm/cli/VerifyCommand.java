package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.DataType;
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
                    + " unless some are named (with commas between).",
            "A case is a forward and a backward pass. Its arrays lie inside larger ones, at even and at odd places: outputs"
                    + " hold NaN beforehand, and what lies around them must stay as it is, as must all inputs. Each case"
                    + " runs twice and must give the same bits, on Oclgrind once.",
            "The error is the largest absolute one, divided by the array's scale: its largest magnitude, or that of the"
                    + " terms whose sum it is, if that is larger. Shown for a kernel is the error that comes nearest to its"
                    + " bound, among the arrays that the kernel is answerable for."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:all pass", "1:a kernel failed, or was not run", "2:wrong usage, or no OpenCL device"})
final class VerifyCommand implements Callable<Integer> {
    /** More than any machine has a use for. */
    private static final int MOST_PROCESSES = 256;

    @Option(
            names = "--quick",
            description = "Only shapes of a few thousand elements, on which all kernels run too: for slow devices.")
    private boolean quick;

    @Option(
            names = "--type",
            paramLabel = "<type>",
            description =
                    "How x, y, the residual and their gradients are stored: float32, float16, bfloat16. Default: float32."
                            + " Of 16 bits, results may be one rounding further off.")
    private DataType type = DataType.FLOAT32;

    @Mixin
    private DeviceOptions device;

    @Option(
            names = "--processes",
            paramLabel = "N",
            description =
                    "Run the cases in so many processes at a time, for compilers that use one core each. A case in which"
                            + " the driver ends its process is a failure; the others go on. Default: none but this one.")
    private int processes;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            description = "Begin no case after so long; a verification that leaves cases out has not passed.")
    private Double seconds;

    @Option(names = "--json", paramLabel = "FILE", description = "Write all of it to a file, too.")
    private Path json;

    @Option(
            names = "--cases",
            paramLabel = "FILE",
            description =
                    "Write a line of JSON for each case as soon as it is over, too: its time, its programs, what its"
                            + " kernels' errors are, and a digest of the bits that it computed, to compare devices by.")
    private Path lines;

    @Option(names = "--serve", hidden = true, description = "Run the cases that are asked for on standard input.")
    private boolean serve;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        OpenCl.Candidate on = device.candidate();
        Verifier.Extent extent = new Verifier.Extent(quick, type);
        if (serve) {
            Verifier.serve(on, extent, System.in, System.out);
            return Main.OK;
        }
        if (processes < 0 || processes > MOST_PROCESSES) {
            throw new IllegalArgumentException(
                    "--processes must be from 0 to " + MOST_PROCESSES + ", but is " + processes);
        }
        if (seconds != null && !(seconds > 0)) {
            throw new IllegalArgumentException("--seconds must be more than 0, but is " + seconds);
        }
        String strategy = device.strategyName();
        List<String> strategies = strategy == null
                ? Verifier.strategies(on.facts())
                : Stream.of(strategy.split(",")).map(String::strip).distinct().toList();
        PrintWriter out = spec.commandLine().getOut();
        // Before the work: that one of them cannot be written is better known now than after minutes.
        WholeFile file = BenchCommand.file("--json", json);
        try (Writer cases = open("--cases", lines);
                Steps steps = new Steps(out, Terminal.isThere())) {
            Verifier.Means means = new Verifier.Means(
                    processes,
                    server(on),
                    seconds == null ? Double.POSITIVE_INFINITY : seconds,
                    result -> write(cases, result));
            VerifyReport report = Verifier.run(on, strategies, extent, means, steps);
            steps.close();
            if (file != null) {
                file.write(report.toJson() + "\n");
            }
            print(report);
            return report.passed() ? Main.OK : Main.FAILED;
        }
    }

    /** Written case by case, and so not as a whole. */
    private static Writer open(String option, Path path) throws IOException {
        try {
            return path == null ? Writer.nullWriter() : Files.newBufferedWriter(path);
        } catch (IOException e) {
            throw new IOException(option + " " + path + " cannot be written: " + e, e);
        }
    }

    /** At once: whoever ends this process shall find it. */
    private static void write(Writer cases, String result) {
        try {
            cases.write(result + "\n");
            cases.flush();
        } catch (IOException e) {
            throw new UncheckedIOException("--cases cannot be written: " + e, e);
        }
    }

    /** What starts a process that runs cases as this one would. */
    private List<String> server(OpenCl.Candidate on) {
        List<String> command = new ArrayList<>();
        String logging = System.getProperty("logback.configurationFile");
        if (logging != null) {
            command.add("-Dlogback.configurationFile=" + logging);
        }
        command.addAll(List.of(Main.class.getName(), "verify", "--serve", "--device", on.index()));
        if (quick) {
            command.add("--quick");
        }
        command.addAll(List.of("--type", type.toString()));
        return command;
    }

    private void print(VerifyReport report) {
        PrintWriter out = spec.commandLine().getOut();
        Ansi ansi = spec.commandLine().getColorScheme().ansi();
        out.printf(
                "%nOn %s: %s%n%n", report.device().platform(), report.device().name());
        out.printf(
                "  %-29s %-10s %6s %12s %9s  %-13s %s%n",
                "kernel", "strategy", "cases", "worst error", "bound", "of", "verdict");
        for (Row row : report.rows()) {
            out.printf(
                    Locale.ROOT,
                    "  %-29s %-10s %6d %12.2e %9.2e  %-13s %s%n",
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
                "%n%d of %d pass; %d cases under each strategy, %d programs, %.1f s%n",
                passed,
                report.rows().size(),
                report.cases(),
                report.programs(),
                report.seconds());
        if (report.left() > 0) {
            out.printf(
                    "%s %d cases did not run: the time was up%n", ansi.string("@|bold,red NOT DONE|@"), report.left());
        }
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

    /** A bar on a terminal; elsewhere a line for each strategy, and one a minute, since a simulator takes hours. */
    private static final class Steps implements Verifier.Progress, AutoCloseable {
        private static final long MINUTE = Duration.ofMinutes(1).toNanos();

        private final PrintWriter out;
        private final boolean terminal;
        private ProgressLine bar;
        private long told;

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
            } else if (done == 0 || System.nanoTime() - told >= MINUTE) {
                out.printf(
                        done == 0 ? "Verifying %1$s: %3$d cases%n" : "  %1$s: %2$d of %3$d%n", strategy, done, cases);
                out.flush();
                told = System.nanoTime();
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
