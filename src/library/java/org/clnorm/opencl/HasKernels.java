package org.clnorm.opencl;

/** What keeps kernels from one call to the next. */
interface HasKernels {
    /** Releases them for good; called once, under the lock of the queue. */
    void release();
}
