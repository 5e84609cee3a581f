package org.clnorm;

import java.util.Objects;

/**
 * What a device is that tensors live on and layers compute on.
 *
 * @param kind the kind of device
 * @param platform the OpenCL platform's name, or a word for the reference
 * @param name the device's name
 * @param version the driver's and OpenCL's versions
 * @param maxAllocationBytes the size of the largest single piece of memory, in bytes
 * @param strategy the name of the kernel strategy in use, or a word for the reference
 */
public record DeviceInfo(
        Kind kind, String platform, String name, String version, long maxAllocationBytes, String strategy) {
    /** Checks that nothing is null. */
    public DeviceInfo {
        Objects.requireNonNull(kind, "kind");
        Objects.requireNonNull(platform, "platform");
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(version, "version");
        Objects.requireNonNull(strategy, "strategy");
    }

    /** Kinds of device, best first. */
    public enum Kind {
        /** A GPU through OpenCL. */
        GPU,
        /** Another accelerator through OpenCL. */
        ACCELERATOR,
        /** A CPU through OpenCL. */
        CPU,
        /** Plain Java in double precision, without OpenCL. */
        REFERENCE
    }
}
