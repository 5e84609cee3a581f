package org.clnorm.example;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;

/** Images and their labels: the digits that come with the library, or any pair of IDX files. */
public final class Digits {
    private final int pixels;
    private final byte[] images;
    private final byte[] labels;

    private Digits(int pixels, byte[] images, byte[] labels) {
        this.pixels = pixels;
        this.images = images;
        this.labels = labels;
    }

    /** The first {@code train} part of the data, and the rest. */
    public record Split(Digits train, Digits test) {}

    /** Images as the network takes them, and their labels. {@code images} is (labels.length, pixels), from 0 to 1. */
    public record Batch(float[] images, int[] labels) {}

    /** The 10,000 handwritten digits that come with the library. */
    public static Digits bundled() throws IOException {
        String images = "digits/digits-images-idx3-ubyte.gz";
        String labels = "digits/digits-labels-idx1-ubyte.gz";
        try (InputStream imageFile = Digits.class.getResourceAsStream(images);
                InputStream labelFile = Digits.class.getResourceAsStream(labels)) {
            if (imageFile == null || labelFile == null) {
                throw new IOException("The digits are missing from the class path: " + images + ", " + labels);
            }
            return of(Idx.images(imageFile, images), Idx.labels(labelFile, labels));
        }
    }

    /**
     * A pair of IDX files, gzipped or not.
     *
     * @throws IOException for files that cannot be read, are not IDX files of unsigned bytes, or do not belong together
     */
    public static Digits read(Path images, Path labels) throws IOException {
        try (InputStream imageFile = opened(images);
                InputStream labelFile = opened(labels)) {
            return of(Idx.images(imageFile, images.toString()), Idx.labels(labelFile, labels.toString()));
        }
    }

    private static InputStream opened(Path file) throws IOException {
        if (Files.isDirectory(file)) {
            throw new IOException(file + " is a folder, where a file was expected");
        }
        try {
            return Files.newInputStream(file);
        } catch (NoSuchFileException e) {
            throw new IOException("There is no file " + file, e);
        }
    }

    static Digits of(Idx.Images images, byte[] labels) throws IOException {
        if (images.count() != labels.length) {
            throw new IOException("Every image needs one label, but there are " + images.count() + " images and "
                    + labels.length + " labels");
        }
        return new Digits(images.rows() * images.columns(), images.pixels(), labels);
    }

    /** How many images there are. */
    public int size() {
        return labels.length;
    }

    /** Pixels per image. */
    public int pixels() {
        return pixels;
    }

    /** One more than the largest label, and at least two. */
    public int classes() {
        int largest = 1;
        for (byte label : labels) {
            largest = Math.max(largest, Byte.toUnsignedInt(label));
        }
        return largest + 1;
    }

    /** The last fifth to test with, what comes before it to train with. */
    public Split split() {
        int train = size() - size() / 5;
        return new Split(range(0, train), range(train, size()));
    }

    /** The images {@code from} to {@code to - 1}. */
    public Digits range(int from, int to) {
        return new Digits(
                pixels, Arrays.copyOfRange(images, from * pixels, to * pixels), Arrays.copyOfRange(labels, from, to));
    }

    /** The images {@code order[from]} to {@code order[to - 1]}. */
    public Batch batch(int[] order, int from, int to) {
        float[] x = new float[(to - from) * pixels];
        int[] t = new int[to - from];
        for (int row = 0; row < t.length; row++) {
            int image = order[from + row];
            t[row] = Byte.toUnsignedInt(labels[image]);
            for (int p = 0; p < pixels; p++) {
                x[row * pixels + p] = Byte.toUnsignedInt(images[image * pixels + p]) / 255f;
            }
        }
        return new Batch(x, t);
    }
}
