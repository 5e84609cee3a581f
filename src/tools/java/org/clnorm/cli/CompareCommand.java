package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.cases.CaseFile;
import org.clnorm.cases.UpdateFile;
import org.clnorm.verify.ArrayError;
import org.clnorm.verify.CaseComparison;
import org.clnorm.verify.CaseRunner;
import org.clnorm.verify.UpdateRunner;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code clnorm compare}: cases computed here against what was computed elsewhere. */
@Command(
        name = "compare",
        description = {
            "Computes the cases in .npz files and compares with their expected_* arrays.",
            "An array passes when its largest absolute error, divided by its scale, is within the tolerance. The scale is"
                    + " the largest magnitude in the expected array; for grad_x in training mode it is the largest of the"
                    + " terms p*dy', q*(x-mean) and r whose sum it is, if that is larger, since they may cancel.",
            "A NaN or an infinity passes only where the same was expected. An expected array that is not an output of the"
                    + " case, or has another shape, fails.",
            "Expected arrays stored as float32 are held to the same tolerance, although they are themselves off by a"
                    + " rounding (6e-8 of their values) and by how they were computed: for those of a framework that"
                    + " computed in float32 a larger --tolerance may be right."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:all pass", "1:an array failed", "2:wrong usage, or a file that could not be compared"})
final class CompareCommand implements Callable<Integer> {
    @Parameters(paramLabel = "CASE.npz", arity = "1..*", description = "The cases.")
    private List<Path> files;

    @Option(
            names = "--tolerance",
            paramLabel = "<error>",
            defaultValue = "5e-7",
            description =
                    "The largest scaled error that passes. Default: ${DEFAULT-VALUE}; twice as much for an optimizer's"
                            + " parameters, which are rounded at every step.")
    private double tolerance;

    /** How much more of rounding the parameters have after a hundred steps. */
    private static final double OF_OPTIMIZERS = 2;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        if (!(tolerance >= 0 && tolerance < Double.POSITIVE_INFINITY)) {
            throw new ParameterException(
                    spec.commandLine(), "--tolerance must be finite and 0 or more, but is " + tolerance);
        }
        PrintWriter out = spec.commandLine().getOut();
        int failed = 0;
        int unreadable = 0;
        try (Device on = device.open()) {
            DeviceInfo info = on.info();
            out.println("On " + info.platform() + ": " + info.name() + ", strategy " + info.strategy());
            for (Path path : files) {
                try {
                    failed += compared(path, on).passed() ? 0 : 1;
                } catch (IOException | RuntimeException | OutOfMemoryError | StackOverflowError e) {
                    // The other files are compared all the same.
                    Main.printError(spec.commandLine(), path.toString(), e);
                    unreadable++;
                }
            }
        }
        out.println();
        out.printf(
                Locale.ROOT,
                "%d of %d cases pass within %.3g of scale%s%n",
                files.size() - failed - unreadable,
                files.size(),
                tolerance,
                unreadable == 0 ? "" : "; " + unreadable + " could not be compared");
        return unreadable > 0 ? Main.WRONG_USAGE : failed > 0 ? Main.FAILED : Main.OK;
    }

    private CaseComparison compared(Path path, Device on) throws IOException {
        Optional<UpdateFile> update = UpdateFile.read(path);
        if (update.isPresent()) {
            UpdateFile file = update.get();
            CaseComparison comparison = CaseComparison.of(file, UpdateRunner.run(file, on), OF_OPTIMIZERS * tolerance);
            print(file.name(), file.describe(), comparison);
            return comparison;
        }
        CaseFile file = CaseFile.read(path);
        CaseComparison comparison = CaseComparison.of(file, CaseRunner.run(file, on), tolerance);
        print(file.name(), file.describe(), comparison);
        return comparison;
    }

    private void print(String name, String describe, CaseComparison comparison) {
        PrintWriter out = spec.commandLine().getOut();
        out.printf("%n%s: %s%n", name, describe);
        out.printf(
                "  %-14s %9s %9s %10s %9s  %-7s  %s%n",
                "array", "max abs", "max rel", "max ulp", "scaled", "verdict", "worst element: got, expected");
        for (CaseComparison.Row row : comparison.rows()) {
            String verdict = spec.commandLine()
                    .getColorScheme()
                    .ansi()
                    .string(row.passed() ? "@|green pass|@   " : "@|bold,red FAIL|@   ");
            out.println("  " + (row.error() == null ? unmeasured(row, verdict) : measured(row, verdict)));
        }
    }

    private static String measured(CaseComparison.Row row, String verdict) {
        ArrayError error = row.error();
        return String.format(
                Locale.ROOT,
                "%-14s %9.2e %9.2e %10s %9.2e  %s  %s: %s, %.10g",
                row.array(),
                error.maxAbsolute(),
                error.maxRelative(),
                error.maxUlp() == Long.MAX_VALUE ? "Infinity" : Long.toString(error.maxUlp()),
                error.scaledError(),
                verdict,
                error.worstAt(row.dimensions()),
                (float) error.got(),
                error.expected());
    }

    private static String unmeasured(CaseComparison.Row row, String verdict) {
        return String.format("%-14s %40s  %s  %s", row.array(), "", verdict, row.problem());
    }
}
