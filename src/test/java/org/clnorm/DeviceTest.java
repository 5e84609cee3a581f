package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which device one gets. What the environment does to it is in {@code org.clnorm.lifecycle.FallBackTest}. */
final class DeviceTest {
    private static DeviceCandidate openClDefault() {
        return Device.candidates().stream()
                .filter(candidate -> candidate.isDefault() && candidate.info().kind() != DeviceInfo.Kind.REFERENCE)
                .findFirst()
                .orElseThrow(() -> new AssertionError("these tests need an OpenCL device, such as PoCL's"));
    }

    private static void assertSelects(String selector, DeviceInfo expected) {
        try (Device device = Device.open(selector)) {
            assertThat(device.info().name()).as("selected by %s", selector).isEqualTo(expected.name());
            assertThat(device.info().platform()).isEqualTo(expected.platform());
        }
    }

    @Test
    void candidates_onThisMachine_haveOneDefaultAndTheReferenceLast() {
        List<DeviceCandidate> candidates = Device.candidates();
        assertThat(candidates).filteredOn(DeviceCandidate::isDefault).hasSize(1);
        assertThat(openClDefault().why()).isNotBlank();
        assertThat(openClDefault().facts()).containsKeys("index", "compute units");
        assertThat(candidates)
                .last()
                .extracting(candidate -> candidate.info().kind())
                .isEqualTo(DeviceInfo.Kind.REFERENCE);
        assertThat(candidates)
                .filteredOn(candidate -> candidate.info().kind() == DeviceInfo.Kind.REFERENCE)
                .hasSize(1);
    }

    @Test
    void open_ofTheDefault_isTheCandidateThatSaysSo() {
        DeviceInfo expected = openClDefault().info();
        try (Device device = TestDevice.AUTO.open()) {
            assertThat(device.info()).isEqualTo(expected);
            assertThat(device.info().maxAllocationBytes()).isPositive();
            assertThat(device.toString())
                    .matches("Device \\d+, \\Q" + expected.platform() + " / " + expected.name() + "\\E");
        }
    }

    @Test
    void open_byPartsOfTheNames_findsIt() {
        DeviceInfo expected = openClDefault().info();
        assertSelects(expected.name(), expected);
        assertSelects(expected.name().toUpperCase(Locale.ROOT), expected);
        assertSelects(expected.name().substring(1, expected.name().length() - 1), expected);
        assertSelects(expected.platform(), expected);
        assertSelects(expected.platform() + ":" + expected.name().toLowerCase(Locale.ROOT), expected);
        assertSelects(openClDefault().facts().get("index"), expected);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "Reference", "REFERENCE"})
    void open_ofTheReference_isTheReference(String selector) {
        try (Device device = Device.open(selector);
                Device asked = Device.cpuReference()) {
            assertThat(device.info().kind()).isEqualTo(DeviceInfo.Kind.REFERENCE);
            assertThat(device.info()).isEqualTo(asked.info());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"no such device", "77:0", "0:77", "pocl:no such device", "no such platform:epyc"})
    void open_ofNoDevice_listsTheCandidates(String selector) {
        assertThatThrownBy(() -> Device.open(selector))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll(
                        "'" + selector + "'", openClDefault().info().name(), "reference");
    }

    @Test
    void open_ofNull_namesTheArgument() {
        assertThatThrownBy(() -> Device.open(null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("selector");
    }

    @ParameterizedTest
    @EnumSource(value = TestDevice.class, mode = EnumSource.Mode.EXCLUDE, names = "REFERENCE")
    void open_underAStrategy_isUnderThatOne(TestDevice on) {
        try (Device device = on.open();
                Device shouted = Device.builder()
                        .strategy(on.strategy().toUpperCase(Locale.ROOT))
                        .open()) {
            assertThat(device.info().strategy()).startsWith(on.strategy());
            assertThat(shouted.info()).isEqualTo(device.info());
        }
    }

    @Test
    void open_underNoSuchStrategy_listsThoseThereAre() {
        assertThatThrownBy(() -> Device.builder().strategy("fastest").open())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll(
                        "'fastest'", "auto", "cpu-fused", "cpu-split", "gpu-cached", "gpu-fused", "gpu-split");
    }

    @Test
    void builder_ofADevice_isImmutable() {
        Device.Builder reference = Device.builder().select("reference");
        reference.select("no such device").strategy("none such");
        try (Device device = reference.open()) {
            assertThat(device.info().kind())
                    .as("a setter must not change the builder that it is called on")
                    .isEqualTo(DeviceInfo.Kind.REFERENCE);
        }
    }

    @OnBothBackends
    void open_twice_givesTwoDevices(TestDevice on) {
        try (Device one = on.open();
                Device two = on.open();
                Tensor ofOne = one.vector(1)) {
            two.close();
            assertThat(ofOne.download())
                    .as("the other's closing is none of its business")
                    .containsExactly(1);
        }
    }
}
