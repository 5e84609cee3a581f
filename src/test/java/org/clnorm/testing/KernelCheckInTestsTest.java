package org.clnorm.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.io.IOException;
import java.nio.file.Files;
import org.clnorm.Device;
import org.clnorm.check.Binding;
import org.clnorm.check.CheckReport;
import org.clnorm.check.Examples;
import org.clnorm.check.KernelCheck;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The check of a kernel, as a test has it. */
class KernelCheckInTestsTest {
    private Binding binding;
    private String source;

    @BeforeEach
    void read() throws IOException {
        // Few cases are enough for what is tested here.
        binding = Binding.parse(Files.readString(Examples.binding("layer-norm")) + "\nshapes = 3,5; 5,257\n");
        source = Files.readString(Examples.kernel("layer-norm"));
    }

    @Test
    void verify_ofARightKernel_isQuiet(@OpenClDevice Device device) {
        CheckReport report = KernelCheck.of(source, binding).on(device);

        assertThatCode(report::verify).doesNotThrowAnyException();
        assertThat(report.device()).endsWith(device.info().name());
        assertThat(device.isClosed()).isFalse();
    }

    @Test
    void verify_ofAWrongKernel_failsWithTheReport(@OpenClDevice Device device) {
        String wrong = Examples.replacing("/ length + epsilon", "/ (length - 1) + epsilon")
                .apply(source);

        assertThatExceptionOfType(AssertionError.class)
                .isThrownBy(() -> KernelCheck.of(wrong, binding).on(device).verify())
                .withMessageContainingAll(
                        "layer-norm forward",
                        device.info().name(),
                        "FAIL wrong values: y",
                        "Likely: it divides by m - 1",
                        "Smallest case: R=3 D=5");
    }

    @Test
    void verify_ofAKernelThatDoesNotCompile_fails(@OpenClDevice Device device) {
        assertThatExceptionOfType(AssertionError.class)
                .isThrownBy(() -> KernelCheck.of("kernel void layer_norm(", binding)
                        .on(device)
                        .verify())
                .withMessageContaining("FAIL cannot be called");
    }

    @Test
    void on_theReference_isRefused() {
        try (Device reference = Device.cpuReference()) {
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> KernelCheck.of(source, binding).on(reference))
                    .withMessageContaining("must be an OpenCL device");
        }
    }
}
