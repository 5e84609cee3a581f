package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.clnorm.backend.Gate;
import org.clnorm.backend.Memory;
import org.jocl.Pointer;
import org.jocl.cl_mem;

/** Memory over a buffer. Two are equal when they lie in the same one, so that a caller's buffer wrapped twice is known. */
public final class OpenClMemory implements Memory {
    /**
     * A buffer, and all that is open over it. Buffers are told apart by this object: a driver gives a handle again once its
     * buffer is gone.
     */
    static final class Buffer {
        private final cl_mem handle;
        private final Pointer pointer;
        /** Guarded by the backend's list of buffers. */
        final List<OpenClMemory> over = new ArrayList<>(1);

        Buffer(cl_mem handle) {
            this.handle = handle;
            this.pointer = Pointer.to(handle);
        }
    }

    private final Buffer buffer;
    private final long elements;
    private final Gate gate;
    private final Consumer<OpenClMemory> closer;

    /**
     * @param release gives back this memory's hold on the buffer, once nobody uses it any more
     * @param closer closes it
     */
    OpenClMemory(Buffer buffer, long elements, Consumer<OpenClMemory> release, Consumer<OpenClMemory> closer) {
        this.buffer = buffer;
        this.elements = elements;
        this.gate = new Gate(() -> release.accept(this));
        this.closer = closer;
    }

    /** The buffer. It may be used by those who are in the {@link #gate}. */
    public cl_mem handle() {
        return buffer.handle;
    }

    /** What a kernel's argument is set from. */
    Pointer pointer() {
        return buffer.pointer;
    }

    Buffer buffer() {
        return buffer;
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

    /** {@inheritDoc} It waits for the calls that are using it; see {@link OpenClBackend}. */
    @Override
    public void close() {
        closer.accept(this);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof OpenClMemory memory && buffer == memory.buffer;
    }

    @Override
    public int hashCode() {
        return buffer.hashCode();
    }
}
