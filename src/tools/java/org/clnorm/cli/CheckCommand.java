package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import org.clnorm.check.Binding;
import org.clnorm.check.CheckProcesses;
import org.clnorm.check.CheckReport;
import org.clnorm.check.KernelCheck;
import org.clnorm.check.KernelFile;
import org.clnorm.check.Simulator;
import org.clnorm.files.WholeFile;
import org.clnorm.opencl.OpenCl;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code clnorm check}: somebody's own kernel against the reference. */
@Command(
        name = "check",
        description = {
            "Checks an OpenCL kernel of your own against the double-precision reference: whether its values are right, on"
                    + " which shapes and data not, whether it writes where it may not or leaves elements unwritten, whether"
                    + " two runs give the same bits.",
            "A binding, a text file, says what the kernel computes and what its arguments are; docs/check.md has six"
                    + " examples. The kernel runs in a process of its own, which it may crash."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:the kernel is right", "1:it is not", "2:wrong usage, or no OpenCL device"})
final class CheckCommand implements Callable<Integer> {
    /** Failing cases that are saved at most. */
    private static final int MOST_SAVED = 8;

    @Parameters(paramLabel = "KERNEL.cl", description = "The file with the kernel.")
    private Path kernel;

    @Option(
            names = "--binding",
            paramLabel = "FILE",
            required = true,
            description = "What it computes, and its arguments.")
    private Path bindingFile;

    @Option(
            names = "--include",
            paramLabel = "FOLDER",
            description = "Where else than beside it to look for what it includes; may be given several times.")
    private List<Path> includes = List.of();

    @Option(
            names = "--device",
            paramLabel = "NAME",
            description = "Which device, as for verify. Default: $$CLNORM_DEVICE, else the best there is.")
    private String device;

    @Option(names = "--quick", description = "Leave the largest shapes out.")
    private boolean quick;

    @Option(
            names = "--tolerance",
            paramLabel = "TIMES",
            description = "Values may be so many times as far off as rounding explains. Default: ${DEFAULT-VALUE}.")
    private double tolerance = 1;

    @Option(
            names = "--deadline",
            paramLabel = "SECONDS",
            description = "A case that takes longer hangs. Default: ${DEFAULT-VALUE}.")
    private int deadline = 60;

    @Option(
            names = "--bench",
            description =
                    "Time it too, on the largest shape: beside a streamed copy and beside clnorm's own pass, in turns.")
    private boolean bench;

    @Option(
            names = "--simulate",
            description =
                    "Run it in Oclgrind instead, on small shapes: for data races, the use of what nobody has written"
                            + " and invalid accesses that no device shows.")
    private boolean simulate;

    @Option(
            names = "--save",
            paramLabel = "FOLDER",
            description = "Save the smallest failing case of each failure there, with what the kernel wrote as what is"
                    + " expected, for clnorm compare.")
    private Path folder;

    @Option(names = "--json", paramLabel = "FILE", description = "Write all of it to a file, too.")
    private Path json;

    @Option(names = "--html", paramLabel = "FILE", description = "Write it as a page, too.")
    private Path html;

    @Option(names = "--serve", hidden = true, description = "Run the cases that are asked for on standard input.")
    private boolean serve;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        if (deadline < 1) {
            throw new IllegalArgumentException("--deadline must be 1 or more, but is " + deadline);
        }
        Binding binding = Binding.read(bindingFile);
        for (Path include : includes) {
            if (!Files.isDirectory(include)) {
                throw new IllegalArgumentException("--include must be a folder, but there is none at " + include);
            }
        }
        String source = KernelFile.read(kernel, includes);
        KernelCheck plain = KernelCheck.of(source, binding).quick(quick).tolerance(tolerance);
        KernelCheck check = simulate ? plain.simulated() : plain;
        if (serve) {
            check.serve(DeviceOptions.candidate(device), System.in, System.out);
            return Main.OK;
        }
        if (simulate && (bench || device != null)) {
            throw new IllegalArgumentException("--simulate is a device of its own, too slow to be timed; leave out "
                    + (bench ? "--bench" : "--device"));
        }
        Path log = simulate ? Files.createTempFile("clnorm-check", ".log") : null;
        try {
            return run(check, log);
        } finally {
            if (log != null) {
                Files.deleteIfExists(log);
            }
        }
    }

    /** @param log for the simulator's reports; null without one */
    private int run(KernelCheck check, Path log) throws IOException {
        Simulator simulator = log == null ? null : Simulator.installed(log);
        OpenCl.Candidate on = simulate ? null : DeviceOptions.candidate(device);
        // Before the work: that one of them cannot be written is better known now than after a minute.
        WholeFile jsonFile = BenchCommand.file("--json", json);
        WholeFile htmlFile = BenchCommand.file("--html", html);
        if (folder != null) {
            Files.createDirectories(folder);
        }
        PrintWriter out = spec.commandLine().getOut();
        CheckReport report;
        Set<Path> saved;
        try (CheckProcesses processes =
                new CheckProcesses(check, server(on), simulator, Duration.ofSeconds(deadline))) {
            report = processes.run(on == null ? "Oclgrind" : on.describe(), outcome -> {});
            report = bench && report.outcomes().size() == report.cases() ? report.with(processes.speed()) : report;
            saved = folder == null ? Set.of() : save(processes, report);
        }
        out.print(report.toText());
        saved.forEach(file -> out.println("Saved: " + file));
        if (jsonFile != null) {
            jsonFile.write(report.toJson() + "\n");
        }
        if (htmlFile != null) {
            htmlFile.write(report.toHtml(kernel.getFileName().toString(), command()));
        }
        return report.passed() ? Main.OK : Main.FAILED;
    }

    private Set<Path> save(CheckProcesses processes, CheckReport report) throws IOException {
        Set<Path> files = new LinkedHashSet<>();
        for (CheckReport.Failure failure : report.failures()) {
            Path file = folder.resolve("case-" + failure.index() + ".npz");
            if (files.size() < MOST_SAVED && files.add(file)) {
                processes.save(failure.index(), file);
            }
        }
        return files;
    }

    private String command() {
        StringBuilder folders = new StringBuilder();
        includes.forEach(include -> folders.append(" --include ").append(include));
        return "clnorm check " + kernel + " --binding " + bindingFile + folders + (quick ? " --quick" : "")
                + (simulate ? " --simulate" : "") + (bench ? " --bench" : "")
                + (tolerance == 1 ? "" : " --tolerance " + tolerance);
    }

    /** What starts a process that runs cases as this one would. */
    private List<String> server(OpenCl.Candidate on) {
        List<String> command = new ArrayList<>();
        String logging = System.getProperty("logback.configurationFile");
        if (logging != null) {
            command.add("-Dlogback.configurationFile=" + logging);
        }
        command.addAll(List.of(
                Main.class.getName(),
                "check",
                kernel.toString(),
                "--binding",
                bindingFile.toString(),
                "--serve",
                "--device",
                on == null ? "Oclgrind" : on.index(),
                "--tolerance",
                Double.toString(tolerance)));
        includes.forEach(include -> command.addAll(List.of("--include", include.toString())));
        if (quick) {
            command.add("--quick");
        }
        if (simulate) {
            command.add("--simulate");
        }
        return command;
    }
}
