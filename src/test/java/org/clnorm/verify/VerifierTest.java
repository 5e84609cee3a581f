package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.opencl.OpenCl;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.verify.VerifyReport.Row;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class VerifierTest {
    private final OpenCl.Candidate device = OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE));

    @Test
    void run_defaultDeviceUnderEveryStrategy_passes() {
        List<String> strategies = Verifier.strategies(device.facts());
        List<String> steps = new ArrayList<>();

        VerifyReport report = Verifier.run(device, strategies, (strategy, done, cases) -> {
            if (done == 0 || done == cases) {
                steps.add(strategy + (done == 0 ? " begins" : " ends"));
            }
        });

        assertThat(report.failures())
                .as("each of these is a kernel that gives wrong results")
                .isEmpty();
        assertThat(report.passed()).as("%s", report.rows()).isTrue();
        assertThat(report.rows().stream().map(Row::strategy).collect(Collectors.toSet()))
                .isEqualTo(Set.copyOf(strategies));
        assertThat(strategies).startsWith("auto").hasSizeGreaterThan(1);
        assertThat(steps)
                .containsExactlyElementsOf(strategies.stream()
                        .flatMap(s -> List.of(s + " begins", s + " ends").stream())
                        .toList());
    }

    /** For the sake of time not in every run, which has StorageTypesTest's steps under every strategy and the cases of files. */
    @Tag("long")
    @ParameterizedTest
    @CsvSource({"cpu-fused, FLOAT16", "cpu-split, BFLOAT16"})
    void run_elementsOf16Bits_passes(String strategy, DataType type) {
        Verifier.Extent quick = new Verifier.Extent(true, type);

        VerifyReport report =
                Verifier.run(device, List.of(strategy), quick, Verifier.Means.PLAIN, Verifier.Progress.NONE);

        assertThat(report.failures()).isEmpty();
        assertThat(report.passed()).as("%s", report.rows()).isTrue();
    }

    /** What processors with other vectors get: lines of memory are one of their vectors, two or four. */
    @Tag("long")
    @ParameterizedTest
    @ValueSource(ints = {4, 8, 16})
    void run_vectorsOfOtherProcessors_passes(int lanes) {
        OpenCl.Candidate other = device.as("cpu:" + device.facts().computeUnits() + ":" + lanes);

        VerifyReport report = Verifier.run(other, List.of("cpu-fused", "cpu-split"), Verifier.Progress.NONE);

        assertThat(report.failures()).isEmpty();
        assertThat(report.passed()).as("%s", report.rows()).isTrue();
    }

    @Test
    void kernels_strategiesOfACpu_haveTheWholeCatalogue() {
        DeviceFacts cpu = new DeviceFacts(
                DeviceInfo.Kind.CPU,
                "a platform",
                "a CPU",
                "",
                "",
                "",
                2,
                8,
                1024,
                1 << 15,
                1 << 20,
                1 << 30,
                1 << 30,
                "");

        assertThat(Verifier.strategies(cpu).stream().flatMap(name -> Verifier.kernels(name, cpu).stream()))
                .as("a kernel that no strategy must launch would not be missed")
                .containsAll(KernelCatalogue.entries().stream()
                        .map(KernelCatalogue.Entry::name)
                        .toList());
    }

    @Test
    void run_unknownStrategy_isRefusedBeforeAnythingRuns() {
        List<String> strategies = List.of("auto", "fastest");

        assertThatThrownBy(() -> Verifier.run(device, strategies, (strategy, done, cases) -> {
                    throw new AssertionError("It ran under " + strategy);
                }))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'fastest'");
    }
}
