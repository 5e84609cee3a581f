package org.clnorm.cli;

import org.clnorm.StateArray;

/**
 * An array in a few numbers, of those of its elements that are finite.
 *
 * @param min null where no element is finite, as {@code max} and {@code mean}
 * @param nonFinite how many are NaN or infinite
 */
record ArraySummary(Number min, Number max, Double mean, long nonFinite) {
    static ArraySummary of(StateArray array) {
        return array.type().isFloat() ? ofDoubles(array.toDoubles(), array.type()) : ofLongs(array.toLongs());
    }

    private static ArraySummary ofDoubles(double[] values, StateArray.Type type) {
        double min = Double.POSITIVE_INFINITY;
        double max = Double.NEGATIVE_INFINITY;
        double sum = 0;
        long finite = 0;
        for (double value : values) {
            if (Double.isFinite(value)) {
                min = Math.min(min, value);
                max = Math.max(max, value);
                sum += value;
                finite++;
            }
        }
        if (finite == 0) {
            return new ArraySummary(null, null, null, values.length);
        }
        double mean = Double.isFinite(sum) ? sum / finite : meanOfLarge(values, finite);
        // A float32 prints as its own shortest form.
        boolean wide = type == StateArray.Type.FLOAT64;
        return new ArraySummary(
                wide ? (Number) min : (Number) (float) min,
                wide ? (Number) max : (Number) (float) max,
                mean,
                values.length - finite);
    }

    /** Of values whose sum a double does not hold. */
    private static double meanOfLarge(double[] values, long finite) {
        double mean = 0;
        for (double value : values) {
            mean += Double.isFinite(value) ? value / finite : 0;
        }
        return mean;
    }

    private static ArraySummary ofLongs(long[] values) {
        if (values.length == 0) {
            return new ArraySummary(null, null, null, 0);
        }
        long min = Long.MAX_VALUE;
        long max = Long.MIN_VALUE;
        double sum = 0;
        for (long value : values) {
            min = Math.min(min, value);
            max = Math.max(max, value);
            sum += value;
        }
        return new ArraySummary(min, max, sum / values.length, 0);
    }
}
