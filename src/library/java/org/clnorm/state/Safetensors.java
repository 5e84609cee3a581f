package org.clnorm.state;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
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
import org.clnorm.files.WholeFile;

/**
 * Files in safetensors format: 8 bytes of a header's length, little-endian; the header, JSON with the dtype, the shape
 * and the place of each tensor and, under {@code __metadata__}, texts; the elements of all tensors, little-endian, in C
 * order.
 *
 * <p>{@link #read} and {@link #write} are all that most need. An open file gives one tensor at a time, and lists those
 * of a dtype that is not supported too. A file is checked when it is opened, by the rules of the format's reference
 * implementation; beyond them, no name may be empty, come twice or have control characters.
 */
public final class Safetensors implements AutoCloseable {
    /**
     * What the header says of a tensor.
     *
     * @param name the tensor's name
     * @param dtype as the header has it, such as {@code F32}
     * @param shape slowest dimension first, each 0 or more; empty for a scalar
     * @param begin where its elements begin, in bytes after the header
     * @param end where its elements end, in bytes after the header
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

        /** The size of all elements, in bytes. */
        public long bytes() {
            return end - begin;
        }

        /** The element type, if it is one that can be read. */
        public Optional<StateArray.Type> type() {
            return SafetensorsHeader.typeOf(dtype);
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

    /** The most that what is read of a header takes in memory, by the header's length: six times was seen. */
    private static final int MEMORY_OF_HEADER = 8;
    /** What is asked for at once: a channel takes as much memory again outside of the heap. */
    private static final int CHUNK = 1 << 20;

    private final Path file;
    private final FileChannel channel;
    /** Where the first element lies. */
    private final long start;

    private final SafetensorsHeader header;

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
        if (length < 0 || length > SafetensorsHeader.MAX_HEADER) {
            throw new IOException("is not in safetensors format: it claims a header of " + Long.toUnsignedString(length)
                    + " bytes, but at most " + SafetensorsHeader.MAX_HEADER + " are read");
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
        this.header = WithGson.get("A safetensors file", () -> SafetensorsHeader.parse(text));
        header.checkPlaces(size - start);
    }

    /**
     * Opens a file and checks its header.
     *
     * @param file a regular file
     * @return the open file; the caller closes it
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
     * Reads all tensors of a file, in the order of their places.
     *
     * @param file a regular file
     * @throws IOException in the cases of {@link #open} and {@link #load}, and when the header and all tensors together
     *     take more than half of the memory that the virtual machine may use
     * @throws IllegalStateException without Gson on the class path
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
        return Collections.unmodifiableMap(header.metadata());
    }

    /** What the header says of each tensor, in the order of their places. */
    public List<Entry> entries() {
        return Collections.unmodifiableList(header.entries());
    }

    /**
     * Reads one tensor.
     *
     * @param entry one of {@link #entries}
     * @throws IOException when it has a dtype that is not supported, is larger than an array can be, or cannot be read;
     *     the message names the file and the tensor
     */
    public StateArray load(Entry entry) throws IOException {
        Objects.requireNonNull(entry, "entry");
        StateArray.Type type = entry.type()
                .orElseThrow(() -> wrong(
                        entry.name(),
                        "has the dtype " + entry.dtype() + ", but supported are " + SafetensorsHeader.dtypes()));
        try {
            return StateArray.from(to -> fill(to, start + entry.begin()), type, entry.dimensions());
        } catch (IOException | IllegalArgumentException e) {
            throw new IOException(file + ": " + SafetensorsHeader.tensor(entry.name()) + ": " + e.getMessage(), e);
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

    /** Fills a buffer from a place on, as far as the file goes. */
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

    private IOException wrong(String name, String what) {
        return new IOException(file + ": " + SafetensorsHeader.tensor(name) + " " + what);
    }

    /**
     * Writes a state without metadata; see {@link #write(Path, StateDict, Map)}.
     *
     * @param file the file; what is there is replaced
     * @param state the arrays by name
     * @throws IOException when the file cannot be written; what was there is there still
     * @throws IllegalArgumentException for an array of the name {@code __metadata__}, and where the header would be
     *     longer than readers take
     * @throws IllegalStateException without Gson on the class path
     */
    public static void write(Path file, StateDict state) throws IOException {
        write(file, state, Map.of());
    }

    /**
     * Writes a state to a new file, or in the place of what was there: whole or not at all. Equal states give equal
     * files: as the reference implementation has it, the largest element types come first, and those of one type go by
     * name.
     *
     * @param file the file; what is there is replaced
     * @param state the arrays by name
     * @param metadata texts by name for {@code __metadata__}; empty for none
     * @throws IOException when the file cannot be written; what was there is there still
     * @throws IllegalArgumentException for an array of the name {@code __metadata__}, for metadata that is no Unicode,
     *     and where the header would be longer than readers take
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
        ByteBuffer header = WithGson.get("A safetensors file", () -> SafetensorsHeader.write(arrays, metadata));
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

    /** The file, and how many tensors it has. */
    @Override
    public String toString() {
        return file + ": " + header.entries().size() + " tensors";
    }
}
