package org.clnorm.view;

import java.util.Optional;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * A tensor as groups of elements that are normalized together, in one of two memory patterns. Kernels know patterns, not
 * normalizations: another normalization is another way to get a view.
 */
public sealed interface View permits View.Segmented, View.Columnar {
    /** How many groups a block has. */
    int groups();

    /** How many elements each group has, of the blocks that have most. */
    long groupSize();

    /** The blocks, each with groups of its own. */
    Blocks blocks();

    /** How many neighbouring groups share statistics; {@link #ACROSS_BLOCKS} where those of the same number do. */
    int joined();

    /** Every run of contiguous elements of the pattern starts at a multiple of this, and ends at one. */
    int contiguous();

    /** Segments or rows of the pattern, in the blocks that have most. */
    long runs();

    /** {@link #joined} where a group shares statistics with the groups of the same number in all blocks. */
    int ACROSS_BLOCKS = 0;

    /**
     * Pieces of a tensor that are gone over in one launch, each as if it were a tensor of the pattern.
     *
     * @param count how many
     * @param stride elements from one to the next
     * @param runs segments or rows of each but the last
     * @param lastRuns segments or rows of the last one, which may have fewer or more
     */
    record Blocks(int count, long stride, long runs, long lastRuns) {
        /** All alike. */
        public Blocks(int count, long stride, long runs) {
            this(count, stride, runs, runs);
        }

        /** Segments or rows of those that have most. */
        long mostRuns() {
            return Math.max(runs, lastRuns);
        }
    }

    /** How many groups there are in all blocks. */
    default long allGroups() {
        return (long) groups() * blocks().count();
    }

    /** How many elements there are in all. */
    default long elements() {
        return (blocks().count() - 1) * blocks().stride() + groups() * lastGroupSize();
    }

    /** How many elements each group has, except those of the last block. */
    default long usualGroupSize() {
        return groupSize() / runs() * blocks().runs();
    }

    /** How many elements each group of the last block has. */
    default long lastGroupSize() {
        return groupSize() / runs() * blocks().lastRuns();
    }

    /** How many groups share statistics. */
    default int sharing() {
        return joined() == ACROSS_BLOCKS ? blocks().count() : joined();
    }

    /**
     * A group is {@code segments} runs of {@code length} contiguous elements; group g's run i starts at element
     * {@code g·length + i·segmentStride}.
     */
    record Segmented(int groups, int segments, int length, long segmentStride, Blocks blocks, int joined)
            implements View {
        /** One block, each group with statistics of its own. */
        public Segmented(int groups, int segments, int length, long segmentStride) {
            this(groups, segments, length, segmentStride, new Blocks(1, 0, segments), 1);
        }

        @Override
        public long runs() {
            return segments;
        }

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
            return segments == 1 || segmentStride == (long) groups * length;
        }

        /**
         * The same groups as columns of a matrix with a row for each segment index, where the groups' segments lie side
         * by side; empty where they do not, or where there are too many columns.
         */
        public Optional<Columnar> asColumns() {
            return sideBySide() && (long) groups * length <= Integer.MAX_VALUE
                    ? Optional.of(new Columnar(groups, segments, length, blocks, joined))
                    : Optional.empty();
        }
    }

    /**
     * A group is {@code width} neighbouring columns of a row-major matrix: element r·groups·width + g·width + i, for
     * every row r and every i below the width.
     */
    record Columnar(int groups, long rows, int width, Blocks blocks, int joined) implements View {
        /** One block, each group with statistics of its own. */
        public Columnar(int groups, long rows, int width) {
            this(groups, rows, width, new Blocks(1, 0, rows), 1);
        }

        @Override
        public long runs() {
            return rows;
        }

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

    /**
     * Virtual batches: those channels over so many samples at a time, the last block having what is left.
     *
     * @param samples at least 1, fewer than the shape has
     * @param batches how many, the last of which has at least one sample
     */
    static View virtualBatches(Shape shape, Layout layout, long samples, long batches) {
        int channels = toInt("channels", shape, shape.channels());
        int count = toInt("virtual batches", shape, batches);
        long last = shape.batch() - (count - 1) * samples;
        long spatial = shape.spatial();
        long stride = samples * channels * spatial;
        if (spatial == 1 || layout == Layout.CHANNELS_LAST && channels > 1) {
            Blocks blocks = new Blocks(count, stride, samples * spatial, last * spatial);
            return new Columnar(channels, blocks.mostRuns(), 1, blocks, 1);
        }
        Blocks blocks = new Blocks(count, stride, samples, last);
        return new Segmented(
                channels,
                toInt("samples", shape, blocks.mostRuns()),
                toInt("the spatial dimensions", shape, spatial),
                channels * spatial,
                blocks,
                1);
    }

    /**
     * The channels of each sample, over its spatial dimensions; a block is a sample.
     *
     * @param joined how many neighbouring ones share statistics: 1 for instance, more for group normalization, and {@link
     *     #ACROSS_BLOCKS} for batch normalization with γ and β by sample
     */
    static View channels(Shape shape, Layout layout, int joined) {
        int channels = toInt("channels", shape, shape.channels());
        int batch = toInt("batch", shape, shape.batch());
        long spatial = shape.spatial();
        if (spatial == 1 || layout == Layout.CHANNELS_LAST && channels > 1) {
            return new Columnar(channels, spatial, 1, new Blocks(batch, channels * spatial, spatial), joined);
        }
        int length = toInt("the spatial dimensions", shape, spatial);
        return new Segmented(channels, 1, length, length, new Blocks(batch, channels * spatial, 1), joined);
    }

    /**
     * The positions of each sample, over its channels; a block is a sample. In channels-last memory, and where there is one
     * position, they are rows.
     */
    static View positions(Shape shape, Layout layout) {
        long spatial = shape.spatial();
        if (layout == Layout.CHANNELS_LAST || spatial == 1) {
            return rows(shape, shape.channels());
        }
        long channels = shape.channels();
        int batch = toInt("batch", shape, shape.batch());
        return new Columnar(
                toInt("the spatial dimensions", shape, spatial),
                channels,
                1,
                new Blocks(batch, channels * spatial, channels),
                1);
    }

    /** Rows of so many contiguous elements. */
    static View rows(Shape shape, long length) {
        int rows = toInt("rows", shape, shape.elements() / length);
        return new Segmented(rows, 1, toInt("a row", shape, length), length);
    }

    private static int toInt(String what, Shape shape, long value) {
        if (value > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(
                    what + " of shape " + shape + " must be below 2^31, but given was " + value);
        }
        return (int) value;
    }
}
