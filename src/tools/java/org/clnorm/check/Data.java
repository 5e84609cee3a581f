package org.clnorm.check;

import java.util.Locale;
import org.clnorm.DataType;

/** What the numbers of a case are like. */
public enum Data {
    /** About 0, deviating by about 1. */
    NORMAL(1, 0.5),
    /** Deviating by a thousandth, so that ε counts for more than the variance. */
    SMALL(1e-3, 0.5),
    /** So large that squares are near 1e30; of float16 as large as its range has room for. */
    LARGE(1e15, 0.5),
    /** Means a thousand deviations from 0. */
    OFFSET(1, 1e3),
    /** Means 10⁵ deviations from 0. */
    FAR_OFFSET(1, 1e5),
    /** Every other group has one value only. */
    CONSTANT(1, 0.5),
    /** One group has a NaN. */
    NAN(1, 0.5);

    private final double sigma;
    private final double means;

    Data(double sigma, double means) {
        this.sigma = sigma;
        this.means = means;
    }

    /** The deviation of a group's values. */
    double sigma(DataType type) {
        return type == DataType.FLOAT16 ? Math.min(sigma, 1e3) : sigma;
    }

    /** A group's mean, over the deviation. */
    double mean(DataType type) {
        return type == DataType.FLOAT32 ? means : Math.min(means, type == DataType.FLOAT16 ? 100 : 16);
    }

    /** Whether means are far from 0. */
    boolean isOffset() {
        return this == OFFSET || this == FAR_OFFSET;
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
