package org.clnorm.verify;

import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.IntToDoubleFunction;
import java.util.random.RandomGenerator;
import org.clnorm.verify.VerifierCase.Data;

/**
 * All that a case may read, whether it does or not; the same for a case every time.
 *
 * @param absorbed how many batches each channel's running statistics hold
 * @param dgamma what is there before, for accumulation
 * @param dbeta what is there before, for accumulation
 */
record VerifierInputs(
        float[] x,
        float[] residual,
        float[] dy,
        float[] gamma,
        float[] beta,
        float[] runningMean,
        float[] runningVariance,
        float[] absorbed,
        float[] dgamma,
        float[] dbeta) {

    private static final double[] SIGMAS = {1, 1.0 / 64, 100};
    private static final float[] CONSTANTS = {0.1f, -1e5f / 3, 0, 7};
    private static final float[] BATCHES = {0, 1, 9, 1000};

    /** The inputs of a case. */
    static VerifierInputs of(VerifierCase c) {
        VerifierInputs inputs = finite(c);
        if (c.data() == Data.NON_FINITE) {
            SplittableRandom random = new SplittableRandom(c.seed());
            put(Float.NaN, channelWithNan(c), c, inputs.x, random);
            if (channelWithInfinity(c) != channelWithNan(c)) {
                put(
                        random.nextBoolean() ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY,
                        channelWithInfinity(c),
                        c,
                        inputs.x,
                        random);
            }
        }
        return inputs;
    }

    /** The inputs of a case before a NaN or an infinity came in. */
    static VerifierInputs finite(VerifierCase c) {
        SplittableRandom random = new SplittableRandom(c.seed());
        boolean exact = c.data() == Data.EXACT;
        int channels = c.channels();
        int elements = c.elements();
        double sigma = exact ? 2 : SIGMAS[(int) (c.seed() % SIGMAS.length)];
        double[] means = new double[channels];
        Arrays.setAll(
                means,
                channel -> exact
                        ? 512 * (1 + channel % 5)
                        : sigma * (channel % 2 == 0 ? c.data().mean + 0.1 : -c.data().mean));
        IntToDoubleFunction normal = i -> random.nextGaussian();
        IntToDoubleFunction integers = i -> random.nextInt(-4, 5);
        IntToDoubleFunction powers = i -> Math.scalb(random.nextBoolean() ? 1 : -1, random.nextInt(-1, 2));
        return new VerifierInputs(
                exact ? balanced(c, means, random) : x(c, means, sigma, random),
                floats(elements, exact ? integers : normal),
                floats(elements, exact ? integers : i -> 0.25 + random.nextGaussian()),
                floats(channels, exact ? powers : i -> 1 + 0.3 * random.nextGaussian()),
                floats(channels, exact ? integers : normal),
                floats(channels, i -> exact ? means[i] : means[i] + 0.3 * sigma * random.nextGaussian()),
                floats(channels, i -> exact ? 4 : sigma * sigma * random.nextDouble(0.5, 1.5)),
                floats(channels, i -> BATCHES[i % BATCHES.length]),
                floats(channels, exact ? integers : normal),
                floats(channels, exact ? integers : normal));
    }

    static int channelWithNan(VerifierCase c) {
        return c.channels() / 2;
    }

    static int channelWithInfinity(VerifierCase c) {
        return c.channels() - 1;
    }

    private static float[] x(VerifierCase c, double[] means, double sigma, RandomGenerator random) {
        boolean constants = c.data() == Data.CONSTANT;
        return floats(c.elements(), i -> {
            int channel = c.channelOf(i);
            return constants && channel % 3 == 0
                    ? CONSTANTS[channel / 3 % CONSTANTS.length]
                    : means[channel] + sigma * random.nextGaussian();
        });
    }

    /** Two above and two below the mean in turn, so that mean and variance are small integers (but for an odd one out). */
    private static float[] balanced(VerifierCase c, double[] means, RandomGenerator random) {
        long[] seen = new long[c.channels()];
        double[] deviation = new double[c.channels()];
        return floats(c.elements(), i -> {
            int channel = c.channelOf(i);
            boolean first = seen[channel]++ % 2 == 0;
            boolean alone = first && seen[channel] == c.valuesPerChannel();
            deviation[channel] = alone ? 0 : !first ? -deviation[channel] : random.nextBoolean() ? 2 : -2;
            return means[channel] + deviation[channel];
        });
    }

    private static void put(float value, int channel, VerifierCase c, float[] x, RandomGenerator random) {
        long which = random.nextLong(c.valuesPerChannel());
        for (int i = 0; i < x.length; i++) {
            if (c.channelOf(i) == channel && which-- == 0) {
                x[i] = value;
            }
        }
    }

    private static float[] floats(int count, IntToDoubleFunction value) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) value.applyAsDouble(i);
        }
        return values;
    }
}
