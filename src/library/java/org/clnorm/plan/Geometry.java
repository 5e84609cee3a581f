package org.clnorm.plan;

import org.clnorm.view.View;

/**
 * How many work-groups a step is launched with, and what each of them takes: a pure function of the strategy, the view
 * and the number of compute units, so that two runs on a device add the same numbers in the same order.
 *
 * @param slices pieces that a group is cut into by the reduce step (and, in segmented views, by the apply step)
 * @param stripes work-groups side by side: of a columnar view, stripes; of a segmented one, sets of groups
 * @param ownGroups groups of a set, each with a team of the work-group's items; 1 in a columnar view
 * @param segmentsPerSlice of a segmented view
 * @param chunk elements of a segment in a slice, of a segmented view
 * @param rowsPerSlice of a columnar view
 * @param flatSlices work-groups of the apply step of a columnar view
 * @param flatPerSlice elements each of them takes
 */
public record Geometry(
        int slices,
        int stripes,
        int ownGroups,
        int segmentsPerSlice,
        int chunk,
        long rowsPerSlice,
        int flatSlices,
        long flatPerSlice) {

    /** Enough work-groups per compute unit that an uneven finish costs little. */
    private static final int GROUPS_PER_UNIT = 8;

    /** Work-groups per compute unit when each has several groups in turn; the first of them it cannot overlap. */
    private static final int ITEMS_IN_TURN = 4;

    /** Elements that are worth a work-group of one item; of many, each has a tile at least. */
    private static final int LEAST_PER_WORK_GROUP = 64;

    /** So that every slice of the apply step starts at a 64-byte line, if the tensor does. */
    private static final int LINE_ELEMENTS = 16;

    /** What a stripe of columns should take of a core's own cache. */
    private static final long IN_CACHE_STRIPE_BYTES = 1 << 18;

    /** What the groups that a work-item folds at a time should take of a core's own cache; it gathers as many meanwhile. */
    private static final long IN_CACHE_TURN_BYTES = 1 << 17;

    /**
     * Elements of a stripe of few rows: what a first-level cache has room for beside those of dy and what streams through it
     * (measured: 7 % of a backward pass, against twice as many).
     */
    private static final long FEW_ROWS_ELEMENTS = 2048;

    /**
     * The same of tensors that stay in the cache anyway: more of them are several vectors of groups, whose folds, long chains of
     * operations, overlap (measured: 9 % of a forward pass of 2x2048x7x7).
     */
    private static final long FEW_CACHED_ROWS_ELEMENTS = 8192;

    /** Vectors of a small group that a GPU's work-item takes: loads on their way at a time. */
    private static final int VECTORS_OF_TEAM_ITEM = 4;

    /** Neighbours whose vectors are a line of memory. */
    private static final int LEAST_TEAM = 8;

    /** So many rows' numbers are added up without compensation, a vector of rows at a time. */
    private static final int MOST_ROWS = 512;

    /** The partials' 4 floats per slice and group are to be no more than this, 1 MB, or a hundredth of the tensor. */
    private static final long SMALL_PARTIALS = 1 << 18;

    public static Geometry of(Strategy strategy, View view, int computeUnits) {
        int wanted = (int) ceil(
                (long) Math.max(1, computeUnits) * GROUPS_PER_UNIT,
                view.blocks().count());
        return view instanceof View.Segmented segmented
                ? ofSegments(strategy, segmented, wanted, sideBySide(strategy, segmented, computeUnits))
                : ofColumns(strategy, (View.Columnar) view, wanted);
    }

    private static Geometry ofSegments(Strategy strategy, View.Segmented view, int wanted, int ownGroups) {
        if (ownGroups > 1) {
            return segmented(view, 1, ownGroups, view.segments(), view.length());
        }
        long worthwhile = Math.max(1, view.groupSize() / leastPerWorkGroup(strategy));
        long most = mostSlices(view);
        int slices = (int) Math.min(Math.min(worthwhile, most), ceil(wanted, view.groups()));
        if (slices <= view.segments()) {
            int perSlice = (int) ceil(view.segments(), slices);
            return segmented(view, (int) ceil(view.segments(), perSlice), 1, perSlice, view.length());
        }
        // A GPU that runs all work-groups at a time is not given a few more.
        long chunks = strategy.items() > 1
                ? slices / view.segments()
                : Math.min(ceil(slices, view.segments()), most / view.segments());
        int chunk = (int) Math.min(view.length(), roundUp(ceil(view.length(), chunks), LINE_ELEMENTS));
        return segmented(view, view.segments() * (int) ceil(view.length(), chunk), 1, 1, chunk);
    }

    /** Rows of a work-item that sums down their columns: of several work-items for each compute unit, some hundreds. */
    static int rowsPerSlice(Strategy strategy, View.Segmented rows, int computeUnits) {
        long slices = Math.max((long) Math.max(1, computeUnits) * ITEMS_IN_TURN, ceil(rows.groups(), MOST_ROWS));
        return (int) roundUp(ceil(rows.groups(), slices), strategy.vectorWidth());
    }

    private static long mostSlices(View view) {
        long floats = Math.max(SMALL_PARTIALS, view.elements() / 100);
        return Math.max(1, floats / (5L * CoefficientRows.pitch(view)));
    }

    private static Geometry segmented(View.Segmented view, int slices, int ownGroups, int segmentsPerSlice, int chunk) {
        int sets = (int) ceil(view.groups(), ownGroups);
        return new Geometry(slices, sets, ownGroups, segmentsPerSlice, chunk, 0, 0, 0);
    }

    /**
     * Small groups that a GPU's work-group has at a time, a power of two, each with as many of its work-items: so many that an
     * item has some vectors, while there are work-groups enough. 1 where there is no use in more.
     */
    static int sideBySide(Strategy strategy, View.Segmented view, int computeUnits) {
        long vectors = ceil(view.groupSize(), strategy.vectorWidth());
        long team = Math.max(LEAST_TEAM, ceil(vectors, VECTORS_OF_TEAM_ITEM));
        long enough = view.allGroups() / ((long) Math.max(1, computeUnits) * Strategy.GPU_GROUPS_PER_UNIT);
        long most = Math.min(Math.min(strategy.items() / team, enough), 2L * view.groups() - 1);
        return (int) Long.highestOneBit(Math.max(1, most));
    }

    private static Geometry ofColumns(Strategy strategy, View.Columnar view, int wanted) {
        int stripes = (int) ceil(view.columns(), strategy.stripe());
        long leastRows = (long) strategy.tile() * strategy.workY();
        long slices = Math.min(Math.min(ceil(wanted, stripes), mostSlices(view)), ceil(view.rows(), leastRows));
        long rowsPerSlice = roundUp(ceil(view.rows(), slices), leastRows);
        long elements = view.groups() * view.groupSize();
        long perSlice = flatPerSlice(strategy, elements, (int) ceil(wanted, GROUPS_PER_UNIT));
        return new Geometry(
                (int) ceil(view.rows(), rowsPerSlice),
                stripes,
                1,
                0,
                0,
                rowsPerSlice,
                (int) ceil(elements, perSlice),
                perSlice);
    }

    /**
     * Columns of a work-group that has whole groups: of neighbouring groups, as many as its room and its cache take, while
     * there are enough work-groups; a multiple of a line, if there is one that fits.
     */
    static int fusedStripe(Strategy strategy, View.Columnar view, int computeUnits) {
        if (strategy.items() > 1) {
            return strategy.stripe();
        }
        long most = mostStripe(strategy, view);
        boolean few = hasFewRows(strategy, view);
        long elements = !few
                ? IN_CACHE_STRIPE_BYTES / Float.BYTES
                : strategy.stream() ? FEW_ROWS_ELEMENTS : FEW_CACHED_ROWS_ELEMENTS;
        // A vector of groups is folded at a time, whole ones without a call.
        long room = Math.min(
                most, Math.max(elements / view.rows(), few ? (long) strategy.vectorWidth() * view.width() : 0));
        int width = view.width() * view.joined();
        long wanted = (long) Math.max(1, computeUnits) * (width == 1 ? 1 : GROUPS_PER_UNIT);
        long share = ceil(view.columns() * (long) view.blocks().count(), wanted);
        int line = LINE_ELEMENTS / gcd(LINE_ELEMENTS, width);
        long unit = (long) line * width;
        if (unit > most) {
            unit = width;
        }
        // Pieces of equal size: what is left over after some of full size would keep one unit waiting for the others.
        long even = roundUp(ceil(share, ceil(share, Math.max(1, room))), unit);
        return (int) (even <= room ? even : unit * Math.max(1, room / unit));
    }

    /**
     * Columns that a work-group has room for: it keeps numbers by column; or, of a view of few rows (FEW_ROWS in
     * moments.cl), by group.
     */
    static long mostStripe(Strategy strategy, View.Columnar view) {
        return (long) strategy.stripe() * (hasFewRows(strategy, view) ? view.width() : 1);
    }

    private static boolean hasFewRows(Strategy strategy, View.Columnar view) {
        return strategy.items() == 1 && view.rows() < strategy.tile();
    }

    /**
     * Groups of a work-group that has whole ones: on a CPU several in turn, so that it can gather one while it applies
     * another, and still some work-groups per compute unit; on a GPU several side by side, where they are small.
     */
    static int fusedGroups(Strategy strategy, View.Segmented view, int computeUnits) {
        if (strategy.items() > 1) {
            return sideBySide(strategy, view, computeUnits);
        }
        int most = inTurn(strategy, view.allGroups(), computeUnits);
        int held = folded(strategy, view);
        return (int) Math.min(roundUp(Math.max(most, 1), held), roundUp(view.groups(), held));
    }

    /**
     * Groups that a work-item folds at a time: all that share statistics, and as many of those as fill a vector while
     * what they have read stays in the cache.
     */
    static int folded(Strategy strategy, View.Segmented view) {
        if (strategy.items() > 1) {
            return 1;
        }
        long bytes = view.groupSize() * view.joined() * Float.BYTES;
        long sets = Math.min(ceil(strategy.vectorWidth(), view.joined()), IN_CACHE_TURN_BYTES / Math.max(1, bytes));
        return (int) Math.max(1, Math.min(sets, strategy.stripe() / view.joined())) * view.joined();
    }

    /** Stripes that a work-group has in turn; likewise. */
    static int fusedStripes(Strategy strategy, View.Columnar view, int stripe, int computeUnits) {
        int all =
                inTurn(strategy, view.columns() / stripe * (long) view.blocks().count(), computeUnits);
        return (int) Math.min(all, ceil(view.columns(), stripe));
    }

    private static int inTurn(Strategy strategy, long pieces, int computeUnits) {
        long share = pieces / (Math.max(1, computeUnits) * (long) ITEMS_IN_TURN);
        return strategy.items() > 1 ? 1 : (int) Math.max(1, Math.min(share, Integer.MAX_VALUE / 2));
    }

    private static int gcd(int a, int b) {
        return b == 0 ? a : gcd(b, a % b);
    }

    /** Elements of a slice of flat memory, each slice but the last starting at a line if the memory does. */
    static long flatPerSlice(Strategy strategy, long elements, int computeUnits) {
        long wanted = 2L * GROUPS_PER_UNIT * Math.max(1, computeUnits);
        return Math.max(
                roundUp(ceil(elements, wanted), LINE_ELEMENTS * (long) strategy.items()), leastPerWorkGroup(strategy));
    }

    private static long leastPerWorkGroup(Strategy strategy) {
        return strategy.items() == 1
                ? LEAST_PER_WORK_GROUP
                : (long) strategy.items() * strategy.tile() * strategy.vectorWidth();
    }

    /** Work-groups of the reduce step, and of the apply step of a segmented view. */
    public int workGroups() {
        return Math.multiplyExact(slices, stripes);
    }

    static long ceil(long a, long b) {
        return (a + b - 1) / b;
    }

    static long roundUp(long a, long multiple) {
        return ceil(a, multiple) * multiple;
    }
}
