package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;

import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;

/** What each output owes to each input of the batch. */
final class JacobianExperiment implements Experiment {
    private static final double[] SIZES = {2, 4, 8, 16, 32, 64, 128};
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
                + " Frobenius norm. The wrong backward pass: the relative error of the gradient of a random loss when"
                + " the statistics are taken for constants.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes outcomes =
                lab.trials(SIZES.length, (seed, i) -> measure(lab, (int) SIZES[i], new Random(seed * 1000 + i)));
        return new Finding(
                List.of(Plot.of(
                        "Of the Jacobian of one channel",
                        logarithmic("samples in the batch, m"),
                        logarithmic("share (log scale)"),
                        outcomes.series("entries that are not zero", SIZES, 0, 1),
                        outcomes.series("off the diagonal", SIZES, 0, 2),
                        outcomes.series("error with constant statistics", SIZES, 0, 3))),
                List.of(
                        Check.below(
                                "the layer's backward pass is the formula: the largest difference over γ/σ, of all m",
                                outcomes.estimate(seed -> largestError(seed)),
                                1e-5),
                        Check.above(
                                "the Jacobian is dense with m = 4: the share of entries that are not zero",
                                outcomes.at(SMALL, 1),
                                0.9),
                        Check.above("so it is with m = 128", outcomes.at(LARGE, 1), 0.9),
                        Check.above(
                                "taking the statistics for constants is an error of over a tenth with m = 4",
                                outcomes.at(SMALL, 3),
                                0.1),
                        Check.above("so it is with m = 128", outcomes.at(LARGE, 3), 0.1)));
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
            float[] dy = Noise.gaussian(m, 0, 1, random);
            float[] dx = norm.backward(dy);
            float[] constant = Vectors.times(1 / deviation, dy);
            // Two samples have no gradient at all, so that the error is held against the wrong one's length.
            double wrong = Vectors.distance(constant, dx) / Vectors.length(constant);
            return new double[] {error, (double) filled / (m * m), all == 0 ? 0 : Math.sqrt(off / all), wrong};
        }
    }

    /** ∂yᵢ/∂xⱼ in units of γ/σ. */
    static double entry(float[] normalized, int i, int j) {
        int m = normalized.length;
        return (i == j ? 1 : 0) - 1.0 / m - (double) normalized[i] * normalized[j] / m;
    }
}
