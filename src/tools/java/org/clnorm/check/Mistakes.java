package org.clnorm.check;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntUnaryOperator;
import java.util.function.Supplier;
import org.clnorm.check.Binding.Direction;
import org.clnorm.check.Binding.Operation;
import org.clnorm.check.Expectation.Expected;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;

/**
 * What wrong values are the right values of: each mistake that is often made is made in double precision, and the first one
 * that gives what the kernel gave is likely the kernel's.
 */
final class Mistakes {
    /** Beyond so many elements nothing is tried: a smaller case fails too, as a rule. */
    private static final int MOST = 4_000;

    /** Powers of two that vectors and work-groups have. */
    private static final int[] WIDTHS = {2, 4, 8, 16, 32, 64, 128, 256, 512};

    private static final String TAIL = "the tail is left out";

    /** What grows with the mean, and what else to do. */
    static final String CANCELLATION =
            "errors grow with the mean: the variance is taken as E[x*x] - E[x]*E[x], which cancels; sum (x - mean)"
                    + " squared in a second pass, or merge means and squares by Chan's formula";

    /** What fails with large values alone. */
    static final String RANGE =
            "something on the way is beyond the range of its type though what comes of it is not, as 1/sigma cubed or a"
                    + " sum of squares; multiply in another order, or by 1/sigma each time";

    private final CheckCase c;
    private final Expectation right;
    private final ReferenceNormalization reference;
    private final Statistics own;
    private final int most;
    private final boolean alone;

    /** Of one of many cases, the smallest of which tells the most. */
    Mistakes(CheckCase c, Expectation right) {
        this(c, right, MOST, false);
    }

    /**
     * @param most beyond so many elements nothing is tried
     * @param alone whether there are no other cases, of other data, which tell whether errors grow with the mean
     */
    Mistakes(CheckCase c, Expectation right, int most, boolean alone) {
        this.c = c;
        this.right = right;
        this.reference = right.reference();
        this.own = right.statistics();
        this.most = most;
        this.alone = alone;
    }

    /** What gives the same values, in a sentence; empty where nothing that is known does. */
    String of(Part part, float[] got, Expected expected) {
        if (c.data() == Data.NAN) {
            return ofNan(part, got, expected);
        }
        if (got.length > most || reference.elements() > most) {
            return "";
        }
        for (Guess guess : guesses(part)) {
            double[] values = guess.values.get();
            if (values != null && matches(got, values, expected)) {
                return guess.sentence;
            }
        }
        return alone && part == Part.Y && own == right.own() && centred() && cancels(got, expected)
                ? CANCELLATION
                : ofPlace(part, got, expected);
    }

    /** A mistake and what it gives of an array. */
    private record Guess(String sentence, Supplier<double[]> values) {}

    private static boolean matches(float[] got, double[] values, Expected expected) {
        boolean other = false;
        for (int i = 0; i < got.length; i++) {
            // Twice: the wrong values are rounded as the right ones would be, and may be larger.
            double allowed = 2 * expected.allowed()[i] * Math.max(1, Math.abs(values[i] / expected.values()[i]));
            boolean same = Double.isFinite(values[i])
                    ? Math.abs(got[i] - values[i]) <= allowed
                    : Float.compare(got[i], (float) values[i]) == 0;
            if (!same) {
                return false;
            }
            other |= !(Math.abs(values[i] - expected.values()[i]) <= 2 * expected.allowed()[i]);
        }
        return other;
    }

