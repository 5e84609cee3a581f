package org.clnorm.opencl;

import java.util.List;
import java.util.function.Function;
import org.clnorm.bench.Workload;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.Launch;
import org.clnorm.plan.Strategy;

/**
 * What a pass should take on an H200, by its launches, bytes and latencies alone: a guess with its arithmetic shown, for a
 * measurement to prove wrong.
 */
final class GpuModel {
    /** Compute units. */
    static final int UNITS = 132;
    /** Bytes a second of a copy, read and written together. */
    static final double COPIED = 4.3e12;
    /** Bytes a second of what the level-2 cache has. */
    static final double CACHED = 5.5e12;
    /** What the level-2 cache still has of what was read last. */
    static final long CACHE = 40L << 20;
    /** Seconds from asking memory to having it, loaded. */
    static final double LATENCY = 0.8e-6;
    /** Seconds from a launch to the next that waits for it. */
    static final double LAUNCH = 1.5e-6;

    private GpuModel() {}

    /** Bytes that must be on their way in a unit for memory to be kept busy. */
    static double enough() {
        return COPIED * LATENCY / UNITS;
    }

    /** Bytes that a unit's work-items have on their way, each waiting for a tile of each tensor that it reads. */
    static double onTheirWay(Launch launch, GpuCode.Facts facts, int bytesOfElement) {
        Strategy strategy = launch.strategy();
        int tensors = readsPairs(launch) ? 2 : 1;
        int vectors = strategy.isCached() ? strategy.cached() : strategy.tile() / tensors;
        int resident = (int)
                Math.min(GpuCode.perUnit(facts, strategy.items()), Math.ceil(launch.workGroups() / (double) UNITS));
        return (double) resident * strategy.items() * vectors * tensors * strategy.vectorWidth() * bytesOfElement;
    }

    /** Seconds of a pass. */
    static double seconds(Workload pass, List<Launch> launches, Function<Launch, GpuCode.Facts> code) {
        double seconds = 0;
        boolean readBefore = false;
        for (Launch launch : launches) {
            seconds += LAUNCH + seconds(pass, launch, code.apply(launch), readBefore);
            readBefore |= readsTensors(launch);
        }
        return seconds;
    }

    private static double seconds(Workload pass, Launch launch, GpuCode.Facts facts, boolean readBefore) {
        if (!readsTensors(launch)) {
            return 3 * LATENCY; // slices, then coefficients, then what is written; few bytes
        }
        long tensor = pass.elements() * pass.type().bytes();
        double read = tensor * (readsPairs(launch) ? 2.0 : 1.0);
        double busy = Math.min(1, onTheirWay(launch, facts, pass.type().bytes()) / enough());
        double reading = read / (readBefore && read <= CACHE ? CACHED : COPIED) / busy;
        double writing = writesTensor(launch) ? tensor / COPIED : 0;
        return Math.max(reading + writing, 2 * LATENCY);
    }

    /** Seconds of a copy of x, the time that a pass is held against; of dy and x to dx, for a backward pass. */
    static double copySeconds(Workload pass) {
        int tensors = pass.direction() == Direction.BACKWARD ? 3 : 2;
        return LAUNCH
                + Math.max(tensors * (double) pass.elements() * pass.type().bytes() / COPIED, 2 * LATENCY);
    }

    private static boolean readsTensors(Launch launch) {
        return KernelCatalogue.entry(launch.kernel()).step() != KernelCatalogue.Step.FOLD;
    }

    private static boolean readsPairs(Launch launch) {
        return launch.arguments().stream().anyMatch(argument -> argument.name().equals("dy"));
    }

    private static boolean writesTensor(Launch launch) {
        return launch.arguments().stream()
                .anyMatch(argument -> argument.name().equals("y") && !readsPairs(launch)
                        || argument.name().equals("dx"));
    }
}
