package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Random;
import java.util.function.DoubleSupplier;

/** Test data, and comparisons of it in which NaN is close to nothing. */
final class Values {
    private Values() {}

    /** Normally distributed around a third. */
    static double[] random(int count, long seed) {
        Random random = new Random(seed);
        double[] values = new double[count];
        Arrays.setAll(values, i -> 1.0 / 3 + random.nextGaussian());
        return values;
    }

    /** Reorders (N, C, S) to (N, S, C). */
    static double[] toChannelsLast(double[] values, int batch, int channels, int spatial) {
        double[] reordered = new double[values.length];
        int from = 0;
        for (int n = 0; n < batch; n++) {
            for (int c = 0; c < channels; c++) {
                for (int s = 0; s < spatial; s++) {
                    reordered[n * spatial * channels + s * channels + c] = values[from++];
                }
            }
        }
        return reordered;
    }

    /** The values of one channel of (N, C, S), in order. */
    static double[] channel(double[] values, int channel, int channels, int spatial) {
        double[] picked = new double[values.length / channels];
        int to = 0;
        for (int i = 0; i < values.length; i++) {
            if (i / spatial % channels == channel) {
                picked[to++] = values[i];
            }
        }
        return picked;
    }

    static double sum(double[] values) {
        return Arrays.stream(values).sum();
    }

    static double mean(double[] values) {
        return sum(values) / values.length;
    }

    static double variance(double[] values) {
        double mean = mean(values);
        return Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum() / values.length;
    }

    static double[] toDouble(float[] values) {
        double[] wide = new double[values.length];
        Arrays.setAll(wide, i -> values[i]);
        return wide;
    }

    /** Rounded to the nearest float32. */
    static float[] toFloat(double[] values) {
        float[] narrow = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            narrow[i] = (float) values[i];
        }
        return narrow;
    }

    /** ∂loss/∂at by the five-point formula, whose error is of the order of the step's fourth power. */
    static double[] differences(double[] at, DoubleSupplier loss, double step) {
        double[] gradient = new double[at.length];
        for (int i = 0; i < at.length; i++) {
            double value = at[i];
            double[] losses = new double[4];
            double[] steps = {-2, -1, 1, 2};
            for (int k = 0; k < 4; k++) {
                at[i] = value + steps[k] * step;
                losses[k] = loss.getAsDouble();
            }
            at[i] = value;
            gradient[i] = (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * step);
        }
        return gradient;
    }

    static void assertClose(String why, double[] actual, double[] expected, double tolerance) {
        assertThat(actual).as(why).hasSameSizeAs(expected);
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(actual[i] - expected[i]) <= tolerance)) {
                assertClose(why + " (element " + i + ")", actual[i], expected[i], tolerance);
            }
        }
    }

    static void assertClose(String why, double actual, double expected, double tolerance) {
        assertThat(Math.abs(actual - expected) <= tolerance)
                .as("%s: %s must be within %s of %s", why, actual, tolerance, expected)
                .isTrue();
    }
}