    private List<Guess> guesses(Part part) {
        List<Guess> guesses = new ArrayList<>();
        boolean computes = own == right.own();
        if (part == Part.RUNNING_MEAN || part == Part.RUNNING_VARIANCE) {
            ofRunning(part, guesses);
        }
        if (c.binding().direction() == Direction.BACKWARD) {
            ofGradients(part, guesses);
        }
        if (computes) {
            guesses.add(of(
                    part,
                    "it divides by m - 1 where the variance that normalizes is divided by m: all is off by"
                            + " the root of m/(m - 1)",
                    variance((v, g) -> v * reference.valuesOf(g) / (reference.valuesOf(g) - 1))));
        }
        if (part != Part.VARIANCE && part != Part.MEAN) {
            guesses.add(of(
                    part,
                    "epsilon is added outside of the root: 1/(sqrt(variance) + epsilon) is not"
                            + " 1/sqrt(variance + epsilon)",
                    invstd((v, g) -> 1 / (Math.sqrt(v) + c.binding().epsilon()))));
            guesses.add(of(part, "epsilon is left out", invstd((v, g) -> 1 / Math.sqrt(v))));
            guesses.add(of(
                    part,
                    "epsilon is squared, or its root is taken",
                    invstd((v, g) -> 1
                            / Math.sqrt(v + c.binding().epsilon() * c.binding().epsilon()))));
            guesses.add(of(
                    part,
                    "it divides by the variance, not by its root",
                    invstd((v, g) -> 1 / (v + c.binding().epsilon()))));
        }
        ofAffine(part, guesses);
        if (c.binding().operation() == Operation.RMS_NORM) {
            double[] means = means();
            Statistics aboutMean = variance((v, g) -> v - means[g] * means[g]);
            guesses.add(of(part, "it takes the variance about the mean, which RMS normalization does not", aboutMean));
            guesses.add(of(
                    part,
                    "it subtracts the mean, as layer normalization does and RMS normalization does not",
                    new Statistics(
                            means,
                            aboutMean.variance(),
                            aboutMean.inverseStandardDeviation(),
                            null,
                            null,
                            own.constant())));
        } else {
            guesses.add(of(part, "the mean is not subtracted", withMean(new double[own.mean().length])));
        }
        if (computes) {
            ofTails(part, guesses);
        }
        return guesses;
    }

    private Guess of(Part part, String sentence, Statistics with) {
        return new Guess(
                sentence, () -> right.values(with, right.gamma(), right.beta()).get(part));
    }

    private interface ByGroup {
        double of(double variance, int group);
    }

    private Statistics variance(ByGroup change) {
        double[] variance = own.variance().clone();
        Arrays.setAll(variance, g -> change.of(variance[g], g));
        double[] invstd = Arrays.stream(variance)
                .map(v -> 1 / Math.sqrt(v + c.binding().epsilon()))
                .toArray();
        return new Statistics(own.mean(), variance, invstd, null, null, own.constant());
    }

    private Statistics invstd(ByGroup change) {
        double[] invstd = own.variance().clone();
        Arrays.setAll(invstd, g -> change.of(own.variance()[g], g));
        return new Statistics(own.mean(), own.variance(), invstd, null, null, own.constant());
    }

    private Statistics withMean(double[] mean) {
        return new Statistics(mean, own.variance(), own.inverseStandardDeviation(), null, null, own.constant());
    }

    /** The mean of each group, which RMS normalization has none of. */
    private double[] means() {
        double[] means = new double[reference.groups()];
        for (int i = 0; i < right.x().length; i++) {
            int g = reference.groupOf(i);
            means[g] += right.x()[i] / reference.valuesOf(g);
        }
        return means;
    }

    private void ofRunning(Part part, List<Guess> guesses) {
        double[] old = CheckCase.widen(right.inputs().get(part));
        double[] batch = part == Part.RUNNING_MEAN ? own.mean() : own.variance();
        double[] other = batch.clone();
        Arrays.setAll(other, g -> batch[g] * reference.valuesOf(g) / (reference.valuesOf(g) - 1));
        if (part == Part.RUNNING_VARIANCE) {
            guesses.add(new Guess(
                    c.binding().unbiased()
                            ? "the running variance takes the biased variance, divided by m; PyTorch's takes that divided"
                                    + " by m - 1 (the key running = biased says that yours is as it is to be)"
                            : "the running variance takes the variance divided by m - 1, not the biased one",
                    () -> right.running(old, c.binding().unbiased() ? batch : other)));
        }
        guesses.add(
                new Guess("momentum is the old value's weight where it is to be the new one's, as in PyTorch", () -> {
                    double[] swapped = old.clone();
                    double[] estimate =
                            part == Part.RUNNING_VARIANCE && c.binding().unbiased() ? other : batch;
                    Arrays.setAll(
                            swapped,
                            g -> c.binding().momentum() * old[g]
                                    + (1 - c.binding().momentum()) * estimate[g]);
                    return swapped;
                }));
        guesses.add(new Guess("the running statistic is not updated", () -> old));
    }

