package org.clnorm.replicas;

import java.io.Serial;
import java.io.Serializable;
import java.util.Arrays;
import java.util.Collection;
import java.util.Objects;
import org.clnorm.RunningVariance;

/**
 * The moments of a batch, channel by channel: what several devices, each with a part of a batch, tell each other so
 * that all normalize by the statistics of the whole. A plain value, which may be serialized, or sent as
 * {@link #toArray numbers}.
 *
 * <p>Moments of parts are combined by the formula of Chan, Golub and LeVeque (1983): with n = a.count + b.count and δ =
 * b.mean − a.mean, mean = a.mean + δ·b.count/n and M2 = a.M2 + b.M2 + δ²·a.count·b.count/n. NaN and infinity in a
 * channel stay there.
 *
 * @param count how many values each channel has, N times the spatial dimensions; 0 for an empty part
 * @param mean Σx / count of each channel; 0 for an empty part
 * @param squares M2 = Σ(x − mean)² of each channel; 0 for an empty part
 */
public record ChannelMoments(long count, double[] mean, double[] squares) implements Serializable {
    @Serial
    private static final long serialVersionUID = 1;

    /**
     * Copies the arrays.
     *
     * @throws IllegalArgumentException for a negative count, and for arrays of different lengths or of none
     */
    public ChannelMoments {
        Objects.requireNonNull(mean, "mean");
        Objects.requireNonNull(squares, "squares");
        if (count < 0) {
            throw new IllegalArgumentException("count must be at least 0, but given was " + count);
        }
        if (mean.length != squares.length || mean.length == 0) {
            throw new IllegalArgumentException("mean and squares must have one element per channel, but given were "
                    + mean.length + " and " + squares.length);
        }
        mean = mean.clone();
        squares = squares.clone();
    }

    /**
     * The moments of no values.
     *
     * @param channels how many channels they have, at least 1
     * @throws IllegalArgumentException for no channel
     */
    public static ChannelMoments empty(int channels) {
        return new ChannelMoments(0, new double[channels], new double[channels]);
    }

    /**
     * The moments of all values of several parts. Parts that are empty do not matter, and the order only by roundings
     * to double; replicas that are to agree to the bit combine in the same order.
     *
     * @param parts the moments of each part, at least one, all of the same number of channels
     * @throws IllegalArgumentException for no part, or parts of different numbers of channels
     */
    public static ChannelMoments combine(Collection<ChannelMoments> parts) {
        Objects.requireNonNull(parts, "parts").forEach(each -> Objects.requireNonNull(each, "parts has null in it"));
        return parts.stream()
                .reduce(ChannelMoments::combine)
                .orElseThrow(() -> new IllegalArgumentException("There must be a part to combine, but given was none"));
    }

    /**
     * The moments of all values of two parts; see {@link #combine(Collection)}.
     *
     * @param a the moments of one part
     * @param b the moments of the other, of the same number of channels
     * @throws IllegalArgumentException for parts of different numbers of channels
     */
    public static ChannelMoments combine(ChannelMoments a, ChannelMoments b) {
        Objects.requireNonNull(a, "a");
        Objects.requireNonNull(b, "b");
        if (a.channels() != b.channels()) {
            throw new IllegalArgumentException("Moments to combine must have the same number of channels, but given"
                    + " were " + a.channels() + " and " + b.channels());
        }
        if (a.count == 0 || b.count == 0) {
            return a.count == 0 ? b : a;
        }
        double[] mean = new double[a.mean.length];
        double[] squares = new double[mean.length];
        for (int c = 0; c < mean.length; c++) {
            mean[c] = combinedMean(a.count, a.mean[c], b.count, b.mean[c]);
            squares[c] = combinedSquares(a.count, a.mean[c], a.squares[c], b.count, b.mean[c], b.squares[c]);
        }
        return new ChannelMoments(Math.addExact(a.count, b.count), mean, squares);
    }

