package org.clnorm.example.network;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.clnorm.TestDevice;
import org.clnorm.example.Digits;
import org.clnorm.example.Norm;
import org.clnorm.example.device.Plan;
import org.clnorm.state.Safetensors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class NetworkExampleTest {
    private static final int BATCH = 50;

    @TempDir
    private Path folder;

    private String train(NetworkKind kind, Norm norm, int digits, int epochs, long seed, String file, boolean resume)
            throws IOException {
        StringWriter out = new StringWriter();
        Plan plan = new Plan(BATCH, seed, kind.rate(), 3);
        new NetworkExample(kind, norm, epochs, plan, folder.resolve(file), resume)
                .run(TestDevice.AUTO.device(), Digits.bundled().range(0, digits), new PrintWriter(out), false);
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
    void conv_onSomeDigits_learnsAndResumesToTheSameBits() throws IOException {
        String whole = train(NetworkKind.CONV, Norm.BATCH, 2500, 3, 1, "whole", false);

        assertThat(accuracy(whole)).as(whole).isGreaterThan(90);
        train(NetworkKind.CONV, Norm.BATCH, 2500, 2, 1, "parts", false);
        assertThat(folder.resolve("parts")).isRegularFile();
        String resumed = train(NetworkKind.CONV, Norm.BATCH, 2500, 3, 1, "parts", true);

        assertThat(resumed).contains("after epoch 2 of ").doesNotContain("\n    2 ");
        assertThat(accuracy(resumed)).isEqualTo(accuracy(whole));
        assertThat(Files.readAllBytes(folder.resolve("parts")))
                .as("weights, running statistics and the optimizer's state")
                .isEqualTo(Files.readAllBytes(folder.resolve("whole")));
    }

    @Test
    void transformer_resumed_comesToTheSameBits() throws IOException {
        for (Norm norm : NetworkKind.TRANSFORMER.norms()) {
            train(NetworkKind.TRANSFORMER, norm, 500, 2, 3, "whole", false);
            train(NetworkKind.TRANSFORMER, norm, 500, 1, 3, "parts", false);
            train(NetworkKind.TRANSFORMER, norm, 500, 2, 3, "parts", true);

            assertThat(Safetensors.read(folder.resolve("parts"))).isEqualTo(Safetensors.read(folder.resolve("whole")));
        }
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
