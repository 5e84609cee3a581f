package org.clnorm.state;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.Objects;
import java.util.stream.Collectors;

/**
 * An array as NumPy's {@code .npy} format holds it: dimensions, an element type and the elements. Immutable.
 *
 * <p>The format is NumPy's NEP 1: the magic bytes, a version, the length of a header, the header (a Python dictionary
 * of {@code descr}, {@code fortran_order} and {@code shape}), and the raw elements. Versions 1.0, 2.0 and 3.0 are read,
 * in both byte orders and both C and Fortran order; version 1.0 is written, little-endian and in C order.
 */
public final class NpyArray {
    /** The element types that are read and written. */
    public enum ElementType {
        /** IEEE 754 binary16. */
        FLOAT16("f2"),
        /** IEEE 754 binary32. */
        FLOAT32("f4"),
        /** IEEE 754 binary64. */
        FLOAT64("f8"),
        /** Two's complement, 32 bits. */
        INT32("i4"),
        /** Two's complement, 64 bits. */
        INT64("i8"),
        /** 0 to 255. */
        UINT8("u1");

        private final String code;

        ElementType(String code) {
            this.code = code;
        }

        /** The size of one element, in bytes. */
        public int bytes() {
            return code.charAt(1) - '0';
        }

        /** NumPy's name, such as {@code float32}. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }

        static ElementType of(String code) {
            return Arrays.stream(values())
                    .filter(type -> type.code.equals(code))
                    .findFirst()
                    .orElse(null);
        }
    }

    /** The longest array that every common virtual machine can make. */
    private static final int MAX_BYTES = Integer.MAX_VALUE - 8;

    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    /** NumPy's own headers stay below 200 bytes and its reader stops at 10,000. */
    private static final int MAX_HEADER = 10_000;
    /** NumPy pads the header so that the elements start at a multiple of this. */
    private static final int ALIGNMENT = 64;

    private final ElementType type;
    /** The same array, of a type of the same name. */
    private final StateArray elements;

    private NpyArray(StateArray elements) {
        this.type = ElementType.valueOf(elements.type().name());
        this.elements = elements;
    }

    /**
     * A float32 array.
     *
     * @param values in C order
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IllegalArgumentException when the product of the dimensions is not the number of values, a dimension is
     *     negative, or the array would be larger than an array can be
     */
    public static NpyArray of(float[] values, long... dimensions) {
        Objects.requireNonNull(values, "values");
        check(ElementType.FLOAT32, values.length, dimensions);
        return new NpyArray(StateArray.of(values, dimensions));
    }

    /**
     * A float64 array.
     *
     * @param values in C order
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IllegalArgumentException when the product of the dimensions is not the number of values, a dimension is
     *     negative, or the array would be larger than an array can be
     */
    public static NpyArray of(double[] values, long... dimensions) {
        Objects.requireNonNull(values, "values");
        check(ElementType.FLOAT64, values.length, dimensions);
        return new NpyArray(StateArray.of(values, dimensions));
    }

    /**
     * A uint8 array, as texts are kept in {@code .npz} files.
     *
     * @param values in C order, each from 0 to 255 as an unsigned byte
     * @param dimensions slowest first, each 0 or more; none for a scalar
     * @throws IllegalArgumentException when the product of the dimensions is not the number of values, a dimension is
     *     negative, or the array would be larger than an array can be
     */
    public static NpyArray of(byte[] values, long... dimensions) {
        Objects.requireNonNull(values, "values");
        check(ElementType.UINT8, values.length, dimensions);
        return new NpyArray(StateArray.of(StateArray.Type.UINT8, ByteBuffer.wrap(values), dimensions));
    }

    /**
     * An array of a layer's state in NumPy's format; both share the elements.
     *
     * @param state an array of any type but bfloat16
     * @throws IllegalArgumentException for bfloat16, which the format has no type for
     */
    public static NpyArray of(StateArray state) {
        Objects.requireNonNull(state, "state");
        if (Arrays.stream(ElementType.values())
                .noneMatch(known -> known.name().equals(state.type().name()))) {
            throw new IllegalArgumentException("is " + state
                    + ", but NumPy's formats have no such type: write a safetensors file, or convert it to float32");
        }
        return new NpyArray(state);
    }

    /** The same array for a layer's state; both share the elements. */
    public StateArray toState() {
        return elements;
    }

