package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.Device;
import org.clnorm.LastVirtualBatch;
import org.clnorm.Layout;
import org.clnorm.RunningVariance;
import org.clnorm.cases.CaseFile;
import org.clnorm.cases.CaseOptions;
import org.clnorm.cases.CaseOptions.Mode;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.clnorm.verify.CaseRunner;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** {@code clnorm run}: one normalization, from a file to a file. */
@Command(
        name = "run",
        description = {
            "Computes a normalization of the arrays in an .npz file.",
            "Inputs: x and, as far as wanted, weight, bias, running_mean, running_var, residual, grad_y (which asks for the"
                    + " backward pass), all float32 or exactly so.",
            "Outputs, whichever apply: y, save_mean, save_invstd, running_mean, running_var, grad_x, grad_weight,"
                    + " grad_bias, grad_residual, all float32.",
            "Of layer-norm and rms-norm, weight and bias have the dimensions of a row; of weight-norm x is v, weight is g.",
            "Where an option is not given, the JSON text in the input's uint8 array 'case' is asked (op, mode, eps,"
                    + " update_rate, running_variance, layout, activation, normalized_dims, over_channels, groups,"
                    + " virtual_batch, last_virtual_batch, r_max, d_max, in_place), then the default is taken."
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

    @Option(
            names = "--eps",
            description = {
                "Added to the variance inside the square root. Default: 1e-5.",
                "Of weight-norm and l2-norm the least length that is divided by. Default: 0 and 1e-12."
            })
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
            paramLabel = "<name>",
            completionCandidates = ActivationNames.class,
            converter = ActivationNames.class,
            description = "What is applied last, after the residual: ${COMPLETION-CANDIDATES}. Default: none.")
    private Activation activation;

    /** Their names, and what they name. */
    static final class ActivationNames implements Iterable<String>, ITypeConverter<Activation> {
        @Override
        public Iterator<String> iterator() {
            return Stream.of(Activation.values()).map(Activation::toString).iterator();
        }

        @Override
        public Activation convert(String name) {
            try {
                return Activation.named(name);
            } catch (IllegalArgumentException e) {
                throw new TypeConversionException(e.getMessage());
            }
        }
    }

    @Option(
            names = "--normalized-dims",
            paramLabel = "<count>",
            description =
                    "Of layer-norm, rms-norm and l2-norm (there 1 unless said): how many dimensions a row has, the last"
                            + " ones of x as it lies in the file.")
    private Integer normalizedDims;

    @Option(
            names = "--over-channels",
            description =
                    "Of layer-norm, in place of --normalized-dims: the channels of each position, in either layout.")
    private boolean overChannels;

    @Option(names = "--groups", paramLabel = "<count>", description = "Of group-norm: the groups of the channels.")
    private Integer groups;

    @Option(
            names = "--virtual-batch",
            paramLabel = "<samples>",
            description = "Of batch-norm: how many samples have statistics of their own. Default: all.")
    private Long virtualBatch;

    @Option(
            names = "--last-virtual-batch",
            paramLabel = "<what>",
            description =
                    "Of batch-norm with --virtual-batch: what becomes of a last virtual batch of one value per channel:"
                            + " ${COMPLETION-CANDIDATES}. Default: refuse.")
    private LastVirtualBatch lastVirtualBatch;

    @Option(
            names = "--r-max",
            paramLabel = "<bound>",
            description = "Of batch-renorm: the factor r is between 1/bound and bound.")
    private Double rMax;

    @Option(
            names = "--d-max",
            paramLabel = "<bound>",
            description = "Of batch-renorm: the offset d is between -bound and bound.")
    private Double dMax;

    @Option(
            names = "--in-place",
            description = "Of batch-norm: y takes x's place, from which the backward pass has x again.")
    private boolean inPlace;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        checkOptions();
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

    /** Refuses what would do nothing: in a file it may have come along, but here somebody wants something of it. */
    private void checkOptions() {
        for (OptionSpec option : spec.commandLine().getParseResult().matchedOptions()) {
            String name = option.longestName().substring(2).replace('-', '_');
            if (CaseOptions.isKnown(name) && !op.has(name)) {
                throw new ParameterException(
                        spec.commandLine(), "The option " + option.longestName() + " does nothing for " + op);
            }
        }
    }

    private CaseOptions override(CaseOptions given) {
        return new CaseOptions(
                orElse(mode, given.mode()),
                orElse(epsilon, given.epsilon()),
                orElse(updateRate, given.updateRate()),
                orElse(runningVariance, given.runningVariance()),
                orElse(layout, given.layout()),
                orElse(activation, given.activation()),
                given.addition(),
                given.mask(),
                given.outside(),
                orElse(normalizedDims, given.normalizedDims()),
                overChannels || given.overChannels(),
                orElse(groups, given.groups()),
                orElse(virtualBatch, given.virtualBatch()),
                orElse(lastVirtualBatch, given.lastVirtualBatch()),
                orElse(rMax, given.rMax()),
                orElse(dMax, given.dMax()),
                inPlace || given.inPlace());
    }

    private static <T> T orElse(T option, T given) {
        return option == null ? given : option;
    }
}
