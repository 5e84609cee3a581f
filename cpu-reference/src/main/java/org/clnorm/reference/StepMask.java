package org.clnorm.reference;

import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;

/**
 * Which elements of a tensor take part in a pass. A step is a sample's spatial position with all of its channels, or, where
 * rows are normalized, a row.
 */
public final class StepMask {
    private static final double VALID = 1;
    private static final double KEPT = 2;

    private final double[] stateOf;

    /**
     * @param states of each step, n·S + s or by row: 1 where it takes part, 0 where outputs are 0, 2 where they stay as they
     *     are; what is after the last is not looked at
     */
    public StepMask(double[] states, Grouping grouping, Shape shape, Layout layout) {
        stateOf = new double[Math.toIntExact(shape.elements())];
        int channels = Math.toIntExact(shape.channels());
        int spatial = Math.toIntExact(shape.spatial());
        long rows = grouping instanceof Grouping.Rows ? grouping.groups(shape, layout) : 0;
        for (int i = 0; i < stateOf.length; i++) {
            int step = rows > 0
                    ? (int) (i / (stateOf.length / rows))
                    : layout == Layout.CHANNELS_LAST ? i / channels : i / (channels * spatial) * spatial + i % spatial;
            stateOf[i] = states[step];
        }
    }

    /** Whether the element that is the i-th in memory takes part. */
    public boolean takesPart(int i) {
        return stateOf[i] == VALID;
    }

    /**
     * What a pass leaves in an output.
     *
     * @param values what it computed
     * @param there what was there before
     * @param past what an output has where no step takes part and nothing is kept; null for 0
     */
    public double[] written(double[] values, double[] there, double[] past) {
        double[] written = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            written[i] = takesPart(i) ? values[i] : stateOf[i] == KEPT ? there[i] : past == null ? 0 : past[i];
        }
        return written;
    }
}
