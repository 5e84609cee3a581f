package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import java.util.Map;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.plan.Launch;
import org.junit.jupiter.api.Test;

/** What is read out of a compiler's words, and the model; the compilers themselves are ci/gpu-static's. */
class GpuCodeTest {
    private static final String SAID = """
            ptxas info    : Function properties for apply
                32 bytes stack frame, 16 bytes spill stores, 12 bytes spill loads
            ptxas info    : Used 88 registers, used 1 barriers, 5120 bytes smem
            """;
    private static final String PTX = """
            	ld.global.nc.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
            	ld.global.v4.u16 	{%rs1, %rs2, %rs3, %rs4}, [%rd1];
            	ld.global.f32 	%f5, [%rd2];
            	ld.shared.f32 	%f5, [%rd2];
            	ld.param.u64 	%rd2, [apply_param_0];
            	bar.sync 	0;
            	st.global.v4.f32 	[%rd3], {%f1, %f2, %f3, %f4};
            	st.global.u16 	[%rd3], %rs1;
            """;

    @Test
    void facts_ofWhatCompilersSay_areReadOutOfIt() {
        assertThat(GpuCode.facts(SAID, PTX))
                .isEqualTo(new GpuCode.Facts(88, 32, 16, 5120, 1, Map.of(16, 1, 8, 1, 4, 1), Map.of(16, 1, 2, 1)));
    }

    /** By hand, from the tables of Hopper: 65,536 registers, dealt out to warps by 256; 2,048 items; 227 KB of local memory. */
    @Test
    void perUnit_isLimitedByRegistersItemsAndLocalMemory() {
        assertThat(GpuCode.perUnit(facts(64, 0), 256)).isEqualTo(4);
        assertThat(GpuCode.perUnit(facts(65, 0), 256)).isEqualTo(3);
        assertThat(GpuCode.perUnit(facts(32, 0), 256)).isEqualTo(8);
        assertThat(GpuCode.perUnit(facts(16, 0), 64)).isEqualTo(32);
        assertThat(GpuCode.perUnit(facts(200, 0), 512)).isZero();
        assertThat(GpuCode.perUnit(facts(32, 100 << 10), 256)).isEqualTo(2);
    }

    @Test
    void seconds_ofACopyAndOfThreeLaunches_areTheArithmeticOfThePage() {
        Workload forward = new Workload(
                Norm.BATCH, Direction.FORWARD, Shape.of(32, 64, 56, 56), Layout.CHANNELS_FIRST, Fusion.NONE);
        List<Launch> launches = GpuStatic.launches(forward);
        double bytes = 4.0 * forward.elements();

        assertThat(launches)
                .extracting(Launch::kernel)
                .containsExactly("moments_segmented", "fold_moments", "apply_segmented");
        assertThat(GpuModel.copySeconds(forward)).isEqualTo(1.5e-6 + 2 * bytes / 4.3e12, within(1e-12));
        assertThat(GpuModel.seconds(forward, launches, launch -> facts(64, 0)))
                .isEqualTo(3 * 1.5e-6 + bytes / 4.3e12 + 3 * 0.8e-6 + bytes / 5.5e12 + bytes / 4.3e12, within(1e-12));
    }

    private static GpuCode.Facts facts(int registers, int shared) {
        return new GpuCode.Facts(registers, 0, 0, shared, 0, Map.of(), Map.of());
    }
}
