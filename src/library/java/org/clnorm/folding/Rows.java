package org.clnorm.folding;

/**
 * A weight as one row for each output, each of {@code length} weights in the order of (in/groups, k...).
 *
 * @param count how many outputs there are
 * @param perGroup how many outputs a group has
 * @param inputs how many inputs a group has
 * @param taps the product of k...
 * @param transposed whether it is the weight of a transposed convolution
 */
record Rows(int count, int perGroup, int inputs, int taps, boolean transposed) {
    /** The rows of a weight (out, in/groups, k...). */
    static Rows of(Weights layer, int groups) {
        int count = (int) layer.shape()[0];
        return new Rows(count, count / groups, (int) layer.shape()[1], layer.taps(), false);
    }

    /** The rows of a weight (in, out/groups, k...). */
    static Rows ofTransposed(Weights layer, int groups) {
        int perGroup = (int) layer.shape()[1];
        return new Rows(perGroup * groups, perGroup, (int) layer.shape()[0] / groups, layer.taps(), true);
    }

    int length() {
        return inputs * taps;
    }

    /** The place of weight {@code i} of output {@code o}. */
    int index(int o, int i) {
        return transposed ? (channel(o, i) * perGroup + o % perGroup) * taps + i % taps : o * length() + i;
    }

    /** The input channel, of those of all groups, that weight {@code i} of output {@code o} is for. */
    int channel(int o, int i) {
        return o / perGroup * inputs + i / taps;
    }
}
