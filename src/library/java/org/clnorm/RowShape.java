package org.clnorm;

import java.util.Arrays;

/** The last dimensions, in the order of memory, of the tensors that a layer is for: those of a row. */
final class RowShape {
    private final long[] dimensions;

    /** @throws IllegalArgumentException for none or more than five, or one below 1 */
    RowShape(long... dimensions) {
        if (dimensions.length == 0
                || dimensions.length > 5
                || Arrays.stream(dimensions).anyMatch(size -> size < 1)) {
            throw new IllegalArgumentException(
                    "The normalized dimensions must be 1 to 5 and each at least 1, but given were "
                            + Arrays.toString(dimensions));
        }
        this.dimensions = dimensions.clone();
    }

    int rank() {
        return dimensions.length;
    }

    long elements() {
        long elements = 1;
        for (long size : dimensions) {
            elements *= size;
        }
        return elements;
    }

    Shape shape() {
        return Shape.of(dimensions);
    }

    /** Refuses a tensor that does not end in them. */
    void check(Tensor x) {
        Shape shape = x.shape();
        int rank = shape.rank();
        boolean fits = isLayerRank(rank) && dimensions.length <= rank;
        for (int i = 0; fits && i < dimensions.length; i++) {
            fits = dimensions[i] == inMemory(shape, x.layout(), rank - dimensions.length + i);
        }
        if (!fits) {
            throw new IllegalArgumentException("x must have 2 to 5 dimensions, the last of them in the order of memory "
                    + this + ", but given was " + shape + ", which lies as "
                    + Shape.of(x.layout().memoryOrder(shape)) + " (" + x.layout() + ")");
        }
    }

    static boolean isLayerRank(int rank) {
        return rank >= 2 && rank <= 5;
    }

    /** The element {@code i} of {@link Layout#memoryOrder}, without an array. */
    private static long inMemory(Shape shape, Layout layout, int i) {
        if (layout == Layout.CHANNELS_FIRST || i == 0 || shape.rank() == 2) {
            return shape.dimension(i);
        }
        return shape.dimension(i == shape.rank() - 1 ? 1 : i + 1);
    }

    @Override
    public String toString() {
        return shape().toString();
    }
}
