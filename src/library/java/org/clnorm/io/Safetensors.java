package org.clnorm.io;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.JsonWriter;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.Reader;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.clnorm.StateArray;
import org.clnorm.StateDict;
import org.clnorm.files.WholeFile;

/**
 * Files in safetensors format: 8 bytes of a header's length, little-endian; the header, JSON with the dtype, the shape and
 * the place of each tensor and, under {@code __metadata__}, texts; the elements of all tensors, little-endian, in C order.
 *
 * <p>{@link #read} and {@link #write} are all that most need. An open file gives one tensor at a time, and lists those of
 * a dtype that is not supported too. A file is checked when it is opened, by the rules of the format's reference
 * implementation; beyond them, no name may be empty, come twice or have control characters.
 */
public final class Safetensors implements AutoCloseable {
    /**
     * What the header says of a tensor.
     *
     * @param dtype as the header has it, such as {@code F32}
     * @param shape slowest dimension first; empty for a scalar
     * @param begin where its elements begin, in bytes after the header
     * @param end where they end
     */
    public record Entry(String name, String dtype, List<Long> shape, long begin, long end) {
        /** Copies the shape. */
        public Entry {
            Objects.requireNonNull(name, "name");
            Objects.requireNonNull(dtype, "dtype");
            Objects.requireNonNull(shape, "shape")
                    .forEach(each -> Objects.requireNonNull(each, "shape has null in it"));
            shape = List.copyOf(shape);
        }

        /** The size of all elements. */
        public long bytes() {
            return end - begin;
        }

        /** The element type, if it is one that can be read. */
        public Optional<StateArray.Type> type() {
            return DTYPES.entrySet().stream()
                    .filter(known -> known.getValue().equals(dtype))
                    .map(Map.Entry::getKey)
                    .findFirst();
        }

        private long[] dimensions() {
            return shape.stream().mapToLong(Long::longValue).toArray();
        }

        /** Dtype and shape, such as {@code F32 (4, 6)}. */
        @Override
        public String toString() {
            return dtype + " " + NpyArray.tuple(dimensions());
        }
    }

    private record Header(Map<String, String> metadata, List<Entry> entries) {}

    private static final Map<StateArray.Type, String> DTYPES = new LinkedHashMap<>();

    static {
        DTYPES.put(StateArray.Type.UINT8, "U8");
        DTYPES.put(StateArray.Type.FLOAT16, "F16");
        DTYPES.put(StateArray.Type.BFLOAT16, "BF16");
        DTYPES.put(StateArray.Type.INT32, "I32");
        DTYPES.put(StateArray.Type.FLOAT32, "F32");
        DTYPES.put(StateArray.Type.FLOAT64, "F64");
        DTYPES.put(StateArray.Type.INT64, "I64");
    }

    /** The size in bits of all that the reference implementation knows. */
    private static final Map<String, Integer> BITS = Map.ofEntries(
            Map.entry("F4", 4),
            Map.entry("F6_E2M3", 6),
            Map.entry("F6_E3M2", 6),
            Map.entry("BOOL", 8),
            Map.entry("U8", 8),
            Map.entry("I8", 8),
            Map.entry("F8_E5M2", 8),
            Map.entry("F8_E4M3", 8),
            Map.entry("F8_E8M0", 8),
            Map.entry("I16", 16),
            Map.entry("U16", 16),
            Map.entry("F16", 16),
            Map.entry("BF16", 16),
            Map.entry("I32", 32),
            Map.entry("U32", 32),
            Map.entry("F32", 32),
            Map.entry("C64", 64),
            Map.entry("F64", 64),
            Map.entry("I64", 64),
            Map.entry("U64", 64));

    private static final String METADATA = "__metadata__";
    /** The reference implementation's limit. */
    private static final long MAX_HEADER = 100_000_000;
    /** The most that what is read of a header takes in memory, by the header's length: six times was seen. */
    private static final int MEMORY_OF_HEADER = 8;
    /** NumPy's limit; the format has none. */
    private static final int MAX_RANK = 64;
    /** The header is padded so that the elements start at a multiple of this. */
    private static final int ALIGNMENT = 8;
    /** What is asked for at once: a channel takes as much memory again outside of the heap. */
    private static final int CHUNK = 1 << 20;

