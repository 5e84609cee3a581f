package org.clnorm.verify;

import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Grouping.Batch.Rest;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Renormalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.InPlace;
import org.clnorm.verify.VerifierCase.Mode;
import org.clnorm.verify.VerifierCase.Placement;

/**
 * Cases by chance: any shape with any options that go together, where {@link VerifierCases} has a few shapes and all pairs. A case
 * is a function of a seed and a number, so that two words tell which one it was.
 */
final class FuzzedCases {
    /** Sizes around what kernels are cut by. */
    private static final int[] EDGES = {
        1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257
    };

    /** Most cases are small, so that there can be many. */
    private static final int USUAL_ELEMENTS = 3000;

    private static final int LARGE_ELEMENTS = 60_000;
    private static final int MOST_ELEMENTS = 400_000;
    private static final int MOST_TRIES = 100;

    private final RandomGenerator random;
    private final int seedOfData;

    private FuzzedCases(RandomGenerator random) {
        this.random = random;
        this.seedOfData = random.nextInt(Integer.MAX_VALUE);
    }

    /** A case of a seed. */
    static VerifierCase of(long seed, long number) {
        return new FuzzedCases(new SplittableRandom(seed * 0x9E3779B97F4A7C15L + number)).drawn();
    }

    private VerifierCase drawn() {
        int kind = random.nextInt(20);
        if (kind < 4) {
            return rows();
        }
        Shape shape = shape();
        Layout layout = any(Layout.values());
        if (kind == 19) {
            return ends(shape, layout);
        }
        if (kind < 6) {
            return positions(shape, layout);
        }
        return channels(shape, layout, kind < 9 ? groups(shape) : kind < 11 ? virtual(shape) : ofBatch());
    }

    private <T> T any(List<T> values) {
        return values.get(random.nextInt(values.size()));
    }

    @SafeVarargs
    private <T> T any(T... values) {
        return values[random.nextInt(values.length)];
    }

    private boolean chance(int of100) {
        return random.nextInt(100) < of100;
    }

    private long size(int most) {
        return Math.max(1, chance(60) ? Math.min(most, EDGES[random.nextInt(EDGES.length)]) : 1 + random.nextInt(most));
    }

    private long[] dimensions(int rank) {
        int budget = chance(90) ? USUAL_ELEMENTS : chance(90) ? LARGE_ELEMENTS : MOST_ELEMENTS;
        for (int i = 0; i < MOST_TRIES; i++) {
            long[] dimensions = new long[rank];
            long elements = 1;
            for (int d = 0; d < rank; d++) {
                dimensions[d] = size((int) Math.max(1, Math.min(budget / elements, 5000)));
                elements *= dimensions[d];
            }
            swap(dimensions);
            if (elements <= budget) {
                return dimensions;
            }
        }
        long[] least = new long[rank];
        Arrays.fill(least, 2);
        return least;
    }

    /** Or else the last dimension would be the smallest, as a rule. */
    private void swap(long[] dimensions) {
        for (int d = dimensions.length - 1; d > 0; d--) {
            int other = random.nextInt(d + 1);
            long kept = dimensions[d];
            dimensions[d] = dimensions[other];
            dimensions[other] = kept;
        }
    }

    /** With more than one value in a channel. */
    private Shape shape() {
        for (int i = 0; i < MOST_TRIES; i++) {
            Shape shape = Shape.of(dimensions(2 + random.nextInt(4)));
            if (shape.batch() * shape.spatial() > 1) {
                return shape;
            }
        }
        return Shape.of(2, 3, 5);
    }

    private static Normalization centered(Grouping grouping, boolean perSample, Renormalization bounds) {
        return new Normalization(grouping, Statistic.CENTERED, perSample, bounds);
    }

    private Normalization ofBatch() {
        return chance(15)
                ? centered(Grouping.batch(), true, null)
                : chance(12) ? centered(Grouping.batch(), false, any(renormalizations())) : Normalization.BATCH;
    }

    private static List<Renormalization> renormalizations() {
        return List.of(new Renormalization(1.1, 0.2), new Renormalization(3, 5), new Renormalization(1, 0));
    }

