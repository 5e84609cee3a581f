package org.clnorm.verify;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.reference.ReferenceActivation;
import org.clnorm.reference.ReferenceBatchNorm;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;

/**
 * What a case's arrays are to be, by the reference in double precision, and how near to it they must come.
 *
 * <p>A bound is a share of the array's scale: the largest magnitude of the array, or of what it is the sum of, where
 * that is larger.
 *
 * <ul>
 *   <li>y: the pre-activation, since ReLU may leave nothing.
 *   <li>dx: the largest of its terms ({@link Gradients#largestTerm}).
 *   <li>dγ and dβ: √Σ terms², which is how large a sum of m terms of either sign comes out. Only where a case has few
 *       of them can all of its sums be smaller by chance.
 *   <li>means: the standard deviation, for the same reason.
 *   <li>running statistics: the larger of (1 − weight)·running and weight·batch.
 * </ul>
 *
 * <p>The mask of a ReLU may differ where the pre-activation is 0 to within rounding, and then dx differs by all of dy.
 * So y is held against the reference, sign included, and the gradients against those of the reference for the y that
 * was computed.
 */
final class VerifierExpectation {
    /** float32 rounds by 6e-8 of a value. */
    static final double BOUND = 5e-7;

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

    VerifierExpectation(VerifierCase c, VerifierInputs inputs) {
        this.c = c;
        this.inputs = inputs;
        this.x = widen(inputs.x());
        this.gamma = c.affine().gamma ? widen(inputs.gamma()) : null;
        this.beta = c.affine().beta ? widen(inputs.beta()) : null;
        if (c.mode().training) {
            this.reference = c.groups();
            Statistics own = reference.statistics(x, c.epsilon(), c.updatesRunning() ? running() : null);
            this.statistics = reference.hasGiven() ? withGiven(own) : own;
            this.variance = statistics.variance();
        } else {
            this.reference = ReferenceNormalization.ofGivenStatistics(c.normalization(), c.shape(), c.layout());
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
        return Map.of("y", exactly(x));
    }

    /** @param y the output that the forward pass gave */
    Map<String, Expected> forward(float[] y) {
        Map<String, Expected> expected = new LinkedHashMap<>();
        double[] preActivation = reference.normalize(
                x, c.fusion().residual ? widen(inputs.residual()) : null, Activation.NONE, gamma, beta, statistics);
        expected.put("y", new Expected(activated(preActivation, y), ArrayError.largestMagnitude(preActivation), bound));
        double sigma = Math.sqrt(ArrayError.largestMagnitude(variance));
        double[] mean = statistics.mean();
        if (c.shownGroups() > 0) {
            boolean exact = !c.mode().training || c.data() == Data.EXACT;
            expected.put("save_mean", exact ? exactly(mean) : new Expected(mean, sigma, bound));
            expected.put("save_invstd", new Expected(statistics.inverseStandardDeviation(), 0, bound));
        }
        if (c.updatesRunning()) {
            double[] nothing = new double[c.channels()];
            Running there = running();
            Running running = updated(there, statistics);
            double[] none = new double[mean.length];
            Running old = updated(there, new Statistics(none, none, none, null, null, null));
            Running added = updated(new Running(nothing, nothing, there.absorbed()), statistics);
            expected.put(
                    "running_mean",
                    new Expected(running.mean(), Math.max(sigma, largest(old.mean(), added.mean())), bound));
            expected.put(
                    "running_var", new Expected(running.variance(), largest(old.variance(), added.variance()), bound));
            expected.put("absorbed", exactly(running.absorbed()));
        }
        return expected;
    }

    private Running updated(Running running, Statistics batch) {
        return reference.updateRunning(running, batch, c.average(), c.estimate(), c.policy());
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
        double[] normalized = reference.normalize(x, null, Activation.NONE, null, null, statistics);
        double[] dy = gradients.dresidual();
        double[] terms = new double[dy.length];
        Arrays.setAll(terms, i -> dy[i] * normalized[i]);

        Map<String, Expected> expected = new LinkedHashMap<>();
        expected.put("grad_x", new Expected(gradients.dx(), gradients.largestTerm(), bound));
        if (c.fusion().residualGradient) {
            expected.put(
                    "grad_residual",
                    Fusion.USUAL.contains(c.fusion())
                            ? exactly(dy)
                            : new Expected(dy, ArrayError.largestMagnitude(dy), bound));
        }
        if (c.affine().gamma) {
            expected.put(
                    "grad_weight",
                    new Expected(total(gradients.dgamma(), inputs.dgamma()), rootOfSquares(terms), bound));
        }
        if (c.affine().beta) {
            double[] dbeta = total(gradients.dbeta(), inputs.dbeta());
            expected.put(
                    "grad_bias",
                    c.data() == Data.EXACT ? exactly(dbeta) : new Expected(dbeta, rootOfSquares(dy), bound));
        }
        return expected;
    }

    /** The activation's derivatives: from the given y where it tells them, else from what the reference applies it to. */
    private double[] slopes(double[] y) {
        Activation activation = c.fusion().activation;
        double[] slopes = new double[y.length];
        // Where y is not given back, what it was stored as does not matter; but on which side of a bend it came out
        // does.
        boolean bends = activation.kind() != Activation.Kind.SIGMOID && activation.kind() != Activation.Kind.TANH;
        if (activation.kind().isByOutput() && (bends || c.fusion().givesY)) {
            Arrays.setAll(slopes, i -> ReferenceActivation.slopeAtOutput(activation, y[i]));
        } else {
            double[] v = reference.normalize(
                    x, c.fusion().residual ? widen(inputs.residual()) : null, Activation.NONE, gamma, beta, statistics);
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
