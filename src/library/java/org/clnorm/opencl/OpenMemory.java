package org.clnorm.opencl;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jocl.CL;
import org.jocl.cl_mem;

/** The memory of a backend that is open, by the buffers that it is over: several may be over one. */
final class OpenMemory {
    private final Consumer<OpenClMemory> closing;
    /** Guarded by this object. */
    private final Map<cl_mem, OpenClMemory.Root> buffers = new HashMap<>();

    /** @param closing what closes memory at its owner's wish */
    OpenMemory(Consumer<OpenClMemory> closing) {
        this.closing = closing;
    }

    /**
     * New memory over a buffer.
     *
     * @param handle of a buffer that is released with the memory
     * @param foreign what is known of a caller's buffer; null for one of ours
     */
    synchronized OpenClMemory over(cl_mem handle, long elements, Foreign.Buffer foreign) {
        cl_mem rootHandle = foreign == null ? handle : foreign.root();
        OpenClMemory.Root root = buffers.computeIfAbsent(rootHandle, OpenClMemory.Root::new);
        OpenClMemory memory = new OpenClMemory(root, handle, elements, foreign, this::release, closing);
        root.over.add(memory);
        return memory;
    }

    private void release(OpenClMemory memory) {
        OpenClMemory.Root root = memory.root();
        synchronized (this) {
            root.over.removeIf(other -> other == memory);
            if (root.over.isEmpty()) {
                buffers.remove(root.handle);
            }
        }
        CL.clReleaseMemObject(memory.handle());
    }

    /** All that is open now. */
    synchronized List<OpenClMemory> all() {
        return buffers.values().stream().flatMap(root -> root.over.stream()).toList();
    }
}
