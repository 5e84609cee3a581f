package org.clnorm.reference;

import java.util.Arrays;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Normalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;

/**
 * Batch normalization (Ioffe and Szegedy, 2015) in double precision, which is {@link ReferenceNormalization} where
 * channels are the groups; and the running statistics, which are per channel whatever the normalization.
 *
 * <p>Arrays of the shape (N, C, spatial...) are in the memory order of the given layout; {@code gamma}, {@code beta},
 * means and variances have one element per channel. No argument is changed. An array of the wrong length is an {@link
 * IllegalArgumentException} that names it.
 *
 * <p>Accuracy: with u = 2⁻⁵³ and m values per channel, the mean is right to about one rounding, and so is each x − mean,
 * even where mean/σ = 10⁵ (an error of 10⁵·u = 10⁻¹¹ σ). Sums are plain, with a relative error below m·u of the sum of
 * magnitudes: 10⁻⁹ for ten million values, and typically its square root's worth. Both are far below float32's 6·10⁻⁸.
 */
public final class ReferenceBatchNorm {
    /**
     * Statistics of a batch, per channel.
     *
     * @param mean Σx / m
     * @param variance the biased one, Σ(x − mean)² / m
     */
    public record Moments(double[] mean, double[] variance) {}

    /**
     * What a training forward pass gives.
     *
     * @param y of x's shape and layout
     * @param mean per channel
     * @param variance per channel, biased
     * @param inverseStandardDeviation per channel, 1/√(variance + ε)
     */
    public record Forward(double[] y, double[] mean, double[] variance, double[] inverseStandardDeviation) {}

    /**
     * What a backward pass gives.
     *
     * @param dx of x's shape and layout
     * @param dgamma as γ: per channel, of batch normalization
     * @param dbeta likewise
     * @param dresidual of x's shape and layout: dy where the activation let it through, else 0
     * @param largestTerm the largest finite magnitude, over all elements, of the terms whose sum is dx: γ·invstd·dy',
     *     γ·invstd·x̂·dγ/m and γ·invstd·dβ/m, of which frozen statistics have only the first, and likewise of other
     *     normalizations. They may cancel, so that a rounding error in dx is to be measured against this and not
     *     against dx; 0 where no term is finite
     */
    public record Gradients(double[] dx, double[] dgamma, double[] dbeta, double[] dresidual, double largestTerm) {}

    /**
     * Running statistics, per channel.
     *
     * @param mean the running mean
     * @param variance the running variance
     * @param absorbed how many batches the two hold
     */
    public record Running(double[] mean, double[] variance, double[] absorbed) {}

    private ReferenceBatchNorm() {}

    /**
     * The forward pass with the batch's own statistics: y = act((x − mean)·γ/√(variance + ε) + β + residual).
     *
     * @param residual of x's shape and layout, or null for 0
     * @param gamma per channel, or null for 1
     * @param beta per channel, or null for 0
     */
    public static Forward forwardTraining(
            Shape shape,
            Layout layout,
            double[] x,
            double[] residual,
            Activation activation,
            double[] gamma,
            double[] beta,
            double epsilon) {
        ReferenceNormalization normalization = of(shape, layout);
        Statistics statistics = normalization.statistics(x, epsilon, null);
        double[] y = normalization.normalize(x, residual, activation, gamma, beta, statistics);
        return new Forward(y, statistics.mean(), statistics.variance(), statistics.inverseStandardDeviation());
    }

    /** The forward pass with given statistics: y as in {@link #forwardTraining}. */
    public static double[] forwardInference(
            Shape shape,
            Layout layout,
            double[] x,
            double[] residual,
            Activation activation,
            double[] gamma,
            double[] beta,
            double epsilon,
            double[] mean,
            double[] variance) {
        double[] invstd = inverseStandardDeviation(variance, epsilon);
        return normalize(shape, layout, x, residual, activation, gamma, beta, mean, invstd);
    }

    /** The mean and biased variance of each channel; NaN for a channel with no values, or with one that is not finite. */
    public static Moments moments(Shape shape, Layout layout, double[] x) {
        Statistics statistics = of(shape, layout).statistics(x, 0, null);
        return new Moments(statistics.mean(), statistics.variance());
    }

    /** 1/√(variance + ε) of each channel. */
    public static double[] inverseStandardDeviation(double[] variance, double epsilon) {
        return Arrays.stream(variance).map(v -> 1 / Math.sqrt(v + epsilon)).toArray();
    }

    /**
     * The last step of either forward pass: y = act((x − mean)·invstd·γ + β + residual).
     *
     * @param residual of x's shape and layout, or null for 0
     * @param gamma per channel, or null for 1
     * @param beta per channel, or null for 0
     */
    public static double[] normalize(
            Shape shape,
            Layout layout,
            double[] x,
            double[] residual,
            Activation activation,
            double[] gamma,
            double[] beta,
            double[] mean,
            double[] inverseStandardDeviation) {
        ReferenceNormalization normalization = of(shape, layout);
        Statistics statistics = normalization.given(mean, inverseStandardDeviation);
        return normalization.normalize(x, residual, activation, gamma, beta, statistics);
    }

