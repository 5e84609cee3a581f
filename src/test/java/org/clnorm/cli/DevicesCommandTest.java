package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import org.clnorm.Device;
import org.clnorm.DeviceCandidate;
import org.clnorm.DeviceInfo;
import org.clnorm.cli.Commands.Result;
import org.junit.jupiter.api.Test;

class DevicesCommandTest {
    @Test
    void devices_printsEveryCandidateWithItsFacts() {
        Result result = clnorm("devices");

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(Device.candidates())
                .extracting(candidate -> candidate.info().kind())
                .contains(DeviceInfo.Kind.REFERENCE);
        for (DeviceCandidate candidate : Device.candidates()) {
            DeviceInfo info = candidate.info();
            assertThat(result.out()).contains(info.platform(), info.name(), info.version(), info.strategy());
            candidate.facts().forEach((fact, value) -> assertThat(result.out()).contains(fact, value));
        }
    }

    @Test
    void devices_marksTheDeviceThatOpenTakes() {
        Result result = clnorm("devices");

        try (Device device = Device.open()) {
            assertThat(result.out()
                            .lines()
                            .filter(line -> line.startsWith("* "))
                            .toList())
                    .as("the default, and the line that explains the mark")
                    .hasSize(2)
                    .first()
                    .isEqualTo("* " + device.info().name());
        }
        assertThat(result.out()).contains("default because");
    }
}