    private void ofAffine(Part part, List<Guess> guesses) {
        double[] gamma = right.gamma();
        double[] beta = right.beta();
        if (gamma != null) {
            guesses.add(new Guess(
                    "gamma is ignored", () -> right.values(own, null, beta).get(part)));
        }
        if (beta != null) {
            guesses.add(new Guess(
                    "beta is ignored", () -> right.values(own, gamma, null).get(part)));
            double[] negative = Arrays.stream(beta).map(b -> -b).toArray();
            guesses.add(new Guess("beta is subtracted", () -> right.values(own, gamma, negative)
                    .get(part)));
        }
        if (gamma != null && beta != null) {
            guesses.add(new Guess("gamma and beta are exchanged", () -> right.values(own, beta, gamma)
                    .get(part)));
        }
        if (part == Part.Y) {
            int count = reference.affineElements();
            IntUnaryOperator last = i -> i % count;
            guesses.add(new Guess(
                    "one channel's gamma and beta are taken in another: the channel is taken as the index modulo "
                            + count + ", as for channels last",
                    () -> withAffineOf(last)));
            int spatial = Math.max(1, c.dimensions().spatial());
            guesses.add(new Guess(
                    "one channel's gamma and beta are taken in another: the channel is taken as for channels first",
                    () -> withAffineOf(i -> i / spatial % count)));
            for (int shift : new int[] {1, -1}) {
                guesses.add(new Guess(
                        "one channel's gamma and beta are taken in another, the " + (shift > 0 ? "next" : "one before"),
                        () -> withAffineOf(i -> Math.floorMod(reference.affineOf(i) + shift, count))));
            }
            guesses.add(new Guess("gamma and beta of the first channel are taken in all", () -> withAffineOf(i -> 0)));
        }
    }

    private double[] withAffineOf(IntUnaryOperator affine) {
        double[] y = new double[right.x().length];
        for (int i = 0; i < y.length; i++) {
            int g = reference.groupOf(i);
            int a = affine.applyAsInt(i);
            double normalized = (right.x()[i] - own.mean()[g]) * own.inverseStandardDeviation()[g];
            y[i] = normalized * (right.gamma() == null ? 1 : right.gamma()[a])
                    + (right.beta() == null ? 0 : right.beta()[a]);
        }
        return y;
    }

    /** Sums that leave out the last elements of a group. */
    private void ofTails(Part part, List<Guess> guesses) {
        Set<Integer> widths = new LinkedHashSet<>();
        Arrays.stream(WIDTHS).forEach(widths::add);
        c.binding().constants().values().forEach(value -> widths.add(value.intValue()));
        for (int width : widths) {
            if (width < 1) {
                continue;
            }
            guesses.add(ofSums(
                    part,
                    "the sums leave out the last elements of a group, those beyond a multiple of a vector's or"
                            + " a work-group's width: " + TAIL,
                    m -> m - m % width));
            guesses.add(ofSums(
                    part,
                    "the sums take in the first " + width + " elements of a group only: a loop over the"
                            + " others is missing",
                    m -> Math.min(m, width)));
        }
        guesses.add(ofSums(part, "the sums leave out the last element of a group: " + TAIL, m -> m - 1));
        guesses.add(ofSums(
                part, "the sums leave out half of the elements: a step of the reduction is missing", m -> m / 2));
    }

    private Guess ofSums(Part part, String sentence, IntUnaryOperator kept) {
        return new Guess(sentence, () -> {
            Statistics with = partial(kept);
            return with == null
                    ? null
                    : right.values(with, right.gamma(), right.beta()).get(part);
        });
    }

