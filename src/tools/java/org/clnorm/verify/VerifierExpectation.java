package org.clnorm.verify;

import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.backend.Grouping;
import org.clnorm.reference.ReferenceActivation;
import org.clnorm.reference.ReferenceBatchNorm;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.clnorm.reference.StepMask;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.InPlace;

/**
 * What a case's arrays are to be, by the reference in double precision, and how near to it they must come.
 *
 * <p>A bound is a share of the array's scale: the largest magnitude of the array, or of what it is the sum of, where
 * that is larger.
 *
 * <ul>
 *   <li>y: the pre-activation, since ReLU may leave nothing, or x̂·γ or β, which may leave nothing of each other; of constants,
 *       what a rounding of their mean would make of it.
 *   <li>the residual's gradient: dy' = dy·slope, or what a rounding of v makes of it, dy·v·the slope's own slope, where that is
 *       larger: near the place where a curved activation has no slope.
 *   <li>dx: the largest of its terms ({@link Gradients#largestTerm}), or what such a rounding makes of dy'·γ/σ.
 *   <li>dγ and dβ: √Σ terms², which is how large a sum of m terms of either sign comes out. Only where a case has few
 *       of them can all of its sums be smaller by chance.
 *   <li>means: the standard deviation, for the same reason.
 *   <li>running statistics: the larger of (1 − weight)·running and weight·batch. A variance may be off by twice the share that
 *       1/σ may be, which is a root of it.
 * </ul>
 *
 * <p>The mask of a ReLU may differ where the pre-activation is 0 to within rounding, and then dx differs by all of dy.
 * So y is held against the reference, sign included, and the gradients against those of the reference for the y that
 * was computed.
 */
final class VerifierExpectation {
    /** float32 rounds by 6e-8 of a value. */
    static final double BOUND = 5e-7;

    /** Half a unit in the last place of a float32, at most, as a share of it. */
    private static final double ROUNDING = 0x1p-24;

    /** For data that float32 computes with almost without rounding: two units in the last place. */
    static final double EXACT_BOUND = 0x1p-22;

    /**
     * An array.
     *
     * @param bound of the error, as a share of the scale
     */
    record Expected(double[] values, double scale, double bound) {}

    private final VerifierCase c;
    private final VerifierInputs inputs;
    private final double[] x;
    private final double[] gamma;
    private final double[] beta;
    private final ReferenceNormalization reference;
    private final Statistics statistics;
    private final double[] variance;
    private final double bound;
    private final StepMask mask;

    VerifierExpectation(VerifierCase c, VerifierInputs inputs) {
        this.c = c;
        this.inputs = inputs;
        this.x = widen(inputs.normalized(c));
        this.mask = VerifierInputs.mask(c);
        this.gamma = c.affine().gamma ? widen(inputs.gamma()) : null;
        this.beta = c.affine().beta ? widen(inputs.beta()) : null;
        if (c.mode().training) {
            this.reference = new ReferenceNormalization(c.normalization(), c.shape(), c.layout(), mask);
            Statistics own = reference.statistics(x, c.epsilon(), c.updatesRunning() ? running() : null);
            this.statistics = reference.hasGiven() ? withGiven(own) : own;
            this.variance = statistics.variance();
        } else {
            this.reference = ReferenceNormalization.ofGivenStatistics(c.normalization(), c.shape(), c.layout(), mask);
            this.variance = widen(inputs.runningVariance());
            this.statistics = reference.given(
                    widen(inputs.runningMean()), ReferenceBatchNorm.inverseStandardDeviation(variance, c.epsilon()));
        }
        this.bound = c.data() == Data.EXACT ? EXACT_BOUND : BOUND;
    }

    /** With the statistics of the last samples: the running ones, as they are stored after the pass where it updates them. */
    private Statistics withGiven(Statistics own) {
        Running given = c.updatesRunning() ? updated(running(), own) : running();
        return reference.withGiven(own, stored(given.mean()), stored(given.variance()), c.epsilon());
    }

