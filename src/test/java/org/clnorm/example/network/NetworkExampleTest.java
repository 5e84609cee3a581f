package org.clnorm.example.network;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.clnorm.example.Digits;
import org.clnorm.example.Norm;
import org.clnorm.example.device.Plan;
import org.clnorm.example.device.TestQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class NetworkExampleTest {
    private static final int BATCH = 25;

    @TempDir
    private Path folder;

    private String train(NetworkKind kind, Norm norm, int digits, int epochs, long seed, String file, boolean resume)
            throws IOException {
        StringWriter out = new StringWriter();
        Plan plan = new Plan(BATCH, seed, kind.rate(), 6);
        new NetworkExample(kind, norm, epochs, plan, folder.resolve(file), resume)
                .run(TestQueue.shared(), Digits.bundled().range(0, digits), new PrintWriter(out), false);
        return out.toString();
    }

    /** The percentage of its last epoch. */
    private static double accuracy(String output) {
        String last = output.lines()
                .filter(line -> line.matches(" +\\d+ .*"))
                .reduce((first, second) -> second)
                .orElseThrow();
        return Double.parseDouble(last.strip().split(" +")[2]);
    }

    @Test
    void conv_onSomeDigits_learnsThem() throws IOException {
        String output = train(NetworkKind.CONV, Norm.BATCH, 2500, 4, 1, "kept", false);

        assertThat(accuracy(output)).as(output).isGreaterThan(90);
        assertThat(folder.resolve("kept")).isRegularFile();
    }

    @ParameterizedTest
    @CsvSource({"CONV, BATCH", "TRANSFORMER, LAYER", "TRANSFORMER, RMS"})
    void training_resumed_comesToTheSameBits(NetworkKind kind, Norm norm) throws IOException {
        train(kind, norm, 200, 2, 3, "whole", false);
        train(kind, norm, 200, 1, 3, "parts", false);
        assertThat(Files.readAllBytes(folder.resolve("parts")))
                .as("another epoch makes a difference")
                .isNotEqualTo(Files.readAllBytes(folder.resolve("whole")));

        String resumed = train(kind, norm, 200, 2, 3, "parts", true);

        assertThat(resumed).contains("after epoch 1 of ").doesNotContain("\n    1 ");
        assertThat(Files.readAllBytes(folder.resolve("parts")))
                .as("weights, running statistics and the optimizer's state")
                .isEqualTo(Files.readAllBytes(folder.resolve("whole")));
    }

    @Test
    void resume_ofAnotherTraining_saysWhatIsDifferent() throws IOException {
        train(NetworkKind.TRANSFORMER, Norm.LAYER, 100, 1, 3, "there", false);
        byte[] before = Files.readAllBytes(folder.resolve("there"));

        assertThatThrownBy(() -> train(NetworkKind.TRANSFORMER, Norm.RMS, 100, 2, 3, "there", true))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("there cannot be resumed: its norm is layer, but here it is rms");
        assertThatThrownBy(() -> train(NetworkKind.TRANSFORMER, Norm.LAYER, 100, 2, 4, "there", true))
                .hasMessageContaining("its seed is 3, but here it is 4");
        assertThatThrownBy(() -> train(NetworkKind.TRANSFORMER, Norm.LAYER, 100, 2, 4, "nowhere", true))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("nowhere");
        assertThatThrownBy(() -> train(NetworkKind.TRANSFORMER, Norm.LAYER, 100, 1, 3, "there", true))
                .hasMessageContaining("there is after epoch 1 already");
        assertThat(Files.readAllBytes(folder.resolve("there"))).isEqualTo(before);
    }
}
