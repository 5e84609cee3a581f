package org.clnorm.opencl;

import org.clnorm.backend.Operand;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.view.View;

/**
 * The coefficients of a layer, as the kernels keep them: rows of {@link #pitch} floats, in the order of the row names in
 * groups.clh. Each block of a row goes on for {@link #WRAP} places after its last group, starting again from its first, so
 * that a vector may be read at any column. The layer's plans are kept here too.
 */
final class OpenClSavedStatistics implements SavedStatistics {
    /** The widest vector. */
    static final int WRAP = 16;

    static final int ROWS = 14;
    static final int MEAN = 0;

    /** The mean in units, as hi, and lo in the next row; the variance follows, and then 1/σ. */
    static final int MEAN_HI = 1;

    static final int VARIANCE = 3;
    static final int INVSTD = 4;

    /** The power of two by which deviations are multiplied before anything else. */
    static final int UNIT = 8;

    /** The first of the three factors of dx; between passes, room for numbers that go to the host or come from there. */
    static final int GRAD_DY = 9;

    /** A block's part of dγ. */
    static final int GRAD_GAMMA = 12;

    /** A block's part of dβ. */
    static final int GRAD_BETA = 13;

    private final int groups;
    private final int blocks;
    private final Operand coefficients;
    private final Plans plans;
    private double epsilon;
    private Operand rowGamma;
    private Operand rowBeta;

    /**
     * @param groups of a block
     * @param coefficients the first of the first row; the plans are released with this memory
     */
    OpenClSavedStatistics(int groups, int blocks, Operand coefficients, Plans plans) {
        this.groups = groups;
        this.blocks = blocks;
        this.coefficients = coefficients;
        this.plans = plans;
    }

    /** Floats from a row to the next; of partials too. */
    static int pitch(View view) {
        return pitch(view.groups(), view.blocks().count());
    }

    static int pitch(int groups, int blocks) {
        long pitch = (long) blocks * blockPitch(groups);
        if (pitch > Integer.MAX_VALUE / ROWS) {
            throw new IllegalArgumentException("There may be at most " + Integer.MAX_VALUE / ROWS + " groups, but "
                    + blocks + " times " + groups + " were asked for");
        }
        return (int) pitch;
    }

    /** Floats of a row from a block to the next. */
    static int blockPitch(int groups) {
        return groups + WRAP;
    }

    /** Groups of a block. */
    @Override
    public int groups() {
        return groups;
    }

    int blocks() {
        return blocks;
    }

    Operand coefficients() {
        return coefficients;
    }

    Plans plans() {
        return plans;
    }

    /**
     * What the backward pass needs besides the coefficients.
     *
     * @param gamma where it goes by the element of a row, as beta: too many to be copied; else null
     */
    void keep(double epsilon, Operand gamma, Operand beta) {
        this.epsilon = epsilon;
        rowGamma = gamma;
        rowBeta = beta;
    }

    double epsilon() {
        return epsilon;
    }

    Operand rowGamma() {
        return rowGamma;
    }

    Operand rowBeta() {
        return rowBeta;
    }

    Operand row(int row) {
        return new Operand(coefficients.memory(), (long) row * pitch(groups, blocks));
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
        coefficients.memory().close();
    }
}
