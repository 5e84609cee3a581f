package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.zip.GZIPInputStream;
import org.clnorm.example.Digits;
import org.clnorm.state.Safetensors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

final class TrainCommandTest {
    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int train(String... options) {
        CommandLine command = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        List<String> words = new ArrayList<>(List.of("train", "--report", report().toString()));
        words.addAll(Arrays.asList(options));
        return command.execute(words.toArray(String[]::new));
    }

    private Path report() {
        return folder.resolve("the report");
    }

    @Test
    void train_reportWhereAFileIs_saysSoBeforeItTrains() throws IOException {
        Path file = Files.writeString(report(), "the user's");

        assertThat(train()).isEqualTo(2);

        assertThat(err.toString())
                .startsWith("clnorm: The report cannot go into the folder " + file + ": " + file
                        + " is in the way, a file");
        assertThat(out.toString()).isEmpty();
        assertThat(file).hasContent("the user's");
        assertThat(Commands.clnorm("train", "--report", file.resolve("further")).err())
                .startsWith("clnorm: The report cannot go into the folder " + file.resolve("further") + ": " + file
                        + " is in the way, a file");
    }

    @Test
    void train_reportThatCannotBeWritten_saysSoBeforeItTrains() throws IOException {
        Path inTheWay = Files.createDirectories(report().resolve("index.html"));

        assertThat(train()).isEqualTo(2);

        assertThat(err.toString()).startsWith("clnorm: " + inTheWay + " cannot be written: it is a folder");
        assertThat(out.toString()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--epochs 0             | epochs must be 1 to 1000, but given was 0",
                "--epochs many          | 'many' is not an int",
                "--batch 1              | 2 digits or more",
                "--batch 8001           | A batch of 8001",
                "--rates 1              | two numbers",
                "--rates 1,2,3          | two numbers",
                "--rates 2,1            | 2 and 1",
                "--rates -1,1           | -1.0 and 1",
                "--rates slow,fast      | 'slow' is not a double",
                "--images a             | only --images was given",
                "--labels a             | only --labels was given",
                "--images a --labels b  | There is no file a",
                "--device nonesuch      | No device matches 'nonesuch'",
                "--diagnose -1          | must be 0, for none, or more, but given was -1",
                "--diagnose often       | 'often'",
                "--norm spectral        | [BATCH, LAYER, RMS, GROUP, INSTANCE, GHOST, RENORM, NONE]",
                "--norm rms --diagnose  | for batch and renorm, but the normalization is rms",
                "--momentum 0.9         | Unknown option",
                "--network mlp          | [CONV, TRANSFORMER]",
                "--resume               | are for --network",
                "--rate 0.1             | are for --network",
                "--checkpoint a         | are for --network"
            })
    void train_wrongOption_saysWhyAndExitsWith2(String options, String message) {
        assertThat(train(options.split(" "))).as(err.toString()).isEqualTo(2);
        assertThat(err.toString()).contains(message);
        assertThat(report())
                .as("nothing may be written before the options are known to be good")
                .doesNotExist();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--norm rms           | The conv network takes the normalizations [batch], but given was rms",
                "--rates 1,2          | not for --network",
                "--diagnose           | not for --network",
                "--report a           | not for --network",
                "--rate 0             | finite number above 0, but given was 0.0",
                "--rate 1e40          | finite number above 0",
                "--batch 1            | 2 digits or more",
                "--batch 8001         | A batch of 8001",
                "--epochs 1001        | epochs must be 1 to 1000",
                "--images a           | only --images was given",
                "--device reference   | needs an OpenCL device, and the CPU reference is none",
                "--strategy cpu-split | CLNORM_STRATEGY",
                "--resume             | there is no such file"
            })
    void trainNetwork_wrongOption_saysWhyAndExitsWith2(String options, String message) {
        List<Object> words = new ArrayList<>(List.of("train", "--network", "conv", "--checkpoint", checkpoint()));
        words.addAll(List.of(options.split(" ")));

        Commands.Result result = Commands.clnorm(words.toArray());

        assertThat(result.exitCode()).as(result.err()).isEqualTo(2);
        assertThat(result.err()).startsWith("clnorm: ").contains(message);
        assertThat(checkpoint()).doesNotExist();
    }

    private Path checkpoint() {
        return folder.resolve("network.safetensors");
    }

    @Test
    void trainNetwork_transformer_printsEveryEpochAndKeepsTheLast() throws IOException {
        Commands.Result result = Commands.clnorm(
                "train",
                "--network",
                "transformer",
                "--norm",
                "rms",
                "--images",
                images(200),
                "--labels",
                labels(200),
                "--batch",
                "40",
                "--epochs",
                "2",
                "--checkpoint",
                checkpoint());

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(result.out())
                .contains(
                        "RMS normalization", "160 images to train with, 40 to test with", "Checkpoint: " + checkpoint())
                .containsPattern("\n    1 +[0-9.]+ +[0-9.]+ % +[0-9.]+ s +[0-9.]+ %\n    2 ")
                .doesNotContain("\r", "\u001b");
        try (Safetensors kept = Safetensors.open(checkpoint())) {
            assertThat(kept.metadata())
                    .containsEntry("network", "transformer")
                    .containsEntry("norm", "rms")
                    .containsEntry("epoch", "2");
        }
    }

    @Test
    void train_filesThatDoNotBelongTogether_exitsWith2() throws IOException {
        assertThat(train(
                        "--images",
                        images(100).toString(),
                        "--labels",
                        labels(99).toString()))
                .isEqualTo(2);
        assertThat(err.toString()).contains("100 images and 99 labels");
    }

    @Test
    void train_ownFilesOnTheReference_printsEveryEpochAndWritesTheReport() throws IOException {
        int exit = train(
                "--images",
                images(500).toString(),
                "--labels",
                labels(500).toString(),
                "--epochs",
                "2",
                "--batch",
                "40",
                "--rates",
                "0.05,1e30",
                "--device",
                "reference");
        assertThat(exit).as(err.toString()).isZero();
        assertThat(out.toString())
                .contains("400 images to train with, 100 to test with")
                .contains("Cross-check")
                .containsPattern("\n    1 +[0-9.]+ +[0-9.]+ % +[0-9.]+ +[0-9.]+ % ")
                .containsPattern("\n    2 +[0-9.]+ +[0-9.]+ % +[0-9.]+ +[0-9.]+ %\n")
                .containsPattern("plain, rate 1e30 +diverged")
                .doesNotContain("DIFFERS", "\r", "\u001b");
        assertThat(Files.readString(report().resolve("index.html")))
                .as("the command that makes the page again, as a shell takes it")
                .contains("train --report '" + report() + "' --images ");
    }

    @Test
    void train_diagnose_isEvery50StepsUnlessSaidAndIntoTheReport() throws IOException {
        List<String> options = List.of(
                "--images",
                images(500).toString(),
                "--labels",
                labels(500).toString(),
                "--epochs",
                "5",
                "--batch",
                "40",
                "--device",
                "reference",
                "--diagnose");
        assertThat(train(options.toArray(String[]::new))).as(err.toString()).isZero();
        assertThat(Files.readString(report().resolve("index.html"))).contains("Every 50 training steps");
        List<String> every20 = new ArrayList<>(options);
        every20.add("20");
        assertThat(train(every20.toArray(String[]::new))).as(err.toString()).isZero();
        assertThat(Files.readString(report().resolve("index.html"))).contains("Every 20 training steps");
    }

    @Test
    void train_norm_isSaidInTheOutputAndTheReport() throws IOException {
        assertThat(train(
                        "--images",
                        images(500).toString(),
                        "--labels",
                        labels(500).toString(),
                        "--epochs",
                        "1",
                        "--norm",
                        "instance",
                        "--device",
                        "reference"))
                .as(err.toString())
                .isZero();
        assertThat(out.toString())
                .contains("dense 128, instance normalization of 8 channels of 16 values or none, ReLU")
                .contains("instance normalization and ReLU of (100, 8, 16):", "instance-normalized, rate 1");
        assertThat(Files.readString(report().resolve("index.html")))
                .contains("Learning with and without instance normalization");
    }

    private Path images(int count) throws IOException {
        return first(count, "digits-images-idx3-ubyte.gz", 16, 784);
    }

    private Path labels(int count) throws IOException {
        return first(count, "digits-labels-idx1-ubyte.gz", 8, 1);
    }

    /** The first digits of those that come with the library, as a file. */
    private Path first(int count, String name, int header, int bytesEach) throws IOException {
        try (InputStream all = new GZIPInputStream(Digits.class.getResourceAsStream("digits/" + name))) {
            byte[] bytes = all.readNBytes(header + count * bytesEach);
            ByteBuffer.wrap(bytes).putInt(4, count);
            return Files.write(folder.resolve(name + ".idx"), bytes);
        }
    }
}