    /** Statistics of the first elements of each group, or null where these are all. */
    private Statistics partial(IntUnaryOperator kept) {
        int groups = reference.groups();
        boolean all = true;
        for (int g = 0; g < groups; g++) {
            int m = (int) reference.valuesOf(g);
            all &= kept.applyAsInt(m) == m;
        }
        if (all) {
            return null;
        }
        boolean centred = c.binding().operation() != Operation.RMS_NORM;
        double[] mean = new double[groups];
        double[] variance = new double[groups];
        for (int pass = centred ? 0 : 1; pass < 2; pass++) {
            int[] seen = new int[groups];
            for (int i = 0; i < right.x().length; i++) {
                int g = reference.groupOf(i);
                double m = reference.valuesOf(g);
                if (seen[g]++ < kept.applyAsInt((int) m)) {
                    double deviation = right.x()[i] - mean[g];
                    (pass == 0 ? mean : variance)[g] += (pass == 0 ? right.x()[i] : deviation * deviation) / m;
                }
            }
        }
        double[] invstd = Arrays.stream(variance)
                .map(v -> 1 / Math.sqrt(v + c.binding().epsilon()))
                .toArray();
        return new Statistics(mean, variance, invstd, null, null, own.constant());
    }

    /**
     * Whether y is x̂ times a factor of its own in each group, as of a wrong variance, and the means are so far from 0, as κ
     * deviations are, that a variance which is off by κ² roundings explains the factor.
     */
    private boolean cancels(float[] got, Expected expected) {
        int groups = reference.groups();
        double[] ofBoth = new double[groups];
        double[] squares = new double[groups];
        for (int i = 0; i < got.length; i++) {
            int g = reference.groupOf(i);
            double scaled = scaled(i);
            ofBoth[g] += (got[i] - shift(i)) * scaled;
            squares[g] += scaled * scaled;
        }
        for (int i = 0; i < got.length; i++) {
            int g = reference.groupOf(i);
            if (Math.abs(got[i] - expected.values()[i]) <= expected.allowed()[i]) {
                continue;
            }
            double condition = own.mean()[g] * own.inverseStandardDeviation()[g];
            double off = 16 * Math.sqrt(reference.valuesOf(g)) * condition * condition * 0x1p-24;
            double factor = ofBoth[g] / squares[g];
            // A variance that is all error may be negative, and its root NaN.
            boolean explained = off > 1 || Math.abs(1 / (factor * factor) - 1) <= off;
            boolean fits = Float.isFinite(got[i])
                    ? Math.abs(got[i] - shift(i) - factor * scaled(i))
                            <= 2 * expected.allowed()[i] * Math.max(1, Math.abs(factor))
                    : off > 1;
            if (Math.abs(condition) < 10 || !explained || !fits) {
                return false;
            }
        }
        return true;
    }

    private double scaled(int i) {
        int g = reference.groupOf(i);
        double scale = right.gamma() == null ? 1 : right.gamma()[reference.affineOf(i)];
        return (right.x()[i] - own.mean()[g]) * own.inverseStandardDeviation()[g] * scale;
    }

    private double shift(int i) {
        return right.beta() == null ? 0 : right.beta()[reference.affineOf(i)];
    }

    private void ofGradients(Part part, List<Guess> guesses) {
        if (part == Part.DX) {
            guesses.add(new Guess(
                    "both sums over the group are missing in dx, as if the statistics were constants", () -> dx(0, 0)));
            guesses.add(
                    new Guess("the term of the mean, the sum of dy*gamma over m, is missing in dx", () -> dx(0, 1)));
            guesses.add(new Guess(
                    "the term of the variance, xhat times the sum of dy*gamma*xhat over m, is missing in dx",
                    () -> dx(1, 0)));
            guesses.add(new Guess("a sum over the group is not divided by m in dx", () -> dx(-1, -1)));
            return;
        }
        Map<Part, double[]> values = right.values(own, right.gamma(), null);
        double[] ones = new double[own.mean().length];
        Arrays.fill(ones, 1);
        if (part == Part.DGAMMA) {
            guesses.add(new Guess("dgamma holds dbeta: the two are exchanged", () -> values.get(Part.DBETA)));
            guesses.add(new Guess("dgamma lacks the factor 1/sqrt(variance + epsilon)", () -> right.values(
                            new Statistics(own.mean(), own.variance(), ones, null, null, own.constant()),
                            right.gamma(),
                            null)
                    .get(Part.DGAMMA)));
        } else {
            guesses.add(new Guess("dbeta holds dgamma: the two are exchanged", () -> values.get(Part.DGAMMA)));
        }
        double[] whole = values.get(part);
        guesses.add(new Guess(part + " is divided by m, where it is a sum", () -> {
            double[] mean = whole.clone();
            Arrays.setAll(mean, a -> whole[a] * mean.length / reference.elements());
            return mean;
        }));
    }

