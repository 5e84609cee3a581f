package org.clnorm.cli;

import java.nio.ByteBuffer;
import java.util.function.Consumer;
import org.clnorm.state.StateArray;

/**
 * An array in a few numbers, of those of its elements that are finite.
 *
 * @param min null where no element is finite, as {@code max} and {@code mean}
 * @param nonFinite how many are NaN or infinite
 */
record ArraySummary(Number min, Number max, Double mean, long nonFinite) {
    /** So many elements are converted at once: all of a large array would take up to eight times its size again. */
    private static final int PART = 1 << 16;

    static ArraySummary of(StateArray array) {
        return array.type().isFloat() ? ofFloats(array) : ofIntegers(array);
    }

    private static void forEachPart(StateArray array, Consumer<StateArray> use) {
        ByteBuffer content = array.content();
        int size = array.type().bytes();
        for (int from = 0; from < array.elements(); from += PART) {
            int count = Math.min(PART, array.elements() - from);
            use.accept(StateArray.of(array.type(), content.slice(from * size, count * size), count));
        }
    }

    private static ArraySummary ofFloats(StateArray array) {
        Floats seen = new Floats();
        forEachPart(array, part -> seen.add(part.toDoubles()));
        if (seen.finite == 0) {
            return new ArraySummary(null, null, null, array.elements());
        }
        double mean = Double.isFinite(seen.sum) ? seen.sum / seen.finite : meanOfLarge(array, seen.finite);
        // A float32 prints as its own shortest form.
        boolean wide = array.type() == StateArray.Type.FLOAT64;
        return new ArraySummary(
                wide ? (Number) seen.min : (Number) (float) seen.min,
                wide ? (Number) seen.max : (Number) (float) seen.max,
                mean,
                array.elements() - seen.finite);
    }

    private static final class Floats {
        private double min = Double.POSITIVE_INFINITY;
        private double max = Double.NEGATIVE_INFINITY;
        private double sum;
        private long finite;

        void add(double[] values) {
            for (double value : values) {
                if (Double.isFinite(value)) {
                    min = Math.min(min, value);
                    max = Math.max(max, value);
                    sum += value;
                    finite++;
                }
            }
        }
    }

    /** Of values whose sum a double does not hold. */
    private static double meanOfLarge(StateArray array, long finite) {
        double[] mean = new double[1];
        forEachPart(array, part -> {
            for (double value : part.toDoubles()) {
                mean[0] += Double.isFinite(value) ? value / finite : 0;
            }
        });
        return mean[0];
    }

    private static ArraySummary ofIntegers(StateArray array) {
        Integers seen = new Integers();
        forEachPart(array, part -> seen.add(part.toLongs()));
        return array.elements() == 0
                ? new ArraySummary(null, null, null, 0)
                : new ArraySummary(seen.min, seen.max, seen.sum / array.elements(), 0);
    }

    private static final class Integers {
        private long min = Long.MAX_VALUE;
        private long max = Long.MIN_VALUE;
        private double sum;

        void add(long[] values) {
            for (long value : values) {
                min = Math.min(min, value);
                max = Math.max(max, value);
                sum += value;
            }
        }
    }
}
