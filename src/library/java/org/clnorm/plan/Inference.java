package org.clnorm.plan;

import static org.clnorm.plan.Geometry.ceil;
import static org.clnorm.plan.Geometry.roundUp;

import org.clnorm.view.View;

/**
 * How inference is cut where the work-groups of a CPU fold what they apply: into stripes of neighbouring groups, and
 * slices of the segments or rows of each.
 */
final class Inference {
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

    /** Of a stripe. */
    final int ownGroups;

    final long stripes;
    /** Segments, or rows. */
    final long rowsPerSlice;

    final long slices;
    /** Whether about as many work-groups as wanted have something to do, and what they fold besides takes no longer than a launch. */
    final boolean isWorthwhile;

    Inference(View view, int computeUnits) {
        long units = Math.max(1, computeUnits);
        long rows = view.blocks().runs();
        int groups = view.groups();
        long elements = groups * view.groupSize();
        long pieces = Math.max(
                Math.min(elements / LEAST_OF_FEW, FEW_PER_UNIT * units),
                Math.max(1, Math.min(elements / LEAST_OF_MANY, MANY_PER_UNIT * units)));
        // A matrix is read in the order of memory.
        long along = length(view) == 1 ? 1 : (long) groups * length(view) / LEAST_ALONG;
        long own = ceil(groups, Math.max(1, Math.min(Math.min(along, pieces), groups)));
        boolean wholeVectors = own > CoefficientRows.WRAP;
        ownGroups = (int) (wholeVectors ? Math.min(roundUp(own, CoefficientRows.WRAP), groups) : own);
        stripes = ceil(groups, ownGroups);
        rowsPerSlice = ceil(rows, Math.min(rows, ceil(pieces, stripes)));
        slices = ceil(rows, rowsPerSlice);
        isWorthwhile = elements <= MOST
                && 4 * stripes * slices > 3 * Math.min(pieces, MANY_PER_UNIT / 2 * units)
                && (slices - 1) * groups <= FOLDED_MEANWHILE * units;
    }

    /** Elements of a group side by side. */
    static int length(View view) {
        return view instanceof View.Segmented planes ? planes.length() : 1;
    }
}
