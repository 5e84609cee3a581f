package org.clnorm.example;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.diagnostics.Diagnoser;
import org.clnorm.files.WholeFile;

/**
 * Four networks side by side, from the same weights and over the same batches: with a normalization and without, at a
 * small and at a large learning rate; two if the normalization is none.
 */
public final class TrainingExample {
    private final Settings settings;
    private final Digits digits;
    private final Digits.Split split;

    /**
     * @throws IllegalArgumentException for fewer digits than a batch, or none to test with
     */
    public TrainingExample(Settings settings, Digits digits) {
        this.settings = settings;
        this.digits = digits;
        this.split = digits.split();
        settings.checkAgainst(split);
    }

    /**
     * Trains, prints as it goes, and writes {@code index.html} into a folder.
     *
     * @param command how to do it again
     * @param terminal whether to draw a progress bar, on the error stream
     * @return whether the device agrees with the reference
     * @throws IOException if the report cannot be written; what can be known of that is known before the training
     */
    public boolean run(Device device, Path folder, String command, PrintWriter out, boolean terminal)
            throws IOException {
        WholeFile file = ReportFolder.page(folder);
        ConsoleTables console = new ConsoleTables(out);
        Map<String, String> facts = facts(device.info());
        console.facts(facts);
        CrossCheck check = CrossCheck.of(settings.norm(), device, settings.batch(), Network.HIDDEN);
        console.crossCheck(check);
        List<Run> runs = train(device, console, terminal);
        console.summary(runs, digits.classes());
        file.write(Report.html(new Report.Content(facts, check, runs, digits.classes(), command)));
        out.println();
        out.println("Report: " + folder.resolve(ReportFolder.PAGE));
        out.flush();
        return check.agrees();
    }

    private Map<String, String> facts(DeviceInfo device) {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("Device", device.platform() + ", " + device.name() + ", " + device.version());
        facts.put("Strategy", device.strategy());
        facts.put(
                "Network",
                digits.pixels() + " pixels, dense " + Network.HIDDEN + normalization() + ", ReLU, dense "
                        + digits.classes() + ", softmax cross entropy");
        facts.put(
                "Data",
                String.format(
                        Locale.ROOT,
                        "%,d images to train with, %,d to test with",
                        split.train().size(),
                        split.test().size()));
        facts.put(
                "Training",
                settings.epochs() + " epochs of " + Training.batchesPerEpoch(split, settings) + " batches of "
                        + settings.batch() + ", plain SGD at " + Settings.number(settings.smallRate()) + " and "
                        + Settings.number(settings.largeRate()) + ", seed " + settings.seed());
        return facts;
    }

    private String normalization() {
        Norm norm = settings.norm();
        String detail =
                switch (norm) {
                    case GROUP -> " in " + Norm.GROUPS + " groups";
                    case INSTANCE -> " of " + Norm.GROUPS + " channels of " + Network.HIDDEN / Norm.GROUPS + " values";
                    case GHOST -> " in virtual batches of " + Norm.virtualBatch(settings.batch());
                    default -> "";
                };
        return norm == Norm.NONE ? "" : ", " + norm.title() + detail + " or none";
    }

    List<Run> train(Device device, ConsoleTables console, boolean terminal) {
        List<Training> trainings = new ArrayList<>();
        try {
            for (double rate : settings.rates()) {
                if (settings.norm() != Norm.NONE) {
                    trainings.add(training(rate, settings.norm(), device));
                }
                trainings.add(training(rate, Norm.NONE, device));
            }
            console.heading(runs(trainings));
            for (int epoch = 1; epoch <= settings.epochs(); epoch++) {
                int batches = trainings.size() * Training.batchesPerEpoch(split, settings);
                try (Bar bar = terminal ? new Bar("epoch " + epoch + "/" + settings.epochs(), batches) : null) {
                    Runnable tick = bar == null ? () -> {} : bar::step;
                    trainings.forEach(training -> training.epoch(tick));
                }
                console.epoch(epoch, runs(trainings));
            }
            return runs(trainings);
        } finally {
            trainings.forEach(Training::close);
        }
    }

    private Training training(double rate, Norm norm, Device device) {
        Network network = norm != Norm.NONE
                ? Network.normalized(
                        norm,
                        digits.pixels(),
                        digits.classes(),
                        settings.seed(),
                        device,
                        settings.batch(),
                        Diagnoser.every(settings.diagnose()).named("rate " + Settings.number(rate)))
                : Network.plain(digits.pixels(), digits.classes(), settings.seed());
        return new Training(split, settings, norm, rate, network);
    }

    private static List<Run> runs(List<Training> trainings) {
        return trainings.stream().map(Training::run).toList();
    }
}