    private static double[] stored(double[] values) {
        return Arrays.stream(values).map(value -> (float) value).toArray();
    }

    /** As they were before. */
    private Running running() {
        return new Running(widen(inputs.runningMean()), widen(inputs.runningVariance()), widen(inputs.absorbed()));
    }

    /** Whether the policy refuses the batch. */
    boolean isRefused() {
        return c.mode().training && c.policy() == NonFinitePolicy.THROW && c.data() == Data.NON_FINITE;
    }

    /** The running statistics when a batch was refused: what they were. */
    Map<String, Expected> refused() {
        return c.updatesRunning()
                ? Map.of(
                        "running_mean", exactly(widen(inputs.runningMean())),
                        "running_var", exactly(widen(inputs.runningVariance())),
                        "absorbed", exactly(widen(inputs.absorbed())))
                : Map.of();
    }

    /** A copy of x, which is called y. */
    Map<String, Expected> copy() {
        return Map.of("y", exactly(widen(inputs.x())));
    }

    /** @param y the output that the forward pass gave */
    Map<String, Expected> forward(float[] y) {
        Map<String, Expected> expected = new LinkedHashMap<>();
        double[] preActivation = preActivation();
        if (c.fusion().addsBefore()) {
            expected.put("sum", exactly(x));
        }
        double[] values = written(activated(preActivation, y));
        double[] normalized = normalized();
        double scale = ArrayError.largestMagnitude(zeroed(preActivation));
        for (int i = 0; i < values.length; i++) {
            if (mask == null || mask.takesPart(i)) {
                scale = largerFinite(scale, gammaOf(i) * Math.max(Math.abs(normalized[i]), roundingOfMean(i)));
                scale = largerFinite(scale, beta == null ? 0 : Math.abs(beta[reference.affineOf(i)]));
            }
        }
        expected.put("y", new Expected(values, scale, bound));
        // A variance need be no float32 for its root to be one.
        double sigma = ArrayError.largestMagnitude(
                Arrays.stream(variance).map(Math::sqrt).toArray());
        double[] mean = statistics.mean();
        if (c.shownGroups() > 0 && !(mask != null && c.normalization().grouping() instanceof Grouping.Rows)) {
            boolean exact = !c.mode().training || c.data() == Data.EXACT;
            expected.put("save_mean", exact ? exactly(mean) : new Expected(mean, sigma, bound));
            expected.put("save_invstd", new Expected(statistics.inverseStandardDeviation(), 0, bound));
        }
        if (c.updatesRunning()) {
            double[] nothing = new double[c.channels()];
            Running there = running();
            Running running = updated(there, statistics);
            double[] none = new double[mean.length];
            double averaged = ofAverages();
            Running old = updated(there, new Statistics(none, none, none, null, null, null));
            Running added = updated(new Running(nothing, nothing, there.absorbed()), statistics);
            expected.put(
                    "running_mean",
                    new Expected(running.mean(), Math.max(sigma, largest(old.mean(), added.mean())), bound + averaged));
            expected.put(
                    "running_var",
                    new Expected(running.variance(), largest(old.variance(), added.variance()), 2 * bound + averaged));
            expected.put("absorbed", exactly(running.absorbed()));
        }
        return expected;
    }

    /**
     * How much of x̂ is a rounding of the mean to float32. A kernel has the mean in two of them, so that it comes nearer by another
     * bound; where all values of a group are one, and x̂ is 0, that is all there is for a scale.
     */
    private double roundingOfMean(int i) {
        int group = reference.groupOf(i);
        return ROUNDING * Math.abs(statistics.mean()[group]) * statistics.inverseStandardDeviation()[group];
    }

    private double[] normalized() {
        return reference.normalize(x, null, Activation.NONE, null, null, statistics);
    }

    /** Its magnitude. */
    private double gammaOf(int i) {
        return gamma == null ? 1 : Math.abs(gamma[reference.affineOf(i)]);
    }

    private static double largerFinite(double some, double other) {
        return Double.isFinite(other) ? Math.max(some, other) : some;
    }

