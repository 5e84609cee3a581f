package org.clnorm.reference;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Arrays;
import java.util.List;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;

/**
 * The device for people without OpenCL: float32 memory on the heap, work done by {@link ReferenceNormalization} in double and
 * rounded once to float32. A pass reads all its operands before it writes any, so that every operand may share memory
 * with every other. All is done when a call returns; calls exclude each other.
 */
public final class ReferenceBackend implements Backend {
    /** The longest array that every common virtual machine can make. */
    private static final long MAX_ELEMENTS = Integer.MAX_VALUE - 8;

    private boolean closed;

    /** A device of its own; its memory cannot be used with another. */
    public ReferenceBackend() {}

    @Override
    public DeviceInfo info() {
        return new DeviceInfo(
                DeviceInfo.Kind.REFERENCE,
                "clnorm",
                "CPU reference",
                "Java " + Runtime.version(),
                Math.min(MAX_ELEMENTS * Float.BYTES, Runtime.getRuntime().maxMemory()),
                "reference");
    }

    @Override
    public synchronized Memory allocate(long elements, DataType type) {
        checkOpen();
        if (elements < 0 || elements > MAX_ELEMENTS) {
            throw new IllegalArgumentException("The CPU reference holds 0 to " + MAX_ELEMENTS
                    + " elements in one piece, but asked for were " + elements);
        }
        return new HeapMemory(this, (int) elements);
    }

    /** {@inheritDoc} The position of {@code from} stays where it is. */
    @Override
    public synchronized void write(Operand to, FloatBuffer from) {
        FloatBuffer source = from.duplicate();
        Slice slice = slice(to, source.remaining());
        source.get(slice.array, slice.offset, slice.count);
    }

    /** {@inheritDoc} The position of {@code to} stays where it is. */
    @Override
    public synchronized void read(Operand from, FloatBuffer to) {
        FloatBuffer target = to.duplicate();
        Slice slice = slice(from, target.remaining());
        target.put(slice.array, slice.offset, slice.count);
    }

    /** {@inheritDoc} Elements are kept as the float32 values that they stand for. */
    @Override
    public synchronized void write(Operand to, ShortBuffer from) {
        Slice slice = slice(to, from.remaining());
        to.type().half().decode(from, FloatBuffer.wrap(slice.array, slice.offset, slice.count));
    }

    @Override
    public synchronized void read(Operand from, ShortBuffer to) {
        Slice slice = slice(from, to.remaining());
        from.type().half().encode(FloatBuffer.wrap(slice.array, slice.offset, slice.count), to);
    }

    @Override
    public synchronized void fill(Operand to, long count, float given) {
        float value = to.type().round(given);
        Slice slice = slice(to, count);
        Arrays.fill(slice.array, slice.offset, slice.offset + slice.count, value);
    }

    @Override
    public synchronized void copy(Operand from, Operand to, long count) {
        Slice source = slice(from, count);
        Slice target = slice(to, count);
        System.arraycopy(source.array, source.offset, target.array, target.offset, source.count);
    }

    @Override
    public synchronized void finish() {
        checkOpen();
    }

    @Override
    public synchronized Coefficients newCoefficients(int groups) {
        checkOpen();
        return new ReferenceCoefficients(this, groups);
    }

    @Override
    public Coefficients newCoefficients(Normalization normalization, Shape shape, Layout layout) {
        return newCoefficients(Math.toIntExact(normalization.grouping().groups(shape, layout)));
    }

    @Override
    public synchronized PreparedPass prepare(PassSpec pass) {
        checkOpen();
        return new ReferencePass(this, pass);
    }

    @Override
    public synchronized PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room) {
        checkOpen();
        return new ReferenceUpdate(this, tensors, room);
    }

    /** Harmless when done twice. */
    @Override
    public synchronized void close() {
        closed = true;
    }

    void checkOpen() {
        if (closed) {
            throw new IllegalStateException("The CPU reference device is closed");
        }
    }

    /** Null for null: an operand that was not given. */
    double[] load(Operand from, long count) {
        if (from == null) {
            return null;
        }
        Slice slice = slice(from, count);
        double[] values = new double[slice.count];
        for (int i = 0; i < values.length; i++) {
            values[i] = slice.array[slice.offset + i];
        }
        return values;
    }

    /** Does nothing for null: an operand that was not asked for, or that there is nothing for. */
    void store(double[] values, Operand to) {
        if (to == null || values == null) {
            return;
        }
        Slice slice = slice(to, values.length);
        for (int i = 0; i < values.length; i++) {
            slice.array[slice.offset + i] = to.type().round((float) values[i]);
        }
    }

    private record Slice(float[] array, int offset, int count) {}

    private Slice slice(Operand operand, long count) {
        checkOpen();
        if (!(operand.memory() instanceof HeapMemory memory) || memory.owner != this) {
            throw new IllegalArgumentException(
                    "The memory must be this CPU reference device's, but given was " + operand.memory());
        }
        float[] array = memory.array();
        if (operand.offset() < 0 || count < 0 || operand.offset() > array.length - count) {
            throw new IllegalArgumentException("Elements " + operand.offset() + " to " + (operand.offset() + count)
                    + " (exclusive) were asked for, but the memory holds " + array.length);
        }
        return new Slice(array, (int) operand.offset(), (int) count);
    }

    /** The coefficients, once it is clear that they are open and of this device. */
    ReferenceCoefficients own(Coefficients coefficients) {
        checkOpen();
        if (!(coefficients instanceof ReferenceCoefficients own) || own.owner() != this) {
            throw new IllegalArgumentException(
                    "The coefficients must be this CPU reference device's, but given were " + coefficients);
        }
        own.checkOpen();
        return own;
    }

    private static final class HeapMemory implements Memory {
        private final ReferenceBackend owner;
        private final int elements;
        private float[] array;

        HeapMemory(ReferenceBackend owner, int elements) {
            this.owner = owner;
            this.elements = elements;
            array = new float[elements];
        }

        float[] array() {
            float[] open = array;
            if (open == null) {
                throw new IllegalStateException("The memory of " + elements + " elements is closed");
            }
            return open;
        }

        @Override
        public long elements() {
            return elements;
        }

        /** {@inheritDoc} It waits for a call that is using it. */
        @Override
        public void close() {
            synchronized (owner) {
                array = null;
            }
        }
    }
}
