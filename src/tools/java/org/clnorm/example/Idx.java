package org.clnorm.example;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * Reads IDX files, the format of the MNIST database: a magic number, the sizes as big-endian 32-bit integers, then
 * unsigned bytes. A gzipped file is recognized by its first two bytes.
 */
final class Idx {
    private static final int IMAGES_MAGIC = 2051;
    private static final int LABELS_MAGIC = 2049;
    private static final int MAX_PIXELS_PER_IMAGE = 1 << 16;
    private static final int MAX_BYTES = 1 << 30;

    private Idx() {}

    /** {@code count} images one after the other, each row by row, one byte a pixel. */
    record Images(int count, int rows, int columns, byte[] pixels) {}

    /** @param name what to call the file in an error */
    static Images images(InputStream file, String name) throws IOException {
        return read(file, name, data -> {
            checkMagic(data, name, IMAGES_MAGIC, "images");
            int count = data.readInt();
            int rows = data.readInt();
            int columns = data.readInt();
            if (rows < 1 || columns < 1 || (long) rows * columns > MAX_PIXELS_PER_IMAGE) {
                throw new IOException(name + ": images of 1 to " + MAX_PIXELS_PER_IMAGE
                        + " pixels can be read, but the file says " + rows + " rows and " + columns + " columns");
            }
            return new Images(count, rows, columns, body(data, name, count, rows * columns));
        });
    }

    /** @param name what to call the file in an error */
    static byte[] labels(InputStream file, String name) throws IOException {
        return read(file, name, data -> {
            checkMagic(data, name, LABELS_MAGIC, "labels");
            int count = data.readInt();
            return body(data, name, count, 1);
        });
    }

    private interface Format<T> {
        T readFrom(DataInputStream data) throws IOException;
    }

    private static <T> T read(InputStream file, String name, Format<T> format) throws IOException {
        try {
            return format.readFrom(new DataInputStream(unzipped(new BufferedInputStream(file))));
        } catch (EOFException e) {
            throw new IOException(name + ": the file ends too early", e);
        } catch (ZipException e) {
            throw new IOException(name + ": the gzip data is damaged: " + e.getMessage(), e);
        }
    }

    private static InputStream unzipped(BufferedInputStream file) throws IOException {
        file.mark(2);
        boolean gzip = file.read() == 0x1f && file.read() == 0x8b;
        file.reset();
        return gzip ? new GZIPInputStream(file) : file;
    }

    private static void checkMagic(DataInputStream data, String name, int expected, String what) throws IOException {
        int magic = data.readInt();
        if (magic != expected) {
            throw new IOException(name + ": an IDX file of " + what + " starts with the number " + expected
                    + ", but this one with " + magic);
        }
    }

    private static byte[] body(DataInputStream data, String name, int count, int bytesEach) throws IOException {
        long size = (long) count * bytesEach;
        if (count < 1 || size > MAX_BYTES) {
            throw new IOException(name + ": 1 item or more and at most " + MAX_BYTES
                    + " bytes can be read, but the file says " + count + " items of " + bytesEach + " bytes");
        }
        // Grows as the bytes arrive: a file that claims more than it holds costs no memory.
        byte[] bytes = data.readNBytes((int) size);
        if (bytes.length < size) {
            throw new IOException(name + ": the file says " + count + " items of " + bytesEach
                    + " bytes, but it ends after " + bytes.length + " of these " + size + " bytes");
        }
        if (data.read() >= 0) {
            throw new IOException(name + ": the file says " + count + " items of " + bytesEach
                    + " bytes, but more bytes follow them");
        }
        return bytes;
    }
}
