package org.clnorm.replicas;

import java.io.Serial;
import java.io.Serializable;
import java.util.Arrays;
import java.util.Collection;
import java.util.Objects;

/**
 * What a backward pass adds up, channel by channel, dy' being dy where the activation let it through, else 0; see
 * {@link ChannelMoments}. The mean is the one that the forward pass used, the same on all devices.
 *
 * @param count how many values each channel has, N times the spatial dimensions; 0 for an empty part
 * @param dy Σdy' of each channel
 * @param dyx Σdy'·(x − mean) of each channel
 */
public record GradientSums(long count, double[] dy, double[] dyx) implements Serializable {
    @Serial
    private static final long serialVersionUID = 1;

    /**
     * Copies the arrays.
     *
     * @throws IllegalArgumentException for a negative count, and for arrays of different lengths or of none
     */
    public GradientSums {
        Objects.requireNonNull(dy, "dy");
        Objects.requireNonNull(dyx, "dyx");
        if (count < 0) {
            throw new IllegalArgumentException("count must be at least 0, but given was " + count);
        }
        if (dy.length != dyx.length || dy.length == 0) {
            throw new IllegalArgumentException(
                    "dy and dyx must have one element per channel, but given were " + dy.length + " and " + dyx.length);
        }
        dy = dy.clone();
        dyx = dyx.clone();
    }

    /**
     * The sums over no values.
     *
     * @param channels how many channels they have, at least 1
     * @throws IllegalArgumentException for no channel
     */
    public static GradientSums empty(int channels) {
        return new GradientSums(0, new double[channels], new double[channels]);
    }

    /**
     * The sums over all parts.
     *
     * @param parts the sums over each part, at least one, all of the same number of channels
     * @throws IllegalArgumentException for no part, or parts of different numbers of channels
     */
    public static GradientSums combine(Collection<GradientSums> parts) {
        Objects.requireNonNull(parts, "parts").forEach(each -> Objects.requireNonNull(each, "parts has null in it"));
        return parts.stream()
                .reduce(GradientSums::combine)
                .orElseThrow(() -> new IllegalArgumentException("There must be a part to combine, but given was none"));
    }

    /**
     * The sums over two parts.
     *
     * @param a the sums over one part
     * @param b the sums over the other, of the same number of channels
     * @throws IllegalArgumentException for parts of different numbers of channels
     */
    public static GradientSums combine(GradientSums a, GradientSums b) {
        Objects.requireNonNull(a, "a");
        Objects.requireNonNull(b, "b");
        if (a.channels() != b.channels()) {
            throw new IllegalArgumentException("Sums to combine must have the same number of channels, but given were "
                    + a.channels() + " and " + b.channels());
        }
        double[] dy = new double[a.dy.length];
        double[] dyx = new double[a.dy.length];
        Arrays.setAll(dy, c -> a.dy[c] + b.dy[c]);
        Arrays.setAll(dyx, c -> a.dyx[c] + b.dyx[c]);
        return new GradientSums(Math.addExact(a.count, b.count), dy, dyx);
    }

    /** How many channels there are, C. */
    public int channels() {
        return dy.length;
    }

    /** Σdy' of each channel, as a copy. */
    @Override
    public double[] dy() {
        return dy.clone();
    }

    /** Σdy'·(x − mean) of each channel, as a copy. */
    @Override
    public double[] dyx() {
        return dyx.clone();
    }

    /**
     * The sums as numbers: the count, then Σdy' of each channel, then Σdy'·(x − mean) of each. The numbers of the whole
     * batch are the sums of those of all devices, so that an all-reduce makes them.
     */
    public double[] toArray() {
        double[] numbers = new double[1 + 2 * dy.length];
        numbers[0] = count;
        System.arraycopy(dy, 0, numbers, 1, dy.length);
        System.arraycopy(dyx, 0, numbers, 1 + dy.length, dy.length);
        return numbers;
    }

    /**
     * The sums that {@link #toArray} made numbers of, or a sum of such arrays.
     *
     * @param numbers the count, then Σdy' of each channel, then Σdy'·(x − mean) of each
     * @throws IllegalArgumentException for an even number of elements or fewer than three, and for a count that is no
     *     number of values
     */
    public static GradientSums of(double[] numbers) {
        Objects.requireNonNull(numbers, "numbers");
        if (numbers.length < 3 || numbers.length % 2 == 0) {
            throw new IllegalArgumentException("Gradient sums are a count and two sums per channel, but given were "
                    + numbers.length + " numbers");
        }
        int channels = numbers.length / 2;
        return new GradientSums(
                ChannelMoments.toCount(numbers[0]),
                Arrays.copyOfRange(numbers, 1, 1 + channels),
                Arrays.copyOfRange(numbers, 1 + channels, numbers.length));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof GradientSums that
                && count == that.count
                && Arrays.equals(dy, that.dy)
                && Arrays.equals(dyx, that.dyx);
    }

    @Override
    public int hashCode() {
        return Objects.hash(count, Arrays.hashCode(dy), Arrays.hashCode(dyx));
    }

    @Override
    public String toString() {
        return "Gradient sums of " + count + " values in each of " + dy.length + " channels";
    }
}
