package org.clnorm.state;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.JsonWriter;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.clnorm.state.Safetensors.Entry;

/**
 * The header of a safetensors file.
 *
 * @param metadata the texts under {@code __metadata__}, in the file's order
 * @param entries all tensors, in the order of their places
 */
record SafetensorsHeader(Map<String, String> metadata, List<Entry> entries) {
    /** The reference implementation's limit. */
    static final long MAX_HEADER = 100_000_000;

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
    /** NumPy's limit; the format has none. */
    private static final int MAX_RANK = 64;
    /** The header is padded so that the elements start at a multiple of this. */
    private static final int ALIGNMENT = 8;

    /** The element type of a dtype, if it is one that can be read. */
    static Optional<StateArray.Type> typeOf(String dtype) {
        return DTYPES.entrySet().stream()
                .filter(known -> known.getValue().equals(dtype))
                .map(Map.Entry::getKey)
                .findFirst();
    }

    /** The dtypes that can be read. */
    static Iterable<String> dtypes() {
        return DTYPES.values();
    }

    /** A tensor, in words. */
    static String tensor(String name) {
        return "the tensor " + name;
    }

    /** What a header says, yet unchecked against the file. */
    static SafetensorsHeader parse(byte[] text) throws IOException {
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
            return new SafetensorsHeader(metadata == null ? Map.of() : metadata, sorted(entries.values()));
        } catch (HeaderException e) {
            throw e;
        } catch (IOException e) {
            throw new IOException("has a header that is not strictly JSON, in UTF-8", e);
        }
    }

    /** The header is JSON, but not such a header. */
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

    /**
     * Refuses tensors that are not as large as their places, and places that are not, one after the other, all of the
     * data.
     */
    void checkPlaces(long size) throws IOException {
        long covered = 0;
        String before = null;
        for (Entry entry : entries) {
            String at = tensor(entry.name()) + " has the data_offsets [" + entry.begin() + ", " + entry.end() + "]";
            if (entry.end() < entry.begin()) {
                throw new IOException(at + ", which end before they begin");
            }
            if (entry.end() > size) {
                throw new IOException(at + ", but there are only " + size + " bytes of data");
            }
            Integer bits = BITS.get(entry.dtype());
            if (bits != null && bytes(entry, bits) != entry.bytes()) {
                long bytes = bytes(entry, bits);
                throw new IOException(at + ", but is " + entry + ", which takes "
                        + (bytes < 0 ? "no whole number of bytes, or more than 2^63" : bytes + " bytes"));
            }
            if (entry.begin() < covered) {
                throw new IOException(at + " and overlaps " + tensor(before) + ", which ends at " + covered);
            }
            if (entry.begin() > covered) {
                throw new IOException(at + ", but the bytes from " + covered + " on are no tensor's");
            }
            covered = entry.end();
            before = entry.name();
        }
        if (covered != size) {
            throw new IOException("has " + size + " bytes of data, but its tensors end at " + covered);
        }
    }

    /** The size that an entry's elements take in bytes; −1 where that is no whole number or a long does not hold it. */
    private static long bytes(Entry entry, int bits) {
        if (entry.shape().contains(0L)) {
            return 0;
        }
        try {
            long all = Math.multiplyExact(entry.shape().stream().reduce(1L, Math::multiplyExact), (long) bits);
            return all % Byte.SIZE == 0 ? all / Byte.SIZE : -1;
        } catch (ArithmeticException e) {
            return -1;
        }
    }

    /** The header of a file that has these arrays one after the other. */
    static ByteBuffer write(List<Map.Entry<String, StateArray>> arrays, Map<String, String> metadata)
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
}
