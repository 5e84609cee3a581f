package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.clnorm.opencl.KernelCatalogue.Entry;
import org.jocl.CL;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class KernelsTest {
    private final DefaultDevice.Foreign on = new DefaultDevice.Foreign();
    private int compiled;
    private final Kernels kernels =
            new Kernels(on.context, on.device, "the device", () -> compiled++, BinaryCache.off());

    @AfterEach
    void close() {
        kernels.release();
        on.close();
    }

    @Test
    void build_brokenSource_throwsWithLogAndOptions() {
        String source = "__kernel void broken(__global float *x) { x[0] = undeclared_number; }";

        assertThatThrownBy(() -> kernels.build("broken.cl", source, "-cl-std=CL1.2 -DVW=4"))
                .isInstanceOf(KernelBuildException.class)
                .hasMessageStartingWith("broken.cl does not build on the device with options '-cl-std=CL1.2 -DVW=4'")
                .hasMessageContaining("CL_BUILD_PROGRAM_FAILURE")
                .as("what the compiler said")
                .hasMessageContaining("undeclared_number");
        assertThat(compiled)
                .as("what a compilation leaves behind is put right after a failure too")
                .isEqualTo(1);
    }

    @Test
    void build_everySourceWithoutMacros_compiles() {
        KernelCatalogue.entries().stream()
                .map(Entry::source)
                .distinct()
                .forEach(source ->
                        CL.clReleaseProgram(kernels.build(source, KernelSource.read(source), "-cl-std=CL1.2")));
    }

    @Test
    void get_sameMacros_compilesOnce() {
        Strategy strategy = Strategy.all(DefaultDevice.candidate().facts()).get(0);

        Kernel first = kernels.get("track", strategy, "");

        assertThat(kernels.get("track", strategy, "")).isSameAs(first);
        assertThat(compiled).isEqualTo(1);
    }

    @Test
    void get_otherMacros_isAnotherBinary() {
        Strategy strategy = Strategy.all(DefaultDevice.candidate().facts()).get(0);

        Kernel plain = kernels.get("apply_columnar", strategy, " -DRELU=0 -DRESIDUAL=0");

        assertThat(kernels.get("apply_columnar", strategy, " -DRELU=1 -DRESIDUAL=0"))
                .isNotSameAs(plain);
        assertThat(compiled).isEqualTo(2);
    }

    @Test
    void get_unknownKernel_isNamed() {
        Strategy strategy = Strategy.all(DefaultDevice.candidate().facts()).get(0);

        assertThatThrownBy(() -> kernels.get("softmax", strategy, "")).hasMessageContaining("'softmax'");
    }
}
