package org.clnorm.plan;

import org.clnorm.view.View;

/**
 * How the kernels keep what a pass leaves to the next: rows of {@link #pitch} floats, in the order of the row names in
 * groups.clh. Each block of a row goes on for {@link #WRAP} places after its last group, starting again from its first, so
 * that a vector may be read at any column.
 */
public final class CoefficientRows {
    /** The widest vector. */
    public static final int WRAP = 16;

    public static final int ROWS = 14;
    public static final int MEAN = 0;

    /** The mean in units, as hi, and lo in the next row; the variance follows, and then 1/σ. */
    public static final int MEAN_HI = 1;

    public static final int VARIANCE = 3;
    public static final int INVSTD = 4;

    /** The power of two by which deviations are multiplied before anything else. */
    public static final int UNIT = 8;

    /** The first of the three factors of dx; between passes, room for numbers that go to the host or come from there. */
    public static final int GRAD_DY = 9;

    /** A block's part of dγ. */
    public static final int GRAD_GAMMA = 12;

    /** A block's part of dβ. */
    public static final int GRAD_BETA = 13;

    private CoefficientRows() {}

    /** Floats from a row to the next; of partials too. */
    public static int pitch(View view) {
        return pitch(view.groups(), view.blocks().count());
    }

    /** The same of so many blocks of so many groups. */
    public static int pitch(int groups, int blocks) {
        long pitch = (long) blocks * blockPitch(groups);
        if (pitch > Integer.MAX_VALUE / ROWS) {
            throw new IllegalArgumentException("There may be at most " + Integer.MAX_VALUE / ROWS + " groups, but "
                    + blocks + " times " + groups + " were asked for");
        }
        return (int) pitch;
    }

    /** Floats of a row from a block to the next. */
    public static int blockPitch(int groups) {
        return groups + WRAP;
    }
}