    /**
     * The mean of all values of two parts in one channel.
     *
     * @param n how many values the one part has
     * @param mean their mean
     * @param more how many values the other part has; not both counts are 0
     * @param meanOfMore their mean
     */
    public static double combinedMean(double n, double mean, double more, double meanOfMore) {
        double all = n + more;
        // From the larger part, so that an equal mean stays as it is and a small part changes it by little.
        return n >= more ? mean + (meanOfMore - mean) * (more / all) : meanOfMore + (mean - meanOfMore) * (n / all);
    }

    /**
     * The M2 of all values of two parts in one channel: the sum of their squared distances from the mean of all.
     *
     * @param n how many values the one part has
     * @param mean their mean
     * @param squares their M2
     * @param more how many values the other part has; not both counts are 0
     * @param meanOfMore their mean
     * @param squaresOfMore their M2
     */
    public static double combinedSquares(
            double n, double mean, double squares, double more, double meanOfMore, double squaresOfMore) {
        double delta = meanOfMore - mean;
        return squares + squaresOfMore + delta * delta * (n * (more / (n + more)));
    }

    /** How many channels there are, C. */
    public int channels() {
        return mean.length;
    }

    /** The mean of each channel, Σx / count, as a copy. */
    @Override
    public double[] mean() {
        return mean.clone();
    }

    /** M2 = Σ(x − mean)² of each channel, as a copy. */
    @Override
    public double[] squares() {
        return squares.clone();
    }

    /**
     * The variance of each channel.
     *
     * @param estimate {@link RunningVariance#BIASED} for M2 / count, {@link RunningVariance#UNBIASED} for M2 / (count −
     *     1)
     * @throws IllegalStateException for too few values: none, or fewer than two for the unbiased estimate
     */
    public double[] variance(RunningVariance estimate) {
        Objects.requireNonNull(estimate, "estimate");
        long divisor = estimate == RunningVariance.UNBIASED ? count - 1 : count;
        if (divisor < 1) {
            throw new IllegalStateException("The " + estimate + " variance needs at least "
                    + (estimate == RunningVariance.UNBIASED ? 2 : 1) + " values per channel, but there are " + count);
        }
        return Arrays.stream(squares).map(m2 -> m2 / divisor).toArray();
    }

    /**
     * The moments as numbers, for transports that know nothing else: the count, then the mean of each channel, then M2
     * of each. A count past 2⁵³ would be rounded.
     */
    public double[] toArray() {
        double[] numbers = new double[1 + 2 * mean.length];
        numbers[0] = count;
        System.arraycopy(mean, 0, numbers, 1, mean.length);
        System.arraycopy(squares, 0, numbers, 1 + mean.length, mean.length);
        return numbers;
    }

    /**
     * The moments that {@link #toArray} made numbers of.
     *
     * @param numbers the count, then the mean of each channel, then M2 of each
     * @throws IllegalArgumentException for an even number of elements or fewer than three, and for a count that is no
     *     number of values
     */
    public static ChannelMoments of(double[] numbers) {
        Objects.requireNonNull(numbers, "numbers");
        if (numbers.length < 3 || numbers.length % 2 == 0) {
            throw new IllegalArgumentException(
                    "Moments are a count, means and as many M2, but given were " + numbers.length + " numbers");
        }
        int channels = numbers.length / 2;
        return new ChannelMoments(
                toCount(numbers[0]),
                Arrays.copyOfRange(numbers, 1, 1 + channels),
                Arrays.copyOfRange(numbers, 1 + channels, numbers.length));
    }

    static long toCount(double number) {
        long count = (long) number;
        if (count != number || count < 0) {
            throw new IllegalArgumentException("A count must be a whole number from 0 on, but given was " + number);
        }
        return count;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ChannelMoments that
                && count == that.count
                && Arrays.equals(mean, that.mean)
                && Arrays.equals(squares, that.squares);
    }

    @Override
    public int hashCode() {
        return Objects.hash(count, Arrays.hashCode(mean), Arrays.hashCode(squares));
    }

    @Override
    public String toString() {
        return "Moments of " + count + " values in each of " + mean.length + " channels";
    }
}
