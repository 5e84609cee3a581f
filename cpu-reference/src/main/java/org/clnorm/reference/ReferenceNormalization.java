package org.clnorm.reference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Renormalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Moments;
import org.clnorm.reference.ReferenceBatchNorm.Running;

/**
 * Any normalization of tensors of one shape and layout, in double precision. Plain loops over the batch n, the channel c
 * and the position s find for each element its group and its γ and β; all else goes by these two numbers and is the same
 * for every normalization.
 *
 * <p>Arrays of the tensor's shape are in the memory order of the layout. Groups are numbered block·C + c, sample·groups +
 * group, sample·S + s or by row; γ and β c, n·C + c, by the element of a row or by row. No argument is changed. An array of the wrong
 * length is an {@link IllegalArgumentException} that names it. For the accuracy see {@link ReferenceBatchNorm}.
 */
public final class ReferenceNormalization {
    /**
     * What a forward pass normalizes with, per group: x̂ = (x − mean)·inverseStandardDeviation, of which it takes x̂·r + d.
     *
     * @param mean Σx / m; 0 for a statistic without one
     * @param variance Σ(x − mean)² / m; of {@code LENGTH} Σx². Null where only the next was given
     * @param inverseStandardDeviation 1/√(variance + ε); of {@code LENGTH} 1/max(√variance, ε)
     * @param r of batch renormalization, or null for 1
     * @param d of batch renormalization, or null for 0
     * @param constant where mean and inverseStandardDeviation do not depend on x: they were given, or ε is all of a length
     */
    public record Statistics(
            double[] mean,
            double[] variance,
            double[] inverseStandardDeviation,
            double[] r,
            double[] d,
            boolean[] constant) {
        private double normalized(double x, int group) {
            return (x - mean[group]) * inverseStandardDeviation[group];
        }

        private double corrected(double normalized, int group) {
            return normalized * (r == null ? 1 : r[group]) + (d == null ? 0 : d[group]);
        }
    }

    private final Normalization normalization;
    private final Shape shape;
    private final int[] groupOf;
    private final int[] affineOf;
    private final double[] valuesOf;
    private final int affineElements;
    private final StepMask mask;

    /** Of x's own statistics. */
    public ReferenceNormalization(Normalization normalization, Shape shape, Layout layout) {
        this(normalization, shape, layout, null);
    }

    /**
     * Of the statistics of those elements of x that take part.
     *
     * @param mask which steps do, of the same shape, layout and grouping; null for all
     */
    public ReferenceNormalization(Normalization normalization, Shape shape, Layout layout, StepMask mask) {
        this.mask = mask;
        this.normalization = normalization;
        this.shape = shape;
        groupOf = new int[Math.toIntExact(shape.elements())];
        affineOf = new int[groupOf.length];
        Grouping grouping = normalization.grouping();
        if (grouping instanceof Grouping.Rows rows) {
            numberRows(rows, layout);
        } else {
            numberChannels(grouping, layout);
        }
        valuesOf = new double[Math.toIntExact(grouping.groups(shape, layout))];
        for (int i = 0; i < groupOf.length; i++) {
            valuesOf[groupOf[i]] += takesPart(i) ? 1 : 0;
        }
        long samples = normalization.perSample() ? shape.batch() : 1;
        affineElements = Math.toIntExact(samples * grouping.affine(shape, layout));
    }

    /** Of given statistics, which are per channel over the whole batch, whatever x's own are. */
    public static ReferenceNormalization ofGivenStatistics(Normalization normalization, Shape shape, Layout layout) {
        return ofGivenStatistics(normalization, shape, layout, null);
    }

    /** Likewise, for those elements that take part. */
    public static ReferenceNormalization ofGivenStatistics(
            Normalization normalization, Shape shape, Layout layout, StepMask mask) {
        return new ReferenceNormalization(
                new Normalization(Grouping.batch(), Statistic.CENTERED, normalization.perSample(), null),
                shape,
                layout,
                mask);
    }

    private void numberRows(Grouping.Rows rows, Layout layout) {
        long[] dimensions = layout.memoryOrder(shape);
        int length = 1;
        for (int i = 1; i <= rows.dimensions(); i++) {
            length *= (int) dimensions[dimensions.length - i];
        }
        for (int i = 0; i < groupOf.length; i++) {
            groupOf[i] = i / length;
            affineOf[i] = rows.affineByElement() ? i % length : i / length;
        }
    }

