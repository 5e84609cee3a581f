package org.clnorm;

/**
 * How an element of x, y, the residual and their gradients is stored. Statistics and parameters are float32 whatever
 * this is, and so is all arithmetic: an element is widened when it is read, and rounded to nearest even when it is
 * written.
 */
public enum DataType {
    /** IEEE 754 binary32. */
    FLOAT32("float32", Float.BYTES, null),
    /** IEEE 754 binary16. Devices need no extension for it. */
    FLOAT16("float16", Short.BYTES, HalfFloat.BINARY16),
    /** The upper half of float32. */
    BFLOAT16("bfloat16", Short.BYTES, HalfFloat.BFLOAT16);

    private final String label;
    private final int bytes;
    private final HalfFloat half;

    DataType(String label, int bytes, HalfFloat half) {
        this.label = label;
        this.bytes = bytes;
        this.half = half;
    }

    /** The size of one element, in bytes. */
    public int bytes() {
        return bytes;
    }

    /**
     * The conversion to and from float32.
     *
     * @throws IllegalStateException for float32 itself
     */
    public HalfFloat half() {
        if (half == null) {
            throw new IllegalStateException("float32 elements need no conversion");
        }
        return half;
    }

    /** The nearest value that an element of this type can hold, ties to even. */
    public float round(float value) {
        return half == null ? value : half.decode(half.encode(value));
    }

    /** The name used in files and on the command line: {@code float32}, {@code float16} or {@code bfloat16}. */
    @Override
    public String toString() {
        return label;
    }
}
