package org.clnorm.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.clnorm.DeviceInfo.Kind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceFactsTest {
    private static final DeviceFacts CPU = Facts.cpu(2, 16);

    @Test
    void as_gpuWithUnits_getsWhatAGpuGets() {
        DeviceFacts gpu = CPU.as("gpu:132");

        assertThat(gpu.kind()).isEqualTo(Kind.GPU);
        assertThat(gpu.computeUnits()).isEqualTo(132);
        assertThat(gpu.name()).isEqualTo(CPU.name());
        assertThat(gpu.isPocl()).as("whoever compiles is the same").isTrue();
        assertThat(Strategy.all(gpu))
                .extracting(Strategy::name)
                .containsExactly("gpu-cached", "gpu-fused", "gpu-split");
    }

    @Test
    void as_kindAlone_keepsTheUnits() {
        assertThat(CPU.as("GPU ").computeUnits()).isEqualTo(2);
        assertThat(CPU.as("accelerator").kind()).isEqualTo(Kind.ACCELERATOR);
        assertThat(CPU.as("cpu:2")).isEqualTo(CPU);
    }

    @Test
    void as_otherVectors_getsWhatSuchAProcessorGets() {
        DeviceFacts other = CPU.as("cpu:8:4");

        assertThat(other.computeUnits()).isEqualTo(8);
        assertThat(Strategy.all(other).get(0).vectorWidth()).isEqualTo(4);
        assertThat(CPU.as("cpu:2:16")).isEqualTo(CPU);
    }

    @Test
    void as_nothing_isTheSame() {
        assertThat(CPU.as(null)).isEqualTo(CPU);
        assertThat(CPU.as(" ")).isEqualTo(CPU);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "tpu",
                "gpu:",
                "gpu:0",
                "gpu:-1",
                "gpu:1234567",
                "132",
                "gpu,132",
                "cpu:2:",
                "cpu::8",
                "cpu:2:3",
                "cpu:2:32"
            })
    void as_anythingElse_isRefused(String what) {
        assertThatThrownBy(() -> CPU.as(what))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("CLNORM_TREAT_AS", "gpu:132", "cpu:8:16", "'" + what + "'");
    }
}
