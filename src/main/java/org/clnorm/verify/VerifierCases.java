package org.clnorm.verify;

import static org.clnorm.Layout.CHANNELS_FIRST;
import static org.clnorm.Layout.CHANNELS_LAST;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
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
 */
final class VerifierCases {
    private static final int LEVELS = 7;

    /** How often each shape is taken. */
    private static final int ROUNDS = 2;

    /** Shapes of at most so many elements are taken where time is short. */
    private static final int SMALL = 4200;

    private static final List<Data> DATA = List.of(Data.values());
    private static final List<Affine> AFFINE = List.of(Affine.values());
    private static final List<Fusion> FUSION = List.of(Fusion.values());
    private static final List<Mode> MODE = List.of(
            Mode.TRAINING,
            Mode.INFERENCE,
            Mode.TRAINING_ACCUMULATING,
            Mode.TRAINING,
            Mode.INFERENCE_ACCUMULATING,
            Mode.TRAINING,
            Mode.TRAINING_ACCUMULATING);
    private static final List<NonFinitePolicy> POLICY = List.of(NonFinitePolicy.values());
    private static final List<InPlace> IN_PLACE = List.of(InPlace.values());
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
    private static final List<Placed> SEGMENTED = placed(CHANNELS_FIRST, new long[][] {
        // Segments around a vector, of every rank.
        {2, 3, 2},
        {13, 5, 3},
        {17, 2, 13},
        {3, 7, 15},
        {5, 3, 16},
        {2, 5, 17},
        {33, 13, 1, 31},
        {7, 3, 4, 8},
        {2, 31, 3, 11},
        {1, 2, 13},
        {1, 13, 2},
        {3, 17, 3, 5, 7},
        {2, 33, 2, 2, 2},
        // Around a tile of vectors and a work-group of them.
        {3, 2, 63},
        {2, 3, 64},
        {1, 3, 65},
        {3, 2, 127},
        {2, 3, 128},
        {1, 3, 129},
        {15, 2, 207},
        {1, 5, 257},
        {2, 2, 1023},
        {1, 3, 1024},
        {2, 3, 41, 25},
        {1, 2, 4095},
        {2, 2, 4096},
        {1, 3, 4097},
        {3, 2, 4098},
        // One channel.
        {2, 1},
        {13, 1},
        {1, 1, 17},
        {31, 1, 33},
        {4098, 1},
        {1, 1, 207, 311},
        // Large batches of small planes.
        {207, 3, 7, 7},
        {67, 17, 3, 1},
        {4098, 2, 3},
        {1031, 3, 2},
        {257, 5, 1, 7},
        // Channels enough for every compute unit of a large device, and one more.
        {2, 64, 5, 3},
        {3, 65, 2, 8},
        {1, 207, 13},
        {2, 257, 31},
        {1, 4098, 7},
        // Larger than a cache; few channels, so that groups are cut into slices.
        {1, 2, 400, 401},
        {3, 1, 101, 307},
        {2, 3, 127, 129},
        {1, 13, 67, 31},
    });

    /** Columns. */
    private static final List<Placed> COLUMNAR = join(
            placed(CHANNELS_FIRST, new long[][] {
                // Columns around a vector and rows around a tile.
                {2, 2},
                {3, 3},
                {13, 13},
                {15, 16},
                {16, 15},
                {17, 17},
                {31, 4},
                {32, 5},
                {33, 31},
                {7, 32},
                {8, 33},
                {9, 63},
                {2, 64},
                {3, 65},
                {15, 1, 1, 2},
                {1031, 7},
                {207, 13},
                {4098, 3},
                {4098, 17},
                {1025, 129},
                // Columns around a stripe, and rows around a work-group's tile.
                {63, 127},
                {64, 128},
                {65, 129},
                {127, 31},
                {128, 32},
                {129, 33},
                {255, 6},
                {256, 16},
                {257, 15},
                {5, 255},
                {2, 256},
                {3, 257},
                {13, 207},
                {3, 4098},
                {2, 4099},
                {31, 1, 1, 1, 1031},
            }),
            placed(CHANNELS_LAST, new long[][] {
                {2, 3, 5},
                {1, 2, 13},
                {17, 5, 1},
                {3, 16, 7, 7},
                {207, 17, 1, 1},
                {1, 33, 13, 1},
                {2, 207, 3, 11},
                {1, 17, 64, 65},
                {1, 2, 207, 311},
                {2, 5, 3, 3, 3},
                {1, 67, 2, 5, 31},
                {4, 128, 17, 15},
            }));

    /** One value per channel: there are no batch statistics then, but inference. */
    private static final List<Placed> SINGLE_VALUES = join(
            placed(CHANNELS_FIRST, new long[][] {{1, 1}, {1, 13}, {1, 33, 1}, {1, 4098, 1, 1}}),
            placed(CHANNELS_LAST, new long[][] {{1, 1, 1}, {1, 16, 1, 1}, {1, 207, 1, 1}}));

    private VerifierCases() {}

    /** All of them. */
    static List<VerifierCase> all() {
        List<VerifierCase> cases = new ArrayList<>();
        for (List<Placed> shapes : List.of(SEGMENTED, COLUMNAR)) {
            for (int i = 0; i < ROUNDS * shapes.size(); i++) {
                cases.add(of(cases.size(), shapes.get(i % shapes.size()), i % (LEVELS * LEVELS)));
            }
        }
        for (Placed single : SINGLE_VALUES) {
            cases.add(of(cases.size(), single, inferenceRow(cases.size())));
        }
        return cases;
    }

    /** Those with few elements. */
    static List<VerifierCase> small() {
        return all().stream().filter(c -> c.elements() <= SMALL).toList();
    }

    private static int inferenceRow(int i) {
        int row = 5 * i % (LEVELS * LEVELS);
        while (pick(MODE, row, 3).training) {
            row = (row + 1) % (LEVELS * LEVELS);
        }
        return row;
    }

    private static VerifierCase of(int seed, Placed placed, int row) {
        Running running = pick(RUNNING, row, 2);
        return new VerifierCase(
                seed,
                placed.shape,
                placed.layout,
                pick(MODE, row, 3),
                pick(DATA, row, 0),
                pick(AFFINE, row, 4),
                pick(FUSION, row, 1),
                running.average,
                running.estimate,
                pick(POLICY, row, 5),
                pick(IN_PLACE, row, 6),
                pick(PLACEMENT, row, 7));
    }

    private static <T> T pick(List<T> values, int row, int option) {
        int u = row / LEVELS;
        int v = row % LEVELS;
        int level = option == LEVELS ? u : (u * option + v) % LEVELS;
        return values.get(level % values.size());
    }

    private static List<Placed> placed(Layout layout, long[][] shapes) {
        List<Placed> placed = new ArrayList<>();
        for (long[] shape : shapes) {
            placed.add(new Placed(Shape.of(shape), layout));
        }
        return List.copyOf(placed);
    }

    private static List<Placed> join(List<Placed> some, List<Placed> more) {
        List<Placed> all = new ArrayList<>(some);
        all.addAll(more);
        return List.copyOf(all);
    }
}
