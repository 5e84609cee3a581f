package org.clnorm.backend;

import org.clnorm.Layout;
import org.clnorm.Shape;

/** Which elements of a tensor are normalized together, and which γ and β each has. */
public sealed interface Grouping permits Grouping.Batch, Grouping.Channels, Grouping.Rows {
    /**
     * A group is a channel over all spatial dimensions and so many samples: the first {@code samples}, the next, and so
     * on, the last group having what is left. γ and β go by channel.
     *
     * @param samples at least 1
     */
    record Batch(long samples) implements Grouping {
        /** Whether there may be several groups for a channel. */
        public boolean isVirtual() {
            return samples != Long.MAX_VALUE;
        }
    }

    /**
     * A group is one sample's spatial dimensions over a run of neighbouring channels. γ and β go by channel.
     *
     * @param groups of a sample; divides its channels
     */
    record Channels(int groups) implements Grouping {}

    /**
     * A group is a row: the last {@code dimensions} dimensions in the order of memory, which are contiguous.
     *
     * @param dimensions at least 1, at most the rank
     * @param affineByElement whether γ and β have the dimensions of a row; else there is one for each row
     */
    record Rows(int dimensions, boolean affineByElement) implements Grouping {}

    /** Whether γ and β go by the element of a row. */
    default boolean affineByElement() {
        return false;
    }

    /** How many groups a tensor has. */
    default long groups(Shape shape, Layout layout) {
        if (this instanceof Batch batch) {
            long virtual = batch.isVirtual() ? Math.max(0, shape.batch() - 1) / batch.samples + 1 : 1;
            return virtual * shape.channels();
        }
        if (this instanceof Channels channels) {
            return shape.batch() * channels.groups;
        }
        long row = rowLength(shape, layout);
        return row == 0 ? 0 : shape.elements() / row;
    }

    /** How many elements γ and β have each, if the samples have none of their own. */
    default long affine(Shape shape, Layout layout) {
        if (this instanceof Rows rows) {
            return rows.affineByElement ? rowLength(shape, layout) : groups(shape, layout);
        }
        return shape.channels();
    }

    private long rowLength(Shape shape, Layout layout) {
        long[] dimensions = layout.memoryOrder(shape);
        long length = 1;
        for (int i = dimensions.length - ((Rows) this).dimensions; i < dimensions.length; i++) {
            length *= dimensions[i];
        }
        return length;
    }

    /** Channels over the whole batch. */
    static Batch batch() {
        return new Batch(Long.MAX_VALUE);
    }
}
