package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.clnorm.backend.Gate;
import org.clnorm.backend.Memory;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.cl_mem;

/** Memory over a buffer. Two are equal when they start at one place, so that a caller's buffer wrapped twice is known. */
public final class OpenClMemory implements Memory {
    /**
     * All memory that is open over a buffer or its sub-buffers. Buffers are told apart by this object: a driver gives a
     * handle again once its buffer is gone.
     */
    static final class Root {
        final cl_mem handle;
        /** Guarded by the backend's list of them. */
        final List<OpenClMemory> over = new ArrayList<>(1);

        Root(cl_mem handle) {
            this.handle = handle;
        }
    }

    private final Root root;
    private final cl_mem handle;
    private final Pointer pointer;
    private final long elements;
    /** What was found out of a caller's buffer; null of one of our own. */
    private final Foreign.Buffer foreign;

    private final Gate gate;
    private final Consumer<OpenClMemory> closer;

    /**
     * @param handle the root's, or a sub-buffer's
     * @param foreign null of a buffer of our own
     * @param release gives back this memory's hold on the buffer, once nobody uses it any more
     * @param closer closes it
     */
    OpenClMemory(
            Root root,
            cl_mem handle,
            long elements,
            Foreign.Buffer foreign,
            Consumer<OpenClMemory> release,
            Consumer<OpenClMemory> closer) {
        this.root = root;
        this.handle = handle;
        this.pointer = Pointer.to(handle);
        this.elements = elements;
        this.foreign = foreign;
        this.gate = new Gate(() -> release.accept(this));
        this.closer = closer;
    }

    /** The buffer. It may be used by those who are in the {@link #gate}. */
    public cl_mem handle() {
        return handle;
    }

    /** What a kernel's argument is set from. */
    Pointer pointer() {
        return pointer;
    }

    Root root() {
        return root;
    }

    /** What a call goes in through before it uses the buffer. */
    Gate gate() {
        return gate;
    }

    /** What a call fails with that comes too late. */
    IllegalStateException closed() {
        return new IllegalStateException("The memory of " + elements + " elements is closed");
    }

    @Override
    public long elements() {
        return elements;
    }

    @Override
    public String objection(Access access) {
        if (foreign == null) {
            return null;
        }
        long against =
                switch (access) {
                    case INPUT -> CL.CL_MEM_WRITE_ONLY;
                    case OUTPUT -> CL.CL_MEM_READ_ONLY;
                    case DOWNLOAD -> CL.CL_MEM_HOST_WRITE_ONLY | CL.CL_MEM_HOST_NO_ACCESS;
                    case UPLOAD -> CL.CL_MEM_HOST_READ_ONLY | CL.CL_MEM_HOST_NO_ACCESS;
                };
        List<String> found = Foreign.names(foreign.flags() & against);
        return found.isEmpty() ? null : "its buffer was made with " + String.join(" and ", found);
    }

    /** {@inheritDoc} Sub-buffers of one buffer may share bytes, with it and with each other. */
    @Override
    public boolean overlaps(long from, long to, Memory other, long otherFrom, long otherTo) {
        return other instanceof OpenClMemory memory
                && root == memory.root
                && firstByte() + from < memory.firstByte() + otherTo
                && memory.firstByte() + otherFrom < firstByte() + to;
    }

    private long firstByte() {
        return foreign == null ? 0 : foreign.firstByte();
    }

    /** {@inheritDoc} It waits for the calls that are using it; see {@link OpenClBackend}. */
    @Override
    public void close() {
        closer.accept(this);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof OpenClMemory memory && root == memory.root && firstByte() == memory.firstByte();
    }

    @Override
    public int hashCode() {
        return root.hashCode();
    }
}
