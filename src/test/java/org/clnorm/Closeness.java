package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.util.Arrays;

/** Comparisons in which NaN is close to nothing. */
final class Closeness {
    /** What the library promises of y, dx, dγ and dβ, by the largest magnitude of the array. */
    static final double BOUND = 5e-7;

    private Closeness() {}

    /** Within the promised bound by the largest expected magnitude. */
    static void assertClose(String what, float[] actual, double[] expected) {
        assertWithin(what, actual, expected, BOUND * largest(expected));
    }

    /** Within the promised bound by the largest expected magnitude in all channels, or by {@code scale} if larger. */
    static void assertClose(String what, Batch actual, double[][] expected, double scale) {
        double largest =
                Arrays.stream(expected).mapToDouble(Closeness::largest).max().orElse(0);
        for (int c = 0; c < expected.length; c++) {
            double[] channel = actual.channel(c);
            assertWithin(
                    what + ", channel " + c + " of " + actual, channel, expected[c], BOUND * Math.max(largest, scale));
        }
    }

    static void assertWithin(String what, float[] actual, double[] expected, double tolerance) {
        assertWithin(what, wide(actual), expected, tolerance);
    }

    static void assertWithin(String what, double[] actual, double[] expected, double tolerance) {
        assertThat(actual).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(actual[i] - expected[i]) <= tolerance)) {
                fail("%s: element %d is %s and must be within %s of %s", what, i, actual[i], tolerance, expected[i]);
            }
        }
    }

    static double[] wide(float[] values) {
        double[] wide = new double[values.length];
        Arrays.setAll(wide, i -> values[i]);
        return wide;
    }

    static double largest(double[] values) {
        return Arrays.stream(values).map(Math::abs).max().orElse(0);
    }
}
