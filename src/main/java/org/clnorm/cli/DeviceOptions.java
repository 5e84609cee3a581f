package org.clnorm.cli;

import org.clnorm.Device;
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

    /** @throws IllegalArgumentException when nothing matches */
    Device open() {
        return Device.builder().select(device).strategy(strategy).open();
    }
}
