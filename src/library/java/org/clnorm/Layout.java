package org.clnorm;

import java.util.Objects;

/**
 * How the elements of a tensor of {@link Shape} (N, C, spatial...) lie in memory. A vector is the same in both layouts.
 */
public enum Layout {
    /** N, C, spatial from slowest to fastest: PyTorch's default, NCHW. */
    CHANNELS_FIRST("channels-first"),
    /**
     * N, spatial, C from slowest to fastest: TensorFlow's default, NHWC. A transformer's rows of features lie so too;
     * {@link Device#rows(long...)} makes them without a word on it.
     */
    CHANNELS_LAST("channels-last");

    private final String label;

    Layout(String label) {
        this.label = label;
    }

    /**
     * The dimensions of a shape in the order of memory, slowest first.
     *
     * @param shape the logical dimensions
     */
    public long[] memoryOrder(Shape shape) {
        Objects.requireNonNull(shape, "shape");
        long[] d = shape.toArray();
        if (this == CHANNELS_LAST && d.length > 2) {
            long channels = d[1];
            System.arraycopy(d, 2, d, 1, d.length - 2);
            d[d.length - 1] = channels;
        }
        return d;
    }

    /**
     * The logical shape of an array whose dimensions are known in the order of memory.
     *
     * @param dimensions the dimensions in the order of memory, slowest first
     * @throws IllegalArgumentException for dimensions that {@link Shape#of} refuses
     */
    public Shape fromMemoryOrder(long... dimensions) {
        Objects.requireNonNull(dimensions, "dimensions");
        long[] d = dimensions.clone();
        if (this == CHANNELS_LAST && d.length > 2) {
            long channels = d[d.length - 1];
            System.arraycopy(d, 1, d, 2, d.length - 2);
            d[1] = channels;
        }
        return Shape.of(d);
    }

    /** The name used in files and on the command line: {@code channels-first} or {@code channels-last}. */
    @Override
    public String toString() {
        return label;
    }
}
