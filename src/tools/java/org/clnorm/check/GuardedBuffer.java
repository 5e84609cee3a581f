package org.clnorm.check;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;
import org.clnorm.DataType;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.cl_buffer_region;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_mem;

/**
 * A buffer that a kernel is handed, in the middle of a larger one. What surrounds it is compared byte by byte. Of an input it
 * is NaN, and so is a result that it entered.
 */
final class GuardedBuffer implements AutoCloseable {
    /** A multiple of every device's alignment of sub-buffers. */
    private static final int GUARD = 8192;

    /** NaN as float32, and twice as float16 and as bfloat16. */
    private static final int INPUT_GUARD = 0x7fc1_7fc1;

    /** A number: a NaN that was read beside an input would be written here as it is, and go unseen. */
    private static final int OUTPUT_GUARD = 0x8d1b_8d1b;

    private final String name;
    private final DataType type;
    private final int bytes;
    private final int guard;
    private final cl_command_queue queue;
    private final cl_mem whole;
    private final cl_mem part;
    private final ByteBuffer before;

    /**
     * @param elements how many it has
     * @param guarded whether something surrounds it; a simulator sees for itself what lies outside of a buffer
     */
    GuardedBuffer(
            cl_context context, cl_command_queue queue, String name, DataType type, int elements, boolean guarded) {
        this.name = name;
        this.type = type;
        this.queue = queue;
        this.bytes = elements * type.bytes();
        this.guard = guarded ? GUARD : 0;
        this.before = allocate(bytes + 2 * guard);
        int[] status = new int[1];
        whole = CL.clCreateBuffer(context, CL.CL_MEM_READ_WRITE, before.capacity(), null, status);
        KernelCalls.check(status[0], "A buffer of " + before.capacity() + " bytes for " + name);
        if (guarded) {
            part = CL.clCreateSubBuffer(
                    whole,
                    CL.CL_MEM_READ_WRITE,
                    CL.CL_BUFFER_CREATE_TYPE_REGION,
                    new cl_buffer_region(guard, bytes),
                    status);
            if (status[0] != CL.CL_SUCCESS) {
                CL.clReleaseMemObject(whole);
                KernelCalls.check(status[0], "A part of a buffer for " + name);
            }
        } else {
            part = whole;
        }
    }

    private static ByteBuffer allocate(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    /** What an argument is set from. */
    cl_mem handle() {
        return part;
    }

    /** Writes what it is to hold, and what surrounds it. */
    void fill(float[] values) {
        surround(INPUT_GUARD);
        for (int i = 0; i < values.length; i++) {
            put(i, values[i]);
        }
        upload();
    }

    /** The same, all of it one pattern, of whose low half elements of 16 bits are made. */
    void poison(int pattern) {
        surround(OUTPUT_GUARD);
        for (int i = 0; i < bytes / type.bytes(); i++) {
            if (type == DataType.FLOAT32) {
                before.putInt(guard + 4 * i, pattern);
            } else {
                before.putShort(guard + 2 * i, (short) pattern);
            }
        }
        upload();
    }

    private void surround(int pattern) {
        for (int i = 0; i + 4 <= guard; i += 4) {
            before.putInt(i, pattern);
        }
        for (int i = 0; i < guard; i++) {
            before.put(guard + bytes + i, (byte) (i % 2 == 0 ? pattern : pattern >> 8));
        }
    }

    private void put(int i, float value) {
        if (type == DataType.FLOAT32) {
            before.putFloat(guard + 4 * i, value);
        } else {
            before.putShort(guard + 2 * i, type.half().encode(value));
        }
    }

    private void upload() {
        KernelCalls.check(
                CL.clEnqueueWriteBuffer(queue, whole, true, 0, before.capacity(), Pointer.to(before), 0, null, null),
                "Writing " + name);
    }

    /** All of it as it is now. */
    ByteBuffer read() {
        ByteBuffer now = allocate(before.capacity());
        KernelCalls.check(
                CL.clEnqueueReadBuffer(queue, whole, true, 0, now.capacity(), Pointer.to(now), 0, null, null),
                "Reading " + name);
        return now;
    }

    /** What was written around it, if anything was. */
    Optional<String> overrun(ByteBuffer now) {
        for (int i = guard - 1; i >= 0; i--) {
            if (now.get(i) != before.get(i)) {
                return Optional.of("memory " + (guard - i) + " bytes before " + name + " was written");
            }
        }
        for (int i = guard + bytes; i < now.capacity(); i++) {
            if (now.get(i) != before.get(i)) {
                int last = now.capacity() - 1;
                while (now.get(last) == before.get(last)) {
                    last--;
                }
                return Optional.of("memory " + (i - guard - bytes) + " bytes past the end of " + name + ", of " + bytes
                        + " bytes, was written, up to byte " + (last - guard - bytes) + " past it");
            }
        }
        return Optional.empty();
    }

    /** The first element that is not what was uploaded, or -1. */
    int firstChange(ByteBuffer now) {
        for (int i = 0; i < bytes; i++) {
            if (now.get(guard + i) != before.get(guard + i)) {
                return i / type.bytes();
            }
        }
        return -1;
    }

    /** Whether an element is the pattern that it was filled with. */
    boolean is(ByteBuffer now, int i, int pattern) {
        return type == DataType.FLOAT32
                ? now.getInt(guard + 4 * i) == pattern
                : now.getShort(guard + 2 * i) == (short) pattern;
    }

    String name() {
        return name;
    }

    /** Its elements. */
    float[] values(ByteBuffer now) {
        float[] values = new float[bytes / type.bytes()];
        for (int i = 0; i < values.length; i++) {
            values[i] = type == DataType.FLOAT32
                    ? now.getFloat(guard + 4 * i)
                    : type.half().decode(now.getShort(guard + 2 * i));
        }
        return values;
    }

    @Override
    public void close() {
        if (part != whole) {
            CL.clReleaseMemObject(part);
        }
        CL.clReleaseMemObject(whole);
    }
}
