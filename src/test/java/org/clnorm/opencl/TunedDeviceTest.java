package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.Set;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyTable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A new device looks into the user's cache folder, which the build puts among its own files. */
class TunedDeviceTest {
    private static final Shape SHAPE = Shape.of(16, 8);

    private final DeviceFacts facts = DefaultDevice.candidate().facts();
    private TunedTables tables;

    @BeforeEach
    void switchOn() {
        System.setProperty("clnorm.cache", "on");
        tables = TunedTables.ofUser();
    }

    @AfterEach
    void forget() throws IOException {
        tables.remove(facts);
        System.clearProperty("clnorm.cache");
    }

    private static Set<String> kernels(String strategy) {
        try (OpenClBackend backend = DefaultDevice.open(strategy);
                TrainingStep step = new TrainingStep(backend, SHAPE, Layout.CHANNELS_FIRST, 1)) {
            step.enqueue();
            backend.finish();
            return backend.launches().keySet();
        }
    }

    @Test
    void open_afterTuning_usesWhatWasFound() throws IOException {
        Set<String> before = kernels(Strategy.AUTO);
        assertThat(before).contains("normalize_pipelined_columnar", "gradient_pipelined_columnar");

        tables.store(facts, StrategyTable.parse("pass=forward pattern=columnar groups=8 => gpu-split | a test"));

        assertThat(kernels(Strategy.AUTO))
                .as("the forward pass is split now, the backward pass as before")
                .contains("moments_columnar", "fold_moments", "apply_columnar", "gradient_pipelined_columnar")
                .doesNotContain("normalize_pipelined_columnar");
        assertThat(kernels(DefaultDevice.strategies().get(1)))
                .as("a strategy that was asked for is taken in any case")
                .contains("normalize_pipelined_columnar");
    }

    @Test
    void open_tableOfAStrategyThatIsNotThere_isAsBefore() throws IOException {
        Set<String> before = kernels(Strategy.AUTO);

        tables.store(facts, StrategyTable.parse("=> warp-speed | of another version"));

        assertThat(kernels(Strategy.AUTO)).isEqualTo(before);
    }

    @Test
    void open_switchedOff_isAsBefore() throws IOException {
        Set<String> before = kernels(Strategy.AUTO);
        tables.store(facts, StrategyTable.parse("=> gpu-split | a test"));
        assertThat(kernels(Strategy.AUTO)).isNotEqualTo(before);

        System.setProperty("clnorm.cache", "off");

        assertThat(kernels(Strategy.AUTO)).isEqualTo(before);
    }

    @Test
    void candidate_afterTuning_saysSo() throws IOException {
        assertThat(DefaultDevice.candidate().info().strategy()).doesNotContain("tuned");

        tables.store(facts, StrategyTable.EMPTY);

        assertThat(DefaultDevice.candidate().info().strategy()).contains("tuned");
        try (Device device = Device.builder().strategy(Strategy.AUTO).open()) {
            assertThat(device.info().strategy()).contains("tuned");
        }
    }
}
