package org.clnorm.reference;

import java.util.List;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Renormalization;
import org.clnorm.backend.Normalization.Statistic;

/** The family by name, and one of each for tests that go over all. */
final class Normalizations {
    /** What each of {@link #ALL} takes: three samples, of which virtual batches of two leave one over. */
    static final Shape SHAPE = Shape.of(3, 4, 2, 2);

    static final Normalization CONDITIONAL_BATCH = new Normalization(Grouping.batch(), Statistic.CENTERED, true, null);

    static final List<Normalization> ALL = List.of(
            Normalization.BATCH,
            CONDITIONAL_BATCH,
            ghost(2),
            new Normalization(new Grouping.Batch(2), Statistic.CENTERED, true, null),
            renormalization(Grouping.batch(), 1.2, 0.3),
            renormalization(new Grouping.Batch(2), 1.2, 0.3),
            new Normalization(Grouping.batch(), Statistic.CENTERED, true, new Renormalization(1.2, 0.3)),
            group(1),
            group(2),
            group(4),
            new Normalization(new Grouping.Channels(2), Statistic.CENTERED, true, null),
            new Normalization(new Grouping.Channels(4), Statistic.CENTERED, true, null),
            new Normalization(new Grouping.Channels(2), Statistic.ROOT_MEAN_SQUARE),
            new Normalization(new Grouping.Positions(), Statistic.CENTERED),
            rows(1, true, Statistic.CENTERED),
            rows(2, true, Statistic.CENTERED),
            rows(3, true, Statistic.CENTERED),
            rows(4, true, Statistic.CENTERED),
            rows(2, false, Statistic.CENTERED),
            rows(2, true, Statistic.ROOT_MEAN_SQUARE),
            rows(3, false, Statistic.ROOT_MEAN_SQUARE),
            rows(2, true, Statistic.LENGTH),
            rows(3, false, Statistic.LENGTH));

    private Normalizations() {}

    static Normalization ghost(long samples) {
        return new Normalization(new Grouping.Batch(samples), Statistic.CENTERED);
    }

    /** @param rest what becomes of the samples that are left */
    static Normalization ghost(long samples, Grouping.Batch.Rest rest) {
        return new Normalization(new Grouping.Batch(samples, rest), Statistic.CENTERED);
    }

    static Normalization group(int groups) {
        return new Normalization(new Grouping.Channels(groups), Statistic.CENTERED);
    }

    static Normalization rows(int dimensions, boolean affineByElement, Statistic statistic) {
        return new Normalization(new Grouping.Rows(dimensions, affineByElement), statistic);
    }

    static Normalization renormalization(Grouping grouping, double rMax, double dMax) {
        return new Normalization(grouping, Statistic.CENTERED, false, new Renormalization(rMax, dMax));
    }
}
