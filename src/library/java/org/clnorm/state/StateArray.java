package org.clnorm.state;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Locale;
import java.util.Objects;
import java.util.stream.Collectors;

/**
 * An array of a {@link StateDict}: an element type, dimensions and elements in C order. Immutable. Two are equal when
 * all of their bits are.
 */
public final class StateArray {
    /** The type of an element; the types are in the order of their sizes. */
    public enum Type {
        /** 0 to 255. */
        UINT8(1),
        /** IEEE 754 binary16. */
        FLOAT16(2),
        /** The upper half of a float32. */
        BFLOAT16(2),
        /** Two's complement, 32 bits. */
        INT32(4),
        /** IEEE 754 binary32. */
        FLOAT32(4),
        /** IEEE 754 binary64. */
        FLOAT64(8),
        /** Two's complement, 64 bits. */
        INT64(8);

        private final int bytes;

        Type(int bytes) {
            this.bytes = bytes;
        }

        /** The size of one element, in bytes. */
        public int bytes() {
            return bytes;
        }

        /** Whether this is a floating-point type. */
        public boolean isFloat() {
            return this == FLOAT16 || this == BFLOAT16 || this == FLOAT32 || this == FLOAT64;
        }

        /** NumPy's name, such as {@code float32}. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** A place that elements come from, such as a file. */
    @FunctionalInterface
    public interface Source {
        /**
         * Fills all that remains of a buffer, and keeps no hold of it.
         *
         * @param to where the elements go, in C order, little-endian
         * @throws IOException when there are fewer elements, or they cannot be read
         */
        void fill(ByteBuffer to) throws IOException;
    }

    /** The longest array that every common virtual machine can make. */
    private static final int MAX_BYTES = Integer.MAX_VALUE - 8;

    private final Type type;
    private final long[] dimensions;
    /** The elements in C order, little-endian. */
    private final byte[] content;

    private StateArray(Type type, long[] dimensions, byte[] content) {
        this.type = type;
        this.dimensions = dimensions;
        this.content = content;
    }

    private static StateArray allocate(Type type, long... dimensions) {
        Objects.requireNonNull(type, "type");
        long bytes;
        try {
            bytes = Math.multiplyExact(product(dimensions), (long) type.bytes);
        } catch (ArithmeticException e) {
            bytes = Long.MAX_VALUE;
        }
        if (bytes > MAX_BYTES) {
            throw new IllegalArgumentException("An array has at most " + MAX_BYTES + " bytes, but " + type + " "
                    + tuple(dimensions) + " has " + (bytes == Long.MAX_VALUE ? "more than 2^63" : bytes));
        }
        return new StateArray(type, dimensions.clone(), new byte[(int) bytes]);
    }

    /** @throws ArithmeticException when a long does not hold it */
    private static long product(long[] dimensions) {
        Objects.requireNonNull(dimensions, "dimensions");
        if (Arrays.stream(dimensions).anyMatch(d -> d < 0)) {
            throw new IllegalArgumentException("Dimensions are 0 or more, but given were " + tuple(dimensions));
        }
        return Arrays.stream(dimensions).anyMatch(d -> d == 0)
                ? 0
                : Arrays.stream(dimensions).reduce(1, Math::multiplyExact);
    }

    private StateArray having(long elements) {
        if (elements != elements()) {
            throw new IllegalArgumentException(
                    "An array " + this + " has " + elements() + " elements, but given were " + elements);
        }
        return this;
    }

    /**
     * A float32 array.
     *
     * @param values in C order
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IllegalArgumentException when the product of the dimensions is not the number of values, a dimension is
     *     negative, or the array would be larger than an array can be
     */
    public static StateArray of(float[] values, long... dimensions) {
        Objects.requireNonNull(values, "values");
        StateArray array = allocate(Type.FLOAT32, dimensions).having(values.length);
        array.writable().asFloatBuffer().put(values);
        return array;
    }

    /**
     * A float64 array.
     *
     * @param values in C order
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IllegalArgumentException when the product of the dimensions is not the number of values, a dimension is
     *     negative, or the array would be larger than an array can be
     */
    public static StateArray of(double[] values, long... dimensions) {
        Objects.requireNonNull(values, "values");
        StateArray array = allocate(Type.FLOAT64, dimensions).having(values.length);
        array.writable().asDoubleBuffer().put(values);
        return array;
    }

    /**
     * An int64 array.
     *
     * @param values in C order
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IllegalArgumentException when the product of the dimensions is not the number of values, a dimension is
     *     negative, or the array would be larger than an array can be
     */
    public static StateArray of(long[] values, long... dimensions) {
        Objects.requireNonNull(values, "values");
        StateArray array = allocate(Type.INT64, dimensions).having(values.length);
        array.writable().asLongBuffer().put(values);
        return array;
    }

    /** An int64 scalar, as PyTorch's {@code num_batches_tracked} is. */
    public static StateArray scalar(long value) {
        return of(new long[] {value});
    }

