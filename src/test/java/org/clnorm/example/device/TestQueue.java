package org.clnorm.example.device;

import org.clnorm.TestDevice;

/** Queues for tests; without an OpenCL device they fail. */
public final class TestQueue {
    private static Queue shared;

    private TestQueue() {}

    /** A queue of the test's own, for it to close. */
    public static Queue open() {
        return Queue.on(TestDevice.AUTO.device(), null);
    }

    /** The one that tests of parts share, so that kernels are compiled once; nobody closes it. */
    public static synchronized Queue shared() {
        if (shared == null) {
            shared = open();
        }
        return shared;
    }
}
