package org.clnorm.verify;

import static org.clnorm.Layout.CHANNELS_FIRST;
import static org.clnorm.Layout.CHANNELS_LAST;
import static org.clnorm.backend.Normalization.Statistic.CENTERED;
import static org.clnorm.backend.Normalization.Statistic.LENGTH;
import static org.clnorm.backend.Normalization.Statistic.ROOT_MEAN_SQUARE;

import java.util.List;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.Mode;

/** Cases that are there for one thing each, to which the pairs of options of {@link VerifierCases} do not come. */
final class SingleCases {
    private static final Normalization LAYER = new Normalization(new Grouping.Rows(1, true), CENTERED);

    private record Single(
            Shape shape,
            Layout layout,
            Normalization normalization,
            Mode mode,
            Data data,
            Affine affine,
            Fusion fusion) {
        Single(Shape shape, Layout layout, Data data, Fusion fusion) {
            this(shape, layout, Normalization.BATCH, Mode.TRAINING, data, Affine.BOTH, fusion);
        }

        Single(Shape shape, Normalization normalization, Affine affine) {
            this(shape, CHANNELS_FIRST, normalization, Mode.TRAINING, Data.NORMAL, affine, Fusion.PLAIN);
        }

        static Single inference(Shape shape, Affine affine) {
            return new Single(
                    shape, CHANNELS_FIRST, Normalization.BATCH, Mode.INFERENCE, Data.NORMAL, affine, Fusion.PLAIN);
        }

        Single of(Data other) {
            return new Single(shape, layout, normalization, mode, other, affine, fusion);
        }

        VerifierCase at(int seed) {
            return VerifierCase.usual(seed, normalization, shape, layout, mode, data, affine, fusion);
        }
    }

    /** Each way to fold moments, of runs, of columns, of groups that share them, of rows, for data near the ends of float32. */
    private static final List<Single> ENDS = List.of(
            new Single(Shape.of(2, 3, 64), Normalization.BATCH, Affine.BOTH),
            new Single(Shape.of(33, 31), Normalization.BATCH, Affine.BOTH),
            new Single(Shape.of(5, 12, 3), new Normalization(new Grouping.Channels(2), CENTERED), Affine.BOTH),
            new Single(Shape.of(5, 64), LAYER, Affine.BOTH),
            new Single(Shape.of(3, 129), new Normalization(new Grouping.Rows(1, true), ROOT_MEAN_SQUARE), Affine.GAMMA),
            // Of small data, rows that are somewhat shorter than ε.
            new Single(Shape.of(7, 31), new Normalization(new Grouping.Rows(1, true), LENGTH), Affine.NONE));

    private static final List<Single> OTHERS = List.of(
            // Whose dγ and dβ are no parts; with more channels in a group than a vector has, and no multiple of that.
            new Single(Shape.of(1, 31, 5), new Normalization(new Grouping.Channels(1), CENTERED), Affine.BOTH),
            // Slices of which no step takes part, beside others in units of their own.
            new Single(Shape.of(6, 2, 16384), CHANNELS_FIRST, Data.SMALL, Fusion.MASKED),
            // Tiles of rows that have no gamma.
            new Single(Shape.of(2, 8192), LAYER, Affine.BETA),
            // As many short segments as are a tile.
            new Single(Shape.of(8, 40, 240), CHANNELS_FIRST, Data.NORMAL, Fusion.PAST),
            // Rows of one vector and an edge, too many of them for a work-item's registers.
            new Single(Shape.of(3, 40, 25), CHANNELS_FIRST, Data.NORMAL, Fusion.PAST),
            // Steps of a vector and one more channel.
            new Single(Shape.of(7, 17, 5), CHANNELS_LAST, Data.NORMAL, Fusion.MASKED),
            // Inference in one launch of a CPU: slices of columns, of planes, and of stripes of planes.
            Single.inference(Shape.of(800, 19), Affine.BOTH),
            Single.inference(Shape.of(800, 19), Affine.NONE),
            Single.inference(Shape.of(160, 5, 19), Affine.BOTH),
            Single.inference(Shape.of(160, 5, 19), Affine.NONE),
            Single.inference(Shape.of(8, 40, 60), Affine.BOTH),
            Single.inference(Shape.of(8, 40, 60), Affine.NONE),
            // Groups of small planes, several at a time, larger than what a first-level cache keeps.
            new Single(Shape.of(8, 32, 14, 14), new Normalization(new Grouping.Channels(4), CENTERED), Affine.BOTH),
            new Single(Shape.of(8, 32, 14, 14), new Normalization(new Grouping.Channels(4), CENTERED), Affine.NONE));

    private SingleCases() {}

    /** Adds those of at most so many elements; a case's seed is its number. */
    static void addTo(List<VerifierCase> cases, long mostElements) {
        for (Data data : Data.ENDS) {
            for (Single end : ENDS) {
                add(cases, mostElements, end.of(data));
            }
        }
        OTHERS.forEach(single -> add(cases, mostElements, single));
    }

    private static void add(List<VerifierCase> cases, long mostElements, Single single) {
        if (single.shape.elements() <= mostElements) {
            cases.add(single.at(cases.size()));
        }
    }
}