    /** Groups of channels of a sample, none of one value. */
    private Normalization groups(Shape shape) {
        int channels = (int) shape.channels();
        for (int i = 0; i < MOST_TRIES; i++) {
            int groups = 1 + random.nextInt(chance(30) ? channels : Math.min(channels, 8));
            if (channels % groups == 0 && channels / groups * shape.spatial() > 1) {
                return centered(new Grouping.Channels(groups), chance(20), null);
            }
        }
        return ofBatch();
    }

    /** Virtual batches, none of one value. */
    private Normalization virtual(Shape shape) {
        for (int i = 0; i < MOST_TRIES && shape.batch() > 1; i++) {
            long samples = 1 + random.nextInt((int) shape.batch());
            long left = shape.batch() % samples;
            Rest rest = any(Rest.values());
            boolean single = samples * shape.spatial() == 1 || rest == Rest.OWN && left * shape.spatial() == 1;
            if (!single && samples < shape.batch() && (rest == Rest.OWN || left > 0)) {
                return centered(new Grouping.Batch(samples, rest), false, null);
            }
        }
        return ofBatch();
    }

    private RunningAverage average() {
        return any(
                RunningAverage.exponential(0.1),
                RunningAverage.exponential(1),
                RunningAverage.exponential(0),
                RunningAverage.cumulative(),
                RunningAverage.biasCorrectedExponential(0.01),
                RunningAverage.biasCorrectedExponential(0.5));
    }

    private VerifierCase channels(Shape shape, Layout layout, Normalization kind) {
        boolean batch = kind.grouping() instanceof Grouping.Batch;
        boolean virtual = batch && ((Grouping.Batch) kind.grouping()).isVirtual();
        boolean tracks = batch || ((Grouping.Channels) kind.grouping()).groups() == shape.channels();
        boolean plain = kind.equals(Normalization.BATCH);
        boolean given = batch && !virtual && kind.renormalization() == null && chance(25);
        boolean masked = !virtual && chance(12) && !(given && kind.perSample());
        boolean past = !masked && !given && plain && chance(6);
        boolean forGood = plain && !given && !masked && !past && chance(6);
        boolean needsRunning = kind.renormalization() != null;
        Fusion fusion = masked
                ? any(
                        needsRunning
                                ? Fusion.MASKS.subList(0, 3)
                                : Fusion.MASKS) // r and d make v large, and its slope uncertain
                : past
                        ? any(Fusion.PAST, Fusion.PAST_RESIDUAL_RELU)
                        : forGood
                                ? any(Fusion.PLAIN, Fusion.LEAKY_RELU)
                                : plain && !given && chance(15) ? any(Fusion.OTHERS) : any(Fusion.USUAL);
        RunningAverage average = !tracks || forGood || !needsRunning && chance(25) ? RunningAverage.none() : average();
        Data data = masked
                ? any(Data.NORMAL, Data.MEAN_1E3)
                : forGood
                        ? any(Data.NORMAL, Data.MEAN_1E4, Data.CONSTANT)
                        : Fusion.OTHERS.contains(fusion) ? any(Data.NORMAL, Data.NON_FINITE) : any(Data.USUAL);
        return made(
                kind,
                shape,
                layout,
                any(Mode.values()).with(!given),
                fits(data, kind, shape),
                any(Affine.values()),
                fusion,
                average,
                any(RunningVariance.values()),
                masked || forGood || !tracks ? NonFinitePolicy.PROPAGATE : any(NonFinitePolicy.values()),
                masked ? InPlace.NOTHING : forGood ? InPlace.Y_IS_X_FOR_GOOD : inPlace(fusion),
                type());
    }

    /**
     * Exact are only sums in the order of batch normalization's, and averages of a power of two; and running statistics that were
     * just updated and then normalize are, as float32, a rounding of a mean far from 0 off, and NaN where any virtual batch had one.
     */
    private static Data fits(Data data, Normalization kind, Shape shape) {
        boolean even = Long.bitCount(shape.batch() * shape.spatial()) == 1;
        boolean exact = data == Data.EXACT && !(kind.equals(Normalization.BATCH) && even);
        boolean gives = kind.grouping().givenSamples(shape) > 0;
        boolean far = data.mean > 0 || data == Data.CONSTANT || data == Data.NON_FINITE;
        return exact || gives && far ? Data.NORMAL : data;
    }

