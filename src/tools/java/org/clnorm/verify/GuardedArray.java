package org.clnorm.verify;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Arrays;
import java.util.Optional;
import org.clnorm.DataType;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;

/**
 * An array inside a larger piece of memory, whose surroundings tell whether somebody wrote, or made use of, what lies
 * beside it.
 *
 * <p>What surrounds an input is NaN: a result that it entered is NaN too. What surrounds an output is a number that no
 * result is: there, a NaN that was read and written back would go unseen. Bits are compared, not values.
 */
final class GuardedArray implements AutoCloseable {
    /** Elements before an array that is at a 64-byte line, and after it: more than a work-group's vector each. */
    private static final int GUARD = 160;

    private static final float INPUT_GUARD = Float.intBitsToFloat(0x7fc0_c0de);
    private static final float OUTPUT_GUARD = -7.654321e-30f;
    private static final float POISON = Float.intBitsToFloat(0x7fc0_dead);
    // A NaN of 16 bits may be a result; near the end of their range there is none.
    private static final float FLOAT16_GUARD = -61024;
    private static final float FLOAT16_POISON = 62048;
    private static final float BFLOAT16_GUARD = -0x1.ap100f;
    private static final float BFLOAT16_POISON = 0x1.6p100f;

    private final String name;
    private final Backend backend;
    private final DataType type;
    private final Memory memory;
    private final int offset;
    private final int count;
    private boolean output;
    private float[] content;

    private GuardedArray(
            Backend backend, String name, DataType type, boolean output, int shift, float[] values, int after) {
        this.name = name;
        this.backend = backend;
        this.type = type;
        this.output = output;
        this.offset = GUARD + shift;
        this.count = values.length;
        this.content = new float[offset + count + after];
        Arrays.fill(content, output ? guardOf(type) : INPUT_GUARD);
        System.arraycopy(values, 0, content, offset, count);
        this.memory = backend.allocate(content.length, type);
        if (type == DataType.FLOAT32) {
            backend.write(new Operand(memory, 0), FloatBuffer.wrap(content));
        } else {
            short[] bits = type.half().encode(content);
            backend.write(new Operand(memory, 0, type), ShortBuffer.wrap(bits));
            content = type.half().decode(bits);
        }
    }

    private float[] read() {
        float[] now = new float[content.length];
        if (type == DataType.FLOAT32) {
            backend.read(new Operand(memory, 0), FloatBuffer.wrap(now));
        } else {
            ShortBuffer bits = ShortBuffer.allocate(now.length);
            backend.read(new Operand(memory, 0, type), bits);
            now = type.half().decode(bits.array());
        }
        return now;
    }

    private static float guardOf(DataType type) {
        return switch (type) {
            case FLOAT32 -> OUTPUT_GUARD;
            case FLOAT16 -> FLOAT16_GUARD;
            case BFLOAT16 -> BFLOAT16_GUARD;
        };
    }

    private static float poisonOf(DataType type) {
        return switch (type) {
            case FLOAT32 -> POISON;
            case FLOAT16 -> FLOAT16_POISON;
            case BFLOAT16 -> BFLOAT16_POISON;
        };
    }

    /**
     * An array that is only read.
     *
     * @param shift how many elements it starts after a 64-byte line
     * @param last whether the memory ends with it: a simulator of devices sees what is read from there on, even where
     *     nothing comes of it
     */
    static GuardedArray input(Backend backend, String name, DataType type, int shift, float[] values, boolean last) {
        return new GuardedArray(backend, name, type, false, shift, values, last ? 0 : GUARD);
    }

    /** An array that is read and written. */
    static GuardedArray updated(Backend backend, String name, DataType type, int shift, float[] values) {
        return new GuardedArray(backend, name, type, true, shift, values, GUARD);
    }

    /** An array that is to be written from end to end. */
    static GuardedArray output(Backend backend, String name, DataType type, int shift, int count) {
        float[] poison = new float[count];
        Arrays.fill(poison, poisonOf(type));
        return new GuardedArray(backend, name, type, true, shift, poison, GUARD);
    }

    String name() {
        return name;
    }

    Operand operand() {
        return new Operand(memory, offset, type);
    }

    boolean isOutput() {
        return output;
    }

    /**
     * Reads it all. From now on it is an input: it must stay as it is.
     *
     * @param complete whether an output must have been written from end to end
     * @return what is wrong with it, if anything
     */
    Optional<String> settle(boolean complete) {
        float[] before = content;
        content = read();
        boolean wasOutput = output;
        output = false;
        int end = offset + count;
        int wrong = firstChange(before, 0, offset);
        wrong = wrong < 0 ? firstChange(before, end, content.length) : wrong;
        if (wrong >= 0) {
            return Optional.of(
                    distance(wrong) + " the " + count + " elements of " + name + ", memory" + overwritten(wrong));
        }
        if (!wasOutput) {
            wrong = firstChange(before, offset, end);
            return wrong < 0
                    ? Optional.empty()
                    : Optional.of("element " + (wrong - offset) + " of " + name + ", which is only to be read,"
                            + overwritten(wrong));
        }
        int poison = bits(poisonOf(type));
        for (int i = offset; complete && i < end; i++) {
            if (bits(content[i]) == poison) {
                return Optional.of("element " + (i - offset) + " of " + name + " was not written");
            }
        }
        return Optional.empty();
    }

    /** The first element that is not what it was, or -1. */
    private int firstChange(float[] before, int from, int to) {
        for (int i = from; i < to; i++) {
            if (bits(content[i]) != bits(before[i])) {
                return i;
            }
        }
        return -1;
    }

    private String overwritten(int i) {
        return " was overwritten with " + content[i];
    }

    private String distance(int i) {
        return i < offset ? (offset - i) + " before" : (i - offset - count + 1) + " after";
    }

    /** What it holds since it settled. */
    float[] values() {
        return Arrays.copyOfRange(content, offset, offset + count);
    }

    private static int bits(float value) {
        return Float.floatToRawIntBits(value);
    }

    @Override
    public void close() {
        memory.close();
    }
}
