package org.clnorm.diagnostics;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * A batch normalization after a forward pass in training, channel by channel. Deviations are σ = √(variance + ε), what
 * a normalization divides by. The running statistics are those that this batch has entered.
 *
 * @param name the layer's name, for people
 * @param step how many forward passes there were, this one included
 * @param meanDistance |batch mean − running mean| / running σ of each channel; NaN where that is not a finite number,
 *     and empty for a layer without running statistics
 * @param deviationLogRatio ln(batch σ / running σ) of each channel; NaN where that is not a finite number, and empty
 *     for a layer without running statistics
 * @param zeroShare the share of each channel's outputs that are 0, from 0 to 1; 0 for an empty batch
 * @param nonFinite how many of each channel's outputs are infinite or NaN
 * @param gamma γ of each channel; empty for a layer without
 * @param smallGamma the bound below which a |γ| counts as small, at least 0
 * @param nonFiniteParameters how many elements of γ and β are infinite or NaN
 * @param nonFiniteStatistics how many elements of the running mean and the running variance are infinite or NaN
 */
public record Diagnostics(
        String name,
        long step,
        double[] meanDistance,
        double[] deviationLogRatio,
        double[] zeroShare,
        long[] nonFinite,
        double[] gamma,
        double smallGamma,
        int nonFiniteParameters,
        int nonFiniteStatistics) {
    /** Copies the arrays. */
    public Diagnostics {
        Objects.requireNonNull(name, "name");
        meanDistance = Objects.requireNonNull(meanDistance, "meanDistance").clone();
        deviationLogRatio =
                Objects.requireNonNull(deviationLogRatio, "deviationLogRatio").clone();
        zeroShare = Objects.requireNonNull(zeroShare, "zeroShare").clone();
        nonFinite = Objects.requireNonNull(nonFinite, "nonFinite").clone();
        gamma = Objects.requireNonNull(gamma, "gamma").clone();
    }

    @Override
    public double[] meanDistance() {
        return meanDistance.clone();
    }

    @Override
    public double[] deviationLogRatio() {
        return deviationLogRatio.clone();
    }

    @Override
    public double[] zeroShare() {
        return zeroShare.clone();
    }

    @Override
    public long[] nonFinite() {
        return nonFinite.clone();
    }

    @Override
    public double[] gamma() {
        return gamma.clone();
    }

    /** How many channels the layer has, C. */
    public int channels() {
        return zeroShare.length;
    }

    /** The channels, from 0, whose output is 0 everywhere in the batch: after a ReLU, those that learn no more. */
    public int[] deadChannels() {
        return which(c -> zeroShare[c] == 1);
    }

    /** The share of all channels that are dead, from 0 to 1. */
    public double deadShare() {
        return (double) deadChannels().length / channels();
    }

    /** The channels, from 0, whose |γ| is below {@link #smallGamma}. */
    public int[] smallGammaChannels() {
        return gamma.length == 0 ? new int[0] : which(c -> Math.abs(gamma[c]) < smallGamma);
    }

    /** The channels, from 0, with outputs that are infinite or NaN. */
    public int[] nonFiniteChannels() {
        return which(c -> nonFinite[c] > 0);
    }

    private int[] which(IntPredicate predicate) {
        return IntStream.range(0, channels()).filter(predicate).toArray();
    }

    /** How many outputs, parameters and running statistics are infinite or NaN. */
    public long nonFiniteCount() {
        return Arrays.stream(nonFinite).sum() + nonFiniteParameters + nonFiniteStatistics;
    }

    /** Whether all is finite and no channel is dead. */
    public boolean isHealthy() {
        return nonFiniteCount() == 0 && deadChannels().length == 0;
    }

    /** The median of {@link #meanDistance}, of an even number the lower one; NaN where none is finite. */
    public double medianMeanDistance() {
        double[] sorted =
                Arrays.stream(meanDistance).filter(Double::isFinite).sorted().toArray();
        return sorted.length == 0 ? Double.NaN : sorted[(sorted.length - 1) / 2];
    }

    /** The largest {@link #meanDistance} that is finite; NaN where none is. */
    public double largestMeanDistance() {
        return Arrays.stream(meanDistance).filter(Double::isFinite).max().orElse(Double.NaN);
    }

    /** The smallest batch σ / running σ that is finite; NaN where none is. */
    public double smallestDeviationRatio() {
        return Math.exp(
                Arrays.stream(deviationLogRatio).filter(Double::isFinite).min().orElse(Double.NaN));
    }

    /** The largest batch σ / running σ that is finite; NaN where none is. */
    public double largestDeviationRatio() {
        return Math.exp(
                Arrays.stream(deviationLogRatio).filter(Double::isFinite).max().orElse(Double.NaN));
    }

    /** The share of all outputs that are 0, from 0 to 1. */
    public double zeros() {
        return Arrays.stream(zeroShare).average().orElse(0);
    }

    /** All of it in one line, for people. */
    public String summary() {
        List<String> parts = new ArrayList<>();
        if (!Double.isNaN(medianMeanDistance())) {
            parts.add(format(
                    "batch means %.3g (median) to %.3g running deviations from the running means",
                    medianMeanDistance(), largestMeanDistance()));
        }
        if (!Double.isNaN(smallestDeviationRatio())) {
            parts.add(format(
                    "batch deviations %.3g to %.3g of the running ones",
                    smallestDeviationRatio(), largestDeviationRatio()));
        }
        parts.add(format("%.1f %% zeros", 100 * zeros()));
        parts.add(format("%d of %d channels dead", deadChannels().length, channels()));
        if (gamma.length > 0) {
            parts.add(format("%d with |gamma| < %s", smallGammaChannels().length, smallGamma));
        }
        parts.add(
                nonFiniteCount() == 0
                        ? "all finite"
                        : format(
                                "not finite: %d outputs in %d channels, %d parameters, %d running statistics",
                                Arrays.stream(nonFinite).sum(),
                                nonFiniteChannels().length,
                                nonFiniteParameters,
                                nonFiniteStatistics));
        return name + ", step " + step + ": " + String.join(", ", parts);
    }

    private static String format(String format, Object... values) {
        return String.format(Locale.ROOT, format, values);
    }

    @Override
    public String toString() {
        return summary();
    }
}
