package org.clnorm.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsTest {
    /** What the format's Python package, 0.8.0, writes for {@link #arrays}. */
    private static final byte[] OF_THE_PACKAGE = bytes(
            // 328 bytes of header
            "48 01 00 00 00 00 00 00",
            "{\"__metadata__\":{\"made\":\"by \\\"hand\\\"\"},",
            "\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},",
            "\"e\":{\"dtype\":\"F64\",\"shape\":[0,3],\"data_offsets\":[8,8]},",
            "\"f64\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[8,16]},",
            "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},",
            "\"half\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]}}      ",
            "07 00 00 00 00 00 00 00", // a
            "00 00 00 00 00 00 f8 3f", // f64
            "00 00 80 3f 00 00 20 c0", // b.weight
            "00 3c 00 38"); // half

    @TempDir
    Path folder;

    private static StateDict arrays() {
        Map<String, StateArray> arrays = new LinkedHashMap<>();
        arrays.put("b.weight", StateArray.of(new float[] {1, -2.5f}, 2));
        arrays.put("a", StateArray.scalar(7));
        arrays.put("half", StateArray.of(StateArray.Type.FLOAT16, little("003c0038"), 2));
        arrays.put("e", StateArray.of(new double[0], 0, 3));
        arrays.put("f64", StateArray.of(new double[] {1.5}, 1));
        return StateDict.of(arrays);
    }

    private static ByteBuffer little(String hex) {
        return ByteBuffer.wrap(HexFormat.of().parseHex(hex));
    }

    /** Lines of text, and of bytes in hexadecimal digits with a space between each two. */
    private static byte[] bytes(String... lines) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (String line : lines) {
            bytes.writeBytes(
                    line.matches("[0-9a-f]{2}( [0-9a-f]{2})*")
                            ? HexFormat.ofDelimiter(" ").parseHex(line)
                            : line.getBytes(StandardCharsets.UTF_8));
        }
        return bytes.toByteArray();
    }

    /** A file of this header and so many bytes of data. */
    private static byte[] file(String header, int data) {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + text.length + data)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(text.length)
                .put(text)
                .array();
    }

    private static String tensor(String name, String dtype, String shape, String offsets) {
        return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets
                + "}";
    }

    private Path written(byte[] bytes) throws IOException {
        return Files.write(folder.resolve("a.safetensors"), bytes);
    }

    @Test
    void read_fileMadeByHand_givesItsArrays() throws IOException {
        Path file = written(bytes(
                "72 00 00 00 00 00 00 00",
                "{ \"w\" : {\"shape\":[1, 2],\"data_offsets\":[2,10],\"dtype\":\"F32\"},",
                "\"b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]}}",
                "80 3f",
                "00 00 00 40 ff ff ff 7f"));

        StateDict state = Safetensors.read(file);

        assertThat(state.names()).as("in the order of their places").containsExactly("b", "w");
        assertThat(state.get("b").orElseThrow()).hasToString("bfloat16 ()");
        assertThat(state.get("b").orElseThrow().toFloats()).containsExactly(1);
        assertThat(state.get("w").orElseThrow()).hasToString("float32 (1, 2)");
        assertThat(state.get("w").orElseThrow().toFloats()).containsExactly(2, Float.NaN);
    }

    @Test
    void read_fileOfThePackage_givesItsArrays() throws IOException {
        Path file = written(OF_THE_PACKAGE);

        assertThat(Safetensors.read(file)).isEqualTo(arrays());
        try (Safetensors open = Safetensors.open(file)) {
            assertThat(open.metadata()).containsExactly(Map.entry("made", "by \"hand\""));
            assertThat(open.entries())
                    .extracting(Safetensors.Entry::name)
                    .containsExactly("a", "e", "f64", "b.weight", "half");
            assertThat(open.entries().get(1)).hasToString("F64 (0, 3)");
            assertThat(open.load(open.entries().get(2)).toDoubles()).containsExactly(1.5);
        }
    }

    @Test
    void write_arrays_givesTheBytesOfThePackage() throws IOException {
        Path file = folder.resolve("a.safetensors");

        Safetensors.write(file, arrays(), Map.of("made", "by \"hand\""));

        assertThat(Files.readAllBytes(file)).isEqualTo(OF_THE_PACKAGE);
    }

    @Test
    void write_nothing_isAFileToo() throws IOException {
        Path file = folder.resolve("a.safetensors");

        Safetensors.write(file, StateDict.empty());

        assertThat(Files.readAllBytes(file)).isEqualTo(bytes("08 00 00 00 00 00 00 00", "{}      "));
        assertThat(Safetensors.read(file)).isEqualTo(StateDict.empty());
    }

    /** The smallest and largest subnormals, NaN with payloads, quiet and signalling, infinities, −0. */
    static Stream<Arguments> bitsOfEveryType() {
        return Stream.of(
                Arguments.of(StateArray.Type.UINT8, "00ff7f80"),
                Arguments.of(StateArray.Type.FLOAT16, "0100ff03018001fc017d237e007c00fc0080"),
                Arguments.of(StateArray.Type.BFLOAT16, "01007f00018081ff857f807f80ff0080"),
                Arguments.of(StateArray.Type.INT32, "ffffffff00000080ffffff7f"),
                Arguments.of(StateArray.Type.FLOAT32, "01000000ffff7f000100807f563412ff785634ff0000807f00000080"),
                Arguments.of(
                        StateArray.Type.FLOAT64,
                        "0100000000000000ffffffffffff0f00010000000000f07fefcdab896745f8ff000000000000f0ff0000000000000080"),
                Arguments.of(StateArray.Type.INT64, "ffffffffffffffff0000000000000080ffffffffffffff7f"));
    }

    @ParameterizedTest
    @MethodSource("bitsOfEveryType")
    void write_thenRead_keepsEveryBit(StateArray.Type type, String hex) throws IOException {
        ByteBuffer content = little(hex);
        StateArray array = StateArray.of(type, content, content.remaining() / type.bytes(), 1);
        StateDict state = StateDict.empty().with("größe 𝄞", array).with("empty", StateArray.of(new float[0], 0));

        Path safetensors = folder.resolve("a.safetensors");
        Safetensors.write(safetensors, state);
        assertThat(Safetensors.read(safetensors)).isEqualTo(state);

        Path npz = folder.resolve("a.npz");
        if (type == StateArray.Type.BFLOAT16) {
            assertThatThrownBy(() -> Npz.writeState(npz, state))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(npz.toString())
                    .hasMessageContaining("the array größe 𝄞 is bfloat16")
                    .hasMessageContaining("safetensors");
            assertThat(npz).doesNotExist();
            assertThat(files()).containsExactly(safetensors);
        } else {
            Npz.writeState(npz, state);
            assertThat(Npz.readState(npz)).isEqualTo(state);
        }
    }

    @ParameterizedTest
    @EnumSource(StateArray.Type.class)
    void write_thenRead_keepsLargeArrays(StateArray.Type type) throws IOException {
        byte[] content = new byte[(3 << 20) + 8];
        new Random(1).nextBytes(content);
        StateDict state = StateDict.empty()
                .with("x", StateArray.of(type, ByteBuffer.wrap(content), content.length / type.bytes()))
                .with("y", StateArray.scalar(-1));
        Path file = folder.resolve("a");

        Safetensors.write(file, state);

        assertThat(Safetensors.read(file)).isEqualTo(state);
    }

    private List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    @Test
    void write_whatCannotBe_leavesTheOldFile() throws IOException {
        Path file = Files.writeString(folder.resolve("a"), "old");
        StateDict state = StateDict.empty().with("__metadata__", StateArray.scalar(1));

        assertThatThrownBy(() -> Safetensors.write(file, state))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("__metadata__");
        assertThatThrownBy(() -> Safetensors.write(file, StateDict.empty(), Map.of("a", "\ud800")))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("Unicode");

        assertThat(file).hasContent("old");
        assertThat(files()).containsExactly(file);
    }

    @Test
    void write_whereNothingCan_saysWhich() throws IOException {
        Path nowhere = folder.resolve("no/such");

        assertThatThrownBy(() -> Safetensors.write(nowhere, arrays()))
                .isInstanceOf(IOException.class)
                .hasMessage(nowhere + " cannot be written: there is no folder " + nowhere.getParent());
        assertThatThrownBy(() -> Safetensors.write(folder, arrays()))
                .isInstanceOf(IOException.class)
                .hasMessage(folder + " cannot be written: it is a folder");
    }

    @Test
    void write_throughALink_leavesTheLink() throws IOException {
        Path file = Files.writeString(folder.resolve("a"), "old");
        Path link = Files.createSymbolicLink(folder.resolve("link"), file);

        Safetensors.write(link, arrays());

        assertThat(link).isSymbolicLink();
        assertThat(Safetensors.read(file)).isEqualTo(arrays());
    }

    private static final String OK = tensor("a", "F32", "[2]", "[0,8]");

    static Stream<Arguments> malformed() {
        String huge = "9223372036854775808"; // 2⁶³
        return Stream.of(
                Arguments.of("no byte", new byte[0], "it has 0 bytes"),
                Arguments.of("7 bytes", new byte[7], "it has 7 bytes"),
                Arguments.of("no header", new byte[8], "does not start with {"),
                Arguments.of(
                        "header past the end",
                        bytes("03 00 00 00 00 00 00 00", "{}"),
                        "claims a header of 3 bytes, but has only 2"),
                Arguments.of(
                        "header too long",
                        bytes("01 e1 f5 05 00 00 00 00", "{}"),
                        "claims a header of 100000001 bytes, but at most 100000000"),
                Arguments.of(
                        "header of 2^64 - 1",
                        bytes("ff ff ff ff ff ff ff ff", "{}"),
                        "claims a header of 18446744073709551615 bytes"),
                Arguments.of("white space first", file(" {}", 0), "does not start with {"),
                Arguments.of("array", file("[]", 0), "does not start with {"),
                Arguments.of("unfinished", file("{" + OK, 8), "not strictly JSON"),
                Arguments.of("comment", file("{/**/" + OK + "}", 8), "not strictly JSON"),
                Arguments.of("single quotes", file("{'a':1}", 8), "not strictly JSON"),
                Arguments.of("trailing comma", file("{" + OK + ",}", 8), "not strictly JSON"),
                Arguments.of("two objects", file("{" + OK + "}{}", 8), "not strictly JSON"),
                Arguments.of("padding of zeros", file("{" + OK + "}\0\0", 8), "not strictly JSON"),
                Arguments.of("not UTF-8", bytes("08 00 00 00 00 00 00 00", "{\"", "ff", "\":{}}"), "not strictly JSON"),
                Arguments.of("control character", file("{\"a\n\":{}}", 0), "not strictly JSON"),
                Arguments.of(
                        "escaped control character",
                        file("{" + tensor("a\\u001b", "F32", "[2]", "[0,8]") + "}", 8),
                        "control characters"),
                Arguments.of(
                        "half a character",
                        file("{" + tensor("\\ud800", "F32", "[2]", "[0,8]") + "}", 8),
                        "half characters"),
                Arguments.of("no name", file("{" + tensor("", "F32", "[2]", "[0,8]") + "}", 8), "without a name"),
                Arguments.of("tensor twice", file("{" + OK + "," + OK + "}", 8), "the tensor a twice"),
                Arguments.of(
                        "tensor twice by an escape",
                        file("{" + OK + "," + OK.replace("\"a\"", "\"\\u0061\"") + "}", 8),
                        "the tensor a twice"),
                Arguments.of("key twice", file("{" + OK.replace("}", ",\"dtype\":\"F32\"}") + "}", 8), "dtype twice"),
                Arguments.of("metadata twice", file("{\"__metadata__\":{},\"__metadata__\":{}}", 0), "twice"),
                Arguments.of("text twice", file("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0), "twice"),
                Arguments.of("metadata of a number", file("{\"__metadata__\":{\"a\":1}}", 0), "must be STRING"),
                Arguments.of("metadata of a list", file("{\"__metadata__\":[]}", 0), "must be BEGIN_OBJECT"),
                Arguments.of("tensor of null", file("{\"a\":null}", 0), "the tensor a is NULL"),
                Arguments.of("no dtype", file("{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0), "the tensor a"),
                Arguments.of("another key", file("{" + OK.replace("}", ",\"x\":1}") + "}", 8), "something else"),
                Arguments.of("dtype of a number", file("{" + OK.replace("\"F32\"", "1") + "}", 8), "must be STRING"),
                Arguments.of("dtype of spaces", file("{" + tensor("a", " \\n", "[2]", "[0,8]") + "}", 8), "dtype"),
                Arguments.of("one offset", file("{" + tensor("a", "F32", "[2]", "[8]") + "}", 8), "two data_offsets"),
                Arguments.of(
                        "offsets in quotes",
                        file("{" + tensor("a", "F32", "[2]", "[\"0\",\"8\"]") + "}", 8),
                        "must be NUMBER"),
                Arguments.of("fraction", file("{" + tensor("a", "F32", "[2.0]", "[0,8]") + "}", 8), "is 2.0"),
                Arguments.of("exponent", file("{" + tensor("a", "F32", "[2]", "[0,8e0]") + "}", 8), "is 8e0"),
                Arguments.of("negative dimension", file("{" + tensor("a", "F32", "[-2]", "[0,8]") + "}", 8), "is -2"),
                Arguments.of("negative offset", file("{" + tensor("a", "F32", "[2]", "[-8,0]") + "}", 8), "is -8"),
                Arguments.of(
                        "dimension past 2^63",
                        file("{" + tensor("a", "F32", "[" + huge + "]", "[0,8]") + "}", 8),
                        huge),
                Arguments.of(
                        "offset past 2^63",
                        file("{" + tensor("a", "F32", "[2]", "[0," + huge + "]") + "}", 8),
                        "must be a whole number from 0 to 2^63-1"),
                Arguments.of(
                        "offset past the end",
                        file("{" + tensor("a", "F32", "[2]", "[0,9223372036854775807]") + "}", 8),
                        "there are only 8 bytes of data"),
                Arguments.of(
                        "elements past 2^63",
                        file("{" + tensor("a", "F32", "[4294967296,4294967296]", "[0,8]") + "}", 8),
                        "more than 2^63"),
                Arguments.of(
                        "bytes past 2^64, which wrap to 8",
                        file("{" + tensor("a", "F32", "[4611686018427387906]", "[0,8]") + "}", 8),
                        "more than 2^63"),
                Arguments.of("end before begin", file("{" + tensor("a", "F32", "[2]", "[8,0]") + "}", 8), "before"),
                Arguments.of(
                        "too few bytes", file("{" + tensor("a", "F32", "[3]", "[0,8]") + "}", 8), "takes 12 bytes"),
                Arguments.of(
                        "size of another dtype", file("{" + tensor("a", "F16", "[2]", "[0,8]") + "}", 8), "takes 4"),
                Arguments.of("half a byte", file("{" + tensor("a", "F4", "[3]", "[0,1]") + "}", 1), "no whole number"),
                Arguments.of("many dimensions", file("{" + tensor("a", "F32", many(), "[0,0]") + "}", 0), "64"),
                Arguments.of(
                        "overlap",
                        file("{" + OK + "," + tensor("b", "F32", "[2]", "[4,12]") + "}", 12),
                        "the tensor b has the data_offsets [4, 12] and overlaps the tensor a, which ends at 8"),
                Arguments.of(
                        "the same place", file("{" + OK + "," + OK.replace("\"a\"", "\"b\"") + "}", 8), "overlaps"),
                Arguments.of(
                        "hole",
                        file("{" + OK + "," + tensor("b", "F32", "[1]", "[12,16]") + "}", 16),
                        "the bytes from 8 on are no tensor's"),
                Arguments.of(
                        "hole at the start",
                        file("{" + tensor("b", "F32", "[1]", "[4,8]") + "}", 8),
                        "the bytes from 0 on are no tensor's"),
                Arguments.of("truncated", file("{" + OK + "}", 7), "there are only 7 bytes of data"),
                Arguments.of("trailing byte", file("{" + OK + "}", 9), "has 9 bytes of data, but its tensors end at 8"),
                Arguments.of("data of no tensor", file("{}", 1), "has 1 bytes of data"));
    }

    private static String many() {
        return "[" + "0,".repeat(64) + "0]";
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("malformed")
    void read_malformedFile_isAClearError(String what, byte[] bytes, String message) throws IOException {
        Path file = written(bytes);

        assertThatThrownBy(() -> Safetensors.read(file))
                .as(what)
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": ")
                .hasMessageContaining(message);
    }

    @Test
    void read_okOfTheMalformedOnes_isRead() throws IOException {
        assertThat(Safetensors.read(written(file("{" + OK + "}", 8))).toString())
                .isEqualTo("{a=float32 (2,)}");
        assertThat(Safetensors.read(written(file("{" + OK + "} \n\t ", 8))).names())
                .containsExactly("a");
    }

    @Test
    void read_fileThatIsNotThere_isAClearError() {
        Path none = folder.resolve("none");
        assertThatThrownBy(() -> Safetensors.read(none))
                .isInstanceOf(IOException.class)
                .hasMessage(none + ": there is no such file");
        assertThatThrownBy(() -> Safetensors.read(folder))
                .isInstanceOf(IOException.class)
                .hasMessage(folder + ": is a folder, where a file was expected");
    }

    @ParameterizedTest
    @ValueSource(strings = {"U16", "BOOL", "F8_E4M3", "F128"})
    void open_dtypeThatIsNotSupported_isListedAndNotLoaded(String dtype) throws IOException {
        int bytes = dtype.equals("U16") ? 4 : 2;
        Path file = written(file("{" + tensor("a", dtype, "[2]", "[0," + bytes + "]") + "}", bytes));

        try (Safetensors open = Safetensors.open(file)) {
            assertThat(open.entries()).singleElement().hasToString(dtype + " (2,)");
            assertThat(open.entries().get(0).type()).isEmpty();
        }
        assertThatThrownBy(() -> Safetensors.read(file))
                .isInstanceOf(IOException.class)
                .hasMessage(file + ": the tensor a has the dtype " + dtype
                        + ", but supported are [U8, F16, BF16, I32, F32, F64, I64]");
    }

    @Test
    void read_moreThanThereIsMemoryFor_isRefused() throws IOException {
        byte[] bytes = file("{" + OK + "}", 8);
        Path file = written(bytes);
        int header = bytes.length - 16;

        assertThat(Safetensors.read(file, 8 * header + 8).names()).containsExactly("a");
        assertThatThrownBy(() -> Safetensors.read(file, 8 * header + 7))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": has 8 bytes of tensors, and a header that takes up to " + 8 * header
                        + " of memory, but there is memory for " + (8 * header + 7))
                .hasMessageEndingWith("java -Xmx");
        assertThatThrownBy(() -> Safetensors.read(file, 8 * header - 1))
                .as("before it is parsed")
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": has a header of " + header + " bytes, which takes up to")
                .hasMessageEndingWith("java -Xmx");
    }

    @Test
    void load_fileThatBecameShorter_isAClearError() throws IOException {
        Path file = written(file("{" + OK + "}", 8));

        try (Safetensors open = Safetensors.open(file)) {
            written(file("{" + OK + "}", 5));
            assertThatThrownBy(() -> open.load(open.entries().get(0)))
                    .isInstanceOf(IOException.class)
                    .hasMessage(file + ": the tensor a: ends 3 bytes before the end of an array float32 (2,)");
        }
    }

    /** Each byte changed, the file cut at each: it is read, or refused by an error that names it. */
    @Test
    void read_damagedFile_neverFailsOtherwise() throws IOException {
        for (int i = 0; i < OF_THE_PACKAGE.length; i++) {
            byte[] cut = Arrays.copyOf(OF_THE_PACKAGE, i);
            Path file = written(cut);
            assertThatThrownBy(() -> Safetensors.read(file)).isInstanceOf(IOException.class);
            for (int flip : new int[] {1, 0x20, 0x80}) {
                byte[] changed = OF_THE_PACKAGE.clone();
                changed[i] ^= (byte) flip;
                try {
                    Safetensors.read(written(changed));
                } catch (IOException e) {
                    assertThat(e).hasMessageStartingWith(file + ": ");
                } catch (RuntimeException | Error e) {
                    fail("byte " + i + ", bits " + flip, e);
                }
            }
        }
    }
}