    /**
     * An array of any type.
     *
     * @param type what the elements are
     * @param littleEndian the elements in C order, all that remains; its position stays
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IllegalArgumentException when what remains is not what the type and the dimensions take, a dimension is
     *     negative, or the array would be larger than an array can be
     */
    public static StateArray of(Type type, ByteBuffer littleEndian, long... dimensions) {
        Objects.requireNonNull(littleEndian, "littleEndian");
        StateArray array = allocate(type, dimensions);
        if (littleEndian.remaining() != array.content.length) {
            throw new IllegalArgumentException("An array " + array + " has " + array.content.length
                    + " bytes, but given were " + littleEndian.remaining());
        }
        littleEndian.duplicate().get(array.content);
        return array;
    }

    /**
     * An array whose elements are read straight into it.
     *
     * @param source where the elements come from
     * @param type what the elements are
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IOException when the source throws it, or does not give all elements
     * @throws IllegalArgumentException when a dimension is negative, or the array would be larger than an array can be
     */
    public static StateArray from(Source source, Type type, long... dimensions) throws IOException {
        Objects.requireNonNull(source, "source");
        StateArray array = allocate(type, dimensions);
        ByteBuffer to = array.writable();
        source.fill(to);
        if (to.hasRemaining()) {
            throw new IOException("ends " + to.remaining() + " bytes before the end of an array " + array);
        }
        return array;
    }

    /** The type of the elements. */
    public Type type() {
        return type;
    }

    /** The dimensions, slowest first, as a copy; none for a scalar. */
    public long[] dimensions() {
        return dimensions.clone();
    }

    /** How many elements there are. */
    public int elements() {
        return content.length / type.bytes;
    }

    /** The elements in C order, little-endian, as a buffer of that order that cannot be written. */
    public ByteBuffer content() {
        return ByteBuffer.wrap(content).asReadOnlyBuffer().order(ByteOrder.LITTLE_ENDIAN);
    }

    private ByteBuffer writable() {
        return ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * The elements in C order as float32. Those of float16 and bfloat16 are what they were, payloads of NaN included;
     * those of float64 are rounded to the nearest, ties to even, and infinite where they are too large.
     *
     * @throws IllegalArgumentException for an integer type
     */
    public float[] toFloats() {
        float[] values = new float[elements()];
        ByteBuffer from = writable();
        switch (type) {
            case FLOAT32 -> from.asFloatBuffer().get(values);
            case FLOAT16 -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = widened(from.getShort());
                }
            }
            case BFLOAT16 -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = Float.intBitsToFloat(from.getShort() << 16);
                }
            }
            case FLOAT64 -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) from.getDouble();
                }
            }
            case UINT8, INT32, INT64 ->
                throw new IllegalArgumentException("must be of a floating-point type, but is " + type);
        }
        return values;
    }

    /** A float16 as a float32, exactly. */
    private static float widened(short half) {
        int sign = (half & 0x8000) << 16;
        int exponent = half >> 10 & 0x1f;
        int fraction = half & 0x3ff;
        if (exponent == 0) {
            // 0 or subnormal: so many times 2⁻²⁴.
            return Float.intBitsToFloat(sign | Float.floatToRawIntBits(fraction * 0x1p-24f));
        }
        int bits = exponent == 0x1f ? 0xff : exponent - 15 + 127;
        return Float.intBitsToFloat(sign | bits << 23 | fraction << 13);
    }

    /**
     * The elements in C order as float64, each of which is exactly what it was.
     *
     * @throws IllegalArgumentException for int64, which float64 does not hold
     */
    public double[] toDoubles() {
        double[] values = new double[elements()];
        ByteBuffer from = writable();
        switch (type) {
            case FLOAT64 -> from.asDoubleBuffer().get(values);
            case FLOAT16, BFLOAT16, FLOAT32 -> {
                float[] exact = toFloats();
                Arrays.setAll(values, i -> exact[i]);
            }
            case UINT8 -> Arrays.setAll(values, i -> content[i] & 0xff);
            case INT32 -> Arrays.setAll(values, i -> from.getInt());
            case INT64 -> throw new IllegalArgumentException("must be of a type that float64 holds, but is " + type);
        }
        return values;
    }

    /**
     * The elements in C order as int64.
     *
     * @throws IllegalArgumentException for a floating-point type
     */
    public long[] toLongs() {
        if (type.isFloat()) {
            throw new IllegalArgumentException("must be of an integer type, but is " + type);
        }
        long[] values = new long[elements()];
        ByteBuffer from = writable();
        for (int i = 0; i < values.length; i++) {
            values[i] = switch (type) {
                case UINT8 -> from.get() & 0xff;
                case INT32 -> from.getInt();
                default -> from.getLong();
            };
        }
        return values;
    }

    /** Python's way to write it: {@code (3,)} and {@code ()} too. */
    private static String tuple(long... dimensions) {
        return Arrays.stream(dimensions)
                .mapToObj(Long::toString)
                .collect(Collectors.joining(", ", "(", dimensions.length == 1 ? ",)" : ")"));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StateArray array
                && type == array.type
                && Arrays.equals(dimensions, array.dimensions)
                && Arrays.equals(content, array.content);
    }

    @Override
    public int hashCode() {
        return Objects.hash(type, Arrays.hashCode(dimensions), Arrays.hashCode(content));
    }

    /** The type and dimensions, such as {@code float32 (4, 6)}. */
    @Override
    public String toString() {
        return type + " " + tuple(dimensions);
    }
}
