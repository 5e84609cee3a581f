package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.KernelCatalogue.Entry;
import org.clnorm.plan.Launch;
import org.clnorm.plan.Strategy;
import org.jocl.CL;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class KernelsTest {
    private final DefaultDevice.Foreign on = new DefaultDevice.Foreign();
    private final Kernels kernels =
            new Kernels(on.context, on.device, "the device", BinaryCache.off(), KernelSource.UNEDITED);

    private final List<Kernel> prepared = new ArrayList<>();

    @AfterEach
    void close() {
        prepared.forEach(Kernel::release);
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
    void prepare_sameMacros_compilesOnceForKernelsOfTheirOwn() {
        Kernel first = prepare("track", "", 1);

        assertThat(prepare("track", "", 1)).as("it has arguments of its own").isNotSameAs(first);
        assertThat(kernels.compiled()).isEqualTo(1);
    }

    @Test
    void prepare_otherMacros_isAnotherBinary() {
        prepare("apply_columnar", " -DRELU=0 -DRESIDUAL=0", 1);
        prepare("apply_columnar", " -DRELU=1 -DRESIDUAL=0", 1);

        assertThat(kernels.compiled()).isEqualTo(2);
    }

    @Test
    void isFirst_kernelsOfOneBinary_onceForEachSizeThatIsCompiledForItself() {
        Kernel first = prepare("track", "", 1);
        Kernel second = prepare("track", "", 7);
        Kernel large = prepare("track", "", 1 << 20);

        assertThat(kernels.isFirst(first)).isTrue();
        assertThat(kernels.isFirst(first))
                .as("it is to be launched, but was not")
                .isTrue();
        kernels.ran(first);
        assertThat(List.of(kernels.isFirst(first), kernels.isFirst(second))).containsExactly(false, false);
        assertThat(kernels.isFirst(large)).isTrue();
        kernels.ran(large);
        assertThat(kernels.isFirst(large)).isFalse();
    }

    @Test
    void prepare_unknownKernel_isNamed() {
        assertThatThrownBy(() -> prepare("softmax", "", 1)).hasMessageContaining("'softmax'");
    }

    private Kernel prepare(String name, String macros, long workGroups) {
        Strategy strategy = Strategy.all(DefaultDevice.candidate().facts()).get(0);
        Kernel kernel = kernels.prepare(new Launch(name, strategy, macros, workGroups, List.of()));
        prepared.add(kernel);
        return kernel;
    }
}
