package org.clnorm;

import java.util.Map;

/**
 * A device that {@link Device#open} could take.
 *
 * @param info who it is, with the strategy it would get
 * @param facts what is known of it, in the order of interest: compute units, vector width, memory, ...
 * @param isDefault whether {@code Device.open()} takes it
 * @param why the reason for that
 */
public record DeviceCandidate(DeviceInfo info, Map<String, String> facts, boolean isDefault, String why) {}
