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
import org.clnorm.bench.Workload;

/**
 * What a call leaves, to see that two builds do the same thing. It is no test of their numbers: the bounds are far beyond
 * rounding, and far below what any other formula gives.
 */
record Results(DataType type, Map<Part, float[]> arrays) {
    /** Of the array's largest. */
    private static final double TOLERANCE = 1e-3;

    private static final double TOLERANCE_OF_16_BITS = 2e-2;

    /** The share of elements that may differ by more: an activation flips where its input is next to 0. */
    private static final double OUTLIERS = 1e-3;

    /** From each array. */
    private static final int MOST_ELEMENTS = 1 << 24;

    /** What a call on the first set of tensors writes, and not what was there before it. */
    static Results of(Backend backend, Workload workload, Tensors tensors, Contender.Work work) {
        List<Part> written = workload.direction() == Workload.Direction.BACKWARD
                ? List.of(Part.DX, Part.DGAMMA, Part.DBETA)
                : List.of(Part.Y);
        Map<Part, float[]> arrays = new LinkedHashMap<>();
        for (Part part : written) {
            Operand operand = tensors.get(part, 0);
            if (operand != null) {
                long elements = part == Part.Y || part == Part.DX
                        ? workload.shape().elements()
                        : operand.memory().elements();
                arrays.put(part, new float[(int) Math.min(MOST_ELEMENTS, elements)]);
                backend.fill(operand, elements, Float.NaN);
            }
        }
        reset(backend, tensors.get(Part.RUNNING_MEAN, 0), 0);
        reset(backend, tensors.get(Part.RUNNING_VARIANCE, 0), 1);
        reset(backend, tensors.get(Part.RUNNING_COUNT, 0), 0);
        work.call(0);
        backend.finish();
        arrays.forEach((part, array) -> read(backend, tensors.get(part, 0), array));
        return new Results(workload.type(), arrays);
    }

    /** So that builds begin alike: batch renormalization's y depends on the running statistics, which each call moves. */
    private static void reset(Backend backend, Operand running, float value) {
        if (running != null) {
            backend.fill(running, running.memory().elements(), value);
        }
    }

    private static void read(Backend backend, Operand from, float[] to) {
        if (from.type() == DataType.FLOAT32) {
            backend.read(from, FloatBuffer.wrap(to));
        } else {
            ShortBuffer bits = ShortBuffer.allocate(to.length);
            backend.read(from, bits);
            from.type().half().decode(bits, FloatBuffer.wrap(to));
        }
    }

    /** In which array another build's results differ from these, in words; empty when they are the same. */
    Optional<String> differenceTo(Results others) {
        double tolerance = type == DataType.FLOAT32 ? TOLERANCE : TOLERANCE_OF_16_BITS;
        for (Map.Entry<Part, float[]> entry : arrays.entrySet()) {
            float[] expected = entry.getValue();
            float[] given = others.arrays.get(entry.getKey());
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
        return Optional.empty();
    }
}
