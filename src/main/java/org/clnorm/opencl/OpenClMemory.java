package org.clnorm.opencl;

import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.clnorm.DataType;
import org.clnorm.backend.Memory;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.cl_mem;

/** A buffer. Two are equal when they are the same buffer, so that a caller's buffer wrapped twice is known as one. */
public final class OpenClMemory implements Memory {
    private final cl_mem handle;
    private final Pointer pointer;
    private final long elements;
    private final Runnable onClose;
    /** What was found out of a caller's buffer; null of one of our own. */
    private final Foreign.Buffer foreign;

    private final AtomicBoolean open = new AtomicBoolean(true);

    private OpenClMemory(cl_mem handle, long elements, Foreign.Buffer foreign, Runnable onClose) {
        this.handle = handle;
        this.pointer = Pointer.to(handle);
        this.elements = elements;
        this.foreign = foreign;
        this.onClose = onClose;
    }

    /** A buffer that is released on close; {@code forget} is told of it first. */
    static OpenClMemory owned(cl_mem handle, long elements, java.util.function.Consumer<OpenClMemory> forget) {
        OpenClMemory[] self = new OpenClMemory[1];
        self[0] = new OpenClMemory(handle, elements, null, () -> {
            forget.accept(self[0]);
            CL.clReleaseMemObject(handle);
        });
        return self[0];
    }

    /** A buffer that somebody else releases. */
    static OpenClMemory borrowed(cl_mem handle, Foreign.Buffer foreign, DataType type) {
        return new OpenClMemory(handle, foreign.bytes() / type.bytes(), foreign, () -> {});
    }

    /** The buffer. */
    public cl_mem handle() {
        return handle;
    }

    /** What a kernel's argument is set from. */
    Pointer pointer() {
        return pointer;
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
                && root().equals(memory.root())
                && firstByte() + from < memory.firstByte() + otherTo
                && memory.firstByte() + otherFrom < firstByte() + to;
    }

    private cl_mem root() {
        return foreign == null ? handle : foreign.root();
    }

    private long firstByte() {
        return foreign == null ? 0 : foreign.firstByte();
    }

    @Override
    public void close() {
        if (open.compareAndSet(true, false)) {
            onClose.run();
        }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof OpenClMemory memory && handle.equals(memory.handle);
    }

    @Override
    public int hashCode() {
        return handle.hashCode();
    }
}
