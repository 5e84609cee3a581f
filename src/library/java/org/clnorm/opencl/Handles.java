package org.clnorm.opencl;

import java.util.List;
import org.clnorm.DataType;
import org.clnorm.backend.Memory;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_mem;

/**
 * The OpenCL objects behind a backend and its memory, for another build of this library that is loaded into the same
 * process: JOCL's classes, there once in a process, are all that the two have in common.
 */
public final class Handles {
    private Handles() {}

    /** The context, device and queue of a backend. */
    public static List<Object> of(OpenClBackend backend) {
        return backend.handles();
    }

    /** The buffer of a backend's memory. */
    public static Object of(Memory memory) {
        return ((OpenClMemory) memory).handle();
    }

    /** A backend over the context, device and queue of another, which stay that one's. */
    public static OpenClBackend backend(List<Object> handles, String strategy) {
        return OpenClBackend.over(
                (cl_context) handles.get(0),
                (cl_device_id) handles.get(1),
                (cl_command_queue) handles.get(2),
                strategy);
    }

    /** Memory over a buffer of the same context, which stays its owner's. */
    public static OpenClMemory memory(OpenClBackend backend, Object handle, DataType type) {
        return backend.wrap((cl_mem) handle, type);
    }
}
