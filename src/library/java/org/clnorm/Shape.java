package org.clnorm;

import java.util.Arrays;
import java.util.Objects;
import java.util.stream.Collectors;

/**
 * The logical dimensions of a tensor: {@code (N, C, spatial...)} for what a normalization works on, {@code (n)} for a
 * vector such as γ. The order is logical and the same for both {@link Layout layouts}; a layout says how the elements
 * lie in memory.
 */
public final class Shape {
    private static final int MAX_RANK = 8;

    private final long[] dimensions;
    private final long elements;

    private Shape(long[] dimensions) {
        this.dimensions = dimensions;
        this.elements = product(dimensions, 0);
    }

    /**
     * A shape of the given dimensions.
     *
     * @param dimensions 1 to 8 sizes in logical order, each 0 or more
     * @throws IllegalArgumentException for no or more than eight dimensions, a negative one, or a product past 2⁶³−1
     */
    public static Shape of(long... dimensions) {
        Objects.requireNonNull(dimensions, "dimensions");
        if (dimensions.length == 0 || dimensions.length > MAX_RANK) {
            throw new IllegalArgumentException("A shape has 1 to " + MAX_RANK + " dimensions, but " + dimensions.length
                    + " were given: " + Arrays.toString(dimensions));
        }
        for (long dimension : dimensions) {
            if (dimension < 0) {
                throw new IllegalArgumentException(
                        "A shape's dimensions are 0 or more, but given was " + Arrays.toString(dimensions));
            }
        }
        return new Shape(dimensions.clone());
    }

    /** The product of the dimensions from one on. */
    private static long product(long[] dimensions, int from) {
        long product = 1;
        boolean tooLarge = false;
        for (int i = from; i < dimensions.length; i++) {
            if (dimensions[i] == 0) {
                return 0;
            }
            tooLarge |= product > Long.MAX_VALUE / dimensions[i];
            product *= dimensions[i];
        }
        if (tooLarge) {
            throw new IllegalArgumentException(
                    "A shape's number of elements must fit a long, but given was " + Arrays.toString(dimensions));
        }
        return product;
    }

    /** How many dimensions there are. */
    public int rank() {
        return dimensions.length;
    }

    /**
     * The size of one dimension.
     *
     * @param i which one, from 0 to below {@link #rank}
     * @throws IndexOutOfBoundsException for another number
     */
    public long dimension(int i) {
        return dimensions[i];
    }

    /** How many elements there are: the product of the dimensions. */
    public long elements() {
        return elements;
    }

    /** N, the first dimension. */
    public long batch() {
        return dimensions[0];
    }

    /**
     * C, the second dimension.
     *
     * @throws IllegalStateException for a shape of one dimension
     */
    public long channels() {
        if (dimensions.length < 2) {
            throw new IllegalStateException("A shape of rank 1 has no channels: " + this);
        }
        return dimensions[1];
    }

    /** The product of the dimensions after C; 1 where there are none. */
    public long spatial() {
        return product(dimensions, 2);
    }

    /** The dimensions, as a copy. */
    public long[] toArray() {
        return dimensions.clone();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Shape shape && Arrays.equals(dimensions, shape.dimensions);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(dimensions);
    }

    /** The dimensions as the field writes them, such as {@code (32, 64, 56, 56)}. */
    @Override
    public String toString() {
        return Arrays.stream(dimensions).mapToObj(Long::toString).collect(Collectors.joining(", ", "(", ")"));
    }
}
