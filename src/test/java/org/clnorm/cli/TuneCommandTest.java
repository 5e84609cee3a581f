package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import java.io.IOException;
import java.nio.file.Path;
import org.clnorm.Device;
import org.clnorm.cli.Commands.Result;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.TunedTables;
import org.clnorm.plan.DeviceFacts;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TuneCommandTest {
    private final DeviceFacts facts = OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE))
            .facts();
    private TunedTables tables;
    private Path file;

    @BeforeEach
    void switchOn() {
        System.setProperty("clnorm.cache", "on");
        tables = TunedTables.ofUser();
        file = tables.file(facts).orElseThrow();
    }

    @AfterEach
    void forget() throws IOException {
        tables.remove(facts);
        System.clearProperty("clnorm.cache");
    }

    @Test
    void tune_quick_printsATableAndStoresWhatDevicesUse() {
        // The first pass's candidates are enough to see here; TunerTest sees all of a shape's passes raced.
        Result tuned = clnorm("tune", "--quick", "--seconds", "1");

        assertThat(tuned.exitCode()).as(tuned.out() + tuned.err()).isZero();
        assertThat(tuned.out())
                .contains("Timing forward (8, 64, 28, 28) channels-first")
                .containsPattern("\n  shape +layout +pass +pattern +default +winner +gain\n")
                .containsPattern("\n  \\(8, 64, 28, 28\\) +channels-first +forward +\\w+ +\\w+-\\w+")
                .containsPattern("\n\\d+ of \\d+ defaults beaten, \\d+ candidates, ")
                .contains("rows stored in " + file)
                .doesNotContain("EXCLUDED");
        assertThat(file).exists();
        assertThat(clnorm("devices").out()).contains("as tuned here");

        Result reset = clnorm("tune", "--reset");

        assertThat(reset.exitCode()).isZero();
        assertThat(reset.out()).contains("Removed " + file);
        assertThat(file).doesNotExist();
        assertThat(clnorm("devices").out()).doesNotContain("as tuned here");
        assertThat(clnorm("tune", "--reset").out()).contains("Nothing was stored");
    }

    @Test
    void tune_timeIsUp_saysWhatWasLeftOut() {
        Result result = clnorm("tune", "--quick", "--dry-run", "--seconds", "1e-9");

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(result.out()).contains("\n15 passes were left out: the time was up", "0 of 0 defaults beaten");
    }

    @Test
    void tune_switchedOff_storesNothing() {
        System.setProperty("clnorm.cache", "off");

        assertThat(clnorm("tune", "--quick").err()).contains("no cache folder", "--dry-run");
        assertThat(clnorm("tune", "--quick").exitCode()).isEqualTo(2);
        Result dry = clnorm("tune", "--quick", "--dry-run", "--seconds", "0.5");

        assertThat(dry.exitCode()).as(dry.out() + dry.err()).isZero();
        assertThat(dry.out()).contains("rows, which are not stored").doesNotContain("stored in");
        assertThat(file).doesNotExist();
    }

    @Test
    void tune_wrongUsage_exitsWith2() {
        assertThat(clnorm("tune", "--device", "no such device").exitCode()).isEqualTo(2);
        assertThat(clnorm("tune", "--device", "no such device").err()).contains("'no such device'");
        assertThat(clnorm("tune", "--device", "reference").err()).contains("OpenCL device", "CPU reference");
        assertThat(clnorm("tune", "--reset", "--dry-run").exitCode()).isEqualTo(2);
        assertThat(clnorm("tune", "--strategy", "cpu-fused").exitCode()).isEqualTo(2);
        assertThat(clnorm("tune", "--seconds", "-3").err()).contains("--seconds must be more than 0, but is -3");
    }
}