    private void numberChannels(Grouping grouping, Layout layout) {
        int channels = Math.toIntExact(shape.channels());
        int spatial = Math.toIntExact(shape.spatial());
        for (int n = 0; n < shape.batch(); n++) {
            for (int c = 0; c < channels; c++) {
                int group = grouping instanceof Grouping.Positions
                        ? n * spatial
                        : grouping instanceof Grouping.Channels run
                                ? n * run.groups() + c / (channels / run.groups())
                                : virtualBatch((Grouping.Batch) grouping, n) * channels + c;
                int affine = normalization.perSample() ? n * channels + c : c;
                for (int s = 0; s < spatial; s++) {
                    int i = layout == Layout.CHANNELS_FIRST
                            ? (n * channels + c) * spatial + s
                            : (n * spatial + s) * channels + c;
                    groupOf[i] = grouping instanceof Grouping.Positions ? group + s : group;
                    affineOf[i] = affine;
                }
            }
        }
    }

    private boolean takesPart(int i) {
        return mask == null || mask.takesPart(i);
    }

    /** Whether a group has so few steps that take part that there is nothing to normalize by, and x̂ is 0. */
    private boolean hasFew(int group) {
        return mask != null
                && !(normalization.grouping() instanceof Grouping.Rows)
                && valuesOf[group] < 2 * valuesOfStep();
    }

    /** How many elements of a group a step has. */
    private double valuesOfStep() {
        return normalization.grouping() instanceof Grouping.Channels run ? shape.channels() / run.groups() : 1;
    }

    private int virtualBatch(Grouping.Batch batch, int n) {
        return (int) Math.min(n / batch.samples(), batch.virtualBatches(shape.batch()) - 1);
    }

    /** How many groups there are. */
    public int groups() {
        return valuesOf.length;
    }

    /** The group of the element that is the i-th in memory. */
    public int groupOf(int i) {
        return groupOf[i];
    }

    /** How many elements a group has. */
    public long valuesOf(int group) {
        return (long) valuesOf[group];
    }

    /** How many elements a tensor has. */
    public int elements() {
        return groupOf.length;
    }

    /** How many elements γ and β have each. */
    public int affineElements() {
        return affineElements;
    }

    /** Which γ and β the element has that is the i-th in memory. */
    public int affineOf(int i) {
        return affineOf[i];
    }

    /**
     * The statistics of x; NaN for a group with no values, or with one that is not finite.
     *
     * @param running as it was before this pass, which batch renormalization looks at, or null for none
     */
    public Statistics statistics(double[] x, double epsilon, Running running) {
        checkTensor("x", x);
        double[] mean = new double[groups()];
        if (normalization.statistic() == Statistic.CENTERED) {
            addMeanOfDeviations(x, mean);
            // The rounding errors of a long sum of large values grow with its length and with mean/σ. What is left
            // after subtracting a mean that is nearly right is small, and so are the errors of its sum: adding its
            // average makes the mean right to about its last bit.
            addMeanOfDeviations(x, mean);
        }
        double[] variance = new double[groups()];
        for (int i = 0; i < x.length; i++) {
            if (takesPart(i)) {
                double deviation = x[i] - mean[groupOf[i]];
                variance[groupOf[i]] += deviation * deviation;
            }
        }
        boolean[] constant = new boolean[groups()];
        if (normalization.statistic() == Statistic.LENGTH) {
            double[] length = Arrays.stream(variance).map(Math::sqrt).toArray();
            for (int g = 0; g < groups(); g++) {
                constant[g] = length[g] < epsilon;
            }
            double[] inverse =
                    Arrays.stream(length).map(l -> 1 / Math.max(l, epsilon)).toArray();
            return new Statistics(mean, variance, inverse, null, null, constant);
        }
        Arrays.setAll(variance, g -> hasFew(g) ? 0 : variance[g] / valuesOf[g]);
        double[] invstd = ReferenceBatchNorm.inverseStandardDeviation(variance, epsilon);
        for (int g = 0; g < groups(); g++) {
            if (hasFew(g)) {
                mean[g] = valuesOf[g] == 0 ? 0 : mean[g];
                invstd[g] = 0;
            }
        }
        Statistics plain = new Statistics(mean, variance, invstd, null, null, constant);
        return normalization.renormalization() == null || running == null
                ? plain
                : renormalized(plain, normalization.renormalization(), running, epsilon);
    }

