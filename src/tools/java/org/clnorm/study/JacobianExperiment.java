package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;

/** What each output owes to each input of the batch. */
final class JacobianExperiment implements Experiment {
    private static final double[] SIZES = {2, 4, 8, 16, 32, 64, 128};
    private static final int LOSSES = 64;
    private static final int SMALL = 1;
    private static final int LARGE = 6;
    /** Relative to γ/σ; rounding is three orders of magnitude below. */
    private static final double NOT_ZERO = 1e-4;

    @Override
    public String name() {
        return "jacobian";
    }

    @Override
    public String title() {
        return "The dense Jacobian";
    }

    @Override
    public String claim() {
        return "Through the statistics every output depends on every sample of the batch: the Jacobian is"
                + " ∂yᵢ/∂xⱼ = γ/σ·(δᵢⱼ − 1/m − x̂ᵢx̂ⱼ/m), dense, and a backward pass that takes the statistics for"
                + " constants is wrong.";
    }

    @Override
    public String source() {
        return "The chain rule through mean and variance, Ioffe and Szegedy, 2015, §3";
    }

    @Override
    public String method(Lab lab) {
        return "One channel, batches of m normal numbers; the Jacobian row by row from the layer's backward pass. An entry"
                + " is counted as no zero where it is over 0.0001 γ/σ. What is off the diagonal: its share of the"
                + " Frobenius norm. The error with constant statistics:"
                + " that of the gradient, relative, the root mean square over " + LOSSES + " random losses; expected is"
                + " √(2/m), since two directions of m are lost, the mean's and the scale's.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes outcomes =
                lab.trials(SIZES.length, (seed, i) -> measure(lab, (int) SIZES[i], new Random(seed * 1000 + i)));
        double[] law = Arrays.stream(SIZES).map(m -> Math.sqrt(2 / m)).toArray();
        return new Finding(
                List.of(Plot.of(
                        "Of the Jacobian of one channel",
                        logarithmic("samples in the batch, m"),
                        logarithmic("share (log scale)"),
                        outcomes.series("entries that are not zero", SIZES, 0, 1),
                        outcomes.series("off the diagonal", SIZES, 0, 2),
                        outcomes.series("error with constant statistics", SIZES, 0, 3),
                        Series.exact("√(2/m)", SIZES, law))),
                List.of(
                        Check.below(
                                "the layer's backward pass is the formula",
                                "largest difference of an entry, in γ/σ",
                                outcomes.estimate(seed -> largestError(seed)),
                                1e-5),
                        Check.above(
                                "the Jacobian is dense with m = 4",
                                "share of entries that are not zero",
                                outcomes.at(SMALL, 1),
                                0.9),
                        Check.above(
                                "the Jacobian is dense with m = 128",
                                "share of entries that are not zero",
                                outcomes.at(LARGE, 1),
                                0.9),
                        Check.above(
                                "with m = 4 constant statistics are an error of over a tenth",
                                "relative error of the gradient",
                                outcomes.at(SMALL, 3),
                                0.1),
                        Check.above(
                                "with m = 128 constant statistics are an error of over a tenth",
                                "relative error of the gradient",
                                outcomes.at(LARGE, 3),
                                0.1)));
    }

    private static double largestError(double[][] seed) {
        double largest = 0;
        for (double[] measures : seed) {
            largest = Math.max(largest, measures[0]);
        }
        return largest;
    }

    /** The error of the formula, the share of entries, the share off the diagonal, and the error without statistics. */
    private static double[] measure(Lab lab, int m, Random random) {
        try (NormStage norm = Norming.of(lab.device(), BatchNorm.builder(1).epsilon(0), 1)) {
            // Two samples are always at ±1, but their deviation must not be tiny.
            float[] x = Noise.gaussian(m, 0, 1, random);
            float[] normalized = norm.forward(x, Mode.TRAIN);
            double deviation = Vectors.moments(x)[1];
            double error = 0;
            double all = 0;
            double off = 0;
            int filled = 0;
            for (int i = 0; i < m; i++) {
                float[] unit = new float[m];
                unit[i] = 1;
                float[] row = norm.backward(unit);
                norm.forward(x, Mode.TRAIN);
                for (int j = 0; j < m; j++) {
                    double entry = row[j] * deviation;
                    error = Math.max(error, Math.abs(entry - entry(normalized, i, j)));
                    filled += Math.abs(entry) > NOT_ZERO ? 1 : 0;
                    all += entry * entry;
                    off += i == j ? 0 : entry * entry;
                }
            }
            double share = filled == 0 ? 0 : Math.sqrt(off / all); // of two samples there is nothing but rounding
            return new double[] {error, (double) filled / (m * m), share, wrong(norm, x, deviation, random)};
        }
    }

    /**
     * The error of the gradient when the statistics are taken for constants, of many random losses. It is held against
     * the wrong one's length, since two samples have no right one at all.
     */
    private static double wrong(NormStage norm, float[] x, double deviation, Random random) {
        double squares = 0;
        for (int loss = 0; loss < LOSSES; loss++) {
            norm.forward(x, Mode.TRAIN);
            float[] dy = Noise.gaussian(x.length, 0, 1, random);
            float[] constant = Vectors.times(1 / deviation, dy);
            double error = Vectors.distance(constant, norm.backward(dy)) / Vectors.length(constant);
            squares += error * error / LOSSES;
        }
        return Math.sqrt(squares);
    }

    /** ∂yᵢ/∂xⱼ in units of γ/σ. */
    static double entry(float[] normalized, int i, int j) {
        int m = normalized.length;
        return (i == j ? 1 : 0) - 1.0 / m - (double) normalized[i] * normalized[j] / m;
    }
}