    /** What an output comes to be: with a mask, not all of it is written. */
    private double[] written(double[] values) {
        return mask == null ? values : mask.written(values, widen(inputs.there()), null);
    }

    /** The same with 0 where nothing is computed. */
    private double[] zeroed(double[] values) {
        return mask == null ? values : mask.written(values, new double[values.length], null);
    }

    private double[] preActivation() {
        double[] residual = c.fusion().addsAfter() ? widen(inputs.residual()) : null;
        return reference.normalize(x, residual, Activation.NONE, gamma, beta, statistics);
    }

    private Running updated(Running running, Statistics batch) {
        return reference.updateRunning(running, batch, c.average(), c.estimate(), c.policy());
    }

    /**
     * What several virtual batches may add to the error of a running average, as a share of it. Each is two roundings by up to half
     * a unit, ROUNDING, anywhere between: a deviation of √(2/3)·ROUNDING. Those of a batch shrink, as it does, by 1 − weight with
     * each that comes after, and are of either sign; so their sum has the deviation √(2/3)·ROUNDING·√Σ rest², rest being what is left of
     * each at the end. It stays within four deviations. One batch has what the bound has room for.
     */
    private double ofAverages() {
        if (!(c.normalization().grouping() instanceof Grouping.Batch)) {
            return 0;
        }
        double[] ones = new double[c.channels()];
        Arrays.fill(ones, 1);
        double[] zeros = new double[c.channels()];
        double[] squares = new double[c.channels()];
        double[] absorbed = running().absorbed();
        for (int batch = 0; batch < reference.ownGroups() / c.channels(); batch++) {
            Running rest = ReferenceBatchNorm.updateRunning(
                    new Running(ones, zeros, absorbed), zeros, zeros, 2, c.average(), c.estimate(), c.policy());
            absorbed = rest.absorbed();
            Arrays.setAll(squares, i -> squares[i] * rest.mean()[i] * rest.mean()[i] + 1);
        }
        return 4 * Math.sqrt(2.0 / 3) * ROUNDING * (Math.sqrt(ArrayError.largestMagnitude(squares)) - 1);
    }

    private static double largest(double[] some, double[] others) {
        return Math.max(ArrayError.largestMagnitude(some), ArrayError.largestMagnitude(others));
    }

    /**
     * The activation's values; of ReLU, but where the given y is on the other side of 0, the pre-activation, so that the error is the
     * distance by which it got there.
     */
    private double[] activated(double[] preActivation, float[] y) {
        double[] activated = preActivation.clone();
        Activation activation = c.fusion().activation;
        if (activation == Activation.RELU) {
            Arrays.setAll(activated, i -> activated[i] <= 0 && y[i] <= 0 ? 0 : activated[i]);
        } else {
            Arrays.setAll(activated, i -> ReferenceActivation.of(activation, activated[i]));
        }
        return activated;
    }

    /** @param y the output that the forward pass gave */
    Map<String, Expected> backward(float[] y) {
        Gradients gradients = reference.backward(widen(inputs.dy()), x, slopes(widen(y)), gamma, statistics);
        double[] normalized = normalized();
        double[] dy = gradients.dresidual();
        double[] terms = new double[dy.length];
        Arrays.setAll(terms, i -> dy[i] == 0 ? 0 : dy[i] * largerFinite(Math.abs(normalized[i]), roundingOfMean(i)));

        Map<String, Expected> expected = new LinkedHashMap<>();
        double[] dx = gradients.dx();
        double largest = gradients.largestTerm();
        if (c.fusion().hasPast()) {
            double[] past = widen(inputs.past());
            Arrays.setAll(dx, i -> dx[i] + past[i]);
            largest = Math.max(largest, ArrayError.largestMagnitude(past));
        }
        OfSlopes bent = isCurved() ? ofSlopes(normalized) : new OfSlopes(0, 0, 0, 0);
        largest = Math.max(largest, bent.dx);
        Lost lost = c.inPlace() == InPlace.Y_IS_X_FOR_GOOD ? lost(dy, normalized) : new Lost(0, 0);
        expected.put("grad_x", withLost(written(dx), largest, lost.dx));
        if (c.fusion().residualGradient) {
            expected.put(
                    "grad_residual",
                    c.fusion().activation == Activation.RELU || c.fusion().activation == Activation.NONE
                            ? exactly(written(dy))
                            : new Expected(
                                    written(dy), Math.max(bent.dresidual, ArrayError.largestMagnitude(dy)), bound));
        }
        if (c.affine().gamma) {
            expected.put(
                    "grad_weight",
                    withLost(
                            total(gradients.dgamma(), inputs.dgamma()),
                            rootOfSquares(terms),
                            lost.dgamma + bent.dgamma));
        }
        if (c.affine().beta) {
            double[] dbeta = total(gradients.dbeta(), inputs.dbeta());
            expected.put(
                    "grad_bias",
                    c.data() == Data.EXACT ? exactly(dbeta) : withLost(dbeta, rootOfSquares(dy), bent.dbeta));
        }
        return expected;
    }