    private void addMeanOfDeviations(double[] x, double[] mean) {
        double[] sum = new double[groups()];
        for (int i = 0; i < x.length; i++) {
            sum[groupOf[i]] += takesPart(i) ? x[i] - mean[groupOf[i]] : 0;
        }
        for (int g = 0; g < groups(); g++) {
            mean[g] += sum[g] / valuesOf[g];
        }
    }

    private Statistics renormalized(Statistics batch, Renormalization bounds, Running running, double epsilon) {
        int channels = Math.toIntExact(shape.channels());
        checkLength("running mean", running.mean(), channels);
        checkLength("running variance", running.variance(), channels);
        double[] r = new double[groups()];
        double[] d = new double[groups()];
        for (int g = 0; g < groups(); g++) {
            int c = g % channels;
            double sigma = Math.sqrt(running.variance()[c] + epsilon);
            double ratio = Math.sqrt(batch.variance[g] + epsilon) / sigma;
            double distance = (batch.mean[g] - running.mean()[c]) / sigma;
            r[g] = Math.max(1 / bounds.rMax(), Math.min(ratio, bounds.rMax()));
            d[g] = Math.max(-bounds.dMax(), Math.min(distance, bounds.dMax()));
        }
        return new Statistics(batch.mean, batch.variance, batch.inverseStandardDeviation, r, d, batch.constant);
    }

    /** Statistics that were given, of each group. */
    public Statistics given(double[] mean, double[] inverseStandardDeviation) {
        boolean[] constant = new boolean[groups()];
        Arrays.fill(constant, true);
        return new Statistics(mean, null, inverseStandardDeviation, null, null, constant);
    }

    /**
     * The same, but for the samples at the end whose statistics are given.
     *
     * @param mean of each channel
     * @param variance of each channel
     */
    public Statistics withGiven(Statistics own, double[] mean, double[] variance, double epsilon) {
        int channels = Math.toIntExact(shape.channels());
        checkLength("mean", mean, channels);
        checkLength("variance", variance, channels);
        double[] invstd = ReferenceBatchNorm.inverseStandardDeviation(variance, epsilon);
        double[] means = own.mean.clone();
        double[] variances = own.variance.clone();
        double[] inverses = own.inverseStandardDeviation.clone();
        boolean[] constant = own.constant.clone();
        for (int g = ownGroups(), c = 0; g < groups(); g++, c++) {
            means[g] = mean[c];
            variances[g] = variance[c];
            inverses[g] = invstd[c];
            constant[g] = true;
        }
        return new Statistics(means, variances, inverses, own.r, own.d, constant);
    }

    /** How many groups, the first ones, have statistics of their own; the others, of samples at the end, given ones. */
    public int ownGroups() {
        return groups() - (normalization.grouping().givenSamples(shape) > 0 ? Math.toIntExact(shape.channels()) : 0);
    }

    /** Whether some statistics are given. */
    public boolean hasGiven() {
        return ownGroups() < groups();
    }

