package org.clnorm.study;

import java.util.Arrays;

/**
 * ZCA whitening, the costly ideal of normalization: y = (x − mean)·C^(−½), C being the covariance, by which the
 * channels are uncorrelated too. The root is by the coupled iteration of Newton and Schulz, which needs products of
 * matrices only.
 *
 * @param channels how many
 * @param mean of each
 * @param root C^(−½), (channels, channels)
 */
record Whitening(int channels, double[] mean, double[] root) {
    private static final int MOST_ITERATIONS = 100;
    private static final double CONVERGED = 1e-10;

    /** That of rows of channels, with ε added to each variance. */
    static Whitening of(float[] x, int channels, double epsilon) {
        double[] mean = mean(x, channels);
        double[] covariance = covariance(x, mean);
        for (int c = 0; c < channels; c++) {
            covariance[c * channels + c] += epsilon;
        }
        return new Whitening(channels, mean, inverseRoot(covariance, channels));
    }

    /** Whitened rows. */
    float[] apply(float[] x) {
        float[] y = new float[x.length];
        double[] sums = new double[channels];
        for (int from = 0; from < x.length; from += channels) {
            Arrays.fill(sums, 0);
            for (int i = 0; i < channels; i++) {
                double centered = x[from + i] - mean[i];
                for (int j = 0; j < channels; j++) {
                    sums[j] += centered * root[i * channels + j];
                }
            }
            for (int j = 0; j < channels; j++) {
                y[from + j] = (float) sums[j];
            }
        }
        return y;
    }

    static double[] mean(float[] x, int channels) {
        double[] mean = new double[channels];
        for (int i = 0; i < x.length; i++) {
            mean[i % channels] += (double) x[i] * channels / x.length;
        }
        return mean;
    }

    /** The biased covariance of rows, (channels, channels). */
    static double[] covariance(float[] x, double[] mean) {
        int channels = mean.length;
        int rows = x.length / channels;
        double[] covariance = new double[channels * channels];
        double[] centered = new double[channels];
        for (int row = 0; row < rows; row++) {
            for (int c = 0; c < channels; c++) {
                centered[c] = x[row * channels + c] - mean[c];
            }
            for (int i = 0; i < channels; i++) {
                for (int j = 0; j < channels; j++) {
                    covariance[i * channels + j] += centered[i] * centered[j] / rows;
                }
            }
        }
        return covariance;
    }

    /**
     * A^(−½) of a symmetric, positive definite matrix. With A divided by its Frobenius norm, so that no eigenvalue is
     * over 1, Y from A and Z from 1 go to A^½ and A^(−½) by T = (3 − ZY)/2, Y ← YT, Z ← TZ.
     */
    static double[] inverseRoot(double[] a, int n) {
        double squares = 0;
        for (double value : a) {
            squares += value * value;
        }
        double norm = Math.sqrt(squares);
        double[] y = scaled(a, 1 / norm);
        double[] z = new double[n * n];
        for (int i = 0; i < n; i++) {
            z[i * n + i] = 1;
        }
        for (int iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
            double[] t = product(z, y, n);
            double farthest = 0;
            for (int i = 0; i < n * n; i++) {
                double identity = i % (n + 1) == 0 ? 1 : 0;
                farthest = Math.max(farthest, Math.abs(t[i] - identity));
                t[i] = (3 * identity - t[i]) / 2;
            }
            if (farthest < CONVERGED) {
                break;
            }
            y = product(y, t, n);
            z = product(t, z, n);
        }
        return scaled(z, 1 / Math.sqrt(norm));
    }

    private static double[] scaled(double[] a, double factor) {
        double[] product = new double[a.length];
        for (int i = 0; i < a.length; i++) {
            product[i] = factor * a[i];
        }
        return product;
    }

    static double[] product(double[] a, double[] b, int n) {
        double[] product = new double[n * n];
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < n; k++) {
                double factor = a[i * n + k];
                for (int j = 0; j < n; j++) {
                    product[i * n + j] += factor * b[k * n + j];
                }
            }
        }
        return product;
    }

    /** The mean magnitude of the correlations of channels whose variance is not nearly 0. */
    static double correlation(float[] x, int channels) {
        double[] covariance = covariance(x, mean(x, channels));
        double sum = 0;
        int count = 0;
        for (int i = 0; i < channels; i++) {
            for (int j = 0; j < i; j++) {
                double product = covariance[i * (channels + 1)] * covariance[j * (channels + 1)];
                if (product > 1e-12) {
                    sum += Math.abs(covariance[i * channels + j]) / Math.sqrt(product);
                    count++;
                }
            }
        }
        return count == 0 ? 0 : sum / count;
    }
}