    private final Path file;
    private final FileChannel channel;
    /** Where the first element lies. */
    private final long start;

    private final Header header;

    private Safetensors(Path file, FileChannel channel, long maxBytes) throws IOException {
        this.file = file;
        this.channel = channel;
        long size = channel.size();
        if (size < Long.BYTES) {
            throw new IOException("is not in safetensors format: it has " + size
                    + " bytes, but the length of the header alone takes " + Long.BYTES);
        }
        long length = ByteBuffer.wrap(bytes(0, Long.BYTES))
                .order(ByteOrder.LITTLE_ENDIAN)
                .getLong();
        if (length < 0 || length > MAX_HEADER) {
            throw new IOException("is not in safetensors format: it claims a header of " + Long.toUnsignedString(length)
                    + " bytes, but at most " + MAX_HEADER + " are read");
        }
        if (length > size - Long.BYTES) {
            throw new IOException("claims a header of " + length + " bytes, but has only " + (size - Long.BYTES)
                    + " after the first " + Long.BYTES);
        }
        if (length * MEMORY_OF_HEADER > maxBytes) {
            throw new IOException("has a header of " + length + " bytes, which takes up to " + length * MEMORY_OF_HEADER
                    + " of memory, but there is memory for " + maxBytes + "; raise it with java -Xmx");
        }
        this.start = Long.BYTES + length;
        byte[] text = bytes(Long.BYTES, (int) length);
        if (length == 0 || text[0] != '{') {
            throw new IOException("has a header that does not start with {");
        }
        this.header = WithGson.get("A safetensors file", () -> parse(text));
        checkPlaces(size - start);
    }

    /**
     * Opens a file and checks its header.
     *
     * @throws IOException when it cannot be read or is not such a file, and when its header takes more than half of the
     *     memory that the virtual machine may use; the message names it and what is wrong with it
     * @throws IllegalStateException without Gson on the class path
     */
    public static Safetensors open(Path file) throws IOException {
        return open(file, memory());
    }

    private static Safetensors open(Path file, long maxBytes) throws IOException {
        InputFile.check(file);
        FileChannel channel = FileChannel.open(file);
        Safetensors opened = null;
        try {
            opened = new Safetensors(file, channel, maxBytes);
            return opened;
        } catch (IOException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        } finally {
            if (opened == null) {
                channel.close();
            }
        }
    }

    /** How much of the memory a file may take. */
    private static long memory() {
        return Runtime.getRuntime().maxMemory() / 2;
    }

    /**
     * All tensors of a file, in the order of their places.
     *
     * @throws IOException as {@link #open} and {@link #load}, and when the header and all tensors together take more than
     *     half of the memory that the virtual machine may use
     */
    public static StateDict read(Path file) throws IOException {
        return read(file, memory());
    }

    static StateDict read(Path file, long maxBytes) throws IOException {
        try (Safetensors from = open(file, maxBytes)) {
            long bytes = from.channel.size() - from.start;
            long header = (from.start - Long.BYTES) * MEMORY_OF_HEADER;
            if (bytes > maxBytes - header) {
                throw new IOException(file + ": has " + bytes + " bytes of tensors, and a header that takes up to "
                        + header + " of memory, but there is memory for " + maxBytes + "; raise it with java -Xmx");
            }
            Map<String, StateArray> arrays = new LinkedHashMap<>();
            for (Entry entry : from.entries()) {
                arrays.put(entry.name(), from.load(entry));
            }
            return StateDict.of(arrays);
        }
    }

