package org.clnorm.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The files numpy-*.npz were written by NumPy 1.24 with savez, savez_compressed and lib.format.write_array. */
class NpzTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"numpy-stored.npz", "numpy-deflated.npz"})
    void read_fileOfNumpy_givesItsArrays(String file) throws Exception {
        Map<String, NpyArray> arrays = Npz.read(fixture(file));

        double[] halves = {0, 0.5, 1, 1.5, 2, 2.5};
        double[] thirds = {0, 1 / 3.0, 2 / 3.0, 1, 4 / 3.0, 5 / 3.0};
        double[] whole = {-3, -2, -1, 0, 1, 2};
        assertArray(arrays.get("f4"), "float32 (2, 3)", halves);
        assertArray(arrays.get("big_f4"), "float32 (2, 3)", halves);
        assertArray(arrays.get("f8"), "float64 (2, 3)", thirds);
        assertArray(arrays.get("big_f8"), "float64 (2, 3)", thirds);
        assertArray(arrays.get("i4"), "int32 (2, 3)", whole);
        assertArray(arrays.get("big_i8"), "int64 (2, 3)", whole);
        assertArray(arrays.get("u1"), "uint8 (2, 3)", 250, 251, 252, 253, 254, 255);
        assertArray(arrays.get("scalar"), "float64 ()", 0.1);
        assertArray(arrays.get("empty"), "float32 (0, 5)");
        assertArray(
                arrays.get("special"),
                "float32 (4,)",
                Double.NaN,
                Double.POSITIVE_INFINITY,
                Double.NEGATIVE_INFINITY,
                -0.0);
        assertThat(arrays.keySet())
                .as("in the file's order")
                .startsWith("f4", "big_f4")
                .endsWith("special");
    }

    @ParameterizedTest
    @ValueSource(strings = {"numpy-stored.npz", "numpy-deflated.npz"})
    void read_fortranOrder_isTurnedIntoCOrder(String file) throws Exception {
        Map<String, NpyArray> arrays = Npz.read(fixture(file));

        assertArray(
                arrays.get("fortran_f4"),
                "float32 (2, 3, 4)",
                IntStream.range(0, 24).mapToDouble(i -> i / 2.0).toArray());
        assertArray(
                arrays.get("fortran_big_f8"),
                "float64 (4, 3, 2)",
                IntStream.range(0, 24).mapToDouble(i -> i / 3.0).toArray());
    }

    @Test
    void read_everyVersionOfTheFormat_isTheSame() throws Exception {
        Map<String, NpyArray> arrays = Npz.read(fixture("numpy-versions.npz"));

        assertThat(arrays).containsOnlyKeys("v1", "v2", "v3");
        arrays.values().forEach(array -> assertArray(array, "float32 (2, 3)", 0, 0.5, 1, 1.5, 2, 2.5));
    }

    @Test
    void write_array_hasTheBytesThatNumpyWrites() throws Exception {
        try (ZipFile numpy = new ZipFile(fixture("numpy-stored.npz").toFile())) {
            for (String name : new String[] {"f4", "f8", "scalar", "empty"}) {
                try (InputStream in = numpy.getInputStream(numpy.getEntry(name + ".npy"))) {
                    byte[] expected = in.readAllBytes();
                    ByteArrayOutputStream ours = new ByteArrayOutputStream();
                    NpyArray.read(new ByteArrayInputStream(expected), expected.length, Long.MAX_VALUE)
                            .write(ours);

                    assertThat(ours.toByteArray())
                            .as("NumPy must be able to read %s", name)
                            .isEqualTo(expected);
                }
            }
        }
    }

    @Test
    void write_thenRead_givesTheSame() throws IOException {
        Path file = folder.resolve("a.npz");
        Map<String, NpyArray> arrays = new LinkedHashMap<>();
        arrays.put("y", NpyArray.of(new float[] {1, Float.NaN, -0f, Float.MIN_VALUE}, 2, 2));
        arrays.put("d", NpyArray.of(new double[] {Math.PI, Double.NEGATIVE_INFINITY}, 1, 2, 1));
        arrays.put("case", NpyArray.of("{}".getBytes(StandardCharsets.US_ASCII), 2));
        arrays.put("none", NpyArray.of(new float[0], 3, 0));

        Npz.write(file, arrays);
        Map<String, NpyArray> read = Npz.read(file);

        assertThat(read.keySet()).containsExactly("y", "d", "case", "none");
        assertThat(read.get("y").toFloats()).containsExactly(1, Float.NaN, -0f, Float.MIN_VALUE);
        assertThat(read.get("y").toString()).isEqualTo("float32 (2, 2)");
        assertThat(read.get("d").toDoubles()).containsExactly(Math.PI, Double.NEGATIVE_INFINITY);
        assertThat(read.get("case").toBytes()).containsExactly('{', '}');
        assertThat(read.get("none").toString()).isEqualTo("float32 (3, 0)");
    }

    @Test
    void write_twice_givesTheSameBytes() throws Exception {
        Map<String, NpyArray> arrays = Npz.read(fixture("numpy-stored.npz"));
        Path first = folder.resolve("1.npz");
        Path second = folder.resolve("2.npz");

        Npz.write(first, arrays);
        Npz.write(second, arrays);

        assertThat(second)
                .as("a file with a time in it would differ from run to run")
                .hasSameBinaryContentAs(first);
    }

    @Test
    void of_dimensionsThatDoNotFit_areRefused() {
        assertThatThrownBy(() -> NpyArray.of(new float[6], 2, 4))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("An array of 6 elements cannot have the dimensions (2, 4)");
        assertThatThrownBy(() -> NpyArray.of(new float[6], -2, -3)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void toFloats_ofExactValues_convertsThem() {
        assertThat(NpyArray.of(new double[] {0.5, Double.NaN, -0.0, Double.NEGATIVE_INFINITY}, 4)
                        .toFloats())
                .containsExactly(0.5f, Float.NaN, -0f, Float.NEGATIVE_INFINITY);
        assertThat(NpyArray.of(new byte[] {(byte) 255}, 1).toFloats()).containsExactly(255f);
    }

    @Test
    void toFloats_ofOtherValues_isRefusedAndNotRounded() {
        assertThatThrownBy(() -> NpyArray.of(new double[] {0.5, 0.1}, 2).toFloats())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("float64", "0.1", "flat index 1", "astype('float32')");
        assertThatThrownBy(() -> NpyArray.of(new double[] {1e300}, 1).toFloats())
                .as("would be infinite")
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void toDoubles_ofALongThatWouldBeRounded_isRefused() throws IOException {
        ByteBuffer longs = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
        longs.putLong(1L << 60).putLong((1L << 60) + 1);
        NpyArray array = read(npy(1, header("<i8", "(2,)"), longs.array()));

        assertThatThrownBy(array::toDoubles)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("1152921504606846977");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "(1152921504606846976,)  | bytes of elements, but has 16",
                "(1152921504606846976, 8)| with more than 2^63 bytes of elements, but has 16",
                "(99999999999999999999,) | the dimension 99999999999999999999",
                "(4, 2)                  | claims to be float32 (4, 2) with 32 bytes of elements, but has 16",
                "(3,)                    | claims to be float32 (3,) with 12 bytes of elements, but has 16",
                "(-4,)                   | unreadable",
                "(4                      | the dimension }",
                "4                       | 4 where a text was expected",
                "(4)                     | (4), which is a number in brackets, where (4,) would be a shape",
                "(04,)                   | the dimension 04",
                "(00,)                   | the dimension 00",
                "'4'                     | a shape that is not a tuple",
                "(4,), 'shape': (4,)     | 'shape' twice",
                "(4,), 'more': True      | the keys [descr, fortran_order, more, shape]",
                "(4,)} {                 | something after its end",
            })
    void read_shapeThatLies_isAClearError(String shape, String message) throws IOException {
        Path file = zip(Map.of("x.npy", npy(1, header("<f4", shape), new byte[16])));

        assertThatThrownBy(() -> Npz.read(file))
                .as("memory must not be asked for on the word of a header")
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": the array x ")
                .hasMessageContaining(message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"'<c8'", "'|O'", "'<U4'", "'|f4'", "[('a', '<f4')]", "'f4'", "''", "True"})
    void read_unsupportedElementType_isAClearError(String descr) throws IOException {
        String header = header("?", "(4,)").replace("'?'", descr);
        Path file = zip(Map.of("x.npy", npy(1, header, new byte[16])));

        assertThatThrownBy(() -> Npz.read(file))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": the array x ")
                .hasMessageContaining(
                        descr.startsWith("[")
                                ? "fields"
                                : descr.replace("'", "").replace("True", "true"));
    }

    @Test
    void read_headerOfAnotherForm_isRead() throws IOException {
        assertArray(
                read(npy(1, "{\"shape\":(1,2L),\"fortran_order\":True,\"descr\":\">i4\"}", new byte[] {
                    0, 0, 0, 1, 0, 0, 0, 2
                })),
                "int32 (1, 2)",
                1,
                2);
    }

    @ParameterizedTest
    @ValueSource(strings = {"<f2", ">f2"})
    void read_float16_isExact(String descr) throws IOException {
        byte[] content = descr.startsWith("<") ? new byte[] {0, 0x3c, 1, 0} : new byte[] {0x3c, 0, 0, 1};
        assertArray(read(npy(1, header(descr, "(2,)"), content)), "float16 (2,)", 1, 0x1p-24);
        assertThat(read(npy(1, header(descr, "(2,)"), content)).toFloats()).containsExactly(1, 0x1p-24f);
    }

    @Test
    void read_longHeader_isRefusedBeforeItIsRead() {
        byte[] npy = npy(2, header("<f4", "(4,)"), new byte[16]);
        ByteBuffer.wrap(npy).order(ByteOrder.LITTLE_ENDIAN).putInt(8, -1);

        assertThatThrownBy(() -> read(npy))
                .isInstanceOf(IOException.class)
                .hasMessage("claims a header of 4294967295 bytes, but at most 10000 are read");
    }

    @Test
    void read_deepOrLongHeader_doesNotExhaustTheStack() {
        for (String part : new String[] {"(", "1,", "'a':", "{", "[", " ", "'", "\\"}) {
            byte[] npy = npy(2, "{'shape': (" + part.repeat(9_000 / part.length()), new byte[16]);

            assertThatThrownBy(() -> read(npy)).as("header of many %s", part).isInstanceOf(IOException.class);
        }
    }

    @Test
    void read_wrongMagicOrVersion_isAClearError() {
        byte[] npy = npy(1, header("<f4", "(4,)"), new byte[16]);
        byte[] text = npy.clone();
        text[1] = 'n';
        byte[] future = npy.clone();
        future[6] = 4;

        assertThatThrownBy(() -> read(text))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("does not start with");
        assertThatThrownBy(() -> read(future)).isInstanceOf(IOException.class).hasMessageContaining("version 4.0");
    }

    @Test
    void read_truncatedArray_saysWhereItEnds() {
        byte[] npy = npy(1, header("<f4", "(4,)"), new byte[16]);
        for (int length = 0; length < npy.length; length++) {
            byte[] cut = Arrays.copyOf(npy, length);

            assertThatThrownBy(() -> read(cut)).as("cut to %s bytes", length).isInstanceOf(IOException.class);
            assertThatThrownBy(() -> NpyArray.read(new ByteArrayInputStream(cut), npy.length, Long.MAX_VALUE))
                    .as("cut to %s bytes, with the right size claimed", length)
                    .isInstanceOf(IOException.class)
                    .hasMessageStartingWith("ends in ");
        }
    }

    /** Found by a fuzzer: the zip's classes refuse the name when the directory is gone over, not when it is opened. */
    @Test
    void read_nameThatIsNotUtf8_isAClearError() {
        Path file = Path.of("src/test/resources/org/clnorm/state/name-not-utf8.npz");

        assertThatThrownBy(() -> Npz.read(file))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": is not an .npz file, a zip of .npy arrays: ");
    }

    @Test
    void read_notAZip_isAClearError() throws IOException {
        Path text = Files.writeString(folder.resolve("text.npz"), "not a zip");
        Path empty = Files.createFile(folder.resolve("empty.npz"));
        Path missing = folder.resolve("missing.npz");

        for (Path file : new Path[] {text, empty}) {
            assertThatThrownBy(() -> Npz.read(file))
                    .isInstanceOf(IOException.class)
                    .hasMessageStartingWith(file + ": is not an .npz file");
        }
        assertThatThrownBy(() -> Npz.read(missing))
                .isInstanceOf(IOException.class)
                .hasMessage(missing + ": there is no such file");
        assertThatThrownBy(() -> Npz.read(folder))
                .isInstanceOf(IOException.class)
                .hasMessage(folder + ": is a folder, where a file was expected");
    }

    @Test
    void read_otherEntries_areRefused() throws IOException {
        Path text = zip(Map.of("readme.txt", new byte[3]));
        Path pytorch = zip(Map.of("model/data.pkl", new byte[3]));
        Path escape = zip(Map.of("\u001b[31m.npy", new byte[3]));

        assertThatThrownBy(() -> Npz.read(text))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("the entry readme.txt");
        assertThatThrownBy(() -> Npz.read(pytorch))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("the entry model/data.pkl, which is no .npy array, but a pickle")
                .hasMessageEndingWith("save it as safetensors");
        assertThatThrownBy(() -> Npz.read(escape))
                .as("a name must not colour a terminal")
                .isInstanceOf(IOException.class)
                .hasMessageContaining("control characters")
                .hasMessageNotContaining("\u001b");
    }

    @Test
    void read_arrayThereTwice_isRefused() throws IOException {
        byte[] npy = npy(1, header("<f4", "(4,)"), new byte[16]);
        Path file = zip(Map.of("a.npy", npy, "b.npy", npy));
        String bytes = Files.readString(file, StandardCharsets.ISO_8859_1);
        Files.writeString(file, bytes.replace("b.npy", "a.npy"), StandardCharsets.ISO_8859_1);

        assertThatThrownBy(() -> Npz.read(file))
                .as("which of the two counts would be a matter of luck")
                .isInstanceOf(IOException.class)
                .hasMessage(file + ": has the array a twice");
    }

    @Test
    void read_entryOfTwoNames_isRefused() throws IOException {
        byte[] npy = npy(1, header("<f4", "(4,)"), new byte[16]);
        Path file = zip(Map.of("weight.npy", npy));
        String bytes = Files.readString(file, StandardCharsets.ISO_8859_1);
        assertThat(bytes.indexOf("weight.npy")).as("where the entry lies").isEqualTo(30);
        Files.writeString(file, bytes.replaceFirst("weight.npy", "height.npy"), StandardCharsets.ISO_8859_1);

        assertThatThrownBy(() -> Npz.read(file))
                .as("numpy and unzip would not agree on what it is")
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": is not an .npz file")
                .hasMessageContaining("an entry that its directory calls weight.npy, but that is called otherwise");
    }

    @Test
    void read_zipWithACommentAndSomethingBeforeIt_isRead() throws IOException {
        Path zip = folder.resolve("commented.npz");
        try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(zip))) {
            out.setComment("PK\u0005\u0006, as an end begins, and a long text after it, longer than an end is");
            out.putNextEntry(new ZipEntry("x.npy"));
            out.write(npy(1, header("<f4", "(4,)"), new byte[16]));
        }
        String bytes = Files.readString(zip, StandardCharsets.ISO_8859_1);
        Path shifted = Files.writeString(
                folder.resolve("shifted.npz"), "#!/bin/sh\nexit\n" + bytes, StandardCharsets.ISO_8859_1);

        for (Path file : List.of(zip, shifted)) {
            assertThat(Npz.read(file)).containsOnlyKeys("x");
        }
    }

    /** As numpy writes one of more than 4 GiB: all sizes and places are in extra fields. */
    @Test
    void read_zipOf64Bits_hasItsNamesChecked() throws IOException {
        byte[] npy = npy(1, header("<f4", "(4,)"), new byte[16]);
        for (String local : List.of("x.npy", "y.npy")) {
            Path file = Files.write(folder.resolve("64.npz"), zip64(local, npy));
            if (local.equals("x.npy")) {
                assertThat(Npz.read(file)).containsOnlyKeys("x");
            } else {
                assertThatThrownBy(() -> Npz.read(file))
                        .isInstanceOf(IOException.class)
                        .hasMessageContaining("called otherwise");
            }
        }
    }

    private static byte[] zip64(String local, byte[] npy) {
        CRC32 crc = new CRC32();
        crc.update(npy);
        ByteBuffer zip = ByteBuffer.allocate(1000).order(ByteOrder.LITTLE_ENDIAN);
        zip.putInt(0x04034b50).putShort((short) 45).putInt(0).putInt(0);
        zip.putInt((int) crc.getValue())
                .putInt(-1)
                .putInt(-1)
                .putShort((short) 5)
                .putShort((short) 20);
        zip.put(local.getBytes(StandardCharsets.US_ASCII));
        zip.putShort((short) 1).putShort((short) 16).putLong(npy.length).putLong(npy.length);
        zip.put(npy);
        int directory = zip.position();
        zip.putInt(0x02014b50)
                .putShort((short) 45)
                .putShort((short) 45)
                .putInt(0)
                .putInt(0);
        zip.putInt((int) crc.getValue())
                .putInt(-1)
                .putInt(-1)
                .putShort((short) 5)
                .putShort((short) 32);
        zip.putShort((short) 0)
                .putShort((short) 0)
                .putShort((short) 0)
                .putInt(0)
                .putInt(-1);
        zip.put("x.npy".getBytes(StandardCharsets.US_ASCII));
        zip.putShort((short) 0x7777).putShort((short) 0); // another's field comes first
        zip.putShort((short) 1)
                .putShort((short) 24)
                .putLong(npy.length)
                .putLong(npy.length)
                .putLong(0);
        int end = zip.position();
        zip.putInt(0x06064b50)
                .putLong(44)
                .putShort((short) 45)
                .putShort((short) 45)
                .putInt(0)
                .putInt(0);
        zip.putLong(1).putLong(1).putLong(end - directory).putLong(directory);
        zip.putInt(0x07064b50).putInt(0).putLong(end).putInt(1);
        zip.putInt(0x06054b50)
                .putInt(0)
                .putShort((short) -1)
                .putShort((short) -1)
                .putInt(-1)
                .putInt(-1);
        zip.putShort((short) 0);
        return Arrays.copyOf(zip.array(), zip.position());
    }

    @Test
    void read_fortranOrder_countsTheElementsTwice() throws IOException {
        Path file = zip(Map.of("x.npy", npy(1, header("<f4", "(2, 2)").replace("False", "True"), new byte[16])));
        Path vector = zip(Map.of("x.npy", npy(1, header("<f4", "(4, 1)").replace("False", "True"), new byte[16])));

        assertThatCode(() -> Npz.read(file)).doesNotThrowAnyException();
        assertThatThrownBy(() -> read(npy(1, header("<f4", "(2, 2)").replace("False", "True"), new byte[16]), 31))
                .isInstanceOf(IOException.class)
                .hasMessage(
                        "takes 32 bytes to come from Fortran to C order, but there is memory for 31 more; raise it with"
                                + " java -Xmx");
        assertThatCode(() -> Npz.read(vector)).doesNotThrowAnyException();
    }

    @Test
    void toState_ofAnArray_sharesItsElements() {
        NpyArray array = NpyArray.of(new float[] {1, 2}, 2);

        assertThat(NpyArray.of(array.toState()).toState())
                .as("no copy: there may be no memory for one")
                .isSameAs(array.toState());
    }

    @Test
    void read_sizeThatTheFileCannotHold_isRefused() throws IOException {
        int claimed = 0x7fff_ff00;
        byte[] npy = npy(1, header("<f4", "(" + (claimed - 128) / 4 + ",)"), new byte[16]);
        Path file = zip(Map.of("x.npy", npy));
        byte[] bytes = Files.readAllBytes(file);
        int central = new String(bytes, StandardCharsets.ISO_8859_1).indexOf("PK\u0001\u0002");
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(central + 24, claimed);
        Files.write(file, bytes);

        assertThatThrownBy(() -> Npz.read(file, Long.MAX_VALUE))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith(file + ": the array x claims " + claimed + " bytes in ");
    }

    @Test
    void read_moreThanTheMemoryAllowed_isRefused() throws IOException {
        Path file = folder.resolve("bomb.npz");
        Npz.write(file, Map.of("x", NpyArray.of(new float[4 << 20], 4 << 20)));

        assertThat(Files.size(file)).as("16 MiB of zeros deflate well").isLessThan(100_000);
        assertThatCode(() -> Npz.read(file, 17 << 20)).doesNotThrowAnyException();
        assertThatThrownBy(() -> Npz.read(file, 15 << 20))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll("the array x has 16777344 bytes", "memory for 15728640", "-Xmx");
    }

    @Test
    void read_manyArrays_areCountedTogether() throws IOException {
        Path file = folder.resolve("bombs.npz");
        NpyArray zeros = NpyArray.of(new float[1 << 18], 1 << 18);
        Npz.write(file, Map.of("a", zeros, "b", zeros, "c", zeros));

        assertThatThrownBy(() -> Npz.read(file, 5 << 19))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("-Xmx");
    }

    @Test
    void read_damagedElements_areNoticed() throws IOException {
        byte[] npy = npy(1, header("<f4", "(4,)"), new byte[16]);
        Path file = folder.resolve("stored.npz");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(file))) {
            ZipEntry entry = new ZipEntry("x.npy");
            entry.setMethod(ZipEntry.STORED);
            entry.setSize(npy.length);
            CRC32 crc = new CRC32();
            crc.update(npy);
            entry.setCrc(crc.getValue());
            zip.putNextEntry(entry);
            zip.write(npy);
        }
        assertThatCode(() -> Npz.read(file)).doesNotThrowAnyException();
        byte[] bytes = Files.readAllBytes(file);
        bytes[30 + "x.npy".length() + npy.length - 1] ^= 1;
        Files.write(file, bytes);

        assertThatThrownBy(() -> Npz.read(file))
                .as("a flipped bit in an expected array would make a right kernel look wrong")
                .isInstanceOf(IOException.class)
                .hasMessage(file + ": the array x is damaged: its checksum is wrong");
    }

    @Test
    void read_damagedAnywhere_isReadOrAnIoException() throws Exception {
        Random random = new Random(42);
        Path file = folder.resolve("damaged.npz");
        int refused = 0;
        for (String name : new String[] {"numpy-stored.npz", "numpy-deflated.npz"}) {
            byte[] whole = Files.readAllBytes(fixture(name));
            for (int i = 0; i < 1_000; i++) {
                byte[] bytes = i % 4 == 0 ? Arrays.copyOf(whole, random.nextInt(whole.length)) : whole.clone();
                for (int flips = i % 4; flips > 0; flips--) {
                    bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
                }
                Files.write(file, bytes);
                try {
                    Npz.read(file);
                } catch (IOException e) {
                    refused++;
                    assertThat(e.getMessage()).as("damage %s of %s", i, name).startsWith(file.toString());
                } catch (RuntimeException | Error e) {
                    fail("damage " + i + " of " + name + " must be an IOException", e);
                }
            }
        }
        assertThat(refused).as("most damage is noticed").isGreaterThan(1_000);
    }

    private static void assertArray(NpyArray array, String kind, double... values) {
        assertThat(array.toString()).isEqualTo(kind);
        assertThat(array.toDoubles()).as(kind).containsExactly(values);
    }

    private static Path fixture(String name) throws URISyntaxException {
        return Path.of(NpzTest.class.getResource(name).toURI());
    }

    private static NpyArray read(byte[] npy) throws IOException {
        return read(npy, Long.MAX_VALUE);
    }

    private static NpyArray read(byte[] npy, long room) throws IOException {
        return NpyArray.read(new ByteArrayInputStream(npy), npy.length, room);
    }

    private static String header(String descr, String shape) {
        return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
    }

    private static byte[] npy(int version, String header, byte[] content) {
        byte[] text = header.getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer npy = ByteBuffer.allocate(8 + (version == 1 ? 2 : 4) + text.length + content.length)
                .order(ByteOrder.LITTLE_ENDIAN);
        npy.put((byte) 0x93)
                .put("NUMPY".getBytes(StandardCharsets.US_ASCII))
                .put((byte) version)
                .put((byte) 0);
        if (version == 1) {
            npy.putShort((short) text.length);
        } else {
            npy.putInt(text.length);
        }
        return npy.put(text).put(content).array();
    }

    private Path zip(Map<String, byte[]> entries) throws IOException {
        Path file = Files.createTempFile(folder, "", ".npz");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(file))) {
            for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
                zip.putNextEntry(new ZipEntry(entry.getKey()));
                zip.write(entry.getValue());
                zip.closeEntry();
            }
        }
        return file;
    }
}