    /** Whether the activation's slope is another with every v, not only where it bends. */
    private boolean isCurved() {
        Activation.Kind kind = c.fusion().activation.kind();
        return kind == Activation.Kind.SIGMOID || kind == Activation.Kind.TANH || !kind.isByOutput();
    }

    /**
     * What the slopes of a curved activation make of a rounding of v.
     *
     * @param dresidual the largest that dy' changes by, as a share of what v does, itself or 1
     * @param dx the same of the term of dx that dy' is
     * @param dgamma the most that dγ may be off
     * @param dbeta the most that dβ may be off
     */
    private record OfSlopes(double dresidual, double dx, double dgamma, double dbeta) {}

    /**
     * Errors of a group's mean and of its 1/σ move v = x̂·γ + β of all of its values alike, and with v their slopes: no rounding of either
     * sign, of which a sum of m has √m, but the same one m times. The mean may be off by {@link #BOUND} deviations, and β is rounded
     * once where the mean's rest is taken from it: that moves v by p = BOUND·|γ| + ROUNDING·|β|. 1/σ may be off by a share of BOUND, which
     * moves v by q·x̂, q = BOUND·|γ|. With s' the slope's own slope, dβ = Σ dy·s then moves by p·|Σ dy·s'| + q·|Σ dy·s'·x̂|, and dγ = Σ dy·s·x̂
     * by p·|Σ dy·s'·x̂| + q·|Σ dy·s'·x̂²|. The errors of groups that share γ and β are independent of each other.
     */
    private OfSlopes ofSlopes(double[] normalized) {
        double[] dy = widen(inputs.dy());
        double[] v = preActivation();
        Activation activation = c.fusion().activation;
        Map<Long, double[]> sums = new HashMap<>();
        double dresidual = 0;
        double dx = 0;
        for (int i = 0; i < v.length; i++) {
            double reach = BOUND * Math.max(1, Math.abs(v[i]));
            double bend = (ReferenceActivation.slope(activation, v[i] + reach)
                            - ReferenceActivation.slope(activation, v[i] - reach))
                    / (2 * reach);
            double term = dy[i] * bend;
            if (Double.isFinite(term * normalized[i]) && (mask == null || mask.takesPart(i))) {
                long place = (long) reference.groupOf(i) * reference.affineElements() + reference.affineOf(i);
                double[] sum = sums.computeIfAbsent(place, ignored -> new double[3]);
                sum[0] += term;
                sum[1] += term * normalized[i];
                sum[2] += term * normalized[i] * normalized[i];
                double change = Math.abs(term) * Math.max(1, Math.abs(v[i]));
                dresidual = Math.max(dresidual, change);
                dx = largerFinite(
                        dx, change * gammaOf(i) * statistics.inverseStandardDeviation()[reference.groupOf(i)]);
            }
        }
        double[] dgamma = new double[reference.affineElements()];
        double[] dbeta = new double[reference.affineElements()];
        sums.forEach((place, sum) -> {
            int a = (int) (place % reference.affineElements());
            double q = BOUND * (gamma == null ? 1 : Math.abs(gamma[a]));
            double p = q + ROUNDING * (beta == null ? 0 : Math.abs(beta[a]));
            dgamma[a] = Math.hypot(dgamma[a], p * Math.abs(sum[1]) + q * Math.abs(sum[2]));
            dbeta[a] = Math.hypot(dbeta[a], p * Math.abs(sum[0]) + q * Math.abs(sum[1]));
        });
        return new OfSlopes(dresidual, dx, ArrayError.largestMagnitude(dgamma), ArrayError.largestMagnitude(dbeta));
    }

