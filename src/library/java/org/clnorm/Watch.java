package org.clnorm;

/**
 * Tells whether a tensor's elements were written, through it or through any slice that shares some of them. It watches
 * one tensor at a time, and may be moved from one to the next without anything being allocated.
 */
final class Watch {
    /** The tensor whose elements it watches; null while it watches none. Read by those who write. */
    private volatile Tensor tensor;

    /**
     * The tensor whose write it saw. Not a mere flag: a write to the last one may still be under way when it is moved.
     */
    private volatile Tensor written;

    /** Watches a tensor from now on. */
    void begin(Tensor tensor) {
        if (this.tensor != tensor) {
            end();
            this.tensor = tensor;
            tensor.add(this);
        }
        if (written != null) { // each step comes here, and a volatile store is dear
            written = null;
        }
    }

    /** Watches none any more; harmless when it does not. */
    void end() {
        Tensor last = tensor;
        if (last != null) {
            tensor = null;
            written = null;
            last.remove(this);
        }
    }

    /** The tensor that it watches, or null. */
    Tensor tensor() {
        return tensor;
    }

    /** Whether its elements were written since the watch began. */
    boolean isWritten() {
        return written != null && written == tensor;
    }

    /** Tells it that elements of a tensor are written. */
    void see(Tensor other) {
        Tensor watched = tensor;
        if (watched != null && other.overlaps(watched)) {
            written = watched;
        }
    }
}
