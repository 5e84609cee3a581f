package org.clnorm.example.network;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.example.Bar;
import org.clnorm.example.Digits;
import org.clnorm.example.Norm;
import org.clnorm.example.device.Checkpoint;
import org.clnorm.example.device.Part;
import org.clnorm.example.device.Plan;
import org.clnorm.example.device.Queue;
import org.clnorm.example.device.Trainer;
import org.clnorm.example.device.Trainer.Epoch;
import org.clnorm.mpi.DataParallel;

/**
 * Trains a network whose every tensor is on the device, and keeps it in a file after every epoch.
 *
 * @param kind which network
 * @param norm which normalization it has
 * @param epochs after how many it is done, those before a checkpoint included
 * @param plan how it is trained
 * @param file where it is kept
 * @param resume whether to go on from what is in the file
 */
public record NetworkExample(NetworkKind kind, Norm norm, int epochs, Plan plan, Path file, boolean resume) {
    private static final String EPOCH_ROW = "%5d  %8.4f  %7.2f %%  %7.1f s  %9.1f %%%n";
    private static final int MOST_EPOCHS = 1000;

    /** Checks what does not depend on the digits. */
    public NetworkExample {
        check(
                epochs >= 1 && epochs <= MOST_EPOCHS,
                "The number of epochs must be 1 to " + MOST_EPOCHS + ", but given was " + epochs);
        check(
                kind.norms().contains(norm),
                "The " + kind + " network takes the normalizations " + kind.norms() + ", but given was " + norm);
    }

    /**
     * Trains, prints as it goes, and writes the checkpoints.
     *
     * @param chosen the device to train on
     * @param terminal whether to draw a progress bar, on the error stream
     * @throws IOException when the file cannot be written, or not be resumed from
     * @throws IllegalArgumentException when digits and settings do not fit together, and when the training diverges; the
     *     file is as it was before that epoch then
     */
    public void run(Device chosen, Digits digits, PrintWriter out, boolean terminal) throws IOException {
        run(chosen, null, digits, out, terminal);
    }

    /**
     * The same as one of several ranks, of which the first one prints and keeps the checkpoints.
     *
     * @param ranks those who train together; null for this one alone
     */
    public void run(Device chosen, DataParallel ranks, Digits digits, PrintWriter out, boolean terminal)
            throws IOException {
        try (Queue queue = Queue.on(chosen, ranks)) {
            boolean speaks = queue.rank() == 0;
            PrintWriter to = speaks ? out : new PrintWriter(Writer.nullWriter());
            run(queue, digits, to, speaks && terminal);
        }
    }

    /** The same on a queue that there is. */
    void run(Queue queue, Digits digits, PrintWriter out, boolean terminal) throws IOException {
        int size = size(digits);
        Digits.Split split = digits.split();
        check(
                plan.batch() <= split.train().size() && split.test().size() > 0,
                "A batch of " + plan.batch() + " needs as many digits to train with and one or more to test with, but"
                        + " there are " + split.train().size() + " and "
                        + split.test().size());
        Checkpoint checkpoint = new Checkpoint(file, facts(split));
        int part = plan.part(queue.size());
        Part network = kind.build(queue, norm, part, size, digits.classes(), new Random(plan.seed()));
        Trainer trainer = new Trainer(queue, network, split, digits.classes(), plan);
        double compiling = trainer.prepare();
        int done = resume ? checkpoint.resume(network, trainer.optimizer()) : 0;
        check(done < epochs, file + " is after epoch " + done + " already; say more --epochs to go on");
        heading(out, queue, network, split, compiling, done);
        try (Interruption interruption = new Interruption(file, done)) {
            for (int number = done + 1; number <= epochs; number++) {
                Epoch epoch = epoch(trainer, number, terminal);
                check(
                        Double.isFinite(epoch.loss()),
                        "The training diverged in epoch " + number + "; take a smaller --rate");
                if (queue.rank() == 0) {
                    checkpoint.write(number, network, trainer.optimizer());
                }
                interruption.kept(number);
                print(out, epoch, split.test().size());
            }
        }
        out.println();
        out.println("Checkpoint: " + file);
        out.flush();
    }

    private Epoch epoch(Trainer trainer, int number, boolean terminal) {
        try (Bar bar = terminal ? new Bar("epoch " + number + "/" + epochs, trainer.steps()) : null) {
            return trainer.epoch(number, bar == null ? () -> {} : bar::step);
        }
    }

    /** The images' height and width. */
    private static int size(Digits digits) {
        int size = (int) Math.round(Math.sqrt(digits.pixels()));
        check(
                size * size == digits.pixels() && size % 4 == 0,
                "The network takes square images of a multiple of 4 pixels, but these have " + digits.pixels());
        return size;
    }

    /** What two trainings are to have in common for one to go on with the other. */
    private Map<String, String> facts(Digits.Split split) {
        return Map.of(
                "network", kind.toString(),
                "norm", norm.toString(),
                "batch", Integer.toString(plan.batch()),
                "seed", Long.toString(plan.seed()),
                "rate", Double.toString(plan.rate()),
                "digits", Integer.toString(split.train().size()));
    }

    private void heading(PrintWriter out, Queue queue, Part network, Digits.Split split, double compiling, int done) {
        DeviceInfo device = queue.device().info();
        long weights = network.weights().stream()
                .mapToLong(weight -> weight.value().shape().elements())
                .sum();
        out.printf("Device         %s, %s, %s%n", device.platform(), device.name(), device.version());
        if (queue.size() > 1) {
            out.printf("Ranks          %d, each with %d of a batch%n", queue.size(), plan.part(queue.size()));
        }
        out.printf("Network        %s%n", kind.words());
        out.printf(Locale.ROOT, "               %,d weights, %s%n", weights, norm.title());
        out.printf(
                Locale.ROOT,
                "Data           %,d images to train with, %,d to test with%n",
                split.train().size(),
                split.test().size());
        out.printf(
                Locale.ROOT,
                "Training       batches of %d, AdamW, rate %s, halved in %s epochs, seed %d%n",
                plan.batch(),
                plan.rate(),
                plan.halving(),
                plan.seed());
        out.printf(Locale.ROOT, "Compiled       in %.1f s%n", compiling);
        if (done > 0) {
            out.printf("Goes on        after epoch %d of %s%n", done, file);
        }
        out.println();
        out.println("epoch      loss   accuracy       time  normalization");
        out.flush();
    }

    private static void print(PrintWriter out, Epoch epoch, int of) {
        out.printf(
                Locale.ROOT,
                EPOCH_ROW,
                epoch.number(),
                epoch.loss(),
                100.0 * epoch.right() / of,
                epoch.seconds(),
                100 * epoch.normalizationSeconds() / epoch.seconds());
        out.flush();
    }

    private static void check(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
