package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.Role;
import org.clnorm.plan.Argument;
import org.clnorm.plan.Launch;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Place;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_event;
import org.jocl.cl_kernel;

/**
 * A launch with a cl_kernel of its own. Its arguments stay set from one time to the next, so that only memory that has
 * changed has to be given. Used under the backend's lock.
 */
final class Kernel {
    private static final Object NOT_SET = new Object();

    /** What a buffer argument is set to now. Memory is told apart by identity: a driver may give a handle again. */
    private static final class Slot {
        /** The operand that it is; null for a place. */
        final Role role;

        final Place place;
        final boolean hasOffset;
        final int index;
        Object memory = NOT_SET;
        long offset = -1;

        Slot(Argument argument, int index) {
            this.role = argument.value() instanceof Role of ? of : null;
            this.place = argument.value() instanceof Place of ? of : null;
            this.hasOffset = argument.hasOffset();
            this.index = index;
        }

        /** What it is to be set to, or null. */
        Operand of(Operands operands, Operand coefficients, Operand partials) {
            if (role != null) {
                return operands.get(role);
            }
            return place == Place.COEFFICIENTS ? coefficients : place == Place.PARTIALS ? partials : null;
        }
    }

    private final String name;
    private final cl_kernel handle;
    private final Kernels.Binary binary;
    private final long[] items;
    private final long[] workGroup;
    private final Slot[] slots;
    private final boolean updatesRunning;
    private final long[] offset = new long[1];
    private final Pointer toOffset = Pointer.to(offset);

    /** @param handle of the binary, released with this object */
    Kernel(Launch launch, cl_kernel handle, Kernels.Binary binary) {
        this.name = launch.kernel();
        this.handle = handle;
        this.binary = binary;
        this.items = new long[] {launch.items()};
        this.workGroup = new long[] {launch.strategy().items()};
        this.updatesRunning = Passes.updatesRunning(launch);
        List<Slot> buffers = new ArrayList<>();
        int next = 0;
        for (Argument argument : launch.arguments()) {
            if (argument.isBuffer()) {
                buffers.add(new Slot(argument, next));
                next += argument.hasOffset() ? 2 : 1;
            } else if (argument.value() instanceof Integer value) {
                set(next++, Sizeof.cl_int, Pointer.to(new int[] {value}));
            } else if (argument.value() instanceof Long value) {
                set(next++, Sizeof.cl_long, Pointer.to(new long[] {value}));
            } else {
                set(next++, Sizeof.cl_float, Pointer.to(new float[] {(Float) argument.value()}));
            }
        }
        this.slots = buffers.toArray(Slot[]::new);
    }

    String name() {
        return name;
    }

    Kernels.Binary binary() {
        return binary;
    }

    /** Work-items in all. */
    long items() {
        return items[0];
    }

    /** Whether a batch enters the running statistics by it. */
    boolean updatesRunning() {
        return updatesRunning;
    }

    /** Gives it the memory to work on, as far as it is other memory than the last. */
    void bind(Operands operands, Operand coefficients, Operand partials) {
        for (Slot slot : slots) {
            Operand operand = slot.of(operands, coefficients, partials);
            OpenClMemory memory = operand == null ? null : (OpenClMemory) operand.memory();
            if (memory != slot.memory) {
                set(slot.index, Sizeof.cl_mem, memory == null ? null : memory.pointer());
                slot.memory = memory;
            }
            long wanted = operand == null ? 0 : operand.offset();
            if (slot.hasOffset && wanted != slot.offset) {
                offset[0] = wanted;
                set(slot.index + 1, Sizeof.cl_long, toOffset);
                slot.offset = wanted;
            }
        }
    }

    /** Where the parameters of a launch stand. */
    static Map<String, Integer> places(Launch launch) {
        Map<String, Integer> places = new HashMap<>();
        int next = 0;
        for (Argument argument : launch.arguments()) {
            places.put(argument.name(), next);
            next += argument.isBuffer() && argument.hasOffset() ? 2 : 1;
        }
        return places;
    }

    /** Gives it memory at a place, null for none. */
    void give(int index, OpenClMemory memory) {
        set(index, Sizeof.cl_mem, memory == null ? null : memory.pointer());
    }

    /** Sets a long at a place. */
    void set(int index, long value) {
        offset[0] = value;
        set(index, Sizeof.cl_long, toOffset);
    }

    /** Sets an int at a place. */
    void set(int index, int value) {
        set(index, Sizeof.cl_int, Pointer.to(new int[] {value}));
    }

    /** Sets a float at a place. */
    void set(int index, float value) {
        set(index, Sizeof.cl_float, Pointer.to(new float[] {value}));
    }

    private void set(int index, long size, Pointer value) {
        int status = CL.clSetKernelArg(handle, index, size, value);
        if (status != CL.CL_SUCCESS) {
            OpenClException.check(status, "Setting argument " + index + " of kernel " + name);
        }
    }

    void enqueue(cl_command_queue queue, cl_event event) {
        int status = CL.clEnqueueNDRangeKernel(queue, handle, 1, null, items, workGroup, 0, null, event);
        if (status != CL.CL_SUCCESS) {
            OpenClException.check(
                    status, "Launching kernel " + name + " with " + items[0] + " items by " + workGroup[0]);
        }
    }

    void release() {
        CL.clReleaseKernel(handle);
    }
}
