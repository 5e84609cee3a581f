package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.clnorm.Activation;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.RunningVariance;
import org.clnorm.io.CaseFile;
import org.clnorm.io.CaseOptions;
import org.clnorm.io.CaseOptions.Mode;
import org.clnorm.io.NpyArray;
import org.clnorm.io.Npz;
import org.clnorm.verify.CaseRunner;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code clnorm run}: one normalization, from a file to a file. */
@Command(
        name = "run",
        description = {
            "Computes a normalization of the arrays in an .npz file.",
            "Inputs: x and, as far as wanted, weight, bias, running_mean, running_var, residual, grad_y (which asks for the"
                    + " backward pass), all float32 or exactly so.",
            "Outputs, whichever apply: y, save_mean, save_invstd, running_mean, running_var, grad_x, grad_weight,"
                    + " grad_bias, grad_residual, all float32.",
            "Where an option is not given, the JSON text in the input's uint8 array 'case' is asked (op, mode, eps,"
                    + " update_rate, running_variance, layout, activation), then the default is taken."
        })
final class RunCommand implements Callable<Integer> {
    @Parameters(paramLabel = "OP", description = "What to compute: ${COMPLETION-CANDIDATES}.")
    private CaseFile.Op op;

    @Option(names = "--input", required = true, paramLabel = "CASE.npz", description = "The inputs.")
    private Path input;

    @Option(
            names = "--output",
            required = true,
            paramLabel = "OUT.npz",
            description = "Where the outputs go; a file that is there is replaced.")
    private Path output;

    @Option(names = "--mode", description = "${COMPLETION-CANDIDATES}. Default: train.")
    private Mode mode;

    @Option(names = "--eps", description = "Added to the variance inside the square root. Default: 1e-5.")
    private Double epsilon;

    @Option(
            names = "--update-rate",
            paramLabel = "<weight>",
            description =
                    "The weight of the new batch in the running statistics: PyTorch's momentum, one minus Keras's."
                            + " Default: 0.1.")
    private Double updateRate;

    @Option(
            names = "--running-variance",
            paramLabel = "<estimate>",
            description = "Which variance enters the running variance: ${COMPLETION-CANDIDATES}. Default: unbiased.")
    private RunningVariance runningVariance;

    @Option(
            names = "--layout",
            description =
                    "How x, residual and grad_y lie in the file: ${COMPLETION-CANDIDATES}. Default: channels-first.")
    private Layout layout;

    @Option(
            names = "--activation",
            description = "What is applied last, after the residual: ${COMPLETION-CANDIDATES}. Default: none.")
    private Activation activation;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        CaseFile file = CaseFile.read(input, op, this::override);
        try (Device on = device.open()) {
            Map<String, NpyArray> outputs = CaseRunner.run(file, on);
            Npz.write(output, outputs);
            PrintWriter out = spec.commandLine().getOut();
            out.println(file.describe() + " on " + on.info().name() + ", strategy "
                    + on.info().strategy());
            outputs.forEach((name, array) -> out.printf("  %-14s %s%n", name, array));
            out.println("written to " + output);
        }
        return Main.OK;
    }

    private CaseOptions override(CaseOptions given) {
        return new CaseOptions(
                orElse(mode, given.mode()),
                orElse(epsilon, given.epsilon()),
                orElse(updateRate, given.updateRate()),
                orElse(runningVariance, given.runningVariance()),
                orElse(layout, given.layout()),
                orElse(activation, given.activation()));
    }

    private static <T> T orElse(T option, T given) {
        return Optional.ofNullable(option).orElse(given);
    }
}