    /** Of values near the ends of float32; their variances are none, so that nothing is tracked. */
    private VerifierCase ends(Shape shape, Layout layout) {
        return made(
                Normalization.BATCH,
                shape,
                layout,
                Mode.TRAINING,
                any(Data.ENDS),
                any(Affine.values()),
                Fusion.PLAIN,
                RunningAverage.none(),
                RunningVariance.UNBIASED,
                NonFinitePolicy.PROPAGATE,
                InPlace.NOTHING,
                DataType.FLOAT32);
    }

    private VerifierCase positions(Shape shape, Layout layout) {
        Shape wide = shape.channels() > 1 ? shape : Shape.of(2, 3, 5);
        return made(
                centered(new Grouping.Positions(), false, null),
                wide,
                layout,
                any(Mode.TRAINING, Mode.TRAINING_ACCUMULATING),
                fits(any(Data.USUAL), centered(new Grouping.Positions(), false, null), wide),
                any(Affine.values()),
                chance(20) ? Fusion.PAST : any(Fusion.COMMON),
                RunningAverage.none(),
                RunningVariance.UNBIASED,
                NonFinitePolicy.PROPAGATE,
                inPlace(),
                DataType.FLOAT32);
    }

    private VerifierCase rows() {
        int rank = 2 + random.nextInt(4);
        Shape shape = Shape.of(dimensions(rank));
        boolean added = chance(25);
        boolean masked = !added && chance(12);
        Statistic statistic =
                added || masked ? any(Statistic.CENTERED, Statistic.ROOT_MEAN_SQUARE) : any(Statistic.values());
        boolean byRow = statistic == Statistic.LENGTH && chance(50);
        int dimensions = added || masked || rank == 2 ? 1 : 1 + random.nextInt(rank);
        Affine affine = any(Affine.values());
        Fusion fusion = added
                ? any(Fusion.ADDED, Fusion.ADDED_RELU, Fusion.PAST)
                : masked ? any(Fusion.MASKS) : any(Fusion.PLAIN, Fusion.RELU, Fusion.RESIDUAL_RELU);
        Normalization kind = new Normalization(new Grouping.Rows(dimensions, !byRow), statistic);
        return made(
                kind,
                shape,
                any(Layout.values()),
                any(Mode.TRAINING, Mode.TRAINING_ACCUMULATING),
                statistic == Statistic.LENGTH
                        ? Data.CONSTANT
                        : masked ? any(Data.NORMAL, Data.MEAN_1E3) : fits(any(Data.USUAL), kind, shape),
                statistic == Statistic.LENGTH ? any(Affine.NONE, Affine.GAMMA) : affine,
                fusion,
                RunningAverage.none(),
                RunningVariance.UNBIASED,
                NonFinitePolicy.PROPAGATE,
                masked ? InPlace.NOTHING : inPlace(),
                type());
    }

    /** Not over a residual that the backward pass reads again. */
    private InPlace inPlace(Fusion fusion) {
        InPlace place = inPlace();
        return place.yIsResidual && Fusion.OTHERS.contains(fusion) && fusion.givesResidual() ? InPlace.NOTHING : place;
    }

    private InPlace inPlace() {
        return chance(50)
                ? InPlace.NOTHING
                : any(List.of(InPlace.values()).subList(0, InPlace.Y_IS_X_FOR_GOOD.ordinal()));
    }

    private DataType type() {
        return chance(75) ? DataType.FLOAT32 : any(DataType.FLOAT16, DataType.BFLOAT16);
    }

    private VerifierCase made(
            Normalization kind,
            Shape shape,
            Layout layout,
            Mode mode,
            Data data,
            Affine affine,
            Fusion fusion,
            RunningAverage average,
            RunningVariance estimate,
            NonFinitePolicy policy,
            InPlace inPlace,
            DataType type) {
        VerifierCase made = new VerifierCase(
                        seedOfData,
                        kind,
                        shape,
                        layout,
                        mode,
                        data,
                        affine,
                        fusion,
                        average,
                        estimate,
                        policy,
                        inPlace,
                        any(Placement.values()),
                        DataType.FLOAT32)
                .storedAs(type);
        // The averages of sums that go by way of the host are divided, and rounded.
        return made.isCombined() && data == Data.EXACT
                ? made.with(kind, Data.NORMAL, affine, fusion, average, estimate, policy)
                : made;
    }
}
