package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.backend.Operand;
import org.clnorm.plan.Argument;
import org.clnorm.plan.Launch;
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

    /** What is in a place now. Memory is told apart by identity: a driver may give a new buffer an old one's handle. */
    private static final class Slot {
        final Place place;
        final int index;
        Object memory = NOT_SET;
        long offset = -1;

        Slot(Place place, int index) {
            this.place = place;
            this.index = index;
        }
    }

    private final String name;
    private final cl_kernel handle;
    private final Kernels.Binary binary;
    private final long[] items;
    private final long[] workGroup;
    private final Slot[] slots;
    private final long[] offset = new long[1];
    private final Pointer toOffset = Pointer.to(offset);

    /** @param handle of the binary, released with this object */
    Kernel(Launch launch, cl_kernel handle, Kernels.Binary binary) {
        this.name = launch.kernel();
        this.handle = handle;
        this.binary = binary;
        this.items = new long[] {launch.items()};
        this.workGroup = new long[] {launch.strategy().items()};
        List<Slot> places = new ArrayList<>();
        int next = 0;
        for (Argument argument : launch.arguments()) {
            if (argument.value() instanceof Place place) {
                places.add(new Slot(place, next));
                next += place.hasOffset() ? 2 : 1;
            } else if (argument.value() instanceof Integer value) {
                set(next++, Sizeof.cl_int, Pointer.to(new int[] {value}));
            } else if (argument.value() instanceof Long value) {
                set(next++, Sizeof.cl_long, Pointer.to(new long[] {value}));
            } else {
                set(next++, Sizeof.cl_float, Pointer.to(new float[] {(Float) argument.value()}));
            }
        }
        this.slots = places.toArray(Slot[]::new);
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

    /** Gives it the memory to work on; null where an operand is absent. */
    void bind(Operand[] places) {
        for (Slot slot : slots) {
            Operand operand = slot.place.of(places);
            OpenClMemory memory = operand == null ? null : (OpenClMemory) operand.memory();
            if (memory != slot.memory) {
                set(slot.index, Sizeof.cl_mem, memory == null ? null : memory.pointer());
                slot.memory = memory;
            }
            long wanted = operand == null ? 0 : operand.offset();
            if (slot.place.hasOffset() && wanted != slot.offset) {
                offset[0] = wanted;
                set(slot.index + 1, Sizeof.cl_long, toOffset);
                slot.offset = wanted;
            }
        }
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
