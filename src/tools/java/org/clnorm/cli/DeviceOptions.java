package org.clnorm.cli;

import org.clnorm.Device;
import org.clnorm.opencl.OpenCl;
import picocli.CommandLine.Option;

/** The options of commands that work on a device. */
final class DeviceOptions {
    @Option(
            names = "--device",
            paramLabel = "NAME",
            description = "Which device: a part of the platform's name, the device's name or both (pocl:epyc), indices"
                    + " (0:0), or reference. Default: $CLNORM_DEVICE, else the best there is; see clnorm devices.")
    private String device;

    @Option(
            names = "--strategy",
            paramLabel = "NAME",
            description = "Which kernel strategy. Default: $CLNORM_STRATEGY, else the one that fits the device.")
    private String strategy;

    /**
     * The OpenCL device, for commands that look at kernels: the CPU reference is none.
     *
     * @throws IllegalArgumentException when nothing matches
     */
    OpenCl.Candidate candidate() {
        return candidate(device);
    }

    /** The same for the value of an option {@code --device} of a command that takes no strategy; null without one. */
    static OpenCl.Candidate candidate(String device) {
        String selector = device != null ? device : Device.variable(Device.SELECTOR_VARIABLE);
        if ("reference".equalsIgnoreCase(selector)) {
            throw new IllegalArgumentException("This needs an OpenCL device, and the CPU reference is none");
        }
        return OpenCl.require(OpenCl.devices(), selector);
    }

    /** The strategy that was asked for, or null for the choice by shape. */
    String strategyName() {
        return strategy != null ? strategy : Device.variable(Device.STRATEGY_VARIABLE);
    }

    /** Refuses {@code --strategy}, where the device is to be one over a queue of the program's own. */
    void checkNoStrategy(String what) {
        if (strategy != null) {
            throw new IllegalArgumentException(
                    "--strategy is not for " + what + "; set " + Device.STRATEGY_VARIABLE + " to name one");
        }
    }

    /** @throws IllegalArgumentException when nothing matches */
    Device open() {
        return Device.builder().select(device).strategy(strategy).open();
    }
}
