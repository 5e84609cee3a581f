package org.clnorm;

import java.util.Arrays;
import java.util.function.IntPredicate;

/**
 * Which steps of a batch take part, and what a test compares: the valid steps packed into one dense batch, and what has to be
 * around them.
 *
 * @param valid by sample and position
 */
record MaskedBatch(int samples, int steps, boolean[] valid) {

    /** The first steps of each sample, as many as said. */
    static MaskedBatch ofLengths(int steps, int... lengths) {
        boolean[] valid = new boolean[lengths.length * steps];
        for (int n = 0; n < lengths.length; n++) {
            Arrays.fill(valid, n * steps, n * steps + lengths[n], true);
        }
        return new MaskedBatch(lengths.length, steps, valid);
    }

    /** The steps of which the number is said to be valid. */
    static MaskedBatch of(int samples, int steps, IntPredicate isValid) {
        boolean[] valid = new boolean[samples * steps];
        for (int i = 0; i < valid.length; i++) {
            valid[i] = isValid.test(i);
        }
        return new MaskedBatch(samples, steps, valid);
    }

    /** A mask of these, by a byte for each step. */
    Mask on(Device device, Mask.Outside outside) {
        Mask mask = Mask.of(device, samples, steps, outside);
        set(mask);
        return mask;
    }

    void set(Mask mask) {
        byte[] bytes = new byte[valid.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (valid[i] ? i % 2 == 0 ? 1 : -128 : 0); // any but 0
        }
        mask.setBytes(bytes);
    }

    int count() {
        return count(0, samples);
    }

    /** How many of the samples from one to before another. */
    int count(int from, int to) {
        int count = 0;
        for (int i = from * steps; i < to * steps; i++) {
            count += valid[i] ? 1 : 0;
        }
        return count;
    }

    /** The batch with another value wherever no step takes part. */
    Batch around(Batch batch, float outside) {
        double[][] channels = new double[batch.channels()][];
        for (int c = 0; c < channels.length; c++) {
            double[] of = batch.channel(c);
            channels[c] = of;
            for (int i = 0; i < of.length; i++) {
                of[i] = valid[i] ? of[i] : outside;
            }
        }
        return Batch.of(batch.shape(), batch.layout(), channels);
    }

    /** The valid steps of all samples, as those of one. */
    Batch packed(Batch batch) {
        return packed(batch, 0, samples);
    }

    /** The valid steps of the samples from one to before another, as those of one. */
    Batch packed(Batch batch, int from, int to) {
        double[][] channels = new double[batch.channels()][];
        for (int c = 0; c < channels.length; c++) {
            channels[c] = packed(batch.channel(c), from, to);
        }
        return Batch.of(Shape.of(1, batch.channels(), count(from, to)), batch.layout(), channels);
    }

    private double[] packed(double[] channel, int from, int to) {
        double[] packed = new double[count(from, to)];
        int at = 0;
        for (int i = from * steps; i < to * steps; i++) {
            if (valid[i]) {
                packed[at++] = channel[i];
            }
        }
        return packed;
    }

    /** A channel with packed values at its valid steps, and another wherever no step takes part. */
    double[] unpacked(double[] packed, double outside) {
        double[] channel = new double[valid.length];
        int at = 0;
        for (int i = 0; i < channel.length; i++) {
            channel[i] = valid[i] ? packed[at++] : outside;
        }
        return channel;
    }

    @Override
    public String toString() {
        return count() + " of " + samples + " x " + steps + " steps";
    }
}
