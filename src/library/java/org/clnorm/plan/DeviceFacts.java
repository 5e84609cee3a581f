package org.clnorm.plan;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.clnorm.DeviceInfo;

/**
 * What is known of a device before anything runs on it; strategies are chosen by it.
 *
 * @param floatVectorWidth the native width of float vectors, in lanes
 * @param cacheBytes the global memory cache (on a CPU the last level, shared); 0 where the driver does not say
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
    /** The environment variable whose value goes to {@link #as}. */
    public static final String AS_VARIABLE = "CLNORM_TREAT_AS";

    private static final Pattern AS = Pattern.compile("(gpu|cpu|accelerator)(?::([1-9]\\d{0,5})(?::(1|2|4|8|16))?)?");

    /** PoCL's name for itself. */
    public static final String POCL = "Portable Computing Language";

    /** Whether the platform is PoCL, which compiles with LLVM in this process. */
    public boolean isPocl() {
        return platform.equals(POCL);
    }

    /**
     * Whether the platform is Oclgrind, a simulator that finds races and invalid accesses. It must not be called from two
     * threads at a time, not even for different objects; JOCL waits in a thread of its own for whatever does not block.
     */
    public boolean isOclgrind() {
        return platform.equals("Oclgrind");
    }

    /**
     * The same as if the device said that it were of another kind, and perhaps had another number of compute units, and other
     * vectors: what a GPU or another processor would get can then be tried on a CPU, and computes the same bits there.
     *
     * @param what {@code gpu}, {@code gpu:132}, or {@code cpu:8:16} for vectors of 16 floats (1, 2, 4, 8 or 16), also with
     *     {@code accelerator}; null or blank for what the device says
     * @throws IllegalArgumentException for anything else
     */
    public DeviceFacts as(String what) {
        if (what == null || what.isBlank()) {
            return this;
        }
        Matcher matcher = AS.matcher(what.strip().toLowerCase(Locale.ROOT));
        if (!matcher.matches()) {
            throw new IllegalArgumentException(AS_VARIABLE
                    + " must be gpu, cpu or accelerator, or such as gpu:132 or cpu:8:16, but is '" + what + "'");
        }
        return new DeviceFacts(
                DeviceInfo.Kind.valueOf(matcher.group(1).toUpperCase(Locale.ROOT)),
                platform,
                name,
                vendor,
                version,
                driver,
                matcher.group(2) == null ? computeUnits : Integer.parseInt(matcher.group(2)),
                matcher.group(3) == null ? floatVectorWidth : Integer.parseInt(matcher.group(3)),
                maxWorkGroup,
                localBytes,
                cacheBytes,
                globalBytes,
                maxAllocationBytes,
                extensions);
    }

    /** What {@link DeviceInfo} does not say already, for a person to read, in the order of interest. */
    public Map<String, String> toMap() {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("vendor", vendor);
        facts.put("compute units", Integer.toString(computeUnits));
        facts.put("native float vector", floatVectorWidth + " lanes");
        facts.put("largest work-group", Integer.toString(maxWorkGroup));
        facts.put("local memory", bytes(localBytes));
        facts.put("cache", cacheBytes > 0 ? bytes(cacheBytes) : "not told");
        facts.put("global memory", bytes(globalBytes));
        return facts;
    }

    private static String bytes(long bytes) {
        return bytes >= 1L << 30
                ? String.format("%.1f GiB", bytes / (double) (1L << 30))
                : bytes >= 1L << 20 ? (bytes >> 20) + " MiB" : (bytes >> 10) + " KiB";
    }
}