    /** dx with its sums times factors; of −1, without the division by m. */
    private double[] dx(double ofMean, double ofVariance) {
        double[] dy = right.dy();
        double[] sum = new double[reference.groups()];
        double[] product = new double[reference.groups()];
        double[] dx = new double[dy.length];
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 0; i < dy.length; i++) {
                int g = reference.groupOf(i);
                double h = dy[i] * (right.gamma() == null ? 1 : right.gamma()[reference.affineOf(i)]);
                double normalized = (right.x()[i] - own.mean()[g]) * own.inverseStandardDeviation()[g];
                double m = ofMean < 0 ? 1 : reference.valuesOf(g);
                if (pass == 0) {
                    sum[g] += h;
                    product[g] += h * normalized;
                } else {
                    double mean = centred() ? Math.abs(ofMean) * sum[g] / m : 0;
                    dx[i] = own.inverseStandardDeviation()[g]
                            * (h - mean - Math.abs(ofVariance) * normalized * product[g] / m);
                }
            }
        }
        return dx;
    }

    private boolean centred() {
        return c.binding().operation() != Operation.RMS_NORM;
    }

    private String ofNan(Part part, float[] got, Expected expected) {
        for (int i = 0; i < got.length; i++) {
            boolean wanted = Double.isNaN(expected.values()[i]);
            if (wanted != Float.isNaN(got[i])) {
                return wanted
                        ? "a NaN in x is lost, as by fmax, a comparison or a minimum variance"
                        : "a NaN in one group of x comes out in another, whose elements it has nothing to do with";
            }
        }
        return "";
    }

    /** Where the wrong ones lie. */
    private String ofPlace(Part part, float[] got, Expected expected) {
        int first = -1;
        int last = -1;
        int wrong = 0;
        for (int i = 0; i < got.length; i++) {
            if (!(Math.abs(got[i] - expected.values()[i]) <= expected.allowed()[i])) {
                first = first < 0 ? i : first;
                last = i;
                wrong++;
            }
        }
        if (part.size == Part.Size.TENSOR && first > 0 && last == got.length - 1 && wrong == got.length - first) {
            return "only the last " + wrong + " of " + got.length + " elements are wrong: " + TAIL
                    + ", or counted wrong";
        }
        String ofChannels = part.size == Part.Size.TENSOR ? ofChannels(got, expected) : "";
        for (int i = 0; i < got.length && ofChannels.isEmpty(); i++) {
            if (Float.isNaN(got[i]) && !Double.isNaN(expected.values()[i])) {
                return "NaN comes of x that has none: a root or a power of a negative number, 0/0, or memory is read that is"
                        + " not x";
            }
        }
        return ofChannels;
    }

    /** Whether in what is wrong each element is what another group's statistics make of it. */
    private String ofChannels(float[] got, Expected expected) {
        if (c.binding().direction() == Direction.BACKWARD || reference.groups() < 2) {
            return "";
        }
        for (int shift = 1; shift < Math.min(reference.groups(), 40); shift++) {
            int by = shift;
            double[] mean = own.mean().clone();
            double[] invstd = mean.clone();
            Arrays.setAll(mean, g -> own.mean()[(g + by) % mean.length]);
            Arrays.setAll(invstd, g -> own.inverseStandardDeviation()[(g + by) % mean.length]);
            Statistics other = new Statistics(mean, own.variance(), invstd, null, null, own.constant());
            double[] y = right.values(other, right.gamma(), right.beta()).get(Part.Y);
            boolean all = true;
            for (int i = 0; i < got.length && all; i++) {
                double near = Math.min(Math.abs(got[i] - y[i]), Math.abs(got[i] - expected.values()[i]));
                all = near <= 2 * expected.allowed()[i];
            }
            if (all) {
                return "one group's mean and deviation are taken in another";
            }
        }
        return "";
    }
}
