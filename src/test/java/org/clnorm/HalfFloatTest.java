package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

final class HalfFloatTest {
    private static final int PATTERNS = 1 << 16;
    private static final int SIGN = 0x8000;

    private static int infinity(HalfFloat format) {
        return format == HalfFloat.BINARY16 ? 0x7c00 : 0x7f80;
    }

    private static int quietBit(HalfFloat format) {
        return format == HalfFloat.BINARY16 ? 0x0200 : 0x0040;
    }

    /** The value of a magnitude's bits by the definition of the formats; one past the largest at infinity. */
    private static double value(HalfFloat format, int magnitude) {
        int digits = format == HalfFloat.BINARY16 ? 10 : 7;
        int bias = format == HalfFloat.BINARY16 ? 15 : 127;
        int exponent = magnitude >> digits;
        int significand = magnitude & (1 << digits) - 1;
        return exponent == 0
                ? significand * Math.pow(2, 1 - bias - digits)
                : ((1 << digits) + significand) * Math.pow(2, exponent - bias - digits);
    }

    /**
     * By search among all magnitudes in double, where every midpoint of two neighbours is exact. Infinity stands where
     * the next number would.
     */
    private static int nearest(HalfFloat format, float value) {
        double magnitude = Math.abs((double) value);
        int low = 0;
        int high = infinity(format);
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (value(format, middle) <= magnitude) {
                low = middle;
            } else {
                high = middle;
            }
        }
        double midpoint = (value(format, low) + value(format, high)) / 2;
        int chosen = magnitude < midpoint || (magnitude == midpoint && low % 2 == 0) ? low : high;
        return chosen | (1 / value < 0 || value < 0 ? SIGN : 0);
    }

    private static int bits(HalfFloat format, float value) {
        return format.encode(value) & 0xffff;
    }

    @ParameterizedTest
    @EnumSource
    void decode_allPatterns_areTheNumbersOfTheDefinition(HalfFloat format) {
        for (int bits = 0; bits < PATTERNS; bits++) {
            int magnitude = bits & ~SIGN;
            float decoded = format.decode((short) bits);
            assertThat(Float.floatToRawIntBits(decoded) < 0)
                    .as("sign of %x", bits)
                    .isEqualTo((bits & SIGN) != 0);
            if (magnitude > infinity(format)) {
                assertThat(decoded).isNaN();
            } else if (magnitude == infinity(format)) {
                assertThat(decoded).isInfinite();
            } else {
                assertThat((double) Math.abs(decoded)).as("%x", bits).isEqualTo(value(format, magnitude));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void encode_whatWasDecoded_isTheSameBitsAndQuietForNan(HalfFloat format) {
        for (int bits = 0; bits < PATTERNS; bits++) {
            boolean nan = (bits & ~SIGN) > infinity(format);
            assertThat(bits(format, format.decode((short) bits)))
                    .as("%x, payload included", bits)
                    .isEqualTo(nan ? bits | quietBit(format) : bits);
        }
    }

    @ParameterizedTest
    @EnumSource
    void encode_midpointsAndTheirNeighbours_roundToNearestEven(HalfFloat format) {
        for (int low = 0; low < infinity(format); low++) {
            float midpoint = (float) ((value(format, low) + value(format, low + 1)) / 2);
            int even = low % 2 == 0 ? low : low + 1;
            for (int sign : new int[] {0, SIGN}) {
                float signed = sign == 0 ? midpoint : -midpoint;
                float below = sign == 0 ? Math.nextDown(signed) : Math.nextUp(signed);
                float above = sign == 0 ? Math.nextUp(signed) : Math.nextDown(signed);
                assertThat(bits(format, signed)).as("at %s", signed).isEqualTo(sign | even);
                assertThat(bits(format, below)).as("below %s", signed).isEqualTo(sign | low);
                assertThat(bits(format, above)).as("above %s", signed).isEqualTo(sign | low + 1);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void encode_anyFloats_areThoseOfTheSearch(HalfFloat format) {
        Random random = new Random(3);
        for (int i = 0; i < 1_000_000; i++) {
            float value = Float.intBitsToFloat(random.nextInt());
            if (!Float.isNaN(value) && !Float.isInfinite(value)) {
                assertThat(bits(format, value)).as("%s", value).isEqualTo(nearest(format, value));
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "BINARY16, 0x1p0f,           3c00",
        "BINARY16, -0x1p1f,          c000",
        "BINARY16, 65504,            7bff",
        "BINARY16, 65519.996,        7bff",
        "BINARY16, 65520,            7c00",
        "BINARY16, -65520,           fc00",
        "BINARY16, 65536,            7c00",
        "BINARY16, 3.4e38,           7c00",
        "BINARY16, Infinity,         7c00",
        "BINARY16, -Infinity,        fc00",
        "BINARY16, 0x1p-14f,         0400",
        "BINARY16, 0x0.ffcp-14f,     03ff",
        "BINARY16, 0x0.ffep-14f,     0400",
        "BINARY16, 0x1p-24f,         0001",
        "BINARY16, 0x1p-25f,         0000",
        "BINARY16, 0x1.000002p-25f,  0001",
        "BINARY16, 0x1.8p-24f,       0002",
        "BINARY16, -0x1p-25f,        8000",
        "BINARY16, 1e-45,            0000",
        "BINARY16, -0.0,             8000",
        "BFLOAT16, 1,                3f80",
        "BFLOAT16, 0x1.01p0f,        3f80",
        "BFLOAT16, 0x1.03p0f,        3f82",
        "BFLOAT16, 0x1.fep127f,      7f7f",
        "BFLOAT16, 0x1.fefffep127f,  7f7f",
        "BFLOAT16, 0x1.ffp127f,      7f80",
        "BFLOAT16, -0x1.fffffep127f, ff80",
        "BFLOAT16, Infinity,         7f80",
        "BFLOAT16, 0x1p-133f,        0001",
        "BFLOAT16, 0x1p-134f,        0000",
        "BFLOAT16, 0x1.8p-133f,      0002",
        "BFLOAT16, -1e-45,           8000",
        "BFLOAT16, -0.0,             8000",
    })
    void encode_boundaries_areTheBitsOfTheFormat(HalfFloat format, String value, String expected) {
        assertThat(Integer.toHexString(PATTERNS | bits(format, Float.parseFloat(value))))
                .as(value)
                .isEqualTo("1" + expected);
    }

    @ParameterizedTest
    @CsvSource({
        "BINARY16, 7fc00000, 7e00",
        "BINARY16, ffc00000, fe00",
        "BINARY16, 7f800001, 7e00", // a payload that does not fit, which must not leave infinity
        "BINARY16, ff800001, fe00",
        "BINARY16, 7fffffff, 7fff",
        "BINARY16, 7fd54000, 7eaa",
        "BFLOAT16, 7fc00000, 7fc0",
        "BFLOAT16, 7f800001, 7fc0",
        "BFLOAT16, ff80ffff, ffc0",
        "BFLOAT16, 7fffffff, 7fff", // which a carry would make a negative zero
        "BFLOAT16, ffffffff, ffff",
        "BFLOAT16, 7fd50000, 7fd5",
    })
    void encode_nan_keepsSignAndLeadingPayload(HalfFloat format, String given, String expected) {
        assertThat(Integer.toHexString(bits(format, Float.intBitsToFloat(Integer.parseUnsignedInt(given, 16)))))
                .isEqualTo(expected);
    }

    @ParameterizedTest
    @EnumSource
    void arrays_ofAllPatterns_areElementByElement(HalfFloat format) {
        short[] all = new short[PATTERNS];
        for (int i = 0; i < all.length; i++) {
            all[i] = (short) (31 * i);
        }
        float[] decoded = format.decode(all);
        short[] encoded = format.encode(decoded);
        for (int i = 0; i < all.length; i++) {
            assertThat(Float.floatToRawIntBits(decoded[i])).isEqualTo(Float.floatToRawIntBits(format.decode(all[i])));
            assertThat(encoded[i]).isEqualTo(format.encode(decoded[i]));
        }
        assertThat(format.encode(new float[0])).isEmpty();
    }

    @ParameterizedTest
    @EnumSource
    void buffers_ofAnyKind_areReadAndWrittenInTheirRangesOnly(HalfFloat format) {
        int count = 10_000; // more than one chunk, and a part of one
        float[] values = new float[count];
        Random random = new Random(5);
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        short[] expected = format.encode(values);

        FloatBuffer source = ByteBuffer.allocateDirect(4 * count + 8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .asFloatBuffer();
        source.position(1).limit(count + 1);
        source.duplicate().put(values);
        ShortBuffer bits = ShortBuffer.allocate(count + 5);
        bits.position(2).limit(count + 2);
        format.encode(source.asReadOnlyBuffer(), bits);
        assertThat(bits.position()).as("positions stay").isEqualTo(2);
        assertThat(source.position()).isEqualTo(1);
        assertThat(Arrays.copyOfRange(bits.array(), 2, count + 2)).isEqualTo(expected);
        assertThat(new short[] {bits.array()[1], bits.array()[count + 2]})
                .as("outside of the range")
                .containsOnly((short) 0);

        FloatBuffer decoded = FloatBuffer.allocate(count + 5);
        decoded.position(3).limit(count + 3);
        format.decode(bits, decoded);
        assertThat(decoded.position()).isEqualTo(3);
        assertThat(Arrays.copyOfRange(decoded.array(), 3, count + 3)).isEqualTo(format.decode(expected));
        assertThat(new float[] {decoded.array()[2], decoded.array()[count + 3]}).containsOnly(0);
    }

    @Test
    void buffers_ofOtherSizesOrReadOnly_areRefused() {
        assertThatThrownBy(() -> HalfFloat.BINARY16.encode(FloatBuffer.allocate(3), ShortBuffer.allocate(4)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("3", "4");
        assertThatThrownBy(() -> HalfFloat.BFLOAT16.decode(ShortBuffer.allocate(3), FloatBuffer.allocate(2)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("3", "2");
        assertThatThrownBy(() -> HalfFloat.BINARY16.encode(
                        FloatBuffer.allocate(3), ShortBuffer.allocate(3).asReadOnlyBuffer()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("read-only");
    }
}
