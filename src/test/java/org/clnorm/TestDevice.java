package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/**
 * What a test of the layers runs on: the CPU reference, and the default OpenCL device under each strategy. Where there is
 * no OpenCL device a test fails; one that is skipped would say that all is well.
 */
public enum TestDevice {
    REFERENCE,
    AUTO,
    CPU_FUSED,
    CPU_SPLIT,
    GPU_CACHED,
    GPU_FUSED,
    GPU_SPLIT;

    private Device shared;

    /**
     * All of them. Two processes that run tests begin at opposite ends, so that each finds kernels in PoCL's cache that the
     * other has compiled, rather than both the same ones at once.
     */
    static List<TestDevice> each() {
        List<TestDevice> each = Arrays.asList(values());
        if (Integer.getInteger("clnorm.test.fork", 1) % 2 == 0) {
            Collections.reverse(each);
        }
        return each;
    }

    /**
     * The type of 16 bits that tests of elements of this device take: both come up, each under some strategies, since they differ in
     * loads and stores alone and each is a compilation.
     */
    public DataType of16Bits() {
        return ordinal() % 2 == 0 ? DataType.FLOAT16 : DataType.BFLOAT16;
    }

    /** The one device of its kind that tests share, so that its kernels are compiled once; nobody closes it. */
    public synchronized Device device() {
        if (shared == null) {
            shared = open();
        }
        return shared;
    }

    /** A device of the caller's own, for it to close. */
    public Device open() {
        if (this == REFERENCE) {
            return Device.cpuReference();
        }
        Device device = Device.builder().strategy(strategy()).open();
        if (device.info().kind() == DeviceInfo.Kind.REFERENCE) {
            device.close();
            assertThat(device.info())
                    .as("these tests are of the kernels too and need an OpenCL device, such as PoCL's")
                    .isNull();
        }
        return device;
    }

    /** The strategy's name, as a user writes it. */
    public String strategy() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
