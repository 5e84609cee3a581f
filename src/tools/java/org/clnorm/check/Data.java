package org.clnorm.check;

import java.util.Locale;
import org.clnorm.DataType;

/** What the numbers of a case are like. */
public enum Data {
    NORMAL("about 0, deviating by about 1", 1, 0.5),
    SMALL("deviating by a thousandth, so that ε counts for more than the variance", 1e-3, 0.5),
    LARGE("squares near 1e30; of float16 as large as its range has room for", 1e15, 0.5),
    OFFSET("means a thousand deviations from 0 (of float16 100, of bfloat16 16)", 1, 1e3),
    FAR_OFFSET("means 100,000 deviations from 0", 1, 1e5),
    CONSTANT("every other group has one value only", 1, 0.5),
    NAN("one group has a NaN", 1, 0.5);

    /** In a few words. */
    final String words;

    private final double sigma;
    private final double means;

    Data(String words, double sigma, double means) {
        this.words = words;
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
