package org.clnorm.state;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.clnorm.files.WholeFile;

/** NumPy's {@code .npz} files: a zip of {@code .npy} arrays, stored or deflated, each under its name. */
public final class Npz {
    private static final String SUFFIX = ".npy";
    /** No deflated byte stands for more than this many, nearly: RFC 1951 copies 258 bytes with 2 bits. */
    private static final long MAX_RATIO = 1_100;
    /** The earliest time that a zip can say: the same arrays give the same file. */
    private static final LocalDateTime TIME = LocalDateTime.of(1980, 1, 1, 0, 0);

    private Npz() {}

    /**
     * Reads all arrays of a file.
     *
     * @param file a regular file
     * @return the arrays by name, in the file's order
     * @throws IOException when the file cannot be read or is not such a zip; when an array in it is damaged, of an
     *     unsupported kind, there twice, or called otherwise in the zip's directory; and when all arrays together take
     *     more than half of the memory that the virtual machine may use. The message names the file and the array.
     */
    public static Map<String, NpyArray> read(Path file) throws IOException {
        return read(file, Runtime.getRuntime().maxMemory() / 2);
    }

    static Map<String, NpyArray> read(Path file, long maxBytes) throws IOException {
        InputFile.check(file);
        try (ZipFile zip = open(file)) {
            Map<String, NpyArray> arrays = new LinkedHashMap<>();
            long total = 0;
            for (ZipEntry entry : entries(file, zip)) {
                String name = arrayName(file, entry);
                if (arrays.containsKey(name)) {
                    throw new IOException(file + ": has the array " + name + " twice");
                }
                try {
                    checkSize(entry, Files.size(file), maxBytes - total);
                    arrays.put(name, read(zip, entry, maxBytes - total));
                } catch (IOException | IllegalArgumentException e) {
                    throw new IOException(file + ": the array " + name + " " + reason(e), e);
                }
                total += arrays.get(name).bytes();
            }
            return arrays;
        }
    }

    /** What the directory has; a name in it that is not UTF-8 is seen here only. */
    private static List<? extends ZipEntry> entries(Path file, ZipFile zip) throws IOException {
        try {
            return Collections.list(zip.entries());
        } catch (IllegalArgumentException e) {
            throw noNpz(file, e);
        }
    }

    private static IOException noNpz(Path file, Exception why) {
        return new IOException(file + ": is not an .npz file, a zip of .npy arrays: " + reason(why), why);
    }

    private static ZipFile open(Path file) throws IOException {
        try {
            ZipFile zip = new ZipFile(file.toFile());
            try {
                LocalNames.check(file);
                return zip;
            } catch (IOException e) {
                zip.close();
                throw e;
            }
        } catch (IOException | IllegalArgumentException e) {
            throw noNpz(file, e);
        }
    }

    /** The zip classes throw exceptions of both kinds for damaged files, some without a message. */
    private static String reason(Exception e) {
        return e.getMessage() != null ? e.getMessage() : "cannot be read: " + e;
    }

    private static String arrayName(Path file, ZipEntry entry) throws IOException {
        String name = entry.getName();
        if (name.chars().anyMatch(Character::isISOControl)) {
            throw new IOException(file + ": has an entry with control characters in its name");
        }
        if (!name.endsWith(SUFFIX)) {
            throw new IOException(file + ": has the entry " + name + ", which is no .npy array"
                    + (name.endsWith(".pkl")
                            ? ", but a pickle, as in PyTorch's own files; save it as safetensors"
                            : ""));
        }
        return name.substring(0, name.length() - SUFFIX.length());
    }

    /** What an entry claims, against what the file can hold and the memory there is. */
    private static void checkSize(ZipEntry entry, long fileBytes, long maxBytes) throws IOException {
        if (entry.getCompressedSize() > fileBytes || entry.getSize() / MAX_RATIO > entry.getCompressedSize()) {
            throw new IOException("claims " + entry.getSize() + " bytes in " + entry.getCompressedSize()
                    + " compressed ones, which cannot be in a file of " + fileBytes);
        }
        if (entry.getSize() > maxBytes) {
            throw new IOException("has " + entry.getSize() + " bytes, but there is memory for " + maxBytes
                    + " more; raise it with java -Xmx");
        }
    }

    private static NpyArray read(ZipFile zip, ZipEntry entry, long room) throws IOException {
        try (CheckedInputStream in = new CheckedInputStream(zip.getInputStream(entry), new CRC32())) {
            NpyArray array = NpyArray.read(in, entry.getSize(), room);
            if (in.getChecksum().getValue() != entry.getCrc()) {
                throw new IOException("is damaged: its checksum is wrong");
            }
            return array;
        }
    }

    /**
     * Reads all arrays of a file as the state of layers, in the file's order.
     *
     * @param file a regular file
     * @throws IOException in the cases of {@link #read}, and for a name that a {@link StateDict} cannot have
     */
    public static StateDict readState(Path file) throws IOException {
        Map<String, StateArray> state = new LinkedHashMap<>();
        read(file).forEach((name, array) -> state.put(name, array.toState()));
        try {
            return StateDict.of(state);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }

    /**
     * Writes arrays to a new file, or in the place of what was there: whole or not at all. Equal arrays give equal
     * files.
     *
     * @param file the file; what is there is replaced
     * @param arrays the arrays by name, in the order in which they are written
     * @throws IllegalArgumentException for a name of more than 65,531 characters; the message says which
     * @throws IOException when the file cannot be written; what was there is there still
     */
    public static void write(Path file, Map<String, NpyArray> arrays) throws IOException {
        Objects.requireNonNull(arrays, "arrays")
                .forEach((name, array) -> Objects.requireNonNull(array, () -> "arrays has null for " + name));
        write(file, arrays.keySet(), arrays::get);
    }

    /**
     * Writes the state of layers to a new file, or in the place of what was there; see {@link #write}.
     *
     * @param file the file; what is there is replaced
     * @param state arrays of any type but bfloat16
     * @throws IllegalArgumentException for a bfloat16 array, which the format has no type for, and for a name of more
     *     than 65,531 characters; the message says which
     * @throws IOException when the file cannot be written; what was there is there still
     */
    public static void writeState(Path file, StateDict state) throws IOException {
        Objects.requireNonNull(state, "state");
        write(file, state.names(), name -> {
            try {
                return NpyArray.of(state.get(name).orElseThrow());
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException(
                        file + " was not written: the array " + name + " " + e.getMessage(), e);
            }
        });
    }

    private static ZipEntry entry(Path file, String name) {
        try {
            return new ZipEntry(name + SUFFIX);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    file + " was not written: a zip has no room for a name of " + name.length() + " characters", e);
        }
    }

    private static void write(Path file, Set<String> names, Function<String, NpyArray> arrays) throws IOException {
        Objects.requireNonNull(file, "file");
        WholeFile.write(file, out -> {
            try (ZipOutputStream zip = new ZipOutputStream(out)) {
                for (String name : names) {
                    ZipEntry entry = entry(file, name);
                    entry.setTimeLocal(TIME);
                    zip.putNextEntry(entry);
                    arrays.apply(name).write(zip);
                    zip.closeEntry();
                }
            }
        });
    }
}
