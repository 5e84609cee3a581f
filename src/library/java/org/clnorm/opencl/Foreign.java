package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.DataType;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_mem;

/** What OpenCL says of the objects that a program brings with it, and which of them can be worked with. */
final class Foreign {
    private Foreign() {}

    /**
     * A program's buffer.
     *
     * @param root the buffer whose bytes it has: itself, or the one that it is a sub-buffer of
     * @param firstByte where in that it starts
     * @param flags what it and its root were made with
     */
    record Buffer(cl_mem root, long firstByte, long bytes, long flags) {}

    /** @throws IllegalArgumentException unless the queue is an in-order one of that context, on that device */
    static void checkQueue(cl_context context, cl_device_id device, cl_command_queue queue) {
        cl_context itsContext = new cl_context();
        cl_device_id itsDevice = new cl_device_id();
        long[] properties = new long[1];
        ask(queue, CL.CL_QUEUE_CONTEXT, Sizeof.cl_context, Pointer.to(itsContext));
        ask(queue, CL.CL_QUEUE_DEVICE, Sizeof.cl_device_id, Pointer.to(itsDevice));
        ask(queue, CL.CL_QUEUE_PROPERTIES, Sizeof.cl_ulong, Pointer.to(properties));
        require(
                itsContext.equals(context),
                "queue must be of the context that was given, but it is of another, " + itsContext);
        require(
                itsDevice.equals(device),
                "queue must be on the device that was given, but it is on another, " + itsDevice);
        require(
                (properties[0] & CL.CL_QUEUE_ON_DEVICE) == 0,
                "queue must be one that a program enqueues to, but given was a device's own, CL_QUEUE_ON_DEVICE");
        require(
                (properties[0] & CL.CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0,
                "queue must be an in-order one, but given was one with CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE: a pass"
                        + " is launches that read what those before them wrote");
    }

    /**
     * Looks at a buffer.
     *
     * @throws IllegalArgumentException unless it is a buffer of that context, of whole elements, which starts where the
     *     device can work with it
     */
    static Buffer buffer(cl_mem buffer, cl_context context, cl_device_id device, DataType type) {
        int[] kind = new int[1];
        ask(buffer, CL.CL_MEM_TYPE, Sizeof.cl_uint, Pointer.to(kind));
        require(
                kind[0] == CL.CL_MEM_OBJECT_BUFFER,
                "buffer must be a buffer, but given was a " + CL.stringFor_cl_mem_object_type(kind[0]));
        cl_context its = new cl_context();
        ask(buffer, CL.CL_MEM_CONTEXT, Sizeof.cl_context, Pointer.to(its));
        require(its.equals(context), "buffer must be of the device's context, but it is of another, " + its);
        long[] fact = new long[1];
        ask(buffer, CL.CL_MEM_SIZE, Sizeof.size_t, Pointer.to(fact));
        long bytes = fact[0];
        require(
                bytes % type.bytes() == 0,
                "buffer must have whole " + type + " elements, but it has " + bytes + " bytes");
        ask(buffer, CL.CL_MEM_FLAGS, Sizeof.cl_ulong, Pointer.to(fact));
        long flags = fact[0];
        cl_mem parent = new cl_mem();
        ask(buffer, CL.CL_MEM_ASSOCIATED_MEMOBJECT, Sizeof.cl_mem, Pointer.to(parent));
        if (parent.equals(new cl_mem())) {
            return new Buffer(buffer, 0, bytes, flags);
        }
        ask(buffer, CL.CL_MEM_OFFSET, Sizeof.size_t, Pointer.to(fact));
        long firstByte = fact[0];
        int[] bits = new int[1];
        OpenClException.check(
                OpenClException.statusOf(() -> CL.clGetDeviceInfo(
                        device, CL.CL_DEVICE_MEM_BASE_ADDR_ALIGN, Sizeof.cl_uint, Pointer.to(bits), null)),
                "Asking for a device's alignment");
        require(
                firstByte % Math.max(1, bits[0] / Byte.SIZE) == 0,
                "buffer must start at a multiple of the device's " + bits[0] / Byte.SIZE
                        + " bytes (CL_DEVICE_MEM_BASE_ADDR_ALIGN), but it is a sub-buffer from byte " + firstByte);
        ask(parent, CL.CL_MEM_FLAGS, Sizeof.cl_ulong, Pointer.to(fact));
        // What a sub-buffer leaves open is as its parent has it; not all drivers say so.
        return new Buffer(parent, firstByte, bytes, flags | fact[0]);
    }

    /** What keeps kernels, or the host, from a buffer, by OpenCL's names. */
    static List<String> names(long flags) {
        List<String> names = new ArrayList<>();
        for (Flag flag : Flag.values()) {
            if ((flags & flag.bit) != 0) {
                names.add("CL_MEM_" + flag);
            }
        }
        return names;
    }

    private enum Flag {
        READ_ONLY(CL.CL_MEM_READ_ONLY),
        WRITE_ONLY(CL.CL_MEM_WRITE_ONLY),
        HOST_READ_ONLY(CL.CL_MEM_HOST_READ_ONLY),
        HOST_WRITE_ONLY(CL.CL_MEM_HOST_WRITE_ONLY),
        HOST_NO_ACCESS(CL.CL_MEM_HOST_NO_ACCESS);

        private final long bit;

        Flag(long bit) {
            this.bit = bit;
        }
    }

    private static void ask(cl_command_queue queue, int what, long size, Pointer to) {
        known(
                "queue",
                "command queue",
                OpenClException.statusOf(() -> CL.clGetCommandQueueInfo(queue, what, size, to, null)));
    }

    private static void ask(cl_mem buffer, int what, long size, Pointer to) {
        known("buffer", "buffer", OpenClException.statusOf(() -> CL.clGetMemObjectInfo(buffer, what, size, to, null)));
    }

    private static void known(String name, String what, int status) {
        require(
                status == CL.CL_SUCCESS,
                name + " must be a " + what + " that was not released, but OpenCL says "
                        + CL.stringFor_errorCode(status));
    }

    private static void require(boolean condition, String message) {
        if (!condition) {
            throw new IllegalArgumentException(message);
        }
    }
}
