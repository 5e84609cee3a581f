package org.clnorm.example;

import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.clnorm.diagnostics.Diagnostics;

/**
 * How one network's training went.
 *
 * @param norm its normalization, or {@code NONE}
 * @param epochs the whole epochs, up to where it diverged if it did
 * @param firstEpoch the loss of each batch of the first epoch
 * @param divergedIn the epoch, from 1, in which the loss stopped being a finite number
 * @param diagnostics what was seen of the normalization, if that was asked for
 */
record Run(
        Norm norm,
        double rate,
        List<Epoch> epochs,
        List<Double> firstEpoch,
        OptionalInt divergedIn,
        List<Diagnostics> diagnostics) {
    /**
     * One pass over the training data.
     *
     * @param loss the mean over its batches, each before its step
     * @param accuracy the share of the test digits recognized after it, 0 to 1
     * @param milliseconds of training, without the test
     * @param normalizationMilliseconds the part of that spent between the dense layers
     */
    record Epoch(double loss, double accuracy, double milliseconds, double normalizationMilliseconds) {}

    String kind() {
        return norm.kind();
    }

    boolean normalized() {
        return norm != Norm.NONE;
    }

    /** The accuracy in the end; none for a network that diverged. */
    OptionalDouble finalAccuracy() {
        return divergedIn.isPresent()
                ? OptionalDouble.empty()
                : OptionalDouble.of(epochs.get(epochs.size() - 1).accuracy());
    }

    /** The first epoch, from 1, after which 90 % of the test digits were recognized. */
    OptionalInt epochOfNinetyPercent() {
        return IntStream.range(0, epochs.size())
                .filter(i -> epochs.get(i).accuracy() >= 0.9)
                .map(i -> i + 1)
                .findFirst();
    }

    /** Whether its loss ended no lower than ln(classes), which is what giving every class the same chance costs. */
    boolean stoppedLearning(int classes) {
        return divergedIn.isEmpty() && !(epochs.get(epochs.size() - 1).loss() < Math.log(classes));
    }

    /** The median, which a slow first epoch does not move; NaN if no epoch was finished. */
    double millisecondsPerEpoch() {
        return median(epochs.stream().mapToDouble(Epoch::milliseconds).toArray());
    }

    double normalizationMillisecondsPerEpoch() {
        return median(
                epochs.stream().mapToDouble(Epoch::normalizationMilliseconds).toArray());
    }

    private static double median(double[] values) {
        double[] sorted = Arrays.stream(values).sorted().toArray();
        return sorted.length == 0 ? Double.NaN : sorted[(sorted.length - 1) / 2];
    }
}