    private static void check(ElementType type, int elements, long... dimensions) {
        Objects.requireNonNull(dimensions, "dimensions");
        if (Arrays.stream(dimensions).anyMatch(d -> d < 0) || product(dimensions) != elements) {
            throw new IllegalArgumentException(
                    "An array of " + elements + " elements cannot have the dimensions " + tuple(dimensions));
        }
        long bytes = (long) elements * type.bytes();
        if (bytes > MAX_BYTES) {
            throw new IllegalArgumentException("An array has at most " + MAX_BYTES + " bytes, but " + type + " "
                    + tuple(dimensions) + " has " + bytes);
        }
    }

    /** The type of the elements. */
    public ElementType type() {
        return type;
    }

    /** The dimensions, slowest first, as a copy; none for a scalar. */
    public long[] dimensions() {
        return elements.dimensions();
    }

    /** How many elements there are. */
    public int elements() {
        return elements.elements();
    }

    /** The size of all elements, in bytes. */
    long bytes() {
        return (long) elements() * type.bytes();
    }

    /**
     * The elements in C order as float32, each of which is exactly what it was.
     *
     * @throws IllegalArgumentException when an element, other than NaN, is not exactly a float32
     */
    public float[] toFloats() {
        if (type == ElementType.FLOAT32 || type == ElementType.FLOAT16) {
            return elements.toFloats();
        }
        float[] values = new float[elements()];
        ByteBuffer from = elements.content();
        for (int i = 0; i < values.length; i++) {
            double exact = next(from);
            values[i] = (float) exact;
            if (Double.compare(values[i], exact) != 0) {
                throw new IllegalArgumentException(type + " values that float32 does not hold, the first is " + exact
                        + " at flat index " + i + "; convert them, as with astype('float32')");
            }
        }
        return values;
    }

    /**
     * The elements in C order as float64, each of which is exactly what it was.
     *
     * @throws IllegalArgumentException when an element is not exactly a float64, as some above 2⁵³ in an int64 array
     */
    public double[] toDoubles() {
        if (type != ElementType.INT64) {
            return elements.toDoubles();
        }
        double[] values = new double[elements()];
        ByteBuffer from = elements.content();
        Arrays.setAll(values, i -> next(from));
        return values;
    }

    /** The next element of an array whose type is not float16. */
    private double next(ByteBuffer from) {
        return switch (type) {
            case FLOAT16 -> throw new AssertionError("has a conversion of its own");
            case FLOAT32 -> from.getFloat();
            case FLOAT64 -> from.getDouble();
            case INT32 -> from.getInt();
            case INT64 -> exact(from.getLong());
            case UINT8 -> from.get() & 0xff;
        };
    }

    /**
     * The elements of a uint8 array in C order.
     *
     * @throws IllegalArgumentException for another element type
     */
    public byte[] toBytes() {
        if (type != ElementType.UINT8) {
            throw new IllegalArgumentException("must be uint8, but is " + type);
        }
        byte[] values = new byte[elements()];
        elements.content().get(values);
        return values;
    }

    private static double exact(long value) {
        double rounded = value;
        // 2⁶³ as a double converts back to Long.MAX_VALUE, which did not become it without rounding.
        if ((long) rounded != value || value == Long.MAX_VALUE) {
            throw new IllegalArgumentException("int64 values that float64 does not hold, the first is " + value);
        }
        return rounded;
    }

    /** The type and dimensions as NumPy writes them, such as {@code float32 (4, 6)}. */
    @Override
    public String toString() {
        return elements.toString();
    }

