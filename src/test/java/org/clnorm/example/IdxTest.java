package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class IdxTest {
    /** A file of the given integers, then the given number of bytes 0, 1, 2, ... */
    static byte[] file(int bodyLength, int... header) {
        ByteBuffer file = ByteBuffer.allocate(4 * header.length + bodyLength);
        for (int value : header) {
            file.putInt(value);
        }
        for (int i = 0; i < bodyLength; i++) {
            file.put((byte) i);
        }
        return file.array();
    }

    static byte[] gzipped(byte[] bytes) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(out)) {
            gzip.write(bytes);
        }
        return out.toByteArray();
    }

    private static Idx.Images images(byte[] file) throws IOException {
        return Idx.images(new ByteArrayInputStream(file), "some-file");
    }

    private static byte[] labels(byte[] file) throws IOException {
        return Idx.labels(new ByteArrayInputStream(file), "some-file");
    }

    @Test
    void images_plainAndGzipped_readTheSame() throws IOException {
        byte[] file = file(2 * 3 * 4, 2051, 2, 3, 4);
        for (byte[] form : new byte[][] {file, gzipped(file)}) {
            Idx.Images images = images(form);
            assertThat(images.count()).isEqualTo(2);
            assertThat(images.rows()).isEqualTo(3);
            assertThat(images.columns()).isEqualTo(4);
            assertThat(images.pixels())
                    .as("the pixels start right after the sizes")
                    .isEqualTo(Arrays.copyOfRange(file, 16, 40));
        }
    }

    @Test
    void labels_plainAndGzipped_readTheSame() throws IOException {
        byte[] file = file(5, 2049, 5);
        assertThat(labels(file)).containsExactly(0, 1, 2, 3, 4);
        assertThat(labels(gzipped(file))).containsExactly(0, 1, 2, 3, 4);
    }

    @Test
    void images_fileOfLabels_saysWhichNumberWasExpected() {
        assertThatThrownBy(() -> images(file(5, 2049, 5)))
                .as("the two files are easily swapped")
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll("some-file", "2051", "2049");
        assertThatThrownBy(() -> labels(file(4, 2051, 1, 2, 2)))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll("some-file", "2051", "2049");
    }

    @ParameterizedTest
    @CsvSource({
        "-1, 28, 28",
        "0, 28, 28",
        "2147483647, 28, 28", // overflows an int
        "1, 0, 28",
        "1, 28, -28",
        "1, -28, -28", // whose product is positive
        "1, 65536, 65536", // whose product is 0 in an int
        "1, 257, 256"
    })
    void images_impossibleSizes_refused(int count, int rows, int columns) {
        assertThatThrownBy(() -> images(file(784, 2051, count, rows, columns)))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("some-file")
                .hasMessageContaining("the file says");
    }

    @Test
    void images_claimsMoreThanItHolds_refusedWithoutTakingTheMemory() {
        long before = allocatedBytes();
        assertThatThrownBy(() -> images(file(10, 2051, 1 << 20, 32, 32)))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll("some-file", "1048576 items", "ends after 10 of");
        assertThat(allocatedBytes() - before)
                .as("a file of 26 bytes must not make the reader allocate the gigabyte that it claims")
                .isLessThan(1 << 22);
    }

    private static long allocatedBytes() {
        return ((com.sun.management.ThreadMXBean) java.lang.management.ManagementFactory.getThreadMXBean())
                .getCurrentThreadAllocatedBytes();
    }

    @Test
    void labels_bytesAfterTheLast_refused() {
        assertThatThrownBy(() -> labels(file(6, 2049, 5)))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll("some-file", "5 items", "more bytes follow");
    }

    @Test
    void images_everyTruncation_refused() throws IOException {
        byte[] file = file(2 * 3 * 4, 2051, 2, 3, 4);
        byte[] zipped = gzipped(file);
        for (byte[] whole : new byte[][] {file, zipped}) {
            for (int length = 0; length < whole.length; length++) {
                byte[] part = Arrays.copyOf(whole, length);
                assertThatThrownBy(() -> images(part))
                        .as("%d of %d bytes are not the file", length, whole.length)
                        .isInstanceOf(IOException.class)
                        .hasMessageContaining("some-file");
            }
        }
    }

    @Test
    void labels_damagedGzip_refused() throws IOException {
        byte[] zipped = gzipped(file(1000, 2049, 1000));
        zipped[zipped.length - 6] ^= 1; // in the checksum
        assertThatThrownBy(() -> labels(zipped)).isInstanceOf(IOException.class).hasMessageContaining("some-file");
    }
}