    /**
     * The backward pass. With x̂ = (x − mean)·invstd, m values per channel, and dy' = dy but 0 where the activation's
     * input was 0 or less (NaN lets it through):
     *
     * <ul>
     *   <li>dβ = Σ dy', dγ = Σ dy'·x̂, dresidual = dy'
     *   <li>dx = γ·invstd·(dy' − dβ/m − x̂·dγ/m) when the statistics were the batch's own (Ioffe and Szegedy, §3),
     *   <li>dx = γ·invstd·dy' when they were given.
     * </ul>
     *
     * @param frozen whether the statistics were given
     * @param y the forward pass's output, whose sign tells where a ReLU let its input through; may be null without an
     *     activation
     * @param gamma per channel, or null for 1
     * @param mean per channel, as used in the forward pass
     * @param inverseStandardDeviation per channel, as used in the forward pass
     */
    public static Gradients backward(
            Shape shape,
            Layout layout,
            boolean frozen,
            double[] dy,
            double[] x,
            double[] y,
            Activation activation,
            double[] gamma,
            double[] mean,
            double[] inverseStandardDeviation) {
        ReferenceNormalization normalization = of(shape, layout);
        Statistics statistics = frozen
                ? normalization.given(mean, inverseStandardDeviation)
                : new Statistics(mean, null, inverseStandardDeviation, null, null, new boolean[normalization.groups()]);
        return normalization.backward(dy, x, y, activation, gamma, statistics);
    }

    /**
     * The running statistics after one more batch: (1 − weight)·running + weight·batch, with the weight that {@link
     * RunningAverage} gives each channel for its number of absorbed batches.
     *
     * @param mean of the batch, per channel
     * @param variance of the batch, per channel, biased
     * @param valuesPerChannel m, by which the unbiased estimate is had from the biased one
     * @param policy {@link NonFinitePolicy#SKIP_RUNNING_UPDATE} leaves a channel whose batch statistics are not finite
     *     as it was; for {@link NonFinitePolicy#THROW} see {@link #checkFinite}
     * @throws IllegalArgumentException for an average of no kind, or for the unbiased estimate from fewer than 2 values
     */
    public static Running updateRunning(
            Running running,
            double[] mean,
            double[] variance,
            long valuesPerChannel,
            RunningAverage average,
            RunningVariance estimate,
            NonFinitePolicy policy) {
        int channels = mean.length;
        ReferenceNormalization.checkLength("variance", variance, channels);
        ReferenceNormalization.checkLength("running mean", running.mean, channels);
        ReferenceNormalization.checkLength("running variance", running.variance, channels);
        ReferenceNormalization.checkLength("absorbed", running.absorbed, channels);
        if (estimate == RunningVariance.UNBIASED && valuesPerChannel < 2) {
            throw new IllegalArgumentException(
                    "The unbiased variance needs at least 2 values per channel, but there is " + valuesPerChannel);
        }
        double m = valuesPerChannel;
        double correction = estimate == RunningVariance.UNBIASED ? m / (m - 1) : 1;
        Running updated = new Running(running.mean.clone(), running.variance.clone(), running.absorbed.clone());
        for (int c = 0; c < channels; c++) {
            if (policy == NonFinitePolicy.SKIP_RUNNING_UPDATE && !isFinite(mean[c], variance[c])) {
                continue;
            }
            double t = running.absorbed[c] + 1;
            double weight = weight(average, t);
            updated.mean[c] = average(running.mean[c], mean[c], weight);
            updated.variance[c] = average(running.variance[c], correction * variance[c], weight);
            updated.absorbed[c] = t;
        }
        return updated;
    }

    /**
     * Does what {@link NonFinitePolicy#THROW} asks for, and nothing under another policy.
     *
     * @throws NonFiniteException for the first channel whose batch statistics are not finite
     */
    public static void checkFinite(NonFinitePolicy policy, Moments moments) {
        if (policy != NonFinitePolicy.THROW) {
            return;
        }
        for (int c = 0; c < moments.mean.length; c++) {
            if (!isFinite(moments.mean[c], moments.variance[c])) {
                throw new NonFiniteException(c, moments.mean[c], moments.variance[c]);
            }
        }
    }

    /** Judged as float32, which statistics are kept in: there a variance past its range would be infinite. */
    private static boolean isFinite(double mean, double variance) {
        return Float.isFinite((float) mean) && Float.isFinite((float) variance);
    }

    /** What has no weight leaves no trace, were it NaN. */
    private static double average(double old, double fresh, double weight) {
        if (weight == 0) {
            return old;
        }
        return weight == 1 ? fresh : (1 - weight) * old + weight * fresh;
    }

    private static double weight(RunningAverage average, double t) {
        double w = average.newBatchWeight();
        return switch (average.kind()) {
            case EXPONENTIAL -> w;
            case CUMULATIVE -> 1 / t;
            // 1 − (1−w)ᵗ, written so that no digit of a small w is lost.
            case BIAS_CORRECTED_EXPONENTIAL -> w / -Math.expm1(t * Math.log1p(-w));
            case NONE ->
                throw new IllegalArgumentException(
                        "Running statistics can only be updated with an average, but the kind given was NONE");
        };
    }

    private static ReferenceNormalization of(Shape shape, Layout layout) {
        return new ReferenceNormalization(Normalization.BATCH, shape, layout);
    }
}
