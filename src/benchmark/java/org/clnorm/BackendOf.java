package org.clnorm;

import org.clnorm.opencl.OpenClBackend;

/** Lets the benchmark look under the public classes, at what a device allocates and launches. */
public final class BackendOf {
    private BackendOf() {}

    /** The backend of an OpenCL device. */
    public static OpenClBackend device(Device device) {
        return (OpenClBackend) device.backend();
    }
}
