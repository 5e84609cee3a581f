package org.clnorm;

import java.util.Arrays;

/**
 * What one pass of batch normalization is to give, in double precision: the definition, written down channel by channel
 * for these tests, with the gradient taken through the whole Jacobian of a channel rather than by the formula that it
 * comes down to. Arrays are by channel, and in a channel in the order of n and then of the position.
 *
 * @param largestTerm the largest of the terms that dx is the sum of; they cancel, and so rounding is measured by them
 */
record Formulas(
        double[][] y,
        double[] mean,
        double[] variance,
        double[] invstd,
        double[][] dx,
        double[][] dresidual,
        double[] dgamma,
        double[] dbeta,
        double largestTerm) {

    /** What the formulas are applied to. A null residual, γ or β is none; null statistics are those of the batch. */
    record Given(
            Batch x,
            Batch residual,
            Batch dy,
            float[] gamma,
            float[] beta,
            Activation activation,
            double epsilon,
            float[] mean,
            float[] variance) {}

    static Formulas of(Given given) {
        int channels = given.x.channels();
        Formulas all = new Formulas(
                new double[channels][],
                new double[channels],
                new double[channels],
                new double[channels],
                new double[channels][],
                new double[channels][],
                new double[channels],
                new double[channels],
                0);
        double largestTerm = 0;
        for (int c = 0; c < channels; c++) {
            largestTerm = Math.max(largestTerm, all.fill(c, given));
        }
        return new Formulas(
                all.y, all.mean, all.variance, all.invstd, all.dx, all.dresidual, all.dgamma, all.dbeta, largestTerm);
    }

    private double fill(int c, Given given) {
        double[] x = given.x.channel(c);
        double[] dy = given.dy.channel(c);
        int m = x.length;
        boolean frozen = given.mean != null;
        mean[c] = frozen ? given.mean[c] : mean(x);
        variance[c] = frozen ? given.variance[c] : variance(x);
        invstd[c] = 1 / Math.sqrt(variance[c] + given.epsilon);
        double gamma = given.gamma == null ? 1 : given.gamma[c];
        double beta = given.beta == null ? 0 : given.beta[c];
        double[] residual = given.residual == null ? new double[m] : given.residual.channel(c);
        double[] normalized =
                Arrays.stream(x).map(v -> (v - mean[c]) * invstd[c]).toArray();

        y[c] = new double[m];
        dresidual[c] = new double[m];
        for (int i = 0; i < m; i++) {
            double v = gamma * normalized[i] + beta + residual[i];
            boolean passes = given.activation == Activation.NONE || v > 0;
            y[c][i] = passes ? v : 0;
            dresidual[c][i] = passes ? dy[i] : 0;
            dbeta[c] += dresidual[c][i];
            dgamma[c] += dresidual[c][i] * normalized[i];
        }

        dx[c] = new double[m];
        double largestTerm = 0;
        for (int j = 0; j < m; j++) {
            for (int i = 0; i < m; i++) {
                dx[c][j] += dresidual[c][i] * jacobian(i, j, gamma * invstd[c], frozen, normalized);
            }
            double common = frozen ? 0 : Math.max(Math.abs(dbeta[c]), Math.abs(normalized[j] * dgamma[c])) / m;
            largestTerm =
                    Math.max(largestTerm, Math.abs(gamma * invstd[c]) * Math.max(Math.abs(dresidual[c][j]), common));
        }
        return largestTerm;
    }

    /** ∂y<sub>i</sub>/∂x<sub>j</sub> before the activation. */
    static double jacobian(int i, int j, double scale, boolean frozen, double[] normalized) {
        double m = normalized.length;
        double same = i == j ? 1 : 0;
        return scale * (frozen ? same : same - 1 / m - normalized[i] * normalized[j] / m);
    }

    static double mean(double[] values) {
        double first = Arrays.stream(values).sum() / values.length;
        return first + Arrays.stream(values).map(v -> v - first).sum() / values.length;
    }

    /** The biased one. */
    static double variance(double[] values) {
        double mean = mean(values);
        return Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum() / values.length;
    }
}
