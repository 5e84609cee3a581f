package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import com.google.gson.JsonArray;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.cli.Commands.Result;
import org.clnorm.state.Npz;
import org.clnorm.state.Safetensors;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StateCommandTest {
    private static final StateDict STATE = StateDict.empty()
            .with("layer1.bn.weight", StateArray.of(new float[] {1, Float.NaN, 0.1f, Float.NEGATIVE_INFINITY}, 2, 2))
            .with("layer1.bn.num_batches_tracked", StateArray.scalar(Long.MAX_VALUE))
            .with("none", StateArray.of(new float[0], 0))
            .with("nan", StateArray.of(new double[] {Double.NaN}, 1))
            .with("large", StateArray.of(new double[] {1.5e308, 1.5e308}, 2));

    @TempDir
    Path folder;

    private Path safetensors() throws IOException {
        Path file = folder.resolve("a.safetensors");
        Safetensors.write(file, STATE, Map.of("format", "pt"));
        return file;
    }

    private Path npz() throws IOException {
        Path file = folder.resolve("a.npz");
        Npz.writeState(file, STATE);
        return file;
    }

    @Test
    void state_ofBothFormats_listsEveryArray() throws IOException {
        for (Path file : List.of(safetensors(), npz())) {
            Result result = clnorm("state", file);

            assertThat(result.exitCode()).as(result.err()).isZero();
            assertThat(result.out())
                    .startsWith(file + ": " + file.toString().replaceFirst(".*\\.", "") + ", 5 arrays\n  array ")
                    .containsPattern("\n  layer1.bn.weight +float32 +\\(2, 2\\) +0.100000 +1.00000 +0.550000 +2\n")
                    .containsPattern("\n  layer1.bn.num_batches_tracked +int64 +\\(\\) +9223372036854775807 "
                            + "+9223372036854775807 +9.22337e\\+18 +0\n")
                    .containsPattern("\n  none +float32 +\\(0\\) +- +- +- +0\n")
                    .containsPattern("\n  nan +float64 +\\(1\\) +- +- +- +1\n")
                    .containsPattern(
                            "\n  large +float64 +\\(2\\) +1.50000e\\+308 +1.50000e\\+308 +1.50000e\\+308 +0\n");
        }
    }

    @Test
    void state_asJson_hasTheSame() throws IOException {
        Path file = safetensors();

        Result result = clnorm("state", file, "--json");

        assertThat(result.exitCode()).as(result.err()).isZero();
        JsonObject json = JsonParser.parseString(result.out()).getAsJsonObject();
        assertThat(json.get("file").getAsString()).isEqualTo(file.toString());
        assertThat(json.get("format").getAsString()).isEqualTo("safetensors");
        assertThat(json.getAsJsonObject("metadata").get("format").getAsString()).isEqualTo("pt");
        JsonArray arrays = json.getAsJsonArray("arrays");
        assertThat(arrays).hasSize(5);
        JsonObject count = arrays.get(0).getAsJsonObject();
        assertThat(count.get("name").getAsString()).isEqualTo("layer1.bn.num_batches_tracked");
        assertThat(count.get("min").getAsLong()).isEqualTo(Long.MAX_VALUE);
        JsonObject weight = arrays.get(3).getAsJsonObject();
        assertThat(weight.get("type").getAsString()).isEqualTo("float32");
        assertThat(weight.get("shape")).hasToString("[2,2]");
        assertThat(weight.get("min")).as("the shortest that is this float32").hasToString("0.1");
        assertThat(weight.get("non_finite").getAsLong()).isEqualTo(2);
        JsonObject nan = arrays.get(2).getAsJsonObject();
        assertThat(nan.get("name").getAsString()).isEqualTo("nan");
        assertThat(nan.get("mean")).isEqualTo(JsonNull.INSTANCE);
    }

    @Test
    void state_ofLongNamesAndManyArrays_isCutInTheTableAndWholeInJson() throws IOException {
        Map<String, StateArray> arrays = new LinkedHashMap<>();
        String longest = "Layer1." + "x".repeat(100_000) + ".weight";
        arrays.put(longest, StateArray.of(new float[] {1}, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
        for (int i = 0; i < 2_000; i++) {
            arrays.put("a" + i, StateArray.of(new float[] {i}, 1));
        }
        Path file = folder.resolve("many.safetensors");
        Safetensors.write(file, StateDict.of(arrays));

        Result table = clnorm("state", file);

        assertThat(table.exitCode()).as(table.err()).isZero();
        assertThat(table.out().lines()).hasSize(1003).allMatch(line -> line.length() < 200);
        assertThat(table.out())
                .contains(
                        "2001 arrays\n",
                        "\n  Layer1.xxxxx",
                        "xxx.weight ",
                        "(1, 1, 1, 1, ...",
                        "... and 1001 more; --json")
                .doesNotContain("a999 ");
        assertThat(JsonParser.parseString(clnorm("state", file, "--json").out())
                        .getAsJsonObject()
                        .getAsJsonArray("arrays"))
                .hasSize(2001)
                .anyMatch(array ->
                        array.getAsJsonObject().get("name").getAsString().equals(longest));
    }

    @Test
    void state_ofAnArrayOfManyParts_seesAllOfIt() throws IOException {
        long[] counts = new long[200_000];
        counts[70_000] = -7;
        counts[199_999] = 9;
        double[] large = new double[200_000];
        Arrays.fill(large, 1.5e308);
        large[100_000] = Double.NaN;
        byte[] bytes = new byte[200_000];
        bytes[150_000] = (byte) 255;
        Path file = folder.resolve("parts.npz");
        Npz.writeState(
                file,
                StateDict.empty()
                        .with("counts", StateArray.of(counts, counts.length))
                        .with("large", StateArray.of(large, large.length))
                        .with("bytes", StateArray.of(StateArray.Type.UINT8, ByteBuffer.wrap(bytes), bytes.length)));

        assertThat(clnorm("state", file).out())
                .containsPattern("\n  counts +int64 +\\(200000\\) +-7 +9 +1.00000e-05 +0\n")
                .containsPattern(
                        "\n  large +float64 +\\(200000\\) +1.50000e\\+308 +1.50000e\\+308 +1.50000e\\+308 +1\n")
                .containsPattern("\n  bytes +uint8 +\\(200000\\) +0 +255 +0.00127500 +0\n");
    }

    @Test
    void state_ofATypeThatIsNotLoaded_isListedAllTheSame() throws IOException {
        String header = "{\"mask\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}} ";
        Path file = Files.writeString(
                folder.resolve("a"),
                (char) header.length() + "\0\0\0\0\0\0\0" + header + "\0\1",
                StandardCharsets.ISO_8859_1);

        Result result = clnorm("state", file);

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(result.out()).contains("1 array\n").containsPattern("\n  mask +BOOL +\\(2\\) +- +- +- +-\n");
        assertThat(clnorm("state", "--json", file).out()).contains("\"mask\"").doesNotContain("\"min\"");
    }

    @Test
    void state_ofWhatIsNoSuchFile_isOneLine() throws IOException {
        Path cut = folder.resolve("cut.safetensors");
        byte[] bytes = Files.readAllBytes(safetensors());
        Files.write(cut, java.util.Arrays.copyOf(bytes, bytes.length - 1));
        Path text = Files.writeString(folder.resolve("text.npz"), "text");
        Path empty = Files.writeString(folder.resolve("empty"), "");

        for (Path file : List.of(cut, text, empty, folder, folder.resolve("none.npz"))) {
            Result result = clnorm("state", file);

            assertThat(result.exitCode()).isEqualTo(2);
            assertThat(result.out()).isEmpty();
            assertThat(result.err().lines()).singleElement().asString().startsWith("clnorm: " + file + ": ");
        }
        assertThat(clnorm("state", text).err()).contains("is not an .npz file");
        assertThat(clnorm("state", empty).err()).contains("is not in safetensors format");
        assertThat(clnorm("state").exitCode()).isEqualTo(2);
        Path npy = Files.writeString(folder.resolve("a.npy"), "\u0093NUMPY\1\0", StandardCharsets.ISO_8859_1);
        assertThat(clnorm("state", npy).err()).startsWith("clnorm: " + npy + ": is a single .npy array");
    }
}
