package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.clnorm.opencl.OpenCl;
import org.clnorm.verify.Probe;
import org.clnorm.verify.Probe.Instructions;
import org.clnorm.verify.Probe.Program;
import org.clnorm.verify.Verifier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code clnorm probe}: what a device's compiler makes of the kernels. */
@Command(
        name = "probe",
        description = {
            "Tells what an OpenCL device and its compiler say of themselves, and compiles the kernels of a few training"
                    + " steps one after another, under every strategy, unless some are named (with commas between): how long"
                    + " each takes, and how large its binary is.",
            "Where binaries are text in PTX, as on NVIDIA's devices, it counts instructions in them: fma, loads and stores"
                    + " of 16 bytes and all, accesses of a work-item's own memory, barriers."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:all were built", "2:wrong usage, no OpenCL device, or a folder that cannot be written"})
final class ProbeCommand implements Callable<Integer> {
    @Mixin
    private DeviceOptions device;

    @Option(names = "--keep", paramLabel = "FOLDER", description = "Write the binaries into a folder, which is made.")
    private Path keep;

    @Spec
    private CommandSpec spec;

    private int written;
    private int built;
    private double seconds;

    @Override
    public Integer call() throws IOException {
        OpenCl.Candidate on = device.candidate();
        String names = device.strategyName();
        List<String> strategies = names == null ? Verifier.strategies(on.facts()) : List.of(names.split("\\s*,\\s*"));
        if (keep != null) {
            Files.createDirectories(keep);
        }
        PrintWriter out = spec.commandLine().getOut();
        out.printf("On %s%n%n", on.describe());
        on.details().forEach((name, value) -> out.printf("  %-26s %s%n", name, value));
        out.printf(
                "%n  %-29s %-10s %9s %9s %5s %9s %9s %6s %8s  %s%n",
                "kernel", "strategy", "seconds", "bytes", "fma", "16 B ld", "16 B st", "local", "barriers", "options");
        out.flush();
        try {
            Probe.run(on, strategies, programs -> print(out, programs));
            out.printf(Locale.ROOT, "  %d programs, %.1f s%n", built, seconds);
            out.flush();
        } catch (UncheckedIOException e) {
            throw new IOException("--keep " + keep + " cannot be written: " + e.getCause(), e);
        }
        return Main.OK;
    }

    private void print(PrintWriter out, List<Program> programs) {
        for (Program program : programs) {
            Instructions found = program.instructions();
            out.printf(
                    Locale.ROOT,
                    "  %-29s %-10s %9.3f %9d %5s %9s %9s %6s %8s  %s%n",
                    program.built().kernel(),
                    program.strategy(),
                    program.built().seconds(),
                    program.built().binary().length,
                    found.isPtx() ? found.fma() : "",
                    found.isPtx() ? found.wideLoads() + "/" + found.loads() : "",
                    found.isPtx() ? found.wideStores() + "/" + found.stores() : "",
                    found.isPtx() ? found.local() : "",
                    found.isPtx() ? found.barriers() : "",
                    program.built().options());
            if (keep != null) {
                String name = program.strategy() + "-" + written++ + "-"
                        + program.built().kernel();
                try {
                    Files.write(
                            keep.resolve(name + (found.isPtx() ? ".ptx" : ".bin")),
                            program.built().binary());
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
            built++;
            seconds += program.built().seconds();
        }
        out.flush();
    }
}
