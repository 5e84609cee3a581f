// All three steps in one launch: a work-group has whole groups to itself, so no other work-group has to be waited for,
// and the apply step finds in the cache what the reduce step read.
//
//   kernel              launches  bytes moved                              chosen when
//   normalize_segmented 1         x, residual, y (x again if not cached)   there are enough groups to fill the device
//   normalize_columnar  1         x, residual, y (x again if not cached)   the same, and a stripe of columns fits
//   gradient_segmented  1         dy, x, y (MASK 2), dx, dresidual         as forward
//   gradient_columnar   1         dy, x, y (MASK 2), dx, dresidual         as forward
//
// The steps talk through the coefficients in global memory, as the separate kernels do: a barrier, and the work-items
// that did not fold read what the one that did has written.

#include "apply.cl"
#include "fold.cl"
#include "gradient_apply.cl"
#include "gradient_sums.cl"
#include "moments.cl"

#if WG > 1
#define FOLDED barrier(CLK_GLOBAL_MEM_FENCE)
#else
#define FOLDED
#endif

#define WHOLE_GROUP(group) \
    slice_of_segments(group, 0, segments, length, segment_stride, segments, length)
#define WHOLE_SEGMENTED_ARGS int groups, int segments, int length, long segment_stride

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_segmented(
        FORWARD_ARRAYS, long elements, WHOLE_SEGMENTED_ARGS, AFFINE_ARGS, RUNNING_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_MOMENTS(room);
    int group = get_group_id(0);
    run whole = WHOLE_GROUP(group);
    moments all = moments_of_group(AT(x), whole, elements);
    all = across_group(all, room);
    if (LOCAL_ITEM == 0) {
        FOLD_GROUP(all, group);
    }
    FOLDED;
    forward_run(
            forward_of(AT(x), AT(residual), AT(y)), whole, forward_of_group(coefficients, pitch, group));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_columnar(
        FORWARD_ARRAYS, long elements, STRIPE_ARGS, AFFINE_ARGS, RUNNING_ARGS, __global float *coefficients,
        int pitch) {
    LOCAL_COLUMNS(room);
    STRIPE_COLUMNS;
    lane_moments mine[BLOCKS];
    no_column_moments(mine);
    moments_of_columns(mine, moments_inputs_of(AT(x)), columns, left, right, 0, rows, elements);
    across_column_items(mine, room);
    float *spread = 0;
#if WG == 1
    TABLE(table);
    float hi[TABLE_ROW], lo[TABLE_ROW], m2[TABLE_ROW];
    for (int b = 0; column_of(left, b) < right; b++) {
        store_lanes(mine[b].hi, hi + b * VW);
        store_lanes(mine[b].lo, lo + b * VW);
        store_lanes(mine[b].m2 + mine[b].m2_lo, m2 + b * VW);
    }
    for (int c = 0; c < right - left; c += width) {
        int group = (left + c) / width;
        moments all = across_columns((float)rows, hi + c, lo + c, m2 + c, width);
        FOLD_GROUP(all, group);
        if (width > 1) {
            put_in_table(table, c, width, forward_of_group(coefficients, pitch, group));
            spread = table;
        }
    }
#else
    if (ITEM_Y == 0) {
        for (int b = 0; b < BLOCKS; b++) {
            int column = column_of(left, b);
            float hi[VW], lo[VW], m2[VW];
            store_lanes(mine[b].hi, hi);
            store_lanes(mine[b].lo, lo);
            store_lanes(mine[b].m2 + mine[b].m2_lo, m2);
            for (int i = 0; i < VW && column + i < right; i++) {
                moments all;
                all.n = mine[b].n;
                all.hi = hi[i];
                all.lo = lo[i];
                all.m2 = m2[i];
                FOLD_GROUP(all, column + i);
            }
        }
    }
    FOLDED;
#endif
    forward_stripe(forward_of(AT(x), AT(residual), AT(y)), rows, columns, left, right, spread, coefficients, pitch);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_segmented(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, long elements, WHOLE_SEGMENTED_ARGS, GRADIENT_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_SUMS(room);
    int group = get_group_id(0);
    run whole = WHOLE_GROUP(group);
    sums all = sums_of_group(INPUTS, whole, elements, group);
    all = across_group_sums(all, room);
    if (LOCAL_ITEM == 0) {
        FOLD_SUMS(all, group);
    }
    FOLDED;
    backward_run(BACKWARD_ARRAYS, whole, backward_of_group(coefficients, pitch, group));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_columnar(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, long elements, STRIPE_ARGS, GRADIENT_ARGS, __global float *coefficients,
        int pitch) {
    LOCAL_COLUMN_SUMS(room);
    STRIPE_COLUMNS;
    sums_inputs in = INPUTS;
    float *spread = 0;
#if WG == 1
    TABLE(table);
    if (width > 1) {
        spread = table;
        for (int c = 0; c < right - left; c += width) {
            int group = (left + c) / width;
            put_in_table(table, c, width, forward_of_group(coefficients, pitch, group));
        }
        in.table = table;
        in.left = left;
    }
#endif
    lane_sums mine[BLOCKS];
    no_column_sums(mine);
    sums_of_columns(mine, in, columns, left, right, 0, rows, elements);
    across_column_sum_items(mine, room);
#if WG == 1
    float dy[TABLE_ROW], dyx[TABLE_ROW];
    for (int b = 0; column_of(left, b) < right; b++) {
        store_lanes(mine[b].dy + mine[b].dy_lo, dy + b * VW);
        store_lanes(mine[b].dyx + mine[b].dyx_lo, dyx + b * VW);
    }
    for (int c = 0; c < right - left; c += width) {
        int group = (left + c) / width;
        sums all;
        all.dy = sum_columns(dy + c, width);
        all.dyx = sum_columns(dyx + c, width);
        FOLD_SUMS(all, group);
        if (width > 1) {
            put_in_table(table, c, width, backward_of_group(coefficients, pitch, group));
        }
    }
#else
    if (ITEM_Y == 0) {
        for (int b = 0; b < BLOCKS; b++) {
            int column = column_of(left, b);
            float dy[VW], dyx[VW];
            store_lanes(mine[b].dy + mine[b].dy_lo, dy);
            store_lanes(mine[b].dyx + mine[b].dyx_lo, dyx);
            for (int i = 0; i < VW && column + i < right; i++) {
                sums all;
                all.dy = dy[i];
                all.dyx = dyx[i];
                FOLD_SUMS(all, column + i);
            }
        }
    }
    FOLDED;
#endif
    backward_stripe(BACKWARD_ARRAYS, rows, columns, left, right, spread, coefficients, pitch);
}
