package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.clnorm.diagnostics.Diagnoser;
import org.clnorm.folding.Folding;
import org.junit.jupiter.api.Test;

/** What messages and debuggers show. That every public class has its own is in {@link NullArgumentsTest}. */
class ToStringTest {
    private static final String DEVICE = "device \\d+, CPU reference";

    private static Tensor tensor(Device device) {
        return device.upload(new float[] {1, 2, 3, 5}, Shape.of(2, 2), Layout.CHANNELS_FIRST);
    }

    @Test
    void twoDevicesOfOneName_areToldApartInMessages() {
        try (Device left = Device.cpuReference();
                Device right = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(2).build(left);
                Tensor x = tensor(right)) {
            assertThat(left.toString()).isNotEqualTo(right.toString());
            assertThat(x.toString()).endsWith(right.label()).doesNotContain(left.label());
            assertThatThrownBy(() -> norm.forward(x))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("must be on the layer's " + left)
                    .hasMessageEndingWith("on " + right.label());
            right.close();
            assertThatThrownBy(right::finish).hasMessageContaining(right.label());
            assertThatThrownBy(() -> left.tensor(Shape.of(Integer.MAX_VALUE, Integer.MAX_VALUE), Layout.CHANNELS_FIRST))
                    .hasMessageStartingWith("A tensor on " + left.label());
        }
    }

    @Test
    void layers_sayWhatTheyAreInWhichModeAndWhere() {
        try (Device device = Device.cpuReference();
                BatchNorm batch = BatchNorm.builder(2).build(device);
                LayerNorm layer = LayerNorm.builder(3, 2).build(device);
                L2Norm l2 = L2Norm.builder().build(device)) {
            assertThat(batch.toString()).matches("batch normalization of 2 channels, training, on " + DEVICE);
            assertThat(layer.toString()).matches("layer normalization over \\(3, 2\\), training, on " + DEVICE);
            batch.eval();
            assertThat(batch.toString()).matches("batch normalization of 2 channels, evaluating, on " + DEVICE);
            for (Normalizer any : List.of(batch, layer, l2)) {
                any.close();
                assertThat(any.toString()).matches(".*, closed, on " + DEVICE);
            }
        }
    }

    @Test
    void parametersAndSnapshots_sayWhoseTheyAre() {
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(2).build(device);
                Tensor x = tensor(device);
                Tensor y = norm.forward(x)) {
            norm.beta().orElseThrow().freeze();
            assertThat(norm.parameters()).hasToString("[weight (2), bias (2), frozen]");
            assertThat(norm.snapshotRunning().toString())
                    .startsWith("running statistics after 1 batches of batch normalization of 2 channels, training");
            assertThat(PopulationStatistics.over(norm).toString())
                    .startsWith("population statistics of [batch normalization of 2 channels");
            assertThat(Folding.of(norm)).hasToString("folding of a batch normalization of 2 channels, activation none");
            assertThat(Folding.of(norm).scaleShift().toString()).startsWith("scale and shift of 2 channels, error ");
            assertThat(Diagnoser.every(5).named("block 3")).hasToString("diagnoser of block 3, every 5 steps");
            assertThat(Diagnoser.off()).hasToString("diagnoser of batch normalization, off");
            assertThat(new SampleAffine(y, null).toString()).contains("Tensor(2, 2)");
        }
    }

    @Test
    void anything_whoseDeviceIsClosed_canStillBeShown() {
        for (TestDevice on : List.of(TestDevice.REFERENCE, TestDevice.AUTO)) {
            Device device = Device.open(
                    on == TestDevice.REFERENCE
                            ? "reference"
                            : on.device().info().name());
            BatchNorm norm = BatchNorm.builder(2).build(device);
            Parameter weight = norm.gamma().orElseThrow();
            Tensor x = tensor(device);
            RunningSnapshot snapshot = norm.snapshotRunning();
            device.close();

            assertThat(norm.toString()).contains("closed");
            assertThat(weight).hasToString("weight (2)");
            assertThat(x.toString()).contains("(2, 2)");
            assertThat(snapshot.toString()).contains("closed");
        }
    }
}
