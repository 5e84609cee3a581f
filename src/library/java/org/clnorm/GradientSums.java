package org.clnorm;

import java.io.Serial;
import java.io.Serializable;
import java.util.Arrays;
import java.util.Collection;
import java.util.Objects;

/**
 * What a backward pass adds up, channel by channel, dy' being dy where the activation let it through, else 0; see {@link
 * ChannelMoments}. The mean is the one that the forward pass used, the same on all devices.
 *
 * @param count how many values each channel has; 0 for an empty part
 * @param dy Σdy'
 * @param dyx Σdy'·(x − mean)
 */
public record GradientSums(long count, double[] dy, double[] dyx) implements Serializable {
    @Serial
    private static final long serialVersionUID = 1;

    /**
     * Copies the arrays.
     *
     * @throws IllegalArgumentException for a negative count, arrays of different lengths or of none
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

    /** Of no values in so many channels, at least one. */
    public static GradientSums empty(int channels) {
        return new GradientSums(0, new double[channels], new double[channels]);
    }

    /**
     * The sums over all parts.
     *
     * @throws IllegalArgumentException for no part, or parts of different numbers of channels
     */
    public static GradientSums combine(Collection<GradientSums> parts) {
        Objects.requireNonNull(parts, "parts").forEach(each -> Objects.requireNonNull(each, "parts has null in it"));
        return parts.stream()
                .reduce(GradientSums::combine)
                .orElseThrow(() -> new IllegalArgumentException("There must be a part to combine, but given was none"));
    }

    /** The sums over both parts. */
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

    /** C. */
    public int channels() {
        return dy.length;
    }

    /** Σdy'. */
    @Override
    public double[] dy() {
        return dy.clone();
    }

    /** Σdy'·(x − mean). */
    @Override
    public double[] dyx() {
        return dyx.clone();
    }

    /** As numbers: the count, Σdy', Σdy'·(x − mean). Those of all devices are their sums, so an all-reduce does. */
    public double[] toArray() {
        double[] numbers = new double[1 + 2 * dy.length];
        numbers[0] = count;
        System.arraycopy(dy, 0, numbers, 1, dy.length);
        System.arraycopy(dyx, 0, numbers, 1 + dy.length, dy.length);
        return numbers;
    }

    /**
     * What {@link #toArray} gave, or a sum of such arrays.
     *
     * @throws IllegalArgumentException for an even number of elements, or a count that is no number of values
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
