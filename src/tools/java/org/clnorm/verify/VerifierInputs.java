package org.clnorm.verify;

import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.IntToDoubleFunction;
import java.util.random.RandomGenerator;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.StepMask;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.InPlace;

/**
 * All that a case may read, whether it does or not; the same for a case every time.
 *
 * @param gamma as the case's normalization has it: by channel, sample and channel, element of a row, or row
 * @param beta likewise
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
            ReferenceNormalization groups = c.groups();
            put(Float.NaN, groupWithNan(groups), groups, inputs.x, random);
            if (groupWithInfinity(groups) != groupWithNan(groups)) {
                float infinity = random.nextBoolean() ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY;
                // Without a mean, the others in the group may come out as x/infinity or as NaN.
                boolean centred = c.normalization().statistic() == Statistic.CENTERED;
                put(centred ? infinity : Float.NaN, groupWithInfinity(groups), groups, inputs.x, random);
            }
        }
        return inputs;
    }

    /**
     * The state of each step of a masked case: it takes part, or not, and then outputs are 0 or stay as they are. In some
     * samples one step takes part, or none.
     */
    static float[] states(VerifierCase c) {
        SplittableRandom random = new SplittableRandom(~c.seed());
        float[] states = new float[c.steps() + 16];
        int ofSample = Math.max(1, c.steps() / (int) c.shape().batch());
        for (int i = 0; i < c.steps(); i++) {
            int sample = i / ofSample;
            int valid = sample % 4 == 1 && i > ofSample ? sample % 12 / 4 : -1; // none, one, two, or some
            boolean part = valid < 0 ? random.nextInt(5) > 0 : i % ofSample < valid;
            states[i] = part || i < 2 ? 1 : random.nextBoolean() ? 0 : 2;
        }
        return states;
    }

    static StepMask mask(VerifierCase c) {
        if (!c.fusion().isMasked()) {
            return null;
        }
        float[] states = states(c);
        double[] wide = new double[states.length];
        Arrays.setAll(wide, i -> states[i]);
        return new StepMask(wide, c.normalization().grouping(), c.shape(), c.layout());
    }

    /** Values with NaN where no step takes part, and so nobody looks. */
    static float[] hidden(VerifierCase c, float[] values) {
        StepMask mask = mask(c);
        float[] hidden = values.clone();
        for (int i = 0; mask != null && i < hidden.length; i++) {
            hidden[i] = mask.takesPart(i) ? hidden[i] : Float.NaN;
        }
        return hidden;
    }

    /** How many steps take part: of each sample, and last of all. */
    static float[] counts(VerifierCase c) {
        float[] states = states(c);
        int samples = (int) c.shape().batch();
        float[] counts = new float[samples + 1];
        for (int i = 0; i < c.steps(); i++) {
            counts[i / (c.steps() / samples)] += states[i] == 1 ? 1 : 0;
            counts[samples] += states[i] == 1 ? 1 : 0;
        }
        return counts;
    }

    /** What outputs of x's shape have before a pass that leaves some of it. */
    float[] there() {
        return residual;
    }

    /** What is normalized: x, or its sum with the residual as it is stored. */
    float[] normalized(VerifierCase c) {
        if (!c.fusion().addsBefore()) {
            return x;
        }
        float[] sum = x.clone();
        for (int i = 0; i < sum.length; i++) {
            sum[i] += residual[i];
        }
        return stored(c, sum);
    }

    /** The gradient that came past, if there is one: any other numbers than dy's. */
    float[] past() {
        return residual;
    }

    /** The inputs of a case before a NaN or an infinity came in. */
    static VerifierInputs finite(VerifierCase c) {
        SplittableRandom random = new SplittableRandom(c.seed());
        boolean exact = c.data() == Data.EXACT;
        int channels = c.channels();
        int elements = c.elements();
        int affine = c.affineElements();
        ReferenceNormalization groups = c.groups();
        double spread = SIGMAS[(int) (c.seed() % SIGMAS.length)];
        // float16 ends at 65504.
        double sigma =
                switch (c.data()) {
                    case EXACT -> 2;
                    case LARGE -> 1e30;
                    case SMALL -> 1e-30;
                    default -> c.type() == DataType.FLOAT16 ? Math.min(1, spread) : spread;
                };
        // Of a channel in each sample, or in each virtual batch, nearly the same: running statistics take their
        // average.
        int different = c.normalization().grouping() instanceof Grouping.Rows
                        || c.normalization().grouping() instanceof Grouping.Positions
                ? groups.groups()
                : c.normalization().grouping() instanceof Grouping.Channels run ? run.groups() : channels;
        double[] means = new double[groups.groups()];
        Arrays.setAll(means, group -> {
            int i = group % different;
            return exact ? 512 * (1 + i % 5) : sigma * (i % 2 == 0 ? c.data().mean + 0.1 : -c.data().mean);
        });
        IntToDoubleFunction normal = i -> random.nextGaussian();
        IntToDoubleFunction integers = i -> random.nextInt(-4, 5);
        // So that ReLU6 ends at either of its bends.
        IntToDoubleFunction shifts =
                c.fusion().activation == Activation.RELU6 ? i -> 4 * random.nextGaussian() : normal;
        IntToDoubleFunction powers = i -> Math.scalb(random.nextBoolean() ? 1 : -1, random.nextInt(-1, 2));
        return new VerifierInputs(
                stored(c, exact ? balanced(groups, means, random) : x(c, groups, means, sigma, random)),
                stored(c, floats(elements, exact ? integers : normal)),
                stored(c, floats(elements, exact ? integers : i -> 0.25 + random.nextGaussian())),
                floats(
                        affine,
                        exact
                                ? powers
                                : i -> {
                                    double gamma = 1 + 0.3 * random.nextGaussian();
                                    return c.inPlace() == InPlace.Y_IS_X_FOR_GOOD ? Math.max(gamma, 0.25) : gamma;
                                }),
                floats(affine, exact ? integers : shifts),
                floats(channels, i -> {
                    double mean = means[i % means.length];
                    return exact ? mean : mean + 0.3 * sigma * random.nextGaussian();
                }),
                floats(channels, i -> exact ? 4 : sigma * sigma * random.nextDouble(0.5, 1.5)),
                floats(channels, i -> BATCHES[i % BATCHES.length]),
                floats(affine, exact ? integers : normal),
                floats(affine, exact ? integers : normal));
    }

    static int groupWithNan(ReferenceNormalization groups) {
        return groups.groups() / 2;
    }

    static int groupWithInfinity(ReferenceNormalization groups) {
        return groups.groups() - 1;
    }

    private static float[] x(
            VerifierCase c, ReferenceNormalization groups, double[] means, double sigma, RandomGenerator random) {
        boolean constants = c.data() == Data.CONSTANT;
        // Channels that share statistics are looked at one by one first, and not all of them are large.
        boolean mixed = c.data() == Data.LARGE && c.normalization().grouping() instanceof Grouping.Channels;
        return floats(c.elements(), i -> {
            int group = groups.groupOf(i);
            double value = constants && group % 3 == 0
                    ? CONSTANTS[group / 3 % CONSTANTS.length]
                    : means[group] + sigma * random.nextGaussian();
            return mixed && channelOf(i, c) % 2 == 1 ? value / sigma : value;
        });
    }

    private static int channelOf(int element, VerifierCase c) {
        long runs = c.layout() == Layout.CHANNELS_FIRST ? element / c.shape().spatial() : element;
        return (int) (runs % c.shape().channels());
    }

    /** Two above and two below the mean in turn, so that mean and variance are small integers (but for an odd one out). */
    private static float[] balanced(ReferenceNormalization groups, double[] means, RandomGenerator random) {
        long[] seen = new long[groups.groups()];
        double[] deviation = new double[groups.groups()];
        return floats(groups.elements(), i -> {
            int group = groups.groupOf(i);
            boolean first = seen[group]++ % 2 == 0;
            boolean alone = first && seen[group] == groups.valuesOf(group);
            deviation[group] = alone ? 0 : !first ? -deviation[group] : random.nextBoolean() ? 2 : -2;
            return means[group] + deviation[group];
        });
    }

    /** As the elements of tensors hold them. */
    private static float[] stored(VerifierCase c, float[] values) {
        return c.type() == DataType.FLOAT32
                ? values
                : c.type().half().decode(c.type().half().encode(values));
    }

    private static void put(float value, int group, ReferenceNormalization groups, float[] x, RandomGenerator random) {
        long which = random.nextLong(groups.valuesOf(group));
        for (int i = 0; i < x.length; i++) {
            if (groups.groupOf(i) == group && which-- == 0) {
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
