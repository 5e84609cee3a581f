// Inference in one launch, on a CPU: the statistics are given, so a work-item folds those groups that it applies.
//
//   kernel  launches  bytes moved     chosen when
//   infer   1         x, residual, y  work-groups of one item, and groups are not folded much more than once
//
// A work-group has `own_groups` neighbouring groups in a slice of `rows_per_slice` segments, or rows, of each. The first slice
// leaves the coefficients to a backward pass; the others have copies of them, so that nobody waits for another.

#include "apply.cl"
#include "fold_moments.cl"

#if WG == 1
// Rows of coefficients, the last of which forward needs.
#define COPIED_ROWS (UNIT + 1)

// `length` is that of a segment, 1 of a column.
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void infer(
        FORWARD_ARGS, int groups, int own_groups, long rows, long rows_per_slice, int length, AFFINE_ARGS, IN(mean),
        IN(variance), __global float *coefficients, __global float *copies, int pitch) {
    const int stripes = (groups - 1) / own_groups + 1;
    const int slice = (int)get_group_id(0) / stripes, left = (int)get_group_id(0) % stripes * own_groups;
    const int right = min(left + own_groups, groups);
    __global float *own = slice == 0 ? coefficients : copies + (slice - 1) * (long)COPIED_ROWS * pitch;
    averaging none = averaging_of(AVERAGE_NONE, 0.0f, 0.0f, 0.0f, 0, 0, 0, 0);
    folding f = folding_of(
            OPTIONAL(gamma), OPTIONAL(beta), 0, epsilon, 1.0f, 0, statistic, 0.0f, 0.0f, none, groups, own, pitch);
    for (int group = left; group < right; group += FOLD_LANES) {
        put_given(f, group, min(right - group, FOLD_LANES), AT(mean), AT(variance));
    }
    forward_arrays arrays = FORWARD_FROM(0, own);
    if (length == 1) {
        forward_flat(&arrays, rows * groups, slice, rows_per_slice * groups, groups);
        return;
    }
    const long columns = (long)groups * length, first = slice * rows_per_slice;
    const long last = LONG_MIN_OF(rows, first + rows_per_slice);
    if (own_groups == groups) {
        forward_planes(&arrays, first * columns, last * columns, groups, length, 1);
        return;
    }
    for (long row = first; row < last; row++) {
        forward_planes(&arrays, row * columns + (long)left * length, row * columns + (long)right * length, groups, length, 1);
    }
}
#endif
