package org.clnorm.opencl;

import org.clnorm.backend.Operand;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_event;
import org.jocl.cl_kernel;
import org.jocl.cl_mem;

/**
 * A compiled kernel whose arguments are set in order. The arguments are state shared by all users of a cl_kernel, so
 * setting them and launching is done under the backend's lock.
 */
final class Kernel {
    private final String name;
    private final cl_kernel handle;
    private final long items;
    private int next;
    private boolean launched;

    /** @param items work-items in a work-group */
    Kernel(String name, cl_kernel handle, int items) {
        this.name = name;
        this.handle = handle;
        this.items = items;
    }

    String name() {
        return name;
    }

    /** A buffer and an offset; neither for an operand that is absent. */
    Kernel operand(Operand operand) {
        if (operand == null) {
            set(Sizeof.cl_mem, null);
            return longValue(0);
        }
        return memory(((OpenClMemory) operand.memory()).handle()).longValue(operand.offset());
    }

    Kernel memory(cl_mem memory) {
        return set(Sizeof.cl_mem, Pointer.to(memory));
    }

    Kernel intValue(int value) {
        return set(Sizeof.cl_int, Pointer.to(new int[] {value}));
    }

    Kernel longValue(long value) {
        return set(Sizeof.cl_long, Pointer.to(new long[] {value}));
    }

    Kernel floatValue(double value) {
        return set(Sizeof.cl_float, Pointer.to(new float[] {(float) value}));
    }

    private Kernel set(long size, Pointer value) {
        OpenClException.check(
                CL.clSetKernelArg(handle, next, size, value), "Setting argument " + next + " of kernel " + name);
        next++;
        return this;
    }

    /** Whether it was launched before: PoCL compiles to machine code at the first launch. */
    boolean isLaunched() {
        return launched;
    }

    /** Enqueues so many work-groups. */
    void launch(cl_command_queue queue, long workGroups, cl_event event) {
        next = 0;
        launched = true;
        OpenClException.check(
                CL.clEnqueueNDRangeKernel(
                        queue, handle, 1, null, new long[] {workGroups * items}, new long[] {items}, 0, null, event),
                "Launching kernel " + name + " with " + workGroups + " work-groups of " + items);
    }

    /** Forgets arguments that were set for a launch that did not come. */
    Kernel begin() {
        next = 0;
        return this;
    }

    void release() {
        CL.clReleaseKernel(handle);
    }
}
