package org.clnorm.cases;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.clnorm.Activation;
import org.clnorm.LastVirtualBatch;
import org.clnorm.Layout;
import org.clnorm.Mask;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.cases.CaseFile.Op;
import org.clnorm.cases.CaseOptions.Mode;
import org.clnorm.lifecycle.LogCapture;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CaseFileTest {
    private static final String BATCH_NORM = "{\"op\": \"batch-norm\"}";

    @TempDir
    Path folder;

    @Test
    void read_everyOption_isTaken() throws IOException {
        CaseFile file = read(
                "{\"op\": \"batch-norm\", \"mode\": \"eval\", \"eps\": 1e-3, \"update_rate\": 1, \"running_variance\": \"biased\","
                        + " \"layout\": \"channels-last\", \"activation\": \"relu\", \"groups\": 4, \"virtual_batch\": 3,"
                        + " \"last_virtual_batch\": \"merge\", \"in_place\": true}",
                Map.of("x", zeros(2, 5, 7, 3), "running_mean", zeros(3), "running_var", zeros(3)));

        assertThat(file.op()).isEqualTo(Op.BATCH_NORM);
        assertThat(file.options())
                .isEqualTo(new CaseOptions(
                        Mode.EVAL,
                        1e-3,
                        1,
                        RunningVariance.BIASED,
                        Layout.CHANNELS_LAST,
                        Activation.RELU,
                        CaseOptions.Addition.AFTER,
                        null,
                        Mask.Outside.ZERO,
                        null,
                        false,
                        4,
                        3L,
                        LastVirtualBatch.MERGE,
                        null,
                        null,
                        true));
        assertThat(file.shape()).as("logical, of memory order N, H, W, C").isEqualTo(Shape.of(2, 3, 5, 7));
    }

    @Test
    void read_noOptionButOp_givesTheDefaults() throws IOException {
        CaseFile file = read(BATCH_NORM, Map.of("x", zeros(2, 3)));

        assertThat(file.options())
                .isEqualTo(new CaseOptions(
                        Mode.TRAIN,
                        1e-5,
                        0.1,
                        RunningVariance.UNBIASED,
                        Layout.CHANNELS_FIRST,
                        Activation.NONE,
                        CaseOptions.Addition.AFTER,
                        null,
                        Mask.Outside.ZERO,
                        null,
                        false,
                        null,
                        null,
                        null,
                        null,
                        null,
                        false));
    }

    @Test
    void read_arrays_areSortedIntoInputsAndExpected() throws IOException {
        Map<String, NpyArray> arrays = new LinkedHashMap<>();
        arrays.put("expected_y", zeros(2, 3));
        arrays.put("x", NpyArray.of(new float[] {1, 2, 3, 4, 5, 6}, 2, 3));
        arrays.put("bias", NpyArray.of(new double[] {0.5, 1, 2}, 3));
        arrays.put("grad_y", zeros(2, 3));
        arrays.put("expected_grad_x", zeros(2, 3));
        CaseFile file = read(BATCH_NORM, arrays);

        assertThat(file.x()).containsExactly(1, 2, 3, 4, 5, 6);
        assertThat(file.input("bias")).as("float64 that is exactly float32").hasValue(new float[] {0.5f, 1, 2});
        assertThat(file.input("weight")).isEmpty();
        assertThat(file.input("grad_y")).isPresent();
        assertThat(file.expected()).containsOnlyKeys("y", "grad_x");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{\"op\": \"softmax\"} | the option op must be one of [batch-norm, layer-norm, rms-norm, group-norm, instance-norm, weight-norm, l2-norm, batch-renorm], but is \"softmax\"",
                "{\"op\": 7} | the option op must be one of [batch-norm, layer-norm, rms-norm, group-norm, instance-norm, weight-norm, l2-norm, batch-renorm], but is 7",
                "{\"op\": \"layer-norm\"} | layer-norm needs the options [normalized_dims], but not given were [normalized_dims]",
                "{\"op\": \"layer-norm\", \"over_channels\": true, \"normalized_dims\": 1} | the option over_channels says what normalized_dims does, which is 1",
                "{\"op\": \"layer-norm\", \"over_channels\": 1} | the option over_channels must be true or false, but is 1",
                "{\"op\": \"group-norm\"} | group-norm needs the options [groups], but not given were [groups]",
                "{\"op\": \"batch-renorm\", \"d_max\": 1} | batch-renorm needs the options [d_max, r_max], but not given were [r_max]",
                "{\"op\": \"batch-renorm\", \"d_max\": 1, \"r_max\": 2} | batch-renorm normalizes with running_mean and running_var too",
                "{\"op\": \"batch-renorm\", \"d_max\": -1, \"r_max\": 2} | the option d_max must be finite and at least 0, but is -1.0",
                "{\"op\": \"batch-renorm\", \"d_max\": 1, \"r_max\": 0.5} | the option r_max must be finite and at least 1, but is 0.5",
                "{\"op\": \"rms-norm\", \"normalized_dims\": 3} | the option normalized_dims must be at most 2 for x, float32 (2, 3), but is 3",
                "{\"op\": \"batch-norm\", \"in_place\": 1} | the option in_place must be true or false, but is 1",
                "{\"op\": \"l2-norm\", \"normalized_dims\": 0} | the option normalized_dims must be at least 1, but is 0",
                "{\"op\": \"group-norm\", \"groups\": 1.5} | the option groups must be a whole number below 2^31, but is 1.5",
                "{\"op\": \"group-norm\", \"groups\": 1e10} | the option groups must be a whole number below 2^31, but is 1e10",
                "{\"op\": \"instance-norm\", \"groups\": 2} | the option groups of instance-norm must be the channels of x, 3, or absent, but is 2",
                "{\"op\": \"batch-norm\", \"virtual_batch\": -2} | the option virtual_batch must be at least 1, but is -2",
                "{\"op\": \"batch-norm\", \"virtual_batch\": 2, \"last_virtual_batch\": \"join\"} | the option last_virtual_batch must be one of [refuse, merge, running], but is \"join\"",
                "{\"op\": \"batch-norm\", \"last_virtual_batch\": \"merge\"} | the option last_virtual_batch is of the option virtual_batch, which is not given",
                "{\"op\": \"batch-norm\", \"virtual_batch\": 2, \"last_virtual_batch\": \"running\"} | the last_virtual_batch running normalizes with running_mean and running_var, but there are none",
                "{\"mode\": \"train\"}                           | it does not say what it is a case of",
                "{\"op\": \"batch-norm\", \"mode\": \"test\"}    | the option mode must be one of [train, eval], but is \"test\"",
                "{\"op\": \"batch-norm\", \"mode\": null}        | the option mode must be one of [train, eval], but is null",
                "{\"op\": \"batch-norm\", \"layout\": \"nhwc\"}  | the option layout must be one of [channels-first, channels-last], but is \"nhwc\"",
                "{\"op\": \"batch-norm\", \"activation\": \"swish\"} | the option activation must be one of [none, relu, leaky-relu, relu6,",
                "{\"op\": \"batch-norm\", \"running_variance\": true} | the option running_variance must be one of [unbiased, biased], but is true",
                "{\"op\": \"batch-norm\", \"eps\": \"1e-5\"}     | the option eps must be a number, but is \"1e-5\"",
                "{\"op\": \"batch-norm\", \"eps\": -1}           | the option eps must be finite and at least 0, but is -1.0",
                "{\"op\": \"batch-norm\", \"eps\": 1e999}        | the option eps must be finite and at least 0, but is Infinity",
                "{\"op\": \"batch-norm\", \"update_rate\": -1}   | the option update_rate must be from 0 to 1, but is -1.0",
                "{\"op\": \"batch-norm\", \"update_rate\": [1]}  | the option update_rate must be a number, but is [1]",
                "[\"batch-norm\"]                                | the array case must be a JSON object, but is [\"batch-norm\"]",
                "{op: batch-norm}                                | the array case must be a JSON object, but it is not JSON",
                "{\"op\": \"batch-norm\"                         | the array case must be a JSON object, but it is not JSON",
                "{\"op\": \"batch-norm\"} x                     | must be a JSON object, but something comes after it",
                "{\"op\": \"batch-norm\"}{\"op\": \"l2-norm\"}    | must be a JSON object, but something comes after it",
                "{\"op\": \"batch-norm\"},                      | must be a JSON object, but something comes after it",
                "\ufeff{\"op\": \"batch-norm\"}                 | begins with a byte order mark",
                "{\"op\": \"batch-norm\", \"op\": \"l2-norm\"}   | the array case has the option \"op\" twice",
                "{\"op\": \"batch-norm\", \"eps\": 1, \"eps\": 1} | the array case has the option \"eps\" twice",
                "{\"op\": \"batch-norm\", \"eps\": NaN}         | it is not JSON",
                "{\"op\": \"batch-norm\", \"eps\": -Infinity}   | it is not JSON",
                "{\"op\": \"batch-norm\", \"eps\": 01}          | it is not JSON",
                "{\"op\": \"batch-norm\", 'eps': 1}             | it is not JSON",
                "{\"op\": \"batch-norm\", \"eps\": 1;}          | it is not JSON",
                "{\"op\": \"batch-norm\", /**/ \"eps\": 1}      | it is not JSON",
                "{\"op\": \"weight-norm\", \"gruops\": 3}       | the option \"gruops\" is not known; did you mean groups? Known are [activation, add, d_max,",
                "{\"op\": \"batch-norm\", \"epsilon\": 3}       | the option \"epsilon\" is not known. Known are",
                "{\"op\": \"batch-norm\", \"Update-Rate\": 1}   | the option \"Update-Rate\" is not known; did you mean update_rate?",
                "{\"op\": \"batch-norm\", \"\": 3}              | the option \"\" is not known. Known are",
            })
    void read_wrongOption_isAClearError(String json, String message) {
        assertRefused(json, Map.of("x", zeros(2, 3)), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "null", "\u0000", "[[[[", "{\"op\": \"\\ud800\"}"})
    void read_textThatIsNoObject_isAClearError(String json) {
        assertThatThrownBy(() -> read(json, Map.of("x", zeros(2, 3)))).isInstanceOf(IOException.class);
    }

    @Test
    void read_deeplyNestedOptions_doNotExhaustTheStack() {
        assertRefused("[".repeat(1_000_000), Map.of("x", zeros(2, 3)), "it is not JSON");
    }

    @Test
    void read_textThatIsNotUtf8_isAClearError() {
        byte[] text = "{\"op\": \"batch-n\u00f6rm\"}".getBytes(StandardCharsets.ISO_8859_1);

        assertThatThrownBy(() -> CaseFile.read(write(Map.of("x", zeros(2, 3), "case", NpyArray.of(text, text.length)))))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("it is not JSON");
    }

    @Test
    void read_zerosAfterTheText_areSomethingAfterIt() {
        assertRefused(BATCH_NORM + "\0", Map.of("x", zeros(2, 3)), "something comes after it");
    }

    @Test
    void read_longValues_areNotShownWhole() {
        for (String value : List.of("[" + "1,".repeat(100_000) + "1]", "\"" + "x".repeat(1_000_000) + "\"")) {
            assertThatThrownBy(() -> read("{\"op\": \"batch-norm\", \"eps\": " + value + "}", Map.of("x", zeros(2, 3))))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("the option eps must be a number")
                    .satisfies(e -> assertThat(e.getMessage()).hasSizeLessThan(500));
        }
        assertRefused(
                "{\"op\": \"batch-norm\", \"" + "x".repeat(1_000_000) + "\": 1}",
                Map.of("x", zeros(2, 3)),
                "xxx... is not known. Known are");
    }

    @Test
    void read_nestedOptions_areRefusedAsWhatTheyAre() {
        String deep = "[".repeat(200) + "]".repeat(200);
        assertRefused(
                "{\"op\": \"batch-norm\", \"eps\": " + deep + "}",
                Map.of("x", zeros(2, 3)),
                "the option eps must be a number, but is [[[[");
        assertRefused(
                "{\"op\": \"batch-norm\", \"eps\": " + "[".repeat(100_000), Map.of("x", zeros(2, 3)), "it is not JSON");
    }

    @Test
    void read_unknownArrays_areRefusedWithTheNearestName() {
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(2, 3), "wieght", zeros(3)),
                "the array wieght is not known; did you mean weight? Known are [bias, case, grad_sum, grad_y, lengths, mask,");
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(2, 3), "speed", zeros(2)),
                "the array speed is not known. Known are [bias,");
    }

    @Test
    void read_noOptions_isAClearError() {
        assertThatThrownBy(() -> CaseFile.read(write(Map.of("x", zeros(2, 3)))))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll(
                        "does not say what it is a case of", "uint8 array case", "[batch-norm, layer-norm,");
    }

    @Test
    void read_optionsThatAreNoText_areAClearError() {
        assertThatThrownBy(() -> CaseFile.read(write(Map.of("x", zeros(2, 3), "case", zeros(3)))))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("the array case: must be uint8, but is float32");
    }

    @Test
    void read_wrongArrays_areClearErrors() {
        assertRefused(BATCH_NORM, Map.of("input", zeros(2, 3)), "there is no array x among its arrays [");
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(6)),
                "the array x must have a batch and a channel dimension, but is float32 (6,)");
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(1, 1, 1, 1, 1, 1, 1, 1, 1)),
                "the array x: A shape has 1 to 8 dimensions");
        assertRefused(
                BATCH_NORM,
                Map.of("x", NpyArray.of(new double[] {0, 0.1}, 1, 2)),
                "the array x: float64 values that float32 does not hold, the first is 0.1 at flat index 1");
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(2, 3, 5), "weight", zeros(5)),
                "the array weight must have the dimensions (3,) of the channels of x, (2, 3, 5) channels-first, but is"
                        + " float32 (5,)");
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(2, 3), "bias", zeros(1, 3)),
                "the array bias must have the dimensions (3,)");
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(2, 3), "grad_y", zeros(3, 2)),
                "the array grad_y must have the dimensions (2, 3) of x, but is float32 (3, 2)");
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(2, 3), "residual", zeros(6)),
                "the array residual must have the dimensions (2, 3) of x, but is float32 (6,)");
    }

    @Test
    void read_affineOfRows_hasTheirDimensions() throws IOException {
        String layerNorm = "{\"op\": \"layer-norm\", \"normalized_dims\": 2, \"layout\": \"channels-last\"}";
        CaseFile file = read(layerNorm, Map.of("x", zeros(2, 3, 5), "weight", zeros(3, 5), "bias", zeros(3, 5)));

        assertThat(file.row()).as("in memory order").containsExactly(3, 5);
        assertThat(file.input("weight")).isPresent();
        assertRefused(
                layerNorm,
                Map.of("x", zeros(2, 3, 5), "weight", zeros(5)),
                "the array weight must have the dimensions (3, 5) of a row, the last 2 of x, float32 (2, 3, 5), but is"
                        + " float32 (5,)");
        assertRefused(
                "{\"op\": \"weight-norm\"}",
                Map.of("x", zeros(2, 3), "weight", zeros(3)),
                "the array weight must have the dimensions (2,) of the first dimension of x, float32 (2, 3)");
    }

    @Test
    void read_epsilonThatIsNotGiven_isTheOperations() throws IOException {
        Map<String, NpyArray> x = Map.of("x", zeros(2, 3));

        assertThat(read("{\"op\": \"weight-norm\"}", x).options().epsilon()).isZero();
        assertThat(read("{\"op\": \"l2-norm\"}", x).options().epsilon()).isEqualTo(1e-12);
        assertThat(read("{\"op\": \"instance-norm\", \"groups\": 3}", x)
                        .options()
                        .epsilon())
                .isEqualTo(1e-5);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{\"op\": \"batch-norm\", \"groups\": 3} | the option groups does nothing for batch-norm",
                "{\"op\": \"weight-norm\", \"activation\": \"relu\"} | the option activation does nothing for weight-norm",
                "{\"op\": \"weight-norm\"} | the array bias does nothing for weight-norm",
            })
    void read_whatDoesNothing_isAWarning(String json, String message) throws IOException {
        try (LogCapture log = new LogCapture()) {
            read(json, Map.of("x", zeros(3, 3), "bias", zeros(3)));

            assertThat(log.warnings(message)).hasSize(1);
        }
    }

    @Test
    void read_optionsThatEveryOperationHas_areNoWarning() throws IOException {
        try (LogCapture log = new LogCapture()) {
            read(
                    "{\"op\": \"l2-norm\", \"mode\": \"train\", \"eps\": 0, \"layout\": \"channels-last\"}",
                    Map.of("x", zeros(3, 3)));

            assertThat(log.warnings("option")).isEmpty();
        }
    }

    @Test
    void read_runningStatisticsThatAreNotThere_areAClearError() {
        assertRefused(
                BATCH_NORM,
                Map.of("x", zeros(2, 3), "running_var", zeros(3)),
                "running_mean and running_var go together, but there is only the second");
        assertRefused(
                "{\"op\": \"batch-norm\", \"mode\": \"eval\"}",
                Map.of("x", zeros(2, 3)),
                "the mode eval normalizes with running_mean and running_var, but there are none");
    }

    @Test
    void read_layoutOverride_decidesTheShape() throws IOException {
        Path file = write(Map.of("x", zeros(2, 3, 5), "weight", zeros(5)));
        UnaryOperator<CaseOptions> channelsLast = given -> new CaseOptions(
                given.mode(),
                given.epsilon(),
                given.updateRate(),
                given.runningVariance(),
                Layout.CHANNELS_LAST,
                given.activation(),
                given.addition(),
                given.mask(),
                given.outside(),
                null,
                false,
                null,
                null,
                null,
                null,
                null,
                false);

        assertThat(CaseFile.read(file, Op.BATCH_NORM, channelsLast).shape()).isEqualTo(Shape.of(2, 5, 3));
    }

    private void assertRefused(String json, Map<String, NpyArray> arrays, String message) {
        assertThatThrownBy(() -> read(json, arrays))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(folder + "/case.npz: ")
                .hasMessageContaining(message);
    }

    private CaseFile read(String json, Map<String, NpyArray> arrays) throws IOException {
        byte[] text = json.getBytes(StandardCharsets.UTF_8);
        Map<String, NpyArray> all = new LinkedHashMap<>(arrays);
        all.put("case", NpyArray.of(text, text.length));
        return CaseFile.read(write(all));
    }

    private Path write(Map<String, NpyArray> arrays) throws IOException {
        Path file = folder.resolve("case.npz");
        Npz.write(file, arrays);
        return file;
    }

    private static NpyArray zeros(long... dimensions) {
        int elements = (int) Arrays.stream(dimensions).reduce(1, (a, b) -> a * b);
        return NpyArray.of(new float[elements], dimensions);
    }
}
