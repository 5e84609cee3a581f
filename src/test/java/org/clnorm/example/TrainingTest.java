package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.clnorm.Activation;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Normalizer;
import org.clnorm.Tensor;
import org.clnorm.diagnostics.Diagnostics;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class TrainingTest {
    private static Digits few() throws IOException {
        return Digits.bundled().range(0, 500);
    }

    private static List<Run> train(Device device, Settings settings, Digits digits) {
        return new TrainingExample(settings, digits)
                .train(device, new ConsoleTables(new PrintWriter(new StringWriter())), false);
    }

    @Test
    void shuffle_sameSeed_sameOrderOfTheSameNumbers() {
        int[] first = IntStream.range(0, 1000).toArray();
        int[] second = first.clone();
        int[] other = first.clone();
        Training.shuffle(first, new Random(7));
        Training.shuffle(second, new Random(7));
        Training.shuffle(other, new Random(8));
        assertThat(first).as("runs must be repeatable").isEqualTo(second).isNotEqualTo(other);
        assertThat(Arrays.stream(first).sorted().toArray())
                .as("every digit is seen once an epoch")
                .isEqualTo(IntStream.range(0, 1000).toArray());
    }

    @Test
    void train_sameSeedTwice_sameLosses() throws IOException {
        Settings settings = new Settings(2, 40, 0.05, 2, 11);
        for (boolean reference : new boolean[] {true, false}) {
            try (Device device = reference ? Device.cpuReference() : Device.open()) {
                List<Run> first = train(device, settings, few());
                List<Run> second = train(device, settings, few());
                for (int i = 0; i < first.size(); i++) {
                    assertThat(first.get(i).firstEpoch())
                            .as("to the last bit, on %s", device)
                            .isEqualTo(second.get(i).firstEpoch());
                    assertThat(first.get(i).finalAccuracy())
                            .isEqualTo(second.get(i).finalAccuracy());
                }
            }
        }
    }

    @Test
    void train_defaultDevice_lowersTheLoss() throws IOException {
        try (Device device = Device.open()) {
            for (Run run : train(device, new Settings(3, 40, 0.05, 0.2, 1), few())) {
                assertThat(run.epochs()).hasSize(3);
                assertThat(run.firstEpoch()).hasSize(10);
                assertThat(run.epochs().get(2).loss())
                        .as("%s at %s", run.kind(), run.rate())
                        .isLessThan(0.75 * run.epochs().get(0).loss());
            }
        }
    }

    @Test
    void train_deviceAndReference_agreeOnTheFirstLosses() throws IOException {
        Settings settings = new Settings(1, 40, 0.02, 0.1, 1);
        try (Device device = Device.open();
                Device reference = Device.cpuReference()) {
            List<Double> actual = train(device, settings, few()).get(0).firstEpoch();
            List<Double> expected = train(reference, settings, few()).get(0).firstEpoch();
            for (int step = 0; step < expected.size(); step++) {
                assertThat(Math.abs(actual.get(step) - expected.get(step)))
                        .as("step %d: the whole loop, parameters and transfers included, does the same", step)
                        .isLessThan(1e-4);
            }
        }
    }

    /** What the example is there to show, at its default rates. */
    @Test
    void train_defaultRates_normalizationLearnsFasterAndSurvivesTheLargeRate() throws IOException {
        try (Device device = Device.open()) {
            List<Run> runs = train(device, new Settings(2, 100, 0.02, 4, 1), Digits.bundled());
            double[] accuracy = runs.stream()
                    .mapToDouble(run -> run.finalAccuracy().orElse(0))
                    .toArray();
            assertThat(accuracy[0]).as("normalized, small rate, against plain").isGreaterThan(accuracy[1] + 0.02);
            assertThat(accuracy[2]).as("normalized, large rate").isGreaterThan(0.85);
            assertThat(accuracy[3]).as("plain, large rate").isLessThan(0.4);
        }
    }

    @ParameterizedTest
    @EnumSource(value = Norm.class, names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void train_everyNormalization_learnsAtBothRates(Norm norm) throws IOException {
        try (Device device = Device.open()) {
            Settings settings = new Settings(4, 50, 0.05, 1, 3, 0, norm);
            List<Run> runs = train(device, settings, Digits.bundled().range(0, 2500));
            assertThat(runs).hasSize(4);
            assertThat(runs.get(0).kind()).isEqualTo(norm.kind());
            double[] accuracy = runs.stream()
                    .mapToDouble(run -> run.finalAccuracy().orElse(0))
                    .toArray();
            assertThat(accuracy[0]).as("%s, small rate", norm).isGreaterThan(0.8);
            assertThat(accuracy[2]).as("%s, large rate", norm).isGreaterThan(0.8);
        }
    }

    @Test
    void train_noNormalization_trainsThePlainNetworksOnly() throws IOException {
        try (Device device = Device.cpuReference()) {
            List<Run> runs = train(device, new Settings(1, 40, 0.05, 0.2, 1, 0, Norm.NONE), few());
            assertThat(runs).extracting(Run::kind).containsExactly("plain", "plain");
            assertThat(runs).extracting(Run::rate).containsExactly(0.05, 0.2);
        }
    }

    @Test
    void virtualBatch_anyBatch_takesASingleDigitThatIsLeft() {
        assertThat(Norm.virtualBatch(100)).isEqualTo(25);
        try (Device device = Device.cpuReference()) {
            for (int batch = 2; batch < 50; batch++) {
                try (Normalizer norm = Norm.GHOST.build(device, Activation.NONE, batch, 16);
                        Tensor x = device.tensor(Norm.GHOST.shape(batch, 16), Layout.CHANNELS_FIRST)) {
                    norm.forward(x).close();
                }
            }
        }
    }

    @Test
    void train_absurdRate_isReportedAsDiverged() throws IOException {
        try (Device device = Device.open()) {
            List<Run> runs = train(device, new Settings(2, 40, 0.02, 1e30, 1), few());
            assertThat(runs.get(1).divergedIn()).isEmpty();
            assertThat(runs.get(3).divergedIn()).hasValue(1);
            assertThat(runs.get(3).finalAccuracy())
                    .as("a network of NaN has no accuracy to boast of")
                    .isEmpty();
            assertThat(runs.get(3).firstEpoch()).allMatch(Double::isFinite);
        }
    }

    @Test
    void train_diagnose_looksAtEveryNthStepOfTheNormalizedNetworks() throws IOException {
        try (Device device = Device.cpuReference()) {
            List<Run> looked = train(device, new Settings(2, 40, 0.05, 2, 1, 8, Norm.BATCH), few());
            List<Run> notLooked = train(device, new Settings(2, 40, 0.05, 2, 1), few());
            for (int i = 0; i < looked.size(); i++) {
                assertThat(looked.get(i).diagnostics().stream()
                                .map(Diagnostics::step)
                                .toList())
                        .as("of 20 steps, of a %s network", looked.get(i).kind())
                        .isEqualTo(looked.get(i).normalized() ? List.of(8L, 16L) : List.of());
                assertThat(notLooked.get(i).diagnostics()).isEmpty();
                assertThat(looked.get(i).firstEpoch())
                        .as("looking changes nothing")
                        .isEqualTo(notLooked.get(i).firstEpoch());
            }
        }
    }

    @Test
    void settings_wrong_sayWhatWasGiven() throws IOException {
        assertThatThrownBy(() -> new Settings(0, 100, 1, 2, 1)).hasMessageContainingAll("epochs", "0");
        assertThatThrownBy(() -> new Settings(1, 1, 1, 2, 1)).hasMessageContainingAll("batch", "1");
        assertThatThrownBy(() -> new Settings(1, 100, 2, 1, 1)).hasMessageContainingAll("2 and 1");
        assertThatThrownBy(() -> new Settings(1, 100, 0, 1, 1)).hasMessageContaining("0.0 and 1");
        assertThatThrownBy(() -> new Settings(1, 100, 1, Double.POSITIVE_INFINITY, 1))
                .hasMessageContaining("Infinity");
        assertThatThrownBy(() -> new Settings(1, 100, Double.NaN, 1, 1)).hasMessageContaining("NaN");
        assertThatThrownBy(() -> new Settings(1, 100, 1, 2, 1, -1, Norm.BATCH))
                .hasMessageContainingAll("diagnoses", "-1");
        assertThatThrownBy(() -> new Settings(1, 100, 1, 2, 1, 50, Norm.GHOST))
                .hasMessageContainingAll("batch and renorm", "ghost");
        Digits few = few();
        assertThatThrownBy(() -> new TrainingExample(new Settings(1, 401, 1, 2, 1), few))
                .hasMessageContainingAll("401", "400", "100");
    }
}
