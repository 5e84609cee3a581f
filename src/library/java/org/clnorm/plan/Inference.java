package org.clnorm.plan;

import org.clnorm.view.View;

/**
 * How inference is cut where the work-groups of a CPU fold what they apply: into stripes of neighbouring groups, and
 * slices of the segments or rows of each.
 *
 * @param ownGroups of a stripe
 * @param rowsPerSlice segments, or rows
 */
record Inference(int ownGroups, long rowsPerSlice) {
    /**
     * Work-groups for each compute unit of small tensors and of larger ones, and the elements that are worth one. A
     * work-group takes PoCL the time of thousands of elements (measured: of 8x64x14x14, twice as many take an eighth longer).
     */
    private static final int FEW_PER_UNIT = 2;

    private static final int LEAST_OF_FEW = 4096;
    private static final int MANY_PER_UNIT = 8;
    private static final int LEAST_OF_MANY = 32768;

    /** Elements that should lie side by side, of a stripe of all rows. */
    private static final int LEAST_ALONG = 1024;

    /** Elements of the largest tensors of which a launch more takes a part that counts; of larger ones, memory's order does. */
    private static final int MOST = 1 << 20;

    /** Groups for each compute unit that are folded once more in the time that another launch takes. */
    private static final int FOLDED_MEANWHILE = 1024;

    static Inference of(View view, int computeUnits) {
        long pieces = pieces(view, computeUnits);
        long along = (long) view.groups() * length(view) / LEAST_ALONG;
        // A matrix is read in the order of memory.
        long stripes = length(view) == 1 ? 1 : Math.max(1, Math.min(Math.min(along, pieces), view.groups()));
        int own = (int) ceil(view.groups(), stripes);
        if (own > CoefficientRows.WRAP) {
            own = Math.min(
                    (int) ceil(own, CoefficientRows.WRAP) * CoefficientRows.WRAP, view.groups()); // whole vectors
        }
        long rows = view.blocks().runs();
        return new Inference(own, ceil(rows, Math.min(rows, ceil(pieces, ceil(view.groups(), own)))));
    }

    /** Elements of a group side by side. */
    static int length(View view) {
        return view instanceof View.Segmented planes ? planes.length() : 1;
    }

    long stripes(View view) {
        return ceil(view.groups(), ownGroups);
    }

    long slices(View view) {
        return ceil(view.blocks().runs(), rowsPerSlice);
    }

    /** Whether about as many work-groups as wanted have something to do, and what they fold besides takes no longer than a launch. */
    boolean isWorthwhile(View view, int computeUnits) {
        long wanted = Math.min(pieces(view, computeUnits), MANY_PER_UNIT / 2L * computeUnits);
        return elements(view) <= MOST
                && 4 * stripes(view) * slices(view) > 3 * wanted
                && (slices(view) - 1) * view.groups() <= (long) FOLDED_MEANWHILE * computeUnits;
    }

    private static long pieces(View view, int computeUnits) {
        long units = Math.max(1, computeUnits);
        long few = Math.min(elements(view) / LEAST_OF_FEW, FEW_PER_UNIT * units);
        return Math.max(1, Math.max(few, Math.min(elements(view) / LEAST_OF_MANY, MANY_PER_UNIT * units)));
    }

    private static long elements(View view) {
        return view.groups() * view.groupSize();
    }

    private static long ceil(long a, long b) {
        return (a + b - 1) / b;
    }
}
