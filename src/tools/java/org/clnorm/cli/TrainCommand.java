package org.clnorm.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.clnorm.Device;
import org.clnorm.example.Digits;
import org.clnorm.example.Norm;
import org.clnorm.example.Settings;
import org.clnorm.example.TrainingExample;
import org.clnorm.example.network.NetworkExample;
import org.clnorm.mpi.DataParallel;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code clnorm train}: the example, with a report at the end. */
@Command(
        name = "train",
        description = {
            "Trains a network on handwritten digits with and without a normalization, side by side, at a small and at a"
                    + " large learning rate, and writes a report.",
            "Before that, it compares the device's normalization with the reference.",
            "With --network, it trains one network of another kind, every tensor of which is on the device, and keeps it in"
                    + " a file after every epoch."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:trained", "1:trained, but the device differs from the reference", "2:wrong usage or input"})
final class TrainCommand implements Callable<Integer> {
    private static final int EPOCHS = 10;
    private static final int BATCH = 100;
    private static final Path REPORT = Path.of("target", "report");

    @Option(
            names = "--norm",
            paramLabel = "NAME",
            description = {
                "The normalization: ${COMPLETION-CANDIDATES}. Default: batch; with --network transformer, which takes layer"
                        + " and rms, layer.",
                "group takes the 128 hidden units in 8 groups. instance takes them for 8 channels of 16 values each, since"
                        + " one value is no instance. ghost has about four virtual batches. none trains the plain"
                        + " networks only."
            })
    private Norm norm;

    @Option(
            names = "--epochs",
            paramLabel = "N",
            description = "Passes over the training data. Default: 10; with --network 12.")
    private Integer epochs;

    @Option(names = "--batch", paramLabel = "N", description = "Digits per step. Default: 100; with --network 50.")
    private Integer batch;

    @Option(
            names = "--rates",
            paramLabel = "SMALL,LARGE",
            split = ",",
            description =
                    "The two learning rates. Default: 0.02,4; the larger one is 2 for layer, rms and group, and 1 for"
                            + " instance, which 4 would overthrow.")
    private List<Double> rates;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "1",
            description = "Of the initial weights and of the order of the digits. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--images",
            paramLabel = "FILE",
            description = "An IDX file of images, gzipped or not, in the place of the 10,000 digits that come with"
                    + " clnorm. The last fifth of them is the test set.")
    private Path images;

    @Option(names = "--labels", paramLabel = "FILE", description = "The IDX file of their labels.")
    private Path labels;

    @Option(names = "--report", paramLabel = "DIR", description = "Where to write index.html. Default: target/report.")
    private Path report;

    @Option(
            names = "--diagnose",
            arity = "0..1",
            paramLabel = "N",
            defaultValue = "0",
            fallbackValue = "50",
            description =
                    "Looks into the batch normalizations (also with renorm) every N steps, every 50 unless said, and adds"
                            + " to the report how far batches are from the running statistics, which channels are dead, and what is not"
                            + " finite.")
    private int diagnose;

    @Mixin
    private NetworkOptions network;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        if ((images == null) != (labels == null)) {
            throw new IllegalArgumentException("--images and --labels belong together, but only "
                    + (images == null ? "--labels" : "--images") + " was given");
        }
        if (network.isGiven()) {
            check(
                    rates == null && report == null && diagnose == 0,
                    "--rates, --report and --diagnose are not for" + " --network");
            device.checkNoStrategy("--network");
            NetworkExample example = network.example(norm, epochs, batch, seed);
            Digits digits = digits();
            try (DataParallel ranks = network.ranks();
                    Device on = device.open()) {
                example.run(on, ranks, digits, spec.commandLine().getOut(), Terminal.isThere());
                return Main.OK;
            }
        }
        network.checkUnused();
        return sideBySide();
    }

    private int sideBySide() throws IOException {
        Norm which = norm == null ? Norm.BATCH : norm;
        if (rates == null) {
            rates = List.of(0.02, which.largeRate());
        }
        check(rates.size() == 2, "--rates takes two numbers, SMALL,LARGE, but given were " + rates);
        Settings settings = new Settings(
                epochs == null ? EPOCHS : epochs,
                batch == null ? BATCH : batch,
                rates.get(0),
                rates.get(1),
                seed,
                diagnose,
                which);
        TrainingExample example = new TrainingExample(settings, digits());
        try (Device on = device.open()) {
            boolean agrees = example.run(
                    on,
                    report == null ? REPORT : report,
                    Terminal.typed(spec),
                    spec.commandLine().getOut(),
                    Terminal.isThere());
            return agrees ? Main.OK : Main.FAILED;
        }
    }

    private Digits digits() throws IOException {
        return images == null ? Digits.bundled() : Digits.read(images, labels);
    }

    private static void check(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
