package org.clnorm.bench;

import org.clnorm.Layout;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;

/**
 * Sequences padded to the longest, whose lengths are spread evenly from half to all of the steps. Where samples have a single
 * step, or rows no sequence, all of them together are 16 sequences.
 *
 * @param sequences how many there are
 * @param steps how many each has with its padding
 * @param all how many steps there are, no more than that
 */
record Padding(int sequences, int steps, int all) {
    /** Kernels read whole vectors. */
    private static final int ROOM_AFTER = 16;

    private static final int SEQUENCES = 16;

    static Padding of(Workload workload) {
        Grouping grouping = workload.norm().normalization(workload.shape()).grouping();
        long samples = workload.shape().batch();
        long all = grouping instanceof Grouping.Rows
                ? grouping.groups(workload.shape(), Layout.CHANNELS_FIRST)
                : samples * workload.shape().spatial();
        long sequences = all > samples ? samples : Math.min(SEQUENCES, samples);
        return new Padding((int) sequences, (int) ((all + sequences - 1) / sequences), (int) all);
    }

    private int length(int sequence) {
        int half = (steps + 1) / 2;
        return sequences == 1 ? half : half + (int) ((long) (steps - half) * sequence / (sequences - 1));
    }

    /** The state of each step, with the room that a mask has after the last. */
    float[] states() {
        float[] states = new float[all + ROOM_AFTER];
        for (int i = 0; i < all; i++) {
            states[i] = i % steps < length(i / steps) ? 1 : 0;
        }
        return states;
    }

    /** How many steps take part: of each sample, where these have statistics of their own, or else of all. */
    float[] counts(Normalization normalization, int samples) {
        int blocks = normalization.grouping() instanceof Grouping.Channels ? samples : 1;
        float[] states = states();
        float[] counts = new float[blocks];
        for (int i = 0; i < all; i++) {
            counts[(int) ((long) i * blocks / all)] += states[i];
        }
        return counts;
    }
}
