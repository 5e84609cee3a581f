package org.clnorm;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Objects;

/**
 * The two 16-bit floating-point formats, to and from float32. A {@code short} holds a format's bits.
 *
 * <p>Decoding is exact. Encoding rounds to nearest, ties to even (IEEE 754-2019, §4.3.1): what is too large becomes
 * infinity, subnormals are kept, and zeros keep their signs. NaN stays NaN both ways, quiet, with its sign and with the
 * leading bits of its payload.
 */
public enum HalfFloat {
    /** IEEE 754 binary16: 5 exponent bits and 10 of the significand, 2⁻²⁴ to 65504. Rounding makes 65520 infinity. */
    BINARY16,
    /** bfloat16: float32 without the last 16 bits of its significand, so with float32's range, 2⁻¹³³ to 3.39e38. */
    BFLOAT16;

    private static final int CHUNK = 4096;

    private static final int MAGNITUDE = 0x7fffffff;
    private static final int INFINITY = 0x7f800000;
    private static final int QUIET = 0x00400000;

    /** The bits of the nearest number of this format. */
    public short encode(float value) {
        return this == BINARY16 ? toBinary16(value) : toBfloat16(value);
    }

    /** The number that these bits stand for. */
    public float decode(short bits) {
        return this == BINARY16 ? fromBinary16(bits) : fromBfloat16(bits);
    }

    /**
     * The bits of the nearest number of this format to each of the values, as a new array.
     *
     * @param values any number of values
     */
    public short[] encode(float[] values) {
        short[] bits = new short[Objects.requireNonNull(values, "values").length];
        encode(values, bits, values.length);
        return bits;
    }

    /**
     * The numbers that the bits stand for, as a new array.
     *
     * @param bits the bits of any number of numbers of this format
     */
    public float[] decode(short[] bits) {
        float[] values = new float[Objects.requireNonNull(bits, "bits").length];
        decode(bits, values, bits.length);
        return values;
    }

    /**
     * Encodes what remains of a buffer into what remains of another, direct or not. The positions of both stay.
     *
     * @param from the values
     * @param to where their bits go; it shares no memory with {@code from}
     * @throws IllegalArgumentException when the two have different numbers of elements left, or {@code to} is read-only
     */
    public void encode(FloatBuffer from, ShortBuffer to) {
        int count = Objects.requireNonNull(from, "from").remaining();
        check(count, Objects.requireNonNull(to, "to").remaining(), to.isReadOnly());
        FloatBuffer source = from.duplicate();
        ShortBuffer target = to.duplicate();
        float[] values = new float[Math.min(CHUNK, count)];
        short[] bits = new short[values.length];
        for (int left = count; left > 0; left -= Math.min(CHUNK, left)) {
            int some = Math.min(CHUNK, left);
            source.get(values, 0, some);
            encode(values, bits, some);
            target.put(bits, 0, some);
        }
    }

    /**
     * Decodes what remains of a buffer into what remains of another, direct or not. The positions of both stay.
     *
     * @param from the bits of numbers of this format
     * @param to where the numbers go; it shares no memory with {@code from}
     * @throws IllegalArgumentException when the two have different numbers of elements left, or {@code to} is read-only
     */
    public void decode(ShortBuffer from, FloatBuffer to) {
        int count = Objects.requireNonNull(from, "from").remaining();
        check(count, Objects.requireNonNull(to, "to").remaining(), to.isReadOnly());
        ShortBuffer source = from.duplicate();
        FloatBuffer target = to.duplicate();
        short[] bits = new short[Math.min(CHUNK, count)];
        float[] values = new float[bits.length];
        for (int left = count; left > 0; left -= Math.min(CHUNK, left)) {
            int some = Math.min(CHUNK, left);
            source.get(bits, 0, some);
            decode(bits, values, some);
            target.put(values, 0, some);
        }
    }

    private static void check(int count, int room, boolean readOnly) {
        if (count != room) {
            throw new IllegalArgumentException(
                    "to must have room for the " + count + " elements of from, and no more, but has " + room);
        }
        if (readOnly) {
            throw new IllegalArgumentException("to must be writable, but given was a read-only buffer");
        }
    }

    // A loop for each format, so that no element asks which one it is.

    private void encode(float[] from, short[] to, int count) {
        if (this == BINARY16) {
            for (int i = 0; i < count; i++) {
                to[i] = toBinary16(from[i]);
            }
        } else {
            for (int i = 0; i < count; i++) {
                to[i] = toBfloat16(from[i]);
            }
        }
    }

    private void decode(short[] from, float[] to, int count) {
        if (this == BINARY16) {
            for (int i = 0; i < count; i++) {
                to[i] = fromBinary16(from[i]);
            }
        } else {
            for (int i = 0; i < count; i++) {
                to[i] = fromBfloat16(from[i]);
            }
        }
    }

    private static short toBinary16(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = bits >>> 16 & 0x8000;
        int magnitude = bits & MAGNITUDE;
        int half;
        if (magnitude < 0x38800000) { // below 2⁻¹⁴, the smallest normal number: a multiple of 2⁻²⁴
            // 0.5 has its last bit at 2⁻²⁴, so that the sum is rounded where it should be.
            half = Float.floatToRawIntBits(Float.intBitsToFloat(magnitude) + 0.5f) - 0x3f000000;
        } else if (magnitude < 0x47800000) { // below 2¹⁶; a carry out of the significand is one of the exponent
            half = (magnitude - (112 << 23) + 0xfff + (magnitude >>> 13 & 1)) >>> 13;
        } else {
            half = magnitude > INFINITY ? 0x7e00 | magnitude >>> 13 & 0x3ff : 0x7c00;
        }
        return (short) (sign | half);
    }

    private static float fromBinary16(short half) {
        int magnitude = half & 0x7fff;
        int bits;
        if (magnitude < 0x0400) { // a multiple of 2⁻²⁴
            bits = Float.floatToRawIntBits(magnitude * 0x1p-24f);
        } else if (magnitude < 0x7c00) {
            bits = (magnitude << 13) + (112 << 23);
        } else {
            bits = INFINITY | magnitude << 13 | (magnitude > 0x7c00 ? QUIET : 0);
        }
        return Float.intBitsToFloat((half & 0x8000) << 16 | bits);
    }

    private static short toBfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        return (short)
                ((bits & MAGNITUDE) > INFINITY ? bits >>> 16 | QUIET >>> 16 : bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    private static float fromBfloat16(short half) {
        int bits = half << 16;
        return Float.intBitsToFloat((bits & MAGNITUDE) > INFINITY ? bits | QUIET : bits);
    }
}
