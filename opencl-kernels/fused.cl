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
#include "pipeline.clh"

#define FIRST_GROUP ((int)get_group_id(0) * groups_per_item)
#define LAST_GROUP min(FIRST_GROUP + groups_per_item, groups)

DEFINE_PIPELINE(moments, forward, y)
DEFINE_PIPELINE(sums, backward, dx)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_segmented(
        FORWARD_ARRAYS, long elements, WHOLE_SEGMENTED_ARGS, AFFINE_ARGS, RUNNING_ARGS,
        __global float *coefficients, int pitch) {
    moments_inputs in = moments_inputs_of(AT(x));
    forward_arrays arrays = forward_of(AT(x), AT(residual), AT(y));
    lane_moments body = no_lane_moments();
    lane_moments edge = no_lane_moments();
#if WG == 1
    scalar_coefficients c = forward_of_group(coefficients, pitch, FIRST_GROUP);
    for (int group = FIRST_GROUP - 1; group < LAST_GROUP; group++) {
        run whole = WHOLE_GROUP(group), next = WHOLE_GROUP(group + 1);
        if (group >= FIRST_GROUP) {
            FOLD_GROUP(moments_of_lanes(body, edge, whole), group);
            c = forward_of_group(coefficients, pitch, group);
            body = edge = no_lane_moments();
        } else {
            whole.length = 0;
        }
        if (group + 1 == LAST_GROUP) {
            next.length = 0;
        }
        forward_run_and_gather(arrays, whole, c, &body, &edge, in, next, elements);
    }
#else
    LOCAL_MOMENTS(room);
    int group = get_group_id(0);
    run whole = WHOLE_GROUP(group);
    moments_of_run(&body, &edge, in, whole, elements);
    moments all = across_group(moments_of_lanes(body, edge, whole), room);
    if (LOCAL_ITEM == 0) {
        FOLD_GROUP(all, group);
    }
    FOLDED;
    forward_run(arrays, whole, forward_of_group(coefficients, pitch, group));
#endif
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_columnar(
        FORWARD_ARRAYS, long elements, STRIPE_ARGS, AFFINE_ARGS, RUNNING_ARGS, __global float *coefficients,
        int pitch) {
    moments_inputs in = moments_inputs_of(AT(x));
    forward_arrays arrays = forward_of(AT(x), AT(residual), AT(y));
    int columns = groups * width;
    lane_moments mine[BLOCKS];
#if WG == 1
    TABLE(table);
    float hi[TABLE_ROW], lo[TABLE_ROW], m2[TABLE_ROW];
    // The stripe that is applied, and the next one; at first there is none to apply, at last none to gather.
    int left = FIRST_COLUMN, right = left, next_right = min(left + stripe, LAST_COLUMN);
    for (; left < LAST_COLUMN; left = right, right = next_right, next_right = min(right + stripe, LAST_COLUMN)) {
        int first = left / width, held = (right - left) / width;
        for (int b = 0; !FEW_ROWS(rows) && column_of(left, b) < right; b++) {
            store_lanes(mine[b].hi, hi + b * VW);
            store_lanes(mine[b].lo, lo + b * VW);
            store_lanes(mine[b].m2 + mine[b].m2_lo, m2 + b * VW);
        }
        for (int g = 0; g < held; g++) { // in place: a group's number is at most its first column's
            int c = g * width;
            moments all = FEW_ROWS(rows)
                    ? moments_of_few_rows(in, left + c, columns, (int)rows, width, elements)
                    : across_columns((float)rows, hi + c, lo + c, m2 + c, width);
            hi[g] = all.hi;
            lo[g] = all.lo;
            m2[g] = all.m2;
        }
        for (int g = 0; g < held; g += VW) {
            FOLD_GROUPS(load_lanes(hi + g), load_lanes(lo + g), load_lanes(m2 + g), first + g, min(held - g, VW));
        }
        put_forward_columns(table, left, right, width, coefficients, pitch);
        int gather_right = FEW_ROWS(rows) ? right : next_right;
        no_column_moments(mine, gather_right - right);
        forward_stripe_and_gather(
                arrays, left, right, table, mine, in, right, gather_right, rows, columns, elements);
    }
#else
    LOCAL_COLUMNS(room);
    int left = FIRST_COLUMN, right = LAST_COLUMN;
    no_column_moments(mine, STRIPE);
    moments_of_columns(mine, in, columns, left, right, 0, rows, elements);
    across_column_items(mine, room);
    FOLD_COLUMNS;
    FOLDED;
    forward_stripe(arrays, rows, columns, left, right, 0, coefficients, pitch);
#endif
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_segmented(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, long elements, WHOLE_SEGMENTED_ARGS, GRADIENT_ARGS,
        __global float *coefficients, int pitch) {
    sums_inputs in = INPUTS;
    backward_arrays arrays = BACKWARD_ARRAYS;
    lane_sums body = no_lane_sums();
    lane_sums edge = no_lane_sums();
#if WG == 1
    scalar_coefficients c = forward_of_group(coefficients, pitch, FIRST_GROUP);
    for (int group = FIRST_GROUP - 1; group < LAST_GROUP; group++) {
        run whole = WHOLE_GROUP(group), next = WHOLE_GROUP(group + 1);
        if (group >= FIRST_GROUP) {
            FOLD_SUMS(sums_of_lanes(body, edge, whole), group);
            c = backward_of_group(coefficients, pitch, group);
            body = edge = no_lane_sums();
        } else {
            whole.length = 0;
        }
        if (group + 1 < LAST_GROUP) {
            in.c = every_lane(forward_of_group(coefficients, pitch, group + 1));
        } else {
            next.length = 0;
        }
        backward_run_and_gather(arrays, whole, c, &body, &edge, in, next, elements);
    }
#else
    LOCAL_SUMS(room);
    int group = get_group_id(0);
    run whole = WHOLE_GROUP(group);
    in.c = every_lane(forward_of_group(coefficients, pitch, group));
    sums_of_run(&body, &edge, in, whole, elements);
    sums all = across_group_sums(sums_of_lanes(body, edge, whole), room);
    if (LOCAL_ITEM == 0) {
        FOLD_SUMS(all, group);
    }
    FOLDED;
    backward_run(arrays, whole, backward_of_group(coefficients, pitch, group));
#endif
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_columnar(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, long elements, STRIPE_ARGS, GRADIENT_ARGS, __global float *coefficients,
        int pitch) {
    sums_inputs in = INPUTS;
    backward_arrays arrays = BACKWARD_ARRAYS;
    int columns = groups * width;
    lane_sums mine[BLOCKS];
#if WG == 1
    TABLE(table);
    TABLE(forward_table);
    float dy[TABLE_ROW], dyx[TABLE_ROW];
    in.table = forward_table;
    int left = FIRST_COLUMN, right = left, next_right = min(left + stripe, LAST_COLUMN);
    for (; left < LAST_COLUMN; left = right, right = next_right, next_right = min(right + stripe, LAST_COLUMN)) {
        int first = left / width, held = (right - left) / width;
        for (int b = 0; !FEW_ROWS(rows) && column_of(left, b) < right; b++) {
            store_lanes(mine[b].dy + mine[b].dy_lo, dy + b * VW);
            store_lanes(mine[b].dyx + mine[b].dyx_lo, dyx + b * VW);
        }
        for (int g = 0; g < held; g++) {
            if (FEW_ROWS(rows)) {
                in.c = every_lane(forward_of_group(coefficients, pitch, first + g));
                sums all = sums_of_few_rows(in, left + g * width, columns, (int)rows, width, elements);
                dy[g] = all.dy;
                dyx[g] = all.dyx;
            } else {
                dy[g] = sum_columns(dy + g * width, width);
                dyx[g] = sum_columns(dyx + g * width, width);
            }
        }
        for (int g = 0; g < held; g += VW) {
            FOLD_LANE_SUMS(load_lanes(dy + g), load_lanes(dyx + g), first + g, min(held - g, VW));
        }
        put_backward_columns(table, left, right, width, coefficients, pitch);
        int gather_right = FEW_ROWS(rows) ? right : next_right;
        in.left = right;
        put_forward_columns(forward_table, right, gather_right, width, coefficients, pitch);
        no_column_sums(mine, gather_right - right);
        backward_stripe_and_gather(
                arrays, left, right, table, mine, in, right, gather_right, rows, columns, elements);
    }
#else
    LOCAL_COLUMN_SUMS(room);
    int left = FIRST_COLUMN, right = LAST_COLUMN;
    no_column_sums(mine, STRIPE);
    sums_of_columns(mine, in, columns, left, right, 0, rows, elements);
    across_column_sum_items(mine, room);
    FOLD_COLUMN_SUMS;
    FOLDED;
    backward_stripe(arrays, rows, columns, left, right, 0, coefficients, pitch);
#endif
}
