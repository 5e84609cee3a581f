// All three steps in one launch, on a GPU: a work-group of several items has a whole group, or a stripe of columns, to itself,
// so no other work-group has to be waited for, and the apply step finds in the cache what the reduce step read. On a CPU,
// pipelined.cl is what this is here.
//
//   kernel               launches  bytes moved                             chosen when
//   normalize_segmented  1         x, residual, y (x again, if not in the cache)  there are enough groups to fill the device;
//                                  with an addend, it and the residual, x and y
//   normalize_columnar   1         x, residual, y (x again, if not in the cache)  the same, of columns
//   gradient_segmented   1         dy, x, y (its mask), dx, dresidual      as forward
//   gradient_columnar    1         dy, x, y (its mask), dx, dresidual      as forward
//
// The steps talk through the coefficients in global memory, as the separate kernels do: a barrier, and the work-items
// that did not fold read what the one that did has written.

#include "apply.cl"
#include "fold_gradients.cl"
#include "fold_moments.cl"
#include "gradient_apply.cl"
#include "gradient_sums.cl"
#include "moments.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_segmented(
        FORWARD_ARGS, ADDED_ARGS ROW_ARGS, WHOLE_SEGMENTED_ARGS, AFFINE_ARGS, TRACKED_ARGS,
        __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    segments = RUNS_OF_BLOCK(segments);
    folding f = FOLDING;
    moments_inputs in = moments_inputs_of(AT(x) + block * block_stride);
    forward_arrays arrays = FORWARD_FROM(block * block_stride, coefficients);
    LOCAL_MOMENTS(room);
    LOCAL_TEAM_UNITS(units);
    int group = GROUP_IN(in_block);
    run whole = run_if(HAS_GROUP_IN(in_block), WHOLE_GROUP(group));
    ADD_RUN(block * block_stride, &whole);
    arrays.residual = AFTER_ADDITION(arrays.residual);
    moments all;
    for (;;) {
        all = across_team(moments_of_run(&in, &whole), whole.items, room);
        if (in.again || !teams_again(all, whole.items, least_of(f), &in.unit, units)) {
            break;
        }
        in.again = 1;
    }
    if (is_first_of_team(whole)) {
        fold_group(f, all, in.unit, group);
    }
    FOLDED;
    arrays.row = ROW_AFFINE(whole.start, length);
    forward_run(&arrays, &whole, group);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_columnar(
        FORWARD_ARGS, STRIPE_ARGS, AFFINE_ARGS, TRACKED_ARGS, __global float *coefficients,
        int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    rows = RUNS_OF_BLOCK(rows);
    folding f = FOLDING;
    moments_inputs in = moments_inputs_of(AT(x) + block * block_stride);
    forward_arrays arrays = FORWARD_FROM(block * block_stride, coefficients);
    int columns = groups * width;
    lane_moments mine[VECTORS];
    float least = least_of(f);
    LOCAL_COLUMNS(room);
    LOCAL_UNITS(units);
    int left = FIRST_COLUMN, right = LAST_COLUMN;
    no_column_moments(mine, STRIPE);
    for (;;) {
        moments_of_columns(mine, &in, columns, left, right, ITEM_Y, rows);
        across_column_items(mine, room);
        if (in.again || !columns_again(mine, right - left, least, units)) {
            break;
        }
        in.again = 1;
    }
    fold_columns(f, mine, left, right, room);
    FOLDED;
    forward_stripe(&arrays, rows - 1 - ITEM_Y, columns, left, right);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_segmented(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS ROW_ARGS, WHOLE_SEGMENTED_ARGS, GRADIENT_ARGS,
        __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    segments = RUNS_OF_BLOCK(segments);
    unfolding u = UNFOLDING;
    sums_inputs in = INPUTS_FROM(block * block_stride);
    backward_arrays arrays = BACKWARD_FROM(block * block_stride, coefficients);
    LOCAL_SUMS(room);
    int group = GROUP_IN(in_block);
    run whole = run_if(HAS_GROUP_IN(in_block), WHOLE_GROUP(group));
    in.c = every_lane(coefficients_of_group(coefficients, pitch, group));
    in.row = arrays.row = ROW_AFFINE(whole.start, length);
    sums all = across_team_sums(sums_of_run(&in, &whole), whole.items, room);
    if (is_first_of_team(whole)) {
        fold_group_sums(u, all, group);
    }
    FOLDED;
    backward_run(&arrays, &whole, group);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_columnar(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, STRIPE_ARGS, GRADIENT_ARGS, __global float *coefficients,
        int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    rows = RUNS_OF_BLOCK(rows);
    unfolding u = UNFOLDING;
    sums_inputs in = INPUTS_FROM(block * block_stride);
    backward_arrays arrays = BACKWARD_FROM(block * block_stride, coefficients);
    int columns = groups * width;
    lane_sums mine[VECTORS];
    LOCAL_COLUMN_SUMS(room);
    int left = FIRST_COLUMN, right = LAST_COLUMN;
    no_column_sums(mine, STRIPE);
    sums_of_columns(mine, &in, columns, left, right, ITEM_Y, rows);
    across_column_sum_items(mine, room);
    fold_column_sums(u, mine, left, right, room);
    FOLDED;
    backward_stripe(&arrays, rows - 1 - ITEM_Y, columns, left, right);
}
