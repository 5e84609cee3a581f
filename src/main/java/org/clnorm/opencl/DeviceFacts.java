package org.clnorm.opencl;

import java.util.LinkedHashMap;
import java.util.Map;
import org.clnorm.DeviceInfo;

/**
 * What is known of a device before anything runs on it; strategies are chosen by it.
 *
 * @param floatVectorWidth the native width of float vectors, in lanes
 * @param cacheBytes the global memory cache (on a CPU the last level, shared)
 */
public record DeviceFacts(
        DeviceInfo.Kind kind,
        String platform,
        String name,
        String vendor,
        String version,
        String driver,
        int computeUnits,
        int floatVectorWidth,
        int maxWorkGroup,
        long localBytes,
        long cacheBytes,
        long globalBytes,
        long maxAllocationBytes,
        String extensions) {
    /** PoCL's name for itself. */
    static final String POCL = "Portable Computing Language";

    /** Whether the platform is PoCL, which compiles with LLVM in this process. */
    boolean isPocl() {
        return platform.equals(POCL);
    }

    /**
     * Whether the platform is Oclgrind, a simulator that finds races and invalid accesses. It must not be called from two
     * threads at a time, not even for different objects; JOCL waits in a thread of its own for whatever does not block.
     */
    boolean isOclgrind() {
        return platform.equals("Oclgrind");
    }

    /** What {@link DeviceInfo} does not say already, for a person to read, in the order of interest. */
    public Map<String, String> toMap() {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("vendor", vendor);
        facts.put("compute units", Integer.toString(computeUnits));
        facts.put("native float vector", floatVectorWidth + " lanes");
        facts.put("largest work-group", Integer.toString(maxWorkGroup));
        facts.put("local memory", bytes(localBytes));
        facts.put("cache", bytes(cacheBytes));
        facts.put("global memory", bytes(globalBytes));
        return facts;
    }

    private static String bytes(long bytes) {
        return bytes >= 1L << 30
                ? String.format("%.1f GiB", bytes / (double) (1L << 30))
                : bytes >= 1L << 20 ? (bytes >> 20) + " MiB" : (bytes >> 10) + " KiB";
    }
}
