package org.clnorm.opencl;

import org.clnorm.backend.Operand;
import org.clnorm.backend.SavedStatistics;

/**
 * The coefficients of a layer, as the kernels keep them: rows of {@link #pitch} floats, in the order of the row names in
 * groups.clh. A row goes on for {@link #WRAP} places after the last group, starting again from the first, so that a vector
 * may be read at any column. The layer's plans are kept here too.
 *
 * @param coefficients the first of the first row
 * @param onClose releases both
 */
record OpenClSavedStatistics(int groups, Operand coefficients, Plans plans, Runnable onClose)
        implements SavedStatistics {
    /** The widest vector. */
    static final int WRAP = 16;

    static final int ROWS = 10;
    static final int MEAN = 0;
    static final int VARIANCE = 3;
    static final int INVSTD = 4;

    /** Floats from a row to the next, for so many groups; of partials too. */
    static int pitch(int groups) {
        return groups + WRAP;
    }

    Operand row(int row) {
        return new Operand(coefficients.memory(), (long) row * pitch(groups));
    }

    @Override
    public Operand mean() {
        return row(MEAN);
    }

    @Override
    public Operand inverseStandardDeviation() {
        return row(INVSTD);
    }

    @Override
    public void close() {
        onClose.run();
    }
}
