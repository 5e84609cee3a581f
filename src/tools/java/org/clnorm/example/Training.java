package org.clnorm.example;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import java.util.stream.IntStream;

/** One network in training: the loop over epochs and batches. */
final class Training implements AutoCloseable {
    private static final int TEST_ROWS = 1000;

    private final Digits.Split digits;
    private final Settings settings;
    private final Norm norm;
    private final double rate;
    private final Network network;
    private final int[] order;
    private final Random shuffle;
    private final List<Run.Epoch> epochs = new ArrayList<>();
    private final List<Double> firstEpoch = new ArrayList<>();
    private OptionalInt divergedIn = OptionalInt.empty();

    /** Trainings of the same seed see the same digits in the same order. */
    Training(Digits.Split digits, Settings settings, Norm norm, double rate, Network network) {
        this.digits = digits;
        this.settings = settings;
        this.norm = norm;
        this.rate = rate;
        this.network = network;
        this.order = IntStream.range(0, digits.train().size()).toArray();
        // Not the seed of the weights itself, lest the order repeat their random numbers.
        this.shuffle = new Random(~settings.seed());
    }

    static int batchesPerEpoch(Digits.Split digits, Settings settings) {
        return digits.train().size() / settings.batch();
    }

    /** Trains for one epoch, then tests; does nothing once the network has diverged. */
    void epoch(Runnable afterEachBatch) {
        if (divergedIn.isPresent()) {
            return;
        }
        shuffle(order, shuffle);
        Sgd sgd = new Sgd((float) rate);
        int batches = batchesPerEpoch(digits, settings);
        double sum = 0;
        long nanos = 0;
        long normalizationNanos = network.nonlinearityNanos();
        for (int b = 0; b < batches; b++) {
            Digits.Batch batch = digits.train().batch(order, b * settings.batch(), (b + 1) * settings.batch());
            long start = System.nanoTime();
            double loss = network.train(batch, sgd);
            nanos += System.nanoTime() - start;
            if (!Double.isFinite(loss)) {
                divergedIn = OptionalInt.of(epochs.size() + 1);
                return;
            }
            if (epochs.isEmpty()) {
                firstEpoch.add(loss);
            }
            sum += loss;
            afterEachBatch.run();
        }
        normalizationNanos = network.nonlinearityNanos() - normalizationNanos;
        epochs.add(new Run.Epoch(sum / batches, accuracy(), nanos / 1e6, normalizationNanos / 1e6));
    }

    /** Fisher and Yates's shuffle. */
    static void shuffle(int[] order, Random random) {
        for (int i = order.length - 1; i > 0; i--) {
            int j = random.nextInt(i + 1);
            int swapped = order[i];
            order[i] = order[j];
            order[j] = swapped;
        }
    }

    private double accuracy() {
        Digits test = digits.test();
        int[] all = IntStream.range(0, test.size()).toArray();
        int recognized = 0;
        for (int from = 0; from < all.length; from += TEST_ROWS) {
            recognized += network.recognized(test.batch(all, from, Math.min(all.length, from + TEST_ROWS)));
        }
        return (double) recognized / all.length;
    }

    Run run() {
        return new Run(norm, rate, List.copyOf(epochs), List.copyOf(firstEpoch), divergedIn, network.diagnostics());
    }

    @Override
    public void close() {
        network.close();
    }
}