    /** The most that dx and dγ may be off by what y's rounding took from the x whose place it took. */
    private record Lost(double dx, double dgamma) {}

    private Expected withLost(double[] values, double scale, double lost) {
        double divisor = Math.max(scale, ArrayError.largestMagnitude(values));
        return new Expected(values, scale, lost == 0 ? bound : bound + lost / divisor);
    }

    /** As BatchNorm.Builder.inPlace documents it. */
    private Lost lost(double[] dy, double[] normalized) {
        double[] largest = new double[c.channels()];
        double[] sum = new double[c.channels()];
        double[] weighted = new double[c.channels()];
        for (int i = 0; i < dy.length; i++) {
            int channel = c.channelOf(i);
            largest[channel] = Math.max(largest[channel], Math.abs(normalized[i]));
            sum[channel] += Math.abs(dy[i]);
            weighted[channel] += Math.abs(dy[i]) * (1 + Math.abs(normalized[i]));
        }
        double roundoff =
                switch (c.type()) {
                    case FLOAT32 -> 0x1p-24;
                    case FLOAT16 -> 0x1p-11;
                    case BFLOAT16 -> 0x1p-8;
                };
        double dx = 0;
        double dgamma = 0;
        for (int channel = 0; channel < c.channels(); channel++) {
            double scale = gamma == null ? 1 : Math.abs(gamma[channel]);
            double shift = beta == null ? 0 : Math.abs(beta[channel]);
            double ofX = (2 * roundoff + 0x1p-21) * (largest[channel] + shift / scale);
            double mean = weighted[channel] / c.valuesPerChannel();
            double invstd = statistics.inverseStandardDeviation()[channel];
            dx = Math.max(dx, scale * invstd * (largest[channel] + 1) * ofX * mean);
            dgamma = Math.max(dgamma, ofX * sum[channel]);
        }
        return new Lost(dx, dgamma);
    }

    /** The activation's derivatives: from the given y where it tells them, else from what the reference applies it to. */
    private double[] slopes(double[] y) {
        Activation activation = c.fusion().activation;
        double[] slopes = new double[y.length];
        // Where y is not given back, what it was stored as does not matter; but on which side of a bend it came out
        // does.
        if (activation.kind().isByOutput() && (!isCurved() || c.fusion().givesY)) {
            Arrays.setAll(slopes, i -> ReferenceActivation.slopeAtOutput(activation, y[i]));
        } else {
            double[] v = preActivation();
            Arrays.setAll(slopes, i -> ReferenceActivation.slope(activation, v[i]));
        }
        return slopes;
    }

    private double[] total(double[] gradient, float[] there) {
        double[] total = gradient.clone();
        if (c.mode().accumulates) {
            Arrays.setAll(total, i -> there[i] + gradient[i]);
        }
        return total;
    }

    /** √Σ terms² of the γ or β where it is largest. */
    private double rootOfSquares(double[] terms) {
        double[] squares = new double[reference.affineElements()];
        for (int i = 0; i < terms.length; i++) {
            squares[reference.affineOf(i)] += terms[i] * terms[i];
        }
        return Math.sqrt(ArrayError.largestMagnitude(squares));
    }

    private static Expected exactly(double[] values) {
        return new Expected(values, 0, 0);
    }

    private static double[] widen(float[] values) {
        double[] wide = new double[values.length];
        Arrays.setAll(wide, i -> values[i]);
        return wide;
    }
}
