package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.Device;
import org.clnorm.cli.Commands.Result;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class BenchCommandTest {
    @TempDir
    private Path folder;

    @Test
    void bench_oneShape_printsAndWritesWhatItMeasured() throws IOException {
        Path json = folder.resolve("bench.json");
        Path html = Files.writeString(folder.resolve("bench.html"), "old");

        Result result = clnorm("bench", "--shape", "4,16", "--direction", "forward", "--json", json, "--html", html);

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(result.out())
                .containsPattern("\nbatch +\\(4, 16\\) +channels-first +float32 +forward\\+add\\+relu +\\d")
                .contains("Report: " + html)
                .doesNotContain("\r", "channels-last");
        assertThat(result.err()).isEmpty();
        JsonObject report = JsonParser.parseString(Files.readString(json)).getAsJsonObject();
        assertThat(report.getAsJsonArray("measurements")).hasSize(3);
        for (JsonElement row : report.getAsJsonArray("measurements")) {
            for (String figure : List.of(
                    "ms",
                    "waited_ms",
                    "kernel_ms",
                    "launches",
                    "host_us",
                    "gb_per_s",
                    "copy_gb_per_s",
                    "streamed_copy_gb_per_s",
                    "of_copy",
                    "of_streamed_copy")) {
                assertThat(row.getAsJsonObject().get(figure).getAsDouble())
                        .as("%s of %s", figure, row)
                        .isPositive();
            }
        }
        assertThat(Files.readString(html))
                .startsWith("<!DOCTYPE html>")
                .contains("bench --shape 4,16 --direction forward", "(4, 16)");
    }

    @Test
    void bench_severalNorms_timesEachByItsPasses() {
        Result result = clnorm("bench", "--norm", "rms,l2,ghost", "--shape", "16,8,4", "--layout", "channels-last");

        assertThat(result.exitCode()).as(result.err()).isZero();
        for (String norm : List.of("rms", "l2", "ghost")) {
            for (String pass : List.of("forward", "backward")) {
                assertThat(result.out())
                        .containsPattern("\n" + norm + " +\\(16, 8, 4\\) +channels-last +float32 +" + pass + " +\\d");
            }
        }
        assertThat(result.out()).doesNotContain("\nbatch", "inference", "relu");
    }

    @Test
    void bench_oneFusion_leavesTheOthersOut() {
        Result result = clnorm(
                "bench", "--norm", "batch,rms,l2", "--shape", "4,16", "--direction", "forward", "--fusion", "silu");

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(result.out())
                .containsPattern("\nbatch .* forward\\+silu +\\d")
                .containsPattern("\nrms .* forward\\+silu +\\d")
                .containsPattern("\nl2 .* forward +\\d")
                .doesNotContainPattern("\nbatch .* forward +\\d")
                .doesNotContain("add");
    }

    @ParameterizedTest
    @ValueSource(strings = "float16")
    void bench_16BitElements_countsTheirBytes(String type) throws IOException {
        Path json = folder.resolve("bench.json");

        Result result = clnorm("bench", "--type", type, "--norm", "layer", "--shape", "3,37", "--json", json);

        assertThat(result.exitCode()).as(result.err()).isZero();
        for (String pass : List.of("forward", "backward")) {
            assertThat(result.out())
                    .containsPattern("\nlayer +\\(3, 37\\) +channels-first +" + type + " +" + pass + " +\\d");
        }
        JsonObject forward = JsonParser.parseString(Files.readString(json))
                .getAsJsonObject()
                .getAsJsonArray("measurements")
                .get(0)
                .getAsJsonObject();
        assertThat(forward.get("type").getAsString()).isEqualTo(type);
        assertThat(forward.get("minimal_bytes").getAsLong()).isEqualTo(2 * 2 * 111);
    }

    @Test
    void bench_againstTheSameKernels_printsAndWritesRatioAndControl() throws IOException {
        Path json = folder.resolve("bench.json");

        Result result = clnorm(
                "bench",
                "--against",
                "opencl-kernels",
                "--shape",
                "4,16",
                "--rows",
                "forward+relu 4,16",
                "--json",
                json,
                "--fail-slower");

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        String interval = " \\d+\\.\\d{3} \\[\\d+\\.\\d{3} \\d+\\.\\d{3}]";
        assertThat(result.out())
                .contains("against this build with the kernels of opencl-kernels")
                .containsPattern("\nbatch +\\(4, 16\\) +channels-first +float32 +forward\\+relu +0.00 .*" + interval
                        + interval + "  same")
                .contains("1 rows: 1 same; ");
        JsonObject row = JsonParser.parseString(Files.readString(json))
                .getAsJsonObject()
                .getAsJsonArray("rows")
                .get(0)
                .getAsJsonObject();
        assertThat(row.get("verdict").getAsString()).isEqualTo("same");
        assertThat(row.get("minimal_bytes").getAsLong()).isEqualTo(512);
        for (String ratio : List.of("ratio", "control")) {
            JsonObject spread = row.getAsJsonObject(ratio);
            assertThat(spread.get("median").getAsDouble())
                    .isBetween(
                            spread.get("low").getAsDouble(), spread.get("high").getAsDouble());
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--device nonesuch     | No device matches 'nonesuch'",
                "--device reference    | the CPU reference is none",
                "--strategy fastest    | 'fastest'",
                "--shape 32            | --shape must be like 32,64,56,56",
                "--shape 1,3           | two values per channel",
                "--shape 2,0,3         | a channel",
                "--shape 2,x           | --shape must be like 32,64,56,56",
                "--layout nchw         | --layout must be one of",
                "--direction up        | --direction must be one of",
                "--fusion swish        | --fusion must be none, an activation, add+ or add-before+ and one of them, or masked+ or in-place+ and any, but is 'swish'",
                "--type float8         | --type must be one of [float32, float16, bfloat16], but is 'float8'",
                "--norm spectral       | --norm must be one of",
                "--norm group --shape 4,16                  | needs channels in 32 groups, but --shape is (4, 16)",
                "--norm batch,instance --shape 4,16         | needs two values per sample and channel",
                "--norm layer,weight --direction inference  | --norm layer,weight has no --direction inference",
                "--json f --html ./f   | need a file each",
                "--html none/f         | --html none/f cannot be written: there is no folder",
                "--json none/f         | --json none/f cannot be written: there is no folder",
                "--html src            | --html src cannot be written: it is a folder",
                "--rows nonesuch       | No row has all the words of --rows 'nonesuch'; one of the 144 rows has batch",
                "--optimizers --direction forward           | --optimizers has no --direction",
                "--optimizers --shape 3,0                   | --shape must be like 64,64,256 with --optimizers",
                "--optimizers --rows lion                   | one of the 16 rows has sgd 1 step",
                "--fail-slower         | --fail-slower needs --against",
                "--against opencl-kernels --html f          | --against has no --html",
                "--against none        | --against: There is no folder of kernels and no jar at none",
                "--against src         | src has no apply.cl, cached.cl",
                "--against pom.xml     | --against: pom.xml is no jar"
            })
    void bench_wrongOption_saysWhyAndExitsWith2(String options, String message) {
        Result result = clnorm((Object[]) ("bench " + options).split(" "));

        assertThat(result.exitCode()).as(result.err()).isEqualTo(2);
        assertThat(result.err()).startsWith("clnorm: ").contains(message);
        assertThat(result.out()).as("nothing is measured").doesNotContain("forward");
    }

    @Test
    void bench_optimizers_timesEachRuleWithoutAndWithClipping() throws IOException {
        Path json = folder.resolve("bench.json");
        Path html = folder.resolve("bench.html");

        Result result = clnorm("bench", "--optimizers", "--shape", "64,3,2049", "--json", json, "--html", html);

        assertThat(result.exitCode()).as(result.err()).isZero();
        JsonArray rows =
                JsonParser.parseString(Files.readString(json)).getAsJsonObject().getAsJsonArray("measurements");
        Map<String, Integer> tensors = new LinkedHashMap<>();
        for (JsonElement each : rows) {
            JsonObject row = each.getAsJsonObject();
            assertThat(row.getAsJsonArray("tensors")).hasToString("[64,3,2049]");
            assertThat(row.get("of_streamed_copy").getAsDouble()).isPositive();
            tensors.put(
                    row.get("optimizer").getAsString() + " " + row.get("pass").getAsString(),
                    (int) (row.get("minimal_bytes").getAsLong() / (4 * 2116)));
        }
        assertThat(tensors)
                .as("how often as many bytes as the parameters have are moved")
                .isEqualTo(Map.of(
                        "sgd step", 5,
                        "sgd step+clip", 6,
                        "adam step", 7,
                        "adam step+clip", 8,
                        "adamw step", 7,
                        "adamw step+clip", 8,
                        "rmsprop step", 5,
                        "rmsprop step+clip", 6));
        assertThat(result.out())
                .containsPattern("\nadamw +3 of 2116 +- +float32 +step +\\d")
                .containsPattern("\nrmsprop +3 of 2116 +- +float32 +step\\+clip +\\d")
                .doesNotContain("batch", "forward");
        assertThat(Files.readString(html)).contains("Optimizers against", "adamw, step+clip");
    }

    @Test
    void bench_optimizersAgainstTheSameKernels_comparesTheStepThatRowsChooses() {
        Result result = clnorm(
                "bench",
                "--optimizers",
                "--shape",
                "64,300",
                "--rows",
                "adam step+clip",
                "--against",
                "opencl-kernels");

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        assertThat(result.out())
                .containsPattern("\nadam +2 of 364 +- +float32 +step\\+clip +0.01 ")
                .contains("1 rows: ");
    }

    @Test
    void bench_pageThatCannotBeWritten_leavesTheOldFiguresAlone() throws IOException {
        Path json = Files.writeString(folder.resolve("bench.json"), "old");

        Result result =
                clnorm("bench", "--json", json, "--html", folder.resolve("none").resolve("bench.html"));

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(json).hasContent("old");
        assertThat(result.out()).as("it is known before anything is measured").isEmpty();
    }

    /** In a process of its own, since the loader of OpenCL is that of a process. */
    @Test
    void bench_noDevice_saysSoAndExitsWith2() throws Exception {
        ProcessBuilder builder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-Djava.io.tmpdir=" + folder,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Main.class.getName(),
                        "bench")
                .redirectErrorStream(true);
        builder.environment().remove(Device.SELECTOR_VARIABLE);
        builder.environment().put("OCL_ICD_VENDORS", folder.toString());
        Process process = builder.start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

        assertThat(process.waitFor()).as(said).isEqualTo(2);
        assertThat(said).contains("clnorm: No OpenCL device");
    }
}
