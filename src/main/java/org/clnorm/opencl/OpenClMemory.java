package org.clnorm.opencl;

import java.util.concurrent.atomic.AtomicBoolean;
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
    private final AtomicBoolean open = new AtomicBoolean(true);

    private OpenClMemory(cl_mem handle, long elements, Runnable onClose) {
        this.handle = handle;
        this.pointer = Pointer.to(handle);
        this.elements = elements;
        this.onClose = onClose;
    }

    /** A buffer that is released on close; {@code forget} is told of it first. */
    static OpenClMemory owned(cl_mem handle, long elements, java.util.function.Consumer<OpenClMemory> forget) {
        OpenClMemory[] self = new OpenClMemory[1];
        self[0] = new OpenClMemory(handle, elements, () -> {
            forget.accept(self[0]);
            CL.clReleaseMemObject(handle);
        });
        return self[0];
    }

    /** A buffer that somebody else releases. */
    static OpenClMemory borrowed(cl_mem handle, long elements) {
        return new OpenClMemory(handle, elements, () -> {});
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
