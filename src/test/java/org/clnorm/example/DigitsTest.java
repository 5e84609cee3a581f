package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class DigitsTest {
    @Test
    void bundled_tenThousandDigitsOfTenClasses() throws IOException {
        Digits digits = Digits.bundled();
        assertThat(digits.size()).isEqualTo(10_000);
        assertThat(digits.pixels()).isEqualTo(28 * 28);
        assertThat(digits.classes()).isEqualTo(10);
        int[] labels =
                digits.batch(IntStream.range(0, 10_000).toArray(), 0, 10_000).labels();
        int[] count = new int[10];
        IntStream.of(labels).forEach(label -> count[label]++);
        for (int n : count) {
            assertThat(n).as("MNIST has each digit about as often").isBetween(800, 1200);
        }
    }

    @Test
    void split_bundled_lastFifthIsTheTestSet() throws IOException {
        Digits digits = Digits.bundled();
        Digits.Split split = digits.split();
        assertThat(split.train().size()).isEqualTo(8_000);
        assertThat(split.test().size()).isEqualTo(2_000);
        int[] order = IntStream.range(0, 10_000).toArray();
        Digits.Batch test = split.test().batch(order, 0, 2_000);
        assertThat(test.images())
                .as("a test digit that was trained with would flatter the accuracy")
                .isEqualTo(digits.batch(order, 8_000, 10_000).images());
        assertThat(test.labels()).isEqualTo(digits.batch(order, 8_000, 10_000).labels());
        assertThat(split.train().batch(order, 7_990, 8_000).images())
                .isEqualTo(digits.batch(order, 7_990, 8_000).images());
    }

    @Test
    void batch_takesImagesByTheOrderAndScalesPixels() throws IOException {
        Idx.Images images = new Idx.Images(3, 1, 2, new byte[] {0, (byte) 255, 51, 102, (byte) 204, 1});
        Digits.Batch batch = Digits.of(images, new byte[] {7, 8, (byte) 200}).batch(new int[] {1, 2, 0}, 1, 3);
        assertThat(batch.labels()).as("labels are unsigned").containsExactly(200, 7);
        assertThat(batch.images()).containsExactly(0.8f, 1 / 255f, 0f, 1f);
    }

    @Test
    void read_whatIsNoFile_saysWhichAndWhy(@TempDir Path folder) throws IOException {
        Path file = Files.createFile(folder.resolve("a"));

        assertThatThrownBy(() -> Digits.read(file, folder))
                .isInstanceOf(IOException.class)
                .hasMessage(folder + " is a folder, where a file was expected");
        assertThatThrownBy(() -> Digits.read(folder.resolve("b"), file))
                .isInstanceOf(IOException.class)
                .hasMessage("There is no file " + folder.resolve("b"));
    }

    @Test
    void of_countsDiffer_saysBoth() {
        assertThatThrownBy(() -> Digits.of(new Idx.Images(3, 1, 1, new byte[3]), new byte[2]))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll("3 images", "2 labels");
    }

    @Test
    void read_pairOfFiles(@TempDir Path folder) throws IOException {
        Path images = Files.write(folder.resolve("images"), IdxTest.file(10, 2051, 5, 1, 2));
        Path labels = Files.write(folder.resolve("labels.gz"), IdxTest.gzipped(IdxTest.file(5, 2049, 5)));
        Digits digits = Digits.read(images, labels);
        assertThat(digits.size()).isEqualTo(5);
        assertThat(digits.classes()).as("labels 0 to 4").isEqualTo(5);
        assertThat(digits.split().test().size()).isEqualTo(1);
        Path missing = folder.resolve("missing");
        assertThatThrownBy(() -> Digits.read(images, missing))
                .isInstanceOf(IOException.class)
                .hasMessage("There is no file " + missing);
    }
}
