package org.clnorm.verify;

import static org.clnorm.Layout.CHANNELS_FIRST;
import static org.clnorm.Layout.CHANNELS_LAST;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
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
 * The cases that every strategy is given: not all combinations, but all pairs.
 *
 * <p>There are eight options of up to seven values each. The rows of an orthogonal array of strength two (C. R. Rao,
 * 1947: element k of row (u, v) is u·k + v modulo 7, the eighth is u) hold every pair of values of any two options. Each
 * of the two memory patterns has its shapes, which lie on both sides of what a kernel may be cut by: vectors of 4 to 16,
 * tiles of them, work-groups, stripes of columns, slices, caches. Shapes and rows are taken in turn, and as there are
 * not equally many, a shape meets another row in every round.
 *
 * <p>Compiling takes far longer than running, so binaries that differ only in how they access memory are not verified
 * with all fusions: the choice by shape ({@link #forChoiceByShape}) may store past the cache or not, and there may be
 * binaries for arrays that are whole vectors throughout, which most cases are not.
 *
 * <p>So much for batch normalization. The others have its kernels, but for some of the fold step and for γ and β by the
 * element of a row, and get every other of their kinds for each of a few shapes, with the other options as the rows of
 * the array come.
 */
final class VerifierCases {
    private static final int LEVELS = 7;

    private static final int ROWS = LEVELS * LEVELS;

    /** How often each shape is taken. */
    private static final int ROUNDS = 2;

    /** Shapes of at most so many elements are taken where time is short. */
    private static final int SMALL = 4200;

    private static final List<Data> DATA = Data.USUAL;
    private static final List<Affine> AFFINE = List.of(Affine.values());
    private static final List<Fusion> FUSION = Fusion.USUAL;
    private static final List<Mode> MODE = List.of(
            Mode.TRAINING,
            Mode.INFERENCE,
            Mode.TRAINING_ACCUMULATING,
            Mode.TRAINING,
            Mode.INFERENCE_ACCUMULATING,
            Mode.TRAINING,
            Mode.TRAINING_ACCUMULATING);
    private static final List<NonFinitePolicy> POLICY = List.of(NonFinitePolicy.values());
    private static final List<InPlace> IN_PLACE =
            List.of(InPlace.values()).subList(0, InPlace.Y_IS_X_FOR_GOOD.ordinal());
    private static final List<Placement> PLACEMENT = List.of(Placement.values());

    private record Running(RunningAverage average, RunningVariance estimate) {}

    private static final List<Running> RUNNING = List.of(
            new Running(RunningAverage.none(), RunningVariance.UNBIASED),
            new Running(RunningAverage.exponential(0.1), RunningVariance.UNBIASED),
            new Running(RunningAverage.exponential(1), RunningVariance.BIASED),
            new Running(RunningAverage.cumulative(), RunningVariance.UNBIASED),
            new Running(RunningAverage.cumulative(), RunningVariance.BIASED),
            new Running(RunningAverage.biasCorrectedExponential(0.01), RunningVariance.UNBIASED),
            new Running(RunningAverage.biasCorrectedExponential(0.5), RunningVariance.BIASED));

    private record Placed(Shape shape, Layout layout) {}

    /** Groups of contiguous runs. */
    private static final List<Placed> SEGMENTED = placed(
            CHANNELS_FIRST,
            // Segments around a vector, of every rank.
            "2x3x2 13x5x3 17x2x13 3x7x15 5x3x16 2x5x17 33x13x1x31 7x3x4x8 2x31x3x11 1x2x13 1x13x2 3x17x3x5x7",
            "2x33x2x2x2",
            // Around a tile of vectors and a work-group of them.
            "3x2x63 2x3x64 1x3x65 3x2x127 2x3x128 1x3x129 15x2x207 1x5x257 2x2x1023 1x3x1024 2x3x41x25 1x2x4095",
            "2x2x4096 1x3x4097 3x2x4098",
            // One channel.
            "2x1 13x1 1x1x17 31x1x33 4098x1 1x1x207x311",
            // Large batches of small planes.
            "207x3x7x7 67x17x3x1 4098x2x3 1031x3x2 257x5x1x7",
            // Channels enough for every compute unit of a large device, and one more.
            "2x64x5x3 3x65x2x8 1x207x13 2x257x31 1x4098x7",
            // Larger than a cache; few channels, so that groups are cut into slices.
            "1x2x400x401 3x1x101x307 2x3x127x129 1x13x67x31");

    /** Columns. */
    private static final List<Placed> COLUMNAR = join(
            placed(
                    CHANNELS_FIRST,
                    // Columns around a vector and rows around a tile.
                    "2x2 3x3 13x13 15x16 16x15 17x17 31x4 32x5 33x31 7x32 8x33 9x63 2x64 3x65 15x2x1x1 1031x7 207x13",
                    "4098x3 4098x17 1025x129",
                    // Columns around a stripe, and rows around a work-group's tile.
                    "63x127 64x128 65x129 127x31 128x32 129x33 255x6 256x16 257x15 5x255 2x256 3x257 13x207 3x4098",
                    "2x4099 31x1031x1x1x1"),
            placed(
                    CHANNELS_LAST,
                    "2x3x5 1x2x13 17x5x1 3x16x7x7 207x17x1x1 1x33x13x1 2x207x3x11 1x17x64x65 1x2x207x311 2x5x3x3x3",
                    "1x67x2x5x31 4x128x17x15"));

    /** One value per channel: there are no batch statistics then, but inference. */
    private static final List<Placed> SINGLE_VALUES = join(
            placed(CHANNELS_FIRST, "1x1 1x13 1x33x1 1x4098x1x1"), placed(CHANNELS_LAST, "1x1x1 1x16x1x1 1x207x1x1"));

    /** Of which every run of contiguous elements is a whole number of vectors. */
    private static final List<List<Placed>> WHOLE_VECTORS =
            List.of(placed(CHANNELS_FIRST, "3x5x16 2x3x4x8 2x17x272"), placed(CHANNELS_FIRST, "13x16 33x64 7x208"));

    /** So many short columns that every unit of a large device has a work-group of many of them. */
    private static final List<Placed> SHORT_COLUMNS = placed(CHANNELS_FIRST, "9x17024 3x17029");

    /** Runs and columns of whole vectors: no more than it takes, since each way to go over them is a program more. */
    private static final List<Placed> ACTIVATED =
            List.of(new Placed(Shape.of(2, 3, 8, 32), CHANNELS_FIRST), new Placed(Shape.of(33, 64), CHANNELS_FIRST));

    /** For training in place: groups with edges and in slices, and with so many that a work-group has some. */
    private static final List<Placed> IN_PLACE_OF_X = join(
            placed(CHANNELS_FIRST, "2x3x8x32 33x64 3x17x3x5x7 1x3x1025 2x2x1023 257x15 3x65x2x8 1x2x400x401 2x4099"),
            placed(CHANNELS_LAST, "3x16x7x7 207x17x1x1"));

    /** For normalizations of channels in many ways: groups of them, virtual batches with a remainder. */
    private static final List<Placed> CHANNELS = join(
            placed(
                    CHANNELS_FIRST,
                    "5x12x3 7x6x7x7 3x8x33 9x13x5 8x24 11x10 2x6x129 3x160x4x4 2x4x31x33 5x1x17 2x2x1x2x5"),
            placed(CHANNELS_LAST, "5x12x3 3x16x7x7 7x8x6x5 2x6x129 3x160x4x4 9x34x2x1x1"));

    /** For virtual batches that leave something, mostly one sample: runs and columns, on both sides of a tile of rows. */
    private static final List<Placed> LEAVING_SOME = join(
            placed(CHANNELS_FIRST, "9x13 7x31 8x12x3 15x33 5x12x3 17x1 7x6x7x7 257x5 5x3x129"),
            placed(CHANNELS_LAST, "7x8x6x5 9x34x1x1 5x12x3 11x3x2 15x16"));

    /** Rows from one element to more than a work-group keeps, few and many. */
    private static final List<Placed> ROW_SHAPES = join(
            placed(
                    CHANNELS_FIRST,
                    "13x1 8x2 9x13 7x31 6x16 5x64 3x129 2x1023 7x208 3x1025 2x4098 3x5000 4098x3 257x33 1x17 3x5x16 2x3x5"),
            placed(CHANNELS_LAST, "2x3x4x5 3x7x5 5x2x3x1x4"));

    /** Rows of few elements and many, whole vectors and not. */
    private static final List<Placed> ADDED_ROWS = placed(CHANNELS_FIRST, "9x13 6x16 5x64 3x129 7x208 3x5000 257x33");

    /** Likewise, with sequences longer than a tile and planes smaller than a vector. */
    private static final List<Placed> MASKED_CHANNELS = join(
            placed(CHANNELS_FIRST, "5x6x16 9x4x15 3x8x207 17x6x3x5 33x24 2x4x4097"),
            placed(CHANNELS_LAST, "5x12x16 3x6x7x7 9x34x5"));

    /** Runs and columns, whole vectors and not. */
    private static final List<Placed> PAST_CHANNELS =
            join(placed(CHANNELS_FIRST, "3x5x16 3x7x15 33x64 31x5"), placed(CHANNELS_LAST, "3x16x7x7"));

    /** Positions around a vector and a tile, of few channels and many. */
    private static final List<Placed> POSITIONS = join(
            placed(
                    CHANNELS_FIRST,
                    "2x3x5 3x16x4x4 2x13x1x17 4x7x1x1 5x9 2x96x7x7 2x33x129 3x5x2x3x4 1x257x65 7x2x31x33 9x64x16"),
            placed(CHANNELS_LAST, "2x13x1x17 3x64x7x7"));

    /** @param affine of γ and β, what the kernels of rows are compiled with */
    private record Form(Statistic statistic, Affine affine, Fusion fusion) {}

    /** The last one is weight normalization's, with γ by row. */
    private static final List<Form> FORMS = List.of(
            new Form(Statistic.CENTERED, Affine.BOTH, Fusion.PLAIN),
            new Form(Statistic.ROOT_MEAN_SQUARE, Affine.GAMMA, Fusion.PLAIN),
            new Form(Statistic.CENTERED, Affine.BOTH, Fusion.RESIDUAL_RELU),
            new Form(Statistic.LENGTH, Affine.NONE, Fusion.PLAIN),
            new Form(Statistic.CENTERED, Affine.GAMMA, Fusion.RELU),
            new Form(Statistic.CENTERED, Affine.NONE, Fusion.PLAIN),
            new Form(Statistic.ROOT_MEAN_SQUARE, Affine.NONE, Fusion.PLAIN),
            new Form(Statistic.CENTERED, Affine.BETA, Fusion.PLAIN),
            new Form(Statistic.LENGTH, Affine.GAMMA, Fusion.PLAIN));

    private VerifierCases() {}

    /** All of them. */
    static List<VerifierCase> all() {
        return upTo(Long.MAX_VALUE, ROUNDS);
    }

    /** As many as it takes for all pairs of options, with few elements. */
    static List<VerifierCase> small() {
        return upTo(SMALL, 1);
    }

    /** The same with fewer fusions. */
    static List<VerifierCase> forChoiceByShape(List<VerifierCase> cases) {
        return cases.stream().map(VerifierCase::withCommonFusion).toList();
    }

    private static List<VerifierCase> upTo(long mostElements, int rounds) {
        List<VerifierCase> cases = new ArrayList<>(ofBatches(mostElements, rounds));
        addChannelKinds(cases, mostElements);
        addRows(cases, mostElements);
        addShortColumns(cases, mostElements);
        addActivations(cases, mostElements);
        addRests(cases, mostElements);
        addAdditions(cases, mostElements);
        addInPlace(cases, mostElements);
        addMasks(cases, mostElements);
        addPositions(cases, mostElements);
        SingleCases.addTo(cases, mostElements);
        return cases;
    }

    /** What is added before, of rows; and to the gradient, of rows and of channels over runs and columns. */
    private static void addAdditions(List<VerifierCase> cases, long mostElements) {
        for (int i = 0; i < 2 * ADDED_ROWS.size(); i++) {
            Placed placed = ADDED_ROWS.get(i % ADDED_ROWS.size());
            if (placed.shape.elements() <= mostElements) {
                Form form = FORMS.get(i % 2);
                Fusion fusion = i % 5 == 4 ? Fusion.ADDED_RELU : i % 7 == 6 ? Fusion.PAST : Fusion.ADDED;
                int row = 3 * i % ROWS;
                cases.add(added(cases.size(), placed, row, fusion)
                        .with(
                                new Normalization(new Grouping.Rows(1, true), form.statistic),
                                inexact(pick(DATA, row, 0)),
                                form.affine,
                                fusion,
                                RunningAverage.none(),
                                RunningVariance.UNBIASED,
                                NonFinitePolicy.PROPAGATE));
            }
        }
        for (int i = 0; i < 2 * PAST_CHANNELS.size(); i++) {
            Placed placed = PAST_CHANNELS.get(i % PAST_CHANNELS.size());
            if (placed.shape.elements() <= mostElements) {
                Fusion fusion = i < PAST_CHANNELS.size() ? Fusion.PAST : Fusion.PAST_RESIDUAL_RELU;
                cases.add(added(cases.size(), placed, 3 * i % ROWS, fusion));
            }
        }
    }

    /** Masks of channels of each kind over runs and columns, and of rows. */
    private static void addMasks(List<VerifierCase> cases, long mostElements) {
        for (int i = 0; i < 3 * MASKED_CHANNELS.size(); i++) {
            Placed placed = MASKED_CHANNELS.get(i % MASKED_CHANNELS.size());
            if (placed.shape.elements() <= mostElements) {
                int channels = (int) placed.shape.channels();
                List<Normalization> kinds = List.of(
                        Normalization.BATCH,
                        centered(new Grouping.Channels(few(channels)), false, null),
                        Normalization.BATCH,
                        centered(new Grouping.Channels(placed.shape.spatial() > 1 ? channels : 1), false, null),
                        centered(Grouping.batch(), true, null),
                        Normalization.BATCH,
                        centered(Grouping.batch(), false, new Renormalization(1.1, 0.2)));
                Normalization kind = kinds.get((i + i / 7) % kinds.size());
                cases.add(masked(cases.size(), placed, 3 * i % ROWS, kind, i, pick(Fusion.MASKS, i + i / 7, 1)));
            }
        }
        for (int i = 0; i < ADDED_ROWS.size(); i++) {
            Placed placed = ADDED_ROWS.get(i);
            if (placed.shape.elements() <= mostElements) {
                Normalization rows = new Normalization(new Grouping.Rows(1, true), FORMS.get(i % 2).statistic);
                // Those that most have, so that no program is more than theirs.
                Fusion fusion = Fusion.MASKS.get(i % (Fusion.MASKS.size() - 1));
                cases.add(masked(cases.size(), placed, 3 * i % ROWS, rows, i, fusion));
            }
        }
    }

    /** Positions over their channels, by the binaries of batch normalization with the common fusions. */
    private static void addPositions(List<VerifierCase> cases, long mostElements) {
        for (int i = 0; i < 2 * POSITIONS.size(); i++) {
            Placed placed = POSITIONS.get(i % POSITIONS.size());
            if (placed.shape.elements() <= mostElements) {
                Normalization positions = centered(new Grouping.Positions(), false, null);
                VerifierCase c = of(cases.size(), placed, 3 * i % ROWS, positions, false);
                cases.add(i % 5 == 4 ? withPast(c) : c);
            }
        }
    }

    private static VerifierCase withPast(VerifierCase c) {
        return c.with(c.normalization(), c.data(), c.affine(), Fusion.PAST, c.average(), c.estimate(), c.policy());
    }

    private static VerifierCase masked(
            int seed, Placed placed, int row, Normalization normalization, int i, Fusion fusion) {
        boolean given = normalization.equals(Normalization.BATCH) && i % 5 == 4;
        Running running = RUNNING.get(normalization.renormalization() != null ? 1 : i % RUNNING.size());
        boolean tracks = normalization.grouping() instanceof Grouping.Batch
                || normalization.grouping() instanceof Grouping.Channels run && run.groups() == placed.shape.channels();
        Running its = tracks ? running : RUNNING.get(0);
        return new VerifierCase(
                seed,
                normalization,
                placed.shape,
                placed.layout,
                pick(MODE, row, 3).with(!given),
                i % 3 == 2 ? Data.MEAN_1E3 : Data.NORMAL,
                normalization.grouping() instanceof Grouping.Rows ? FORMS.get(i % 2).affine : pick(AFFINE, row, 4),
                fusion,
                its.average,
                its.estimate,
                NonFinitePolicy.PROPAGATE,
                InPlace.NOTHING,
                pick(PLACEMENT, row, 7),
                DataType.FLOAT32);
    }

    private static VerifierCase added(int seed, Placed placed, int row, Fusion fusion) {
        return of(seed, placed, row, pick(MODE, row, 3).with(true), fusion, pick(PLACEMENT, row, 7));
    }

    /** A leaky ReLU where the other activations are, so that no program is more than those. */
    private static void addInPlace(List<VerifierCase> cases, long mostElements) {
        for (int i = 0; i < 2 * IN_PLACE_OF_X.size(); i++) {
            Placed placed = IN_PLACE_OF_X.get(i % IN_PLACE_OF_X.size());
            boolean leaky = i < IN_PLACE_OF_X.size() && ACTIVATED.contains(placed);
            if (placed.shape.elements() <= mostElements) {
                cases.add(new VerifierCase(
                        cases.size(),
                        Normalization.BATCH,
                        placed.shape,
                        placed.layout,
                        i % 3 == 2 ? Mode.TRAINING_ACCUMULATING : Mode.TRAINING,
                        List.of(Data.NORMAL, Data.MEAN_1E4, Data.CONSTANT).get(i % 3),
                        pick(AFFINE, i, 4),
                        leaky ? Fusion.LEAKY_RELU : Fusion.PLAIN,
                        RunningAverage.none(),
                        RunningVariance.UNBIASED,
                        NonFinitePolicy.PROPAGATE,
                        InPlace.Y_IS_X_FOR_GOOD,
                        leaky ? Placement.ALIGNED : pick(PLACEMENT, i, 7),
                        DataType.FLOAT32));
            }
        }
    }

    /**
     * What is left of virtual batches, by the binaries of batch normalization with the common fusions. Not of data far from
     * 0 where running statistics that were just updated normalize: as float32, they are a rounding of the mean off.
     */
    private static void addRests(List<VerifierCase> cases, long mostElements) {
        for (int i = 0; i < 2 * LEAVING_SOME.size(); i++) {
            Placed placed = LEAVING_SOME.get(i / 2);
            long batch = placed.shape.batch();
            long samples = batch % 2 == 0 ? batch / 2 - 1 : batch / 2;
            Rest rest = i % 2 == 0 ? Rest.MERGED : Rest.GIVEN;
            if (placed.shape.elements() <= mostElements) {
                Normalization normalization = centered(new Grouping.Batch(samples, rest), false, null);
                VerifierCase c = of(cases.size(), placed, 3 * cases.size() % ROWS, normalization, false);
                boolean isFar = rest == Rest.GIVEN && c.data().mean > 0;
                cases.add(c.with(
                        normalization,
                        isFar ? Data.NORMAL : c.data(),
                        c.affine(),
                        c.fusion(),
                        c.average(),
                        c.estimate(),
                        c.policy()));
            }
        }
    }

    /** Each of the other activations over runs and over columns, of the batch's statistics: those of given ones are no others. */
    private static void addActivations(List<VerifierCase> cases, long mostElements) {
        for (int i = 0; i < 2 * Fusion.OTHERS.size(); i++) {
            Placed placed = ACTIVATED.get((i + i / Fusion.OTHERS.size()) % ACTIVATED.size());
            if (placed.shape.elements() <= mostElements) {
                cases.add(new VerifierCase(
                        cases.size(),
                        Normalization.BATCH,
                        placed.shape,
                        placed.layout,
                        Mode.TRAINING,
                        i % 5 == 4 ? Data.NON_FINITE : Data.NORMAL,
                        pick(AFFINE, i, 4),
                        Fusion.OTHERS.get(i % Fusion.OTHERS.size()),
                        RunningAverage.none(),
                        RunningVariance.UNBIASED,
                        NonFinitePolicy.PROPAGATE,
                        InPlace.NOTHING,
                        Placement.ALIGNED,
                        DataType.FLOAT32));
            }
        }
    }

    /** Last, so that the others meet what they met without them. */
    private static void addShortColumns(List<VerifierCase> cases, long mostElements) {
        for (int row = 0; row < ROUNDS; row++) {
            for (Placed placed : SHORT_COLUMNS) {
                if (placed.shape.elements() <= mostElements) {
                    cases.add(of(cases.size(), placed, row, Mode.TRAINING, Fusion.PLAIN, Placement.ALIGNED));
                }
            }
        }
    }

    /** Normalizations whose γ and β go by channel: the binaries of batch normalization with the common fusions. */
    private static void addChannelKinds(List<VerifierCase> cases, long mostElements) {
        for (int shape = 0; shape < CHANNELS.size(); shape++) {
            Placed placed = CHANNELS.get(shape);
            List<Normalization> kinds = kinds(placed.shape);
            for (int kind = shape % 2; kind < kinds.size() && placed.shape.elements() <= mostElements; kind += 2) {
                cases.add(of(cases.size(), placed, 3 * cases.size() % ROWS, kinds.get(kind), shape / 2 % 2 == 1));
            }
        }
    }

    private static List<Normalization> kinds(Shape shape) {
        int channels = (int) shape.channels();
        int few = few(channels);
        List<Normalization> kinds = new ArrayList<>(List.of(
                centered(Grouping.batch(), true, null),
                centered(Grouping.batch(), false, new Renormalization(1.1, 0.2)),
                centered(Grouping.batch(), false, new Renormalization(3, 5)),
                centered(new Grouping.Batch(virtualBatch(shape)), false, null),
                centered(new Grouping.Channels(1), false, null),
                centered(new Grouping.Channels(few), false, null),
                centered(new Grouping.Channels(few), true, null)));
        if (shape.spatial() > 1) {
            kinds.add(centered(new Grouping.Channels(channels), false, null));
            kinds.add(centered(new Grouping.Channels(channels), true, null));
        }
        return kinds;
    }

    private static Normalization centered(Grouping grouping, boolean perSample, Renormalization bounds) {
        return new Normalization(grouping, Statistic.CENTERED, perSample, bounds);
    }

    /** Groups of several channels each, and several of them where the number of channels is not a prime. */
    private static int few(int channels) {
        int most = channels / 2;
        while (most > 1 && channels % most != 0) {
            most--;
        }
        return Math.max(1, most);
    }

    /** Several virtual batches, the last of them smaller but for too few samples, and none with one value per channel. */
    private static long virtualBatch(Shape shape) {
        long samples = Math.max(shape.spatial() == 1 ? 2 : 1, shape.batch() / 2 - 1);
        while (shape.spatial() == 1 && shape.batch() % samples == 1) {
            samples++;
        }
        return samples;
    }

    /** @param given whether statistics are given, where that makes a difference to the kernels */
    private static VerifierCase of(int seed, Placed placed, int row, Normalization normalization, boolean given) {
        boolean tracks = normalization.grouping() instanceof Grouping.Batch
                || normalization.grouping() instanceof Grouping.Channels run && run.groups() == placed.shape.channels();
        boolean evaluates = given && normalization.grouping().equals(Grouping.batch()) && normalization.perSample();
        Mode mode = pick(MODE, row, 3).with(!evaluates);
        VerifierCase c = of(seed, placed, row, mode, pick(FUSION, row, 1), pick(PLACEMENT, row, 7))
                .withCommonFusion();
        Running running =
                normalization.renormalization() != null && !c.average().isTracked()
                        ? RUNNING.get(1)
                        : !tracks ? RUNNING.get(0) : new Running(c.average(), c.estimate());
        return c.with(
                normalization,
                inexact(c.data()),
                c.affine(),
                c.fusion(),
                running.average,
                running.estimate,
                tracks ? c.policy() : NonFinitePolicy.PROPAGATE);
    }

    /** Rows: each of the forms is a binary of its own. Of the rows that are divided by their length some are zeros. */
    private static void addRows(List<VerifierCase> cases, long mostElements) {
        for (int i = 0; i < 2 * ROW_SHAPES.size(); i++) {
            Placed placed = ROW_SHAPES.get(i % ROW_SHAPES.size());
            Form form = FORMS.get(i % FORMS.size());
            int dimensions = placed.shape.rank() == 2 ? 1 : 1 + i % placed.shape.rank();
            boolean byRow = form == FORMS.get(FORMS.size() - 1);
            if (placed.shape.elements() <= mostElements) {
                int row = 3 * cases.size() % ROWS;
                cases.add(of(
                                cases.size(),
                                placed,
                                row,
                                pick(MODE, row, 3).with(true),
                                form.fusion,
                                pick(PLACEMENT, row, 7))
                        .with(
                                new Normalization(new Grouping.Rows(dimensions, !byRow), form.statistic),
                                form.statistic == Statistic.LENGTH ? Data.CONSTANT : inexact(pick(DATA, row, 0)),
                                form.affine,
                                form.fusion,
                                RunningAverage.none(),
                                RunningVariance.UNBIASED,
                                NonFinitePolicy.PROPAGATE));
            }
        }
    }

    /** Exact are only sums in the order of batch normalization's. */
    private static Data inexact(Data data) {
        return data == Data.EXACT ? Data.NORMAL : data;
    }

    private static List<VerifierCase> ofBatches(long mostElements, int rounds) {
        List<VerifierCase> cases = new ArrayList<>();
        for (List<Placed> pattern : List.of(SEGMENTED, COLUMNAR)) {
            List<Placed> shapes = pattern.stream()
                    .filter(placed -> placed.shape.elements() <= mostElements)
                    .toList();
            for (int i = 0; i < Math.max(ROWS, rounds * shapes.size()); i++) {
                cases.add(of(cases.size(), shapes.get(i % shapes.size()), i % ROWS));
            }
        }
        for (Placed single : SINGLE_VALUES) {
            cases.add(of(cases.size(), single, inferenceRow(cases.size())));
        }
        int i = 0;
        for (List<Placed> pattern : WHOLE_VECTORS) {
            for (Fusion fusion : Fusion.COMMON) {
                for (Mode mode : List.of(Mode.TRAINING, Mode.INFERENCE)) {
                    Placed placed = pattern.get(i % pattern.size());
                    cases.add(of(cases.size(), placed, i++ % ROWS, mode, fusion, Placement.ALIGNED));
                }
            }
        }
        return cases;
    }

    private static int inferenceRow(int i) {
        int row = 5 * i % ROWS;
        while (pick(MODE, row, 3).training) {
            row = (row + 1) % ROWS;
        }
        return row;
    }

    private static VerifierCase of(int seed, Placed placed, int row) {
        return of(seed, placed, row, pick(MODE, row, 3), pick(FUSION, row, 1), pick(PLACEMENT, row, 7));
    }

    private static VerifierCase of(int seed, Placed placed, int row, Mode mode, Fusion fusion, Placement placement) {
        Running running = pick(RUNNING, row, 2);
        return new VerifierCase(
                seed,
                Normalization.BATCH,
                placed.shape,
                placed.layout,
                mode,
                pick(DATA, row, 0),
                pick(AFFINE, row, 4),
                fusion,
                running.average,
                running.estimate,
                pick(POLICY, row, 5),
                pick(IN_PLACE, row, 6),
                placement,
                DataType.FLOAT32);
    }

    private static <T> T pick(List<T> values, int row, int option) {
        int u = row / LEVELS;
        int v = row % LEVELS;
        int level = option == LEVELS ? u : (u * option + v) % LEVELS;
        return values.get(level % values.size());
    }

    /** @param shapes as 2x3x5, with spaces between */
    private static List<Placed> placed(Layout layout, String... shapes) {
        return Stream.of(shapes)
                .flatMap(line -> Stream.of(line.split(" ")))
                .map(shape ->
                        Stream.of(shape.split("x")).mapToLong(Long::parseLong).toArray())
                .map(dimensions -> new Placed(Shape.of(dimensions), layout))
                .toList();
    }

    private static List<Placed> join(List<Placed> some, List<Placed> more) {
        List<Placed> all = new ArrayList<>(some);
        all.addAll(more);
        return List.copyOf(all);
    }
}
