package org.clnorm.verify;

import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * How far a float32 array is from the array that was expected.
 *
 * <p>A NaN or an infinity is right only where the expected value, rounded to float32, is the same; elsewhere every
 * measure is infinite ({@code maxUlp} is {@link Long#MAX_VALUE}). So {@code scaledError() <= tolerance} is false for an
 * array with a stray NaN.
 *
 * @param array the array's name
 * @param maxAbsolute the largest |got − expected|
 * @param maxRelative the largest |got − expected| / |expected|; infinite where 0 was expected and something else came
 * @param maxUlp the largest number of float32 values between got and expected, the latter rounded to float32
 * @param scaledError {@code maxAbsolute} divided by the scale of the array
 * @param worstIndex the flat index of the (first) largest absolute error, −1 for an empty array
 * @param got the value there, NaN for an empty array
 * @param expected what it should have been, NaN for an empty array
 */
public record ArrayError(
        String array,
        double maxAbsolute,
        double maxRelative,
        long maxUlp,
        double scaledError,
        long worstIndex,
        double got,
        double expected) {

    /**
     * Measures {@code got} against {@code expected}.
     *
     * @param scale what the absolute error is divided by where it is larger than the {@link #largestMagnitude} of
     *     {@code expected}, which is the divisor otherwise; 0 for that largest magnitude itself. A larger scale is right
     *     where the values are sums of larger terms that cancel.
     * @throws IllegalArgumentException for arrays of different lengths or a scale that is negative or not finite
     */
    public static ArrayError of(String name, float[] got, double[] expected, double scale) {
        if (got.length != expected.length) {
            throw new IllegalArgumentException("The array " + name + " has " + got.length + " elements, but "
                    + expected.length + " were expected");
        }
        if (!(scale >= 0 && scale < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "The scale of " + name + " must be finite and 0 or more, but given was " + scale);
        }
        double maxAbsolute = 0;
        double maxRelative = 0;
        long maxUlp = 0;
        int worst = got.length == 0 ? -1 : 0;
        for (int i = 0; i < got.length; i++) {
            double absolute = distance(got[i], expected[i]);
            if (absolute > maxAbsolute) {
                maxAbsolute = absolute;
                worst = i;
            }
            maxRelative = Math.max(maxRelative, ratio(absolute, Math.abs(expected[i])));
            maxUlp = Math.max(maxUlp, ulps(got[i], (float) expected[i]));
        }
        return new ArrayError(
                name,
                maxAbsolute,
                maxRelative,
                maxUlp,
                ratio(maxAbsolute, Math.max(scale, largestMagnitude(expected))),
                worst,
                worst < 0 ? Double.NaN : got[worst],
                worst < 0 ? Double.NaN : expected[worst]);
    }

    /** The largest magnitude in an array that is finite as float32, 0 where there is none. */
    public static double largestMagnitude(double[] values) {
        return Arrays.stream(values)
                .map(Math::abs)
                .filter(v -> Float.isFinite((float) v))
                .max()
                .orElse(0);
    }

    /**
     * The worst element's index by dimension, such as {@code (3, 0, 12)}.
     *
     * @param dimensions of the array in memory order, slowest first
     */
    public String worstAt(long... dimensions) {
        if (worstIndex < 0) {
            return "-";
        }
        long[] index = new long[dimensions.length];
        long rest = worstIndex;
        for (int d = dimensions.length - 1; d >= 0; d--) {
            index[d] = rest % dimensions[d];
            rest /= dimensions[d];
        }
        return Arrays.stream(index).mapToObj(Long::toString).collect(Collectors.joining(", ", "(", ")"));
    }

    private static double distance(float got, double expected) {
        float rounded = (float) expected;
        if (Float.isFinite(got) && Float.isFinite(rounded)) {
            return Math.abs(got - expected);
        }
        return Float.compare(got, rounded) == 0 ? 0 : Double.POSITIVE_INFINITY;
    }

    private static double ratio(double error, double magnitude) {
        return error == 0 ? 0 : error == Double.POSITIVE_INFINITY ? error : error / magnitude;
    }

    private static long ulps(float a, float b) {
        if (Float.compare(a, b) == 0) {
            return 0;
        }
        if (Float.isFinite(a) && Float.isFinite(b)) {
            return Math.abs(ordinal(a) - ordinal(b));
        }
        return Long.MAX_VALUE;
    }

    /** Consecutive floats have consecutive ordinals; both zeros have 0. */
    private static long ordinal(float value) {
        int bits = Float.floatToIntBits(value);
        return bits >= 0 ? bits : -(long) (bits & 0x7fff_ffff);
    }
}
