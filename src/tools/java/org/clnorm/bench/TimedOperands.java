package org.clnorm.bench;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.clnorm.DataType;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;

/**
 * Operands for timing, all freed together. Each is written when it is made, so that no measured call is the first to touch
 * a page.
 */
public final class TimedOperands implements AutoCloseable {
    private static final int MOST_DIFFERENT = 1 << 20;
    private static final long STEP = 104_729; // a prime number, so that tensors begin at other channels

    private final Backend backend;
    private final float[] normal;
    private final List<Memory> live = new ArrayList<>();
    private int next;

    /** @param elements of the tensors that are to be had from {@link #normal}, at most */
    public TimedOperands(Backend backend, long elements) {
        this.backend = backend;
        this.normal = new float[(int) Math.min(elements, MOST_DIFFERENT)];
        Random random = new Random(1);
        for (int i = 0; i < normal.length; i++) {
            normal[i] = (float) random.nextGaussian();
        }
    }

    /** So many elements of one value. */
    public Operand filled(long elements, float value) {
        return filled(elements, value, DataType.FLOAT32);
    }

    /** The same, stored as said. */
    public Operand filled(long elements, float value, DataType type) {
        Operand operand = allocate(elements, type);
        backend.fill(operand, elements, value);
        return operand;
    }

    /** So many elements, normally distributed; no two tensors begin alike, or a gradient would be what it is a gradient of. */
    public Operand normal(long elements) {
        return normal(elements, DataType.FLOAT32);
    }

    /** The same, stored as said. */
    public Operand normal(long elements, DataType type) {
        Operand operand = allocate(elements, type);
        short[] bits = type == DataType.FLOAT32 ? null : type.half().encode(normal);
        int from = next;
        next = (int) ((next + STEP) % normal.length);
        for (long at = 0; at < elements; ) {
            int count = (int) Math.min(normal.length - from, elements - at);
            Operand to = new Operand(operand.memory(), at, type);
            if (bits == null) {
                backend.write(to, FloatBuffer.wrap(normal, from, count));
            } else {
                backend.write(to, ShortBuffer.wrap(bits, from, count));
            }
            at += count;
            from = 0;
        }
        return operand;
    }

    /** These elements, stored as said. */
    Operand of(float[] values, DataType type) {
        Operand operand = allocate(values.length, type);
        if (type == DataType.FLOAT32) {
            backend.write(operand, FloatBuffer.wrap(values));
        } else {
            backend.write(operand, ShortBuffer.wrap(type.half().encode(values)));
        }
        return operand;
    }

    private Operand allocate(long elements, DataType type) {
        Memory memory = backend.allocate(elements, type);
        live.add(memory);
        return new Operand(memory, 0, type);
    }

    /** Waits for the device, and frees them. */
    @Override
    public void close() {
        backend.finish();
        live.forEach(Memory::close);
    }
}
