package org.clnorm.bench.against;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.clnorm.DataType;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Operand;
import org.clnorm.bench.Tensors;
import org.clnorm.bench.Tensors.Part;
import org.clnorm.bench.Timed;

/**
 * What a call leaves, to see that two builds do the same thing. It is no test of their numbers: the bounds are far beyond
 * rounding, and far below what any other formula gives.
 */
record Results(DataType type, Map<Part, List<float[]>> arrays) {
    /** Of the array's largest. */
    private static final double TOLERANCE = 1e-3;

    private static final double TOLERANCE_OF_16_BITS = 2e-2;

    /** The share of elements that may differ by more: an activation flips where its input is next to 0. */
    private static final double OUTLIERS = 1e-3;

    /** From each array. */
    private static final int MOST_ELEMENTS = 1 << 24;

    /** What a call on the first set of tensors writes, and not what was there before it. */
    static Results of(Backend backend, Timed workload, Tensors tensors, Contender.Work work) {
        for (Part part : workload.written()) {
            for (Operand operand : tensors.all(part, 0)) {
                // A parameter is read too.
                backend.fill(operand, elements(operand, workload), part == Part.VALUE ? 0 : Float.NaN);
            }
        }
        reset(backend, tensors.get(Part.RUNNING_MEAN, 0), 0);
        reset(backend, tensors.get(Part.RUNNING_VARIANCE, 0), 1);
        reset(backend, tensors.get(Part.RUNNING_COUNT, 0), 0);
        reset(backend, tensors.get(Part.FIRST, 0), 0);
        reset(backend, tensors.get(Part.SECOND, 0), 0);
        work.call(0);
        backend.finish();
        Map<Part, List<float[]>> arrays = new LinkedHashMap<>();
        for (Part part : workload.written()) {
            arrays.put(
                    part,
                    tensors.all(part, 0).stream()
                            .map(operand -> read(
                                    backend,
                                    operand,
                                    new float[(int) Math.min(MOST_ELEMENTS, elements(operand, workload))]))
                            .toList());
        }
        return new Results(workload.type(), arrays);
    }

    /** A tensor may have room for more. */
    private static long elements(Operand operand, Timed workload) {
        return Math.min(operand.memory().elements(), workload.elements());
    }

    /**
     * So that builds begin alike: batch renormalization's y depends on the running statistics, and a step on the
     * moments, which each call moves.
     */
    private static void reset(Backend backend, Operand running, float value) {
        if (running != null) {
            backend.fill(running, running.memory().elements(), value);
        }
    }

    private static float[] read(Backend backend, Operand from, float[] to) {
        if (from.type() == DataType.FLOAT32) {
            backend.read(from, FloatBuffer.wrap(to));
        } else {
            ShortBuffer bits = ShortBuffer.allocate(to.length);
            backend.read(from, bits);
            from.type().half().decode(bits, FloatBuffer.wrap(to));
        }
        return to;
    }

    /** In which array another build's results differ from these, in words; empty when they are the same. */
    Optional<String> differenceTo(Results others) {
        double tolerance = type == DataType.FLOAT32 ? TOLERANCE : TOLERANCE_OF_16_BITS;
        for (Map.Entry<Part, List<float[]>> entry : arrays.entrySet()) {
            List<float[]> given = others.arrays.get(entry.getKey());
            for (int i = 0; i < given.size(); i++) {
                float[] expected = entry.getValue().get(i);
                int different = differences(expected, given.get(i), tolerance);
                if (different > OUTLIERS * expected.length) {
                    return Optional.of(String.format(
                            Locale.ROOT,
                            "%d of %d elements of %s by more than %.0e of the largest",
                            different,
                            expected.length,
                            entry.getKey().toString().toLowerCase(Locale.ROOT),
                            tolerance));
                }
            }
        }
        return Optional.empty();
    }

    private static int differences(float[] expected, float[] given, double tolerance) {
        float largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        int different = 0;
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(given[i] - expected[i]) <= tolerance * largest)) {
                different++;
            }
        }
        return different;
    }
}
