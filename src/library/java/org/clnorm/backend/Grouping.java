package org.clnorm.backend;

import java.util.Objects;
import org.clnorm.Layout;
import org.clnorm.Shape;

/** Which elements of a tensor are normalized together, and which γ and β each has. */
public sealed interface Grouping permits Grouping.Batch, Grouping.Channels, Grouping.Positions, Grouping.Rows {
    /**
     * A group is a channel over all spatial dimensions and so many samples: the first {@code samples}, the next, and so
     * on. γ and β go by channel.
     *
     * @param samples at least 1
     * @param rest what becomes of the samples that are left at the end, fewer than these
     */
    record Batch(long samples, Rest rest) implements Grouping {
        /** What becomes of samples that are too few for a virtual batch like the others. */
        public enum Rest {
            /** They are groups of their own. */
            OWN,
            /** They are in the groups before, which are larger than the others then; of their own where none is before. */
            MERGED,
            /** They are groups of their own, whose statistics are given. */
            GIVEN
        }

        /** Checks that nothing is missing. */
        public Batch {
            Objects.requireNonNull(rest, "rest");
        }

        /** The last group having what is left. */
        public Batch(long samples) {
            this(samples, Rest.OWN);
        }

        /** Whether there may be several groups for a channel. */
        public boolean isVirtual() {
            return samples != Long.MAX_VALUE;
        }

        /** How many groups there are for a channel of a batch of so many samples, at least 1. */
        public long virtualBatches(long batch) {
            long whole = batch / samples;
            return Math.max(1, rest == Rest.MERGED || batch % samples == 0 ? whole : whole + 1);
        }
    }

    /**
     * A group is one sample's spatial dimensions over a run of neighbouring channels. γ and β go by channel.
     *
     * @param groups of a sample; divides its channels
     */
    record Channels(int groups) implements Grouping {}

    /** A group is the channels of a sample at one position of its spatial dimensions. γ and β go by channel. */
    record Positions() implements Grouping {}

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
            return batch.virtualBatches(shape.batch()) * shape.channels();
        }
        if (this instanceof Channels channels) {
            return shape.batch() * channels.groups;
        }
        if (this instanceof Positions) {
            return shape.batch() * shape.spatial();
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

    /** How many samples, the last ones, have statistics that are given to a training pass. */
    default long givenSamples(Shape shape) {
        return this instanceof Batch batch && batch.rest == Batch.Rest.GIVEN ? shape.batch() % batch.samples : 0;
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