    /**
     * Reads one array.
     *
     * @param size how many bytes {@code from} claims to have
     * @param room how many bytes of memory there are for it
     * @throws IOException when it is not such an array, has another size, or ends early; the message does not name it
     */
    static NpyArray read(InputStream from, long size, long room) throws IOException {
        byte[] start = readExactly(from, MAGIC.length + 2, "its first bytes");
        if (!Arrays.equals(start, 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
            throw new IOException("is not in .npy format: it does not start with \\x93NUMPY");
        }
        int version = start[MAGIC.length];
        if (version < 1 || version > 3 || start[MAGIC.length + 1] != 0) {
            throw new IOException("has .npy version " + version + "." + start[MAGIC.length + 1]
                    + ", but only 1.0, 2.0 and 3.0 are known");
        }
        int lengthBytes = version == 1 ? Short.BYTES : Integer.BYTES;
        ByteBuffer lengthField = ByteBuffer.wrap(readExactly(from, lengthBytes, "the length of its header"))
                .order(ByteOrder.LITTLE_ENDIAN);
        long headerLength = version == 1 ? lengthField.getShort() & 0xffff : lengthField.getInt() & 0xffff_ffffL;
        if (headerLength > MAX_HEADER) {
            throw new IOException(
                    "claims a header of " + headerLength + " bytes, but at most " + MAX_HEADER + " are read");
        }
        NpyHeader header = NpyHeader.parse(
                new String(readExactly(from, (int) headerLength, "its header"), StandardCharsets.ISO_8859_1));
        long claimed = contentBytes(header);
        long rest = size - start.length - lengthBytes - headerLength;
        if (claimed != rest) {
            throw new IOException("claims to be " + header + " with " + (claimed < 0 ? "more than 2^63" : claimed)
                    + " bytes of elements, but has " + rest);
        }
        if (claimed > MAX_BYTES) {
            throw new IOException(
                    "is " + header + " with " + claimed + " bytes, but an array has at most " + MAX_BYTES);
        }
        long needed = header.isReordered() ? 2 * claimed : claimed;
        if (needed > room) {
            throw new IOException(
                    "takes " + needed + " bytes" + (needed > claimed ? " to come from Fortran to C order" : "")
                            + ", but there is memory for " + room + " more; raise it with java -Xmx");
        }
        StateArray elements = StateArray.from(
                to -> readElements(from, header, to),
                StateArray.Type.valueOf(header.type().name()),
                header.shape());
        if (from.read() != -1) {
            throw new IOException("has more bytes than it claims");
        }
        return new NpyArray(elements);
    }

    private static void readElements(InputStream from, NpyHeader header, ByteBuffer to) throws IOException {
        if (header.isReordered()) {
            byte[] content = new byte[to.remaining()];
            checkEnd(from.readNBytes(content, 0, content.length), content.length, "its elements");
            header.reorder(content, to);
        } else {
            ReadableByteChannel channel = Channels.newChannel(from);
            int count = to.remaining();
            while (to.hasRemaining() && channel.read(to) >= 0) {
                // On to what is left.
            }
            checkEnd(count - to.remaining(), count, "its elements");
        }
        header.toLittleEndian(to);
    }

    /** The size of all elements, in bytes; −1 where a long does not hold it. */
    private static long contentBytes(NpyHeader header) {
        try {
            return Math.multiplyExact(
                    product(header.shape()), (long) header.type().bytes());
        } catch (ArithmeticException e) {
            return -1;
        }
    }

    private static byte[] readExactly(InputStream from, int count, String what) throws IOException {
        byte[] bytes = from.readNBytes(count);
        checkEnd(bytes.length, count, what);
        return bytes;
    }

    private static void checkEnd(int read, int count, String what) throws EOFException {
        if (read < count) {
            throw new EOFException("ends in " + what + ", after " + read + " of " + count + " bytes");
        }
    }

    void write(OutputStream to) throws IOException {
        String order = type.bytes() == 1 ? "|" : "<";
        String header = "{'descr': '" + order + type.code + "', 'fortran_order': False, 'shape': " + tuple(dimensions())
                + ", }";
        int unpadded = MAGIC.length + 2 + Short.BYTES + header.length() + 1;
        String padded = header + " ".repeat(Math.floorMod(-unpadded, ALIGNMENT)) + "\n";
        to.write(MAGIC);
        to.write(new byte[] {1, 0, (byte) padded.length(), (byte) (padded.length() >> 8)});
        to.write(padded.getBytes(StandardCharsets.US_ASCII));
        // By way of a channel, which takes the elements in parts and not as a copy of them all.
        WritableByteChannel channel = Channels.newChannel(to);
        ByteBuffer content = elements.content();
        while (content.hasRemaining()) {
            channel.write(content);
        }
    }

    /** @throws ArithmeticException when a long does not hold it */
    private static long product(long[] dimensions) {
        if (Arrays.stream(dimensions).anyMatch(d -> d == 0)) {
            return 0;
        }
        return Arrays.stream(dimensions).reduce(1, Math::multiplyExact);
    }

    /**
     * Dimensions in Python's way to write them: {@code (3,)} and {@code ()} too.
     *
     * @param dimensions any number of them
     */
    public static String tuple(long... dimensions) {
        Objects.requireNonNull(dimensions, "dimensions");
        return Arrays.stream(dimensions)
                .mapToObj(Long::toString)
                .collect(Collectors.joining(", ", "(", dimensions.length == 1 ? ",)" : ")"));
    }
}
