package org.clnorm.view;

import java.util.Optional;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * A tensor as groups of elements that are normalized together, in one of two memory patterns. Kernels know patterns, not
 * normalizations: another normalization is another way to get a view.
 */
public sealed interface View permits View.Segmented, View.Columnar {
    /** How many groups there are. */
    int groups();

    /** How many elements each group has: m in the formulas. */
    long groupSize();

    /** Every run of contiguous elements of the pattern starts at a multiple of this, and ends at one. */
    int contiguous();

    /** How many elements there are in all. */
    default long elements() {
        return groups() * groupSize();
    }

    /**
     * A group is {@code segments} runs of {@code length} contiguous elements; group g's run i starts at element
     * {@code g·length + i·segmentStride}.
     */
    record Segmented(int groups, int segments, int length, long segmentStride) implements View {
        @Override
        public long groupSize() {
            return (long) segments * length;
        }

        @Override
        public int contiguous() {
            return length;
        }

        /** Whether the runs fill the memory: a run of each group in turn, and over again. */
        public boolean sideBySide() {
            return segmentStride == (long) groups * length;
        }

        /**
         * The same groups as columns of a matrix with a row for each segment index, where the groups' segments lie side
         * by side; empty where they do not, or where there are too many columns.
         */
        public Optional<Columnar> asColumns() {
            return sideBySide() && segmentStride <= Integer.MAX_VALUE
                    ? Optional.of(new Columnar(groups, segments, length))
                    : Optional.empty();
        }
    }

    /**
     * A group is {@code width} neighbouring columns of a row-major matrix: element r·groups·width + g·width + i, for
     * every row r and every i below the width.
     */
    record Columnar(int groups, long rows, int width) implements View {
        @Override
        public long groupSize() {
            return rows * width;
        }

        @Override
        public int contiguous() {
            return columns();
        }

        /** Columns of the matrix. */
        public int columns() {
            return groups * width;
        }
    }

    /**
     * Batch normalization: one group per channel, over N and the spatial dimensions.
     *
     * <p>Channels-first memory has N segments of S elements per channel; with S = 1 the channels are columns. In
     * channels-last memory they are columns, unless there is only one.
     */
    static View batch(Shape shape, Layout layout) {
        int channels = toInt("channels", shape, shape.channels());
        long batch = shape.batch();
        long spatial = shape.spatial();
        if (channels == 1 && batch * spatial <= Integer.MAX_VALUE) {
            return new Segmented(1, 1, (int) (batch * spatial), batch * spatial);
        }
        if (layout == Layout.CHANNELS_LAST || spatial == 1) {
            return new Columnar(channels, batch * spatial, 1);
        }
        return new Segmented(
                channels,
                toInt("batch", shape, batch),
                toInt("the spatial dimensions", shape, spatial),
                channels * spatial);
    }

    private static int toInt(String what, Shape shape, long value) {
        if (value > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(
                    what + " of shape " + shape + " must be below 2^31, but given was " + value);
        }
        return (int) value;
    }
}
