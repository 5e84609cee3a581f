package org.clnorm;

import java.util.Map;
import java.util.Objects;

/**
 * A device that {@link Device#open} could take.
 *
 * @param info what the device is, with the strategy that it would get
 * @param facts what is known of it, in the order of interest: compute units, vector width, memory, ...
 * @param isDefault whether {@code Device.open()} takes it
 * @param why the reason for that, or why there is no other device; empty where there is nothing to say
 */
public record DeviceCandidate(DeviceInfo info, Map<String, String> facts, boolean isDefault, String why) {
    /** Checks that nothing is null. */
    public DeviceCandidate {
        Objects.requireNonNull(info, "info");
        Objects.requireNonNull(facts, "facts")
                .forEach((fact, value) -> Objects.requireNonNull(value, () -> "facts has null for " + fact));
        Objects.requireNonNull(why, "why");
    }
}