    /** The texts under {@code __metadata__}, in the file's order. */
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(header.metadata);
    }

    /** All tensors, in the order of their places. */
    public List<Entry> entries() {
        return Collections.unmodifiableList(header.entries);
    }

    /**
     * Reads a tensor.
     *
     * @param entry one of {@link #entries}
     * @throws IOException when it has a dtype that is not supported, is larger than an array can be, or cannot be read;
     *     the message names the file and the tensor
     */
    public StateArray load(Entry entry) throws IOException {
        Objects.requireNonNull(entry, "entry");
        StateArray.Type type = entry.type()
                .orElseThrow(() -> wrong(
                        entry.name(), "has the dtype " + entry.dtype() + ", but supported are " + DTYPES.values()));
        try {
            return StateArray.from(to -> fill(to, start + entry.begin()), type, entry.dimensions());
        } catch (IOException | IllegalArgumentException e) {
            throw new IOException(file + ": " + tensor(entry.name()) + ": " + e.getMessage(), e);
        }
    }

    /** Closes the file. */
    @Override
    public void close() throws IOException {
        channel.close();
    }

    private byte[] bytes(long from, int count) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(count);
        fill(bytes, from);
        if (bytes.hasRemaining()) {
            throw new IOException("became shorter while it was read");
        }
        return bytes.array();
    }

    /** As far as the file goes. */
    private void fill(ByteBuffer to, long from) throws IOException {
        int limit = to.limit();
        int first = to.position();
        int read = 0;
        while (read >= 0 && to.position() < limit) {
            to.limit(Math.min(limit, to.position() + CHUNK));
            read = channel.read(to, from + to.position() - first);
            to.limit(limit);
        }
    }

    private static String tensor(String name) {
        return "the tensor " + name;
    }

    private IOException wrong(String name, String what) {
        return new IOException(file + ": " + tensor(name) + " " + what);
    }

    /** What a header says, yet unchecked against the file. */
    private static Header parse(byte[] text) throws IOException {
        // A decoder of its own: it refuses what is not UTF-8.
        Reader characters = new InputStreamReader(new ByteArrayInputStream(text), StandardCharsets.UTF_8.newDecoder());
        try (JsonReader json = new JsonReader(characters)) {
            json.setStrictness(Strictness.STRICT);
            Map<String, Entry> entries = new LinkedHashMap<>();
            Map<String, String> metadata = null;
            expect(json, JsonToken.BEGIN_OBJECT, "the header");
            json.beginObject();
            while (json.hasNext()) {
                String name = json.nextName();
                if (METADATA.equals(name)) {
                    if (metadata != null) {
                        throw new HeaderException("has " + METADATA + " twice in its header");
                    }
                    metadata = texts(json);
                } else if (entries.put(checked(name), entry(name, json)) != null) {
                    throw new HeaderException("has " + tensor(name) + " twice in its header");
                }
            }
            json.endObject();
            expect(json, JsonToken.END_DOCUMENT, "what comes after the object");
            return new Header(metadata == null ? Map.of() : metadata, sorted(entries.values()));
        } catch (HeaderException e) {
            throw e;
        } catch (IOException e) {
            throw new IOException("has a header that is not strictly JSON, in UTF-8", e);
        }
    }

    /** Of what is JSON, but not such a header. */
    private static final class HeaderException extends IOException {
        private static final long serialVersionUID = 1;

        HeaderException(String message) {
            super(message);
        }
    }

    private static List<Entry> sorted(Iterable<Entry> entries) {
        List<Entry> sorted = new ArrayList<>();
        entries.forEach(sorted::add);
        sorted.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
        return sorted;
    }

    private static void expect(JsonReader json, JsonToken token, String what) throws IOException {
        JsonToken found = json.peek();
        if (found != token) {
            throw new HeaderException("has a header in which " + what + " is " + found + ", but must be " + token);
        }
    }

    private static String checked(String name) throws IOException {
        if (name.isEmpty()) {
            throw new HeaderException("has a tensor without a name");
        }
        if (name.codePoints().anyMatch(c -> Character.isISOControl(c) || Character.getType(c) == Character.SURROGATE)) {
            throw new HeaderException("has a tensor with control characters or half characters in its name");
        }
        return name;
    }

    private static Map<String, String> texts(JsonReader json) throws IOException {
        Map<String, String> texts = new LinkedHashMap<>();
        expect(json, JsonToken.BEGIN_OBJECT, METADATA);
        json.beginObject();
        while (json.hasNext()) {
            String name = json.nextName();
            expect(json, JsonToken.STRING, "a value of " + METADATA);
            if (texts.put(name, json.nextString()) != null) {
                throw new HeaderException("has a name twice in its " + METADATA);
            }
        }
        json.endObject();
        return texts;
    }

    private static Entry entry(String name, JsonReader json) throws IOException {
        String dtype = null;
        List<Long> shape = null;
        List<Long> offsets = null;
        expect(json, JsonToken.BEGIN_OBJECT, tensor(name));
        json.beginObject();
        while (json.hasNext()) {
            String key = json.nextName();
            boolean twice;
            switch (key) {
                case "dtype" -> {
                    twice = dtype != null;
                    expect(json, JsonToken.STRING, "the dtype of " + tensor(name));
                    dtype = json.nextString();
                }
                case "shape" -> {
                    twice = shape != null;
                    shape = numbers(json, "the shape of " + tensor(name));
                }
                case "data_offsets" -> {
                    twice = offsets != null;
                    offsets = numbers(json, "data_offsets of " + tensor(name));
                }
                default ->
                    throw new HeaderException("has a header in which " + tensor(name)
                            + " has something else than dtype, shape and data_offsets");
            }
            if (twice) {
                throw new HeaderException("has a header in which " + tensor(name) + " has " + key + " twice");
            }
        }
        json.endObject();
        if (dtype == null || shape == null || offsets == null || offsets.size() != 2) {
            throw new HeaderException(
                    "has a header in which " + tensor(name) + " does not have a dtype, a shape and two data_offsets");
        }
        if (!dtype.matches("\\w{1,20}")) {
            throw new HeaderException("has a header in which the dtype of " + tensor(name) + " is no dtype's name");
        }
        return new Entry(name, dtype, shape, offsets.get(0), offsets.get(1));
    }

    private static List<Long> numbers(JsonReader json, String what) throws IOException {
        List<Long> numbers = new ArrayList<>();
        expect(json, JsonToken.BEGIN_ARRAY, what);
        json.beginArray();
        while (json.hasNext()) {
            expect(json, JsonToken.NUMBER, "an element of " + what);
            String number = json.nextString();
            if (!number.matches("[0-9]{1,19}")
                    || number.length() == 19 && number.compareTo("9223372036854775807") > 0) {
                throw new HeaderException("has a header in which an element of " + what + " is " + number
                        + ", but must be a whole number from 0 to 2^63-1");
            }
            if (numbers.size() == MAX_RANK) {
                throw new HeaderException("has a header in which " + what + " has more than " + MAX_RANK + " elements");
            }
            numbers.add(Long.parseLong(number));
        }
        json.endArray();
        return numbers;
    }

    /** That the tensors are as large as their places and that these, one after the other, are all of the data. */
    private void checkPlaces(long size) throws IOException {
        long covered = 0;
        String before = null;
        for (Entry entry : header.entries) {
            String at = tensor(entry.name) + " has the data_offsets [" + entry.begin + ", " + entry.end + "]";
            if (entry.end < entry.begin) {
                throw new IOException(at + ", which end before they begin");
            }
            if (entry.end > size) {
                throw new IOException(at + ", but there are only " + size + " bytes of data");
            }
            Integer bits = BITS.get(entry.dtype);
            if (bits != null && bytes(entry, bits) != entry.bytes()) {
                long bytes = bytes(entry, bits);
                throw new IOException(at + ", but is " + entry + ", which takes "
                        + (bytes < 0 ? "no whole number of bytes, or more than 2^63" : bytes + " bytes"));
            }
            if (entry.begin < covered) {
                throw new IOException(at + " and overlaps " + tensor(before) + ", which ends at " + covered);
            }
            if (entry.begin > covered) {
                throw new IOException(at + ", but the bytes from " + covered + " on are no tensor's");
            }
            covered = entry.end;
            before = entry.name;
        }
        if (covered != size) {
            throw new IOException("has " + size + " bytes of data, but its tensors end at " + covered);
        }
    }

    /** −1 where that is no whole number or a long does not hold it. */
    private static long bytes(Entry entry, int bits) {
        if (entry.shape.contains(0L)) {
            return 0;
        }
        try {
            long all = Math.multiplyExact(entry.shape.stream().reduce(1L, Math::multiplyExact), (long) bits);
            return all % Byte.SIZE == 0 ? all / Byte.SIZE : -1;
        } catch (ArithmeticException e) {
            return -1;
        }
    }

    /**
     * Writes a state without metadata; see {@link #write(Path, StateDict, Map)}.
     *
     * @throws IOException when the file cannot be written; what was there is there still
     */
    public static void write(Path file, StateDict state) throws IOException {
        write(file, state, Map.of());
    }

    /**
     * Writes a state to a new file, or in the place of what was there: whole or not at all. Equal states give equal
     * files: as the reference implementation has it, the largest element types come first, then it goes by name.
     *
     * @param metadata texts for {@code __metadata__}
     * @throws IOException when the file cannot be written; what was there is there still
     * @throws IllegalArgumentException for an array of the name {@code __metadata__}, and where the header would be
     *     longer than readers take
     * @throws IllegalStateException without Gson on the class path
     */
    public static void write(Path file, StateDict state, Map<String, String> metadata) throws IOException {
        Objects.requireNonNull(file, "file");
        Objects.requireNonNull(state, "state");
        Objects.requireNonNull(metadata, "metadata");
        List<Map.Entry<String, StateArray>> arrays =
                new ArrayList<>(state.toMap().entrySet());
        arrays.sort(Comparator.comparing(
                        (Map.Entry<String, StateArray> entry) ->
                                entry.getValue().type(),
                        Comparator.reverseOrder())
                .thenComparing(entry -> entry.getKey().getBytes(StandardCharsets.UTF_8), Arrays::compareUnsigned));
        ByteBuffer header = WithGson.get("A safetensors file", () -> header(arrays, metadata));
        WholeFile.write(file, out -> {
            out.write(ByteBuffer.allocate(Long.BYTES)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(0, header.remaining())
                    .array());
            copy(header, out);
            for (Map.Entry<String, StateArray> entry : arrays) {
                copy(entry.getValue().content(), out);
            }
        });
    }

    private static void copy(ByteBuffer from, OutputStream to) throws IOException {
        byte[] chunk = new byte[Math.min(from.remaining(), CHUNK)];
        while (from.hasRemaining()) {
            int count = Math.min(from.remaining(), chunk.length);
            from.get(chunk, 0, count);
            to.write(chunk, 0, count);
        }
    }

    private static ByteBuffer header(List<Map.Entry<String, StateArray>> arrays, Map<String, String> metadata)
            throws IOException {
        StringWriter text = new StringWriter();
        try (JsonWriter json = new JsonWriter(text)) {
            json.beginObject();
            if (!metadata.isEmpty()) {
                json.name(METADATA).beginObject();
                for (Map.Entry<String, String> entry : metadata.entrySet()) {
                    json.name(entry.getKey())
                            .value(Objects.requireNonNull(
                                    entry.getValue(), () -> "metadata has null for " + entry.getKey()));
                }
                json.endObject();
            }
            long offset = 0;
            for (Map.Entry<String, StateArray> entry : arrays) {
                if (entry.getKey().equals(METADATA)) {
                    throw new IllegalArgumentException("An array cannot have the name " + METADATA
                            + " in a safetensors file, which keeps something else under it");
                }
                StateArray array = entry.getValue();
                json.name(entry.getKey()).beginObject();
                json.name("dtype").value(DTYPES.get(array.type()));
                json.name("shape").beginArray();
                for (long dimension : array.dimensions()) {
                    json.value(dimension);
                }
                json.endArray();
                json.name("data_offsets").beginArray().value(offset);
                offset += (long) array.elements() * array.type().bytes();
                json.value(offset).endArray().endObject();
            }
            json.endObject();
        }
        text.append(" ".repeat(ALIGNMENT)); // room for the padding
        return padded(text.toString());
    }

    private static ByteBuffer padded(String text) {
        try {
            ByteBuffer bytes = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
            int length = bytes.remaining() - ALIGNMENT;
            bytes.limit(length + Math.floorMod(-length, ALIGNMENT));
            if (bytes.remaining() > MAX_HEADER) {
                throw new IllegalArgumentException("The header of a safetensors file has at most " + MAX_HEADER
                        + " bytes, but that of so many arrays has " + bytes.remaining());
            }
            return bytes;
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException("The metadata must be Unicode, but has half characters", e);
        }
    }

    /** The file, and how many tensors it has. */
    @Override
    public String toString() {
        return file + ": " + header.entries.size() + " tensors";
    }
}
