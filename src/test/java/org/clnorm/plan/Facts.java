package org.clnorm.plan;

import java.util.List;
import org.clnorm.DeviceInfo.Kind;

/** Devices that are not here. */
public final class Facts {
    private Facts() {}

    public static DeviceFacts cpu(int computeUnits, int vectorWidth) {
        return of(Kind.CPU, DeviceFacts.POCL, computeUnits, vectorWidth, 4096);
    }

    public static DeviceFacts gpu(int computeUnits) {
        return of(Kind.GPU, "a GPU's platform", computeUnits, 1, 1024);
    }

    /** As NVIDIA's driver has it, without sub-groups. */
    public static DeviceFacts h200() {
        return withLanguage("OpenCL 3.0 CUDA", "cl_khr_global_int32_base_atomics cl_khr_fp64 cl_nv_pragma_unroll");
    }

    /** A GPU of 132 units. */
    public static DeviceFacts withLanguage(String version, String extensions) {
        return new DeviceFacts(
                Kind.GPU,
                "a GPU's platform",
                "a GPU",
                "a vendor",
                version,
                "1",
                132,
                1,
                1024,
                48 << 10,
                50 << 20,
                140L << 30,
                35L << 30,
                extensions);
    }

    public static DeviceFacts rusticl() {
        return of(Kind.CPU, "rusticl", 8, 1, 1024);
    }

    public static DeviceFacts oclgrind() {
        return of(Kind.CPU, "Oclgrind", 1, 1, 1024);
    }

    public static DeviceFacts withWorkGroup(int maxWorkGroup) {
        return of(Kind.GPU, "a GPU's platform", 16, 1, maxWorkGroup);
    }

    /** One of each sort. */
    public static List<DeviceFacts> all() {
        return List.of(
                cpu(1, 4),
                cpu(2, 16),
                cpu(4, 1),
                cpu(64, 8),
                cpu(256, 16),
                gpu(4),
                gpu(132),
                h200(),
                rusticl(),
                withWorkGroup(64));
    }

    /** The same device, whose driver says nothing of its cache. */
    public static DeviceFacts withoutCache(DeviceFacts facts) {
        return new DeviceFacts(
                facts.kind(),
                facts.platform(),
                facts.name(),
                facts.vendor(),
                facts.version(),
                facts.driver(),
                facts.computeUnits(),
                facts.floatVectorWidth(),
                facts.maxWorkGroup(),
                facts.localBytes(),
                0,
                facts.globalBytes(),
                facts.maxAllocationBytes(),
                facts.extensions());
    }

    private static DeviceFacts of(Kind kind, String platform, int computeUnits, int vectorWidth, int maxWorkGroup) {
        return new DeviceFacts(
                kind,
                platform,
                "a device",
                "a vendor",
                "OpenCL 1.2",
                "1",
                computeUnits,
                vectorWidth,
                maxWorkGroup,
                32 << 10,
                32 << 20,
                8L << 30,
                2L << 30,
                "");
    }
}