    /**
     * The last step of a forward pass: y = act((x̂·r + d)·γ + β + residual).
     *
     * @param residual of x's shape and layout, or null for 0
     * @param gamma null for 1
     * @param beta null for 0
     */
    public double[] normalize(
            double[] x,
            double[] residual,
            Activation activation,
            double[] gamma,
            double[] beta,
            Statistics statistics) {
        checkTensor("x", x);
        if (residual != null) {
            checkTensor("residual", residual);
        }
        checkAffine("gamma", gamma);
        checkAffine("beta", beta);
        checkStatistics(statistics);
        double[] y = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            double normalized = statistics.normalized(x[i], groupOf[i]);
            double scale = gamma == null ? 1 : gamma[affineOf[i]];
            double shift = beta == null ? 0 : beta[affineOf[i]];
            double added = residual == null ? 0 : residual[i];
            double v = statistics.corrected(normalized, groupOf[i]) * scale + shift + added;
            y[i] = ReferenceActivation.of(activation, v);
        }
        return y;
    }

    /**
     * The x of which {@link #normalize} made y = act(v) without a residual: x̂·r + d = (v − β)/γ, and x = mean +
     * x̂/inverseStandardDeviation.
     *
     * @param activation one that can be undone
     * @param gamma null for 1
     * @param beta null for 0
     */
    public double[] undo(double[] y, Activation activation, double[] gamma, double[] beta, Statistics statistics) {
        checkTensor("y", y);
        checkAffine("gamma", gamma);
        checkAffine("beta", beta);
        checkStatistics(statistics);
        double[] x = new double[y.length];
        for (int i = 0; i < y.length; i++) {
            double shift = beta == null ? 0 : beta[affineOf[i]];
            double corrected =
                    (ReferenceActivation.undo(activation, y[i]) - shift) / (gamma == null ? 1 : gamma[affineOf[i]]);
            int g = groupOf[i];
            double normalized = (corrected - (statistics.d == null ? 0 : statistics.d[g]))
                    / (statistics.r == null ? 1 : statistics.r[g]);
            x[i] = statistics.mean[g] + normalized / statistics.inverseStandardDeviation[g];
        }
        return x;
    }

    /**
     * The backward pass. With dy' = dy but 0 where the activation's input was 0 or less (NaN lets it through), h = dy'·γ·r
     * and sums over the m elements of a group, except for those of dγ and dβ, which are over all elements that have them:
     *
     * <ul>
     *   <li>dβ = Σ dy', dγ = Σ dy'·(x̂·r + d), dresidual = dy'
     *   <li>dx = invstd·(h − Σh/m − x̂·Σ(h·x̂)/m), since ∂x̂ⱼ/∂xᵢ = invstd·(δᵢⱼ − 1/m − x̂ᵢ·x̂ⱼ/m)
     *   <li>without Σh/m for a statistic without a mean; of {@code LENGTH} also without the division by m
     *   <li>dx = invstd·h where the statistics are constant.
     * </ul>
     *
     * @param y the forward pass's output, whose sign tells where a ReLU let its input through; may be null without an
     *     activation
     * @param gamma null for 1
     * @param statistics as used in the forward pass
     */
    public Gradients backward(
            double[] dy, double[] x, double[] y, Activation activation, double[] gamma, Statistics statistics) {
        if (!activation.kind().isByOutput()) {
            throw new IllegalArgumentException("The derivative of " + activation + " is not had from y");
        }
        if (activation.kind() != Activation.Kind.NONE) {
            checkTensor("y", y);
        }
        double[] slopes = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            slopes[i] =
                    activation.kind() == Activation.Kind.NONE ? 1 : ReferenceActivation.slopeAtOutput(activation, y[i]);
        }
        return backward(dy, x, slopes, gamma, statistics);
    }

    /**
     * The gradients of a pass whose activation's derivatives are known.
     *
     * @param slopes the derivative at each element; where one is 0, so is the gradient, whatever dy is
     */
    public Gradients backward(double[] dy, double[] x, double[] slopes, double[] gamma, Statistics statistics) {
        checkTensor("dy", dy);
        checkTensor("x", x);
        checkTensor("slopes", slopes);
        checkAffine("gamma", gamma);
        checkStatistics(statistics);
        double[] dresidual = new double[x.length];
        double[] dgamma = new double[affineElements];
        double[] dbeta = new double[affineElements];
        double[] h = new double[x.length];
        double[] sum = new double[groups()];
        double[] product = new double[groups()];
        for (int i = 0; i < x.length; i++) {
            if (!takesPart(i)) {
                continue; // whatever is there
            }
            int g = groupOf[i];
            int a = affineOf[i];
            double normalized = statistics.normalized(x[i], g);
            dresidual[i] = slopes[i] == 0 ? 0 : dy[i] * slopes[i];
            dbeta[a] += dresidual[i];
            dgamma[a] += dresidual[i] * statistics.corrected(normalized, g);
            h[i] = dresidual[i] * (gamma == null ? 1 : gamma[a]) * (statistics.r == null ? 1 : statistics.r[g]);
            sum[g] += h[i];
            product[g] += h[i] * normalized;
        }
        boolean centred = normalization.statistic() == Statistic.CENTERED;
        boolean averaged = normalization.statistic() != Statistic.LENGTH;
        double[] dx = new double[x.length];
        double largestTerm = 0;
        for (int i = 0; i < x.length; i++) {
            if (!takesPart(i)) {
                continue;
            }
            int g = groupOf[i];
            double invstd = statistics.inverseStandardDeviation[g];
            boolean constant = statistics.constant[g];
            double direct = invstd * h[i];
            double throughMean = constant || !centred ? 0 : invstd * sum[g] / valuesOf[g];
            double throughScale =
                    constant ? 0 : invstd * statistics.normalized(x[i], g) * product[g] / (averaged ? valuesOf[g] : 1);
            dx[i] = direct - throughMean - throughScale;
            for (double term : new double[] {direct, throughMean, throughScale}) {
                largestTerm = Double.isFinite(term) ? Math.max(largestTerm, Math.abs(term)) : largestTerm;
            }
        }
        return new Gradients(dx, dgamma, dbeta, dresidual, largestTerm);
    }

    /**
     * Does what {@link NonFinitePolicy#THROW} asks for, and nothing under another policy.
     *
     * @throws NonFiniteException for the first channel, or group where groups are not channels, whose statistics are not
     *     finite
     */
    public void checkFinite(NonFinitePolicy policy, Statistics statistics) {
        for (Moments batch : batches(statistics)) {
            ReferenceBatchNorm.checkFinite(policy, batch);
        }
    }

    /**
     * The running statistics after this pass: virtual batches enter one after the other; of channels of their own in each
     * sample, the averages over the samples enter, as one batch.
     *
     * @throws IllegalArgumentException as {@link ReferenceBatchNorm#updateRunning} does, and where groups are not channels
     */
    public Running updateRunning(
            Running running,
            Statistics statistics,
            RunningAverage average,
            RunningVariance estimate,
            NonFinitePolicy policy) {
        if (!groupsAreChannels()) {
            throw new IllegalArgumentException(
                    "Running statistics are those of channels, but the groups are " + normalization.grouping());
        }
        Running updated = running;
        int first = 0;
        if (mask != null && normalization.grouping() instanceof Grouping.Channels) {
            // Samples have as many values as they have steps, so that the average is of estimates.
            double[] estimates = statistics.variance.clone();
            if (estimate == RunningVariance.UNBIASED) {
                Arrays.setAll(estimates, g -> estimates[g] * valuesOf[g] / (valuesOf[g] - 1));
            }
            Statistics estimated = new Statistics(
                    statistics.mean, estimates, statistics.inverseStandardDeviation, null, null, statistics.constant);
            for (Moments mean : batches(estimated)) {
                updated = ReferenceBatchNorm.updateRunning(
                        updated, mean.mean(), mean.variance(), 2, average, RunningVariance.BIASED, policy);
            }
            return updated;
        }
        for (Moments batch : batches(statistics)) {
            long values = (long) valuesOf[first];
            updated = ReferenceBatchNorm.updateRunning(
                    updated, batch.mean(), batch.variance(), values, average, estimate, policy);
            first += batch.mean().length;
        }
        return updated;
    }

    private boolean groupsAreChannels() {
        return normalization.grouping() instanceof Grouping.Channels run
                ? run.groups() == shape.channels()
                : normalization.grouping() instanceof Grouping.Batch;
    }

    /** The statistics as those of batches that came one after the other, per channel each; none that are given. */
    private List<Moments> batches(Statistics statistics) {
        if (!groupsAreChannels()) {
            return List.of(new Moments(statistics.mean, statistics.variance));
        }
        int channels = Math.toIntExact(shape.channels());
        List<Moments> batches = new ArrayList<>();
        for (int first = 0; first < ownGroups(); first += channels) {
            batches.add(new Moments(
                    Arrays.copyOfRange(statistics.mean, first, first + channels),
                    Arrays.copyOfRange(statistics.variance, first, first + channels)));
        }
        if (normalization.grouping() instanceof Grouping.Channels) {
            Moments average = new Moments(new double[channels], new double[channels]);
            List<Moments> entering = new ArrayList<>();
            for (int n = 0; n < batches.size(); n++) {
                if (!hasFew(n * channels)) {
                    entering.add(batches.get(n));
                }
            }
            for (Moments sample : entering) {
                for (int c = 0; c < channels; c++) {
                    average.mean()[c] += sample.mean()[c];
                    average.variance()[c] += sample.variance()[c];
                }
            }
            Arrays.setAll(average.mean(), c -> average.mean()[c] / entering.size());
            Arrays.setAll(average.variance(), c -> average.variance()[c] / entering.size());
            return entering.isEmpty() ? entering : List.of(average);
        }
        return batches;
    }

    private void checkTensor(String name, double[] array) {
        checkLength(name, array, groupOf.length);
    }

    private void checkAffine(String name, double[] array) {
        if (array != null) {
            checkLength(name, array, affineElements);
        }
    }

    private void checkStatistics(Statistics statistics) {
        checkLength("mean", statistics.mean, groups());
        checkLength("inverseStandardDeviation", statistics.inverseStandardDeviation, groups());
    }

    static void checkLength(String name, double[] array, int expected) {
        if (array == null || array.length != expected) {
            throw new IllegalArgumentException(name + " must have " + expected + " elements, but "
                    + (array == null ? "is null" : "has " + array.length));
        }
    }
}
