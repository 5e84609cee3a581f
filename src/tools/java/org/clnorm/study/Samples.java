package org.clnorm.study;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.clnorm.example.Digits;

/**
 * Small images and their labels.
 *
 * @param pixels of an image, or features of whatever it is
 * @param images (labels.length, pixels), from 0 to 1
 * @param labels 0 to 9
 */
record Samples(int pixels, float[] images, int[] labels) {
    /** Digits of 28 by 28 pixels made smaller by averages over squares; the side divides 28. */
    static Samples of(Digits digits, int from, int to, int side) {
        int full = (int) Math.sqrt(digits.pixels());
        int block = full / side;
        Digits.Batch batch = digits.batch(IntStream.range(0, to).toArray(), from, to);
        float[] images = new float[(to - from) * side * side];
        for (int i = 0; i < to - from; i++) {
            for (int p = 0; p < full * full; p++) {
                int small = p / full / block * side + p % full / block;
                images[i * side * side + small] += batch.images()[i * full * full + p] / (block * block);
            }
        }
        return new Samples(side * side, images, batch.labels());
    }

    int size() {
        return labels.length;
    }

    /** The first so many, or all where there are no more. */
    Samples head(int count) {
        int kept = Math.min(count, size());
        return new Samples(pixels, Arrays.copyOf(images, kept * pixels), Arrays.copyOf(labels, kept));
    }

    /** Some of them, in an order. */
    Samples rows(int[] order, int from, int to) {
        float[] x = new float[(to - from) * pixels];
        int[] t = new int[to - from];
        for (int row = 0; row < t.length; row++) {
            System.arraycopy(images, order[from + row] * pixels, x, row * pixels, pixels);
            t[row] = labels[order[from + row]];
        }
        return new Samples(pixels, x, t);
    }

    /** The same with other images. */
    Samples with(float[] others) {
        return new Samples(pixels, others, labels);
    }
}
