// All three steps in one launch, on a CPU: a work-item has several groups in turn, or stripes of columns, to itself, and
// applies one while it gathers the next. On a GPU, fused.cl is what this is here.
//
//   kernel                         launches  bytes moved                             chosen when
//   normalize_pipelined_segmented  1         x, residual, y (x again, if not in the cache)  there are enough groups for all units
//   normalize_pipelined_columnar   1         x, residual, y (x again, if not in the cache)  the same, and some columns fit the cache
//   gradient_pipelined_segmented   1         dy, x, y (its mask), dx, dresidual      as forward
//   gradient_pipelined_columnar    1         dy, x, y (its mask), dx, dresidual      as forward
//
// Groups are folded some at a time, by vectors. Groups of few rows of columns (FEW_ROWS) take no turns: they are gathered,
// folded and applied some at a time.

#include "apply.cl"
#include "fold_gradients.cl"
#include "fold_moments.cl"
#include "gradient_apply.cl"
#include "gradient_sums.cl"
#include "moments.cl"

#define FIRST_GROUP (in_block * own_groups)
#define LAST_GROUP min(FIRST_GROUP + own_groups, groups)

// Numbers of the groups that a CPU's work-item folds at a time.
#define HELD (STRIPE + VW)

#define GATHERED moments
#define APPLIED forward
#define OUTPUT y
#include "pipeline_template.clh"
#undef GATHERED
#undef APPLIED
#undef OUTPUT
#define GATHERED sums
#define APPLIED backward
#define OUTPUT dx
#include "pipeline_template.clh"
#undef GATHERED
#undef APPLIED
#undef OUTPUT

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_pipelined_segmented(
        FORWARD_ARGS, ADDED_ARGS ROW_ARGS, WHOLE_SEGMENTED_ARGS, AFFINE_ARGS, TRACKED_ARGS,
        __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    segments = RUNS_OF_BLOCK(segments);
    folding f = FOLDING;
    moments_inputs in = moments_inputs_of(AT(x) + block * block_stride);
    forward_arrays arrays = FORWARD_FROM(block * block_stride, coefficients);
    arrays.residual = AFTER_ADDITION(arrays.residual);
    float hi[HELD], lo[HELD], m2[HELD], units[HELD];
    float least = least_of(f);
    int last_group = LAST_GROUP;
    // As many groups as are folded at a time are applied while as many are gathered; at first there are none to apply, at
    // last none to gather.
    for (int first = FIRST_GROUP - folded; first < last_group; first += folded) {
        int held = first < FIRST_GROUP ? 0 : min(folded, last_group - first);
        int coming = min(folded, last_group - first - folded);
        fold_held(f, hi, lo, m2, units, (float)segments * (float)length, joined, first, held);
        for (int i = 0; i < max(held, coming); i++) {
            run whole = run_if(i < held, WHOLE_GROUP(first + i));
            run next = run_if(i < coming, WHOLE_GROUP(first + folded + i));
            int applied = first < FIRST_GROUP ? FIRST_GROUP : first + min(i, held - 1);
            arrays.row = ROW_AFFINE(whole.start, length);
            ADD_RUN(block * block_stride, &next);
            for (;;) {
                moments all = forward_run_and_gather(&arrays, &whole, applied, &in, &next);
                if (i >= coming) {
                    break;
                }
                hi[i] = all.hi;
                lo[i] = all.lo;
                m2[i] = all.m2;
                units[i] = in.unit;
                in.unit = in.again ? 1.0f : scalar_second_unit(all.hi, all.m2, all.n * least);
                in.again = in.unit != 1.0f;
                if (!in.again) {
                    break;
                }
                whole.length = 0; // it has been applied to
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_pipelined_columnar(
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
    TABLE(table);
    float hi[TABLE_ROW], lo[TABLE_ROW], m2[TABLE_ROW], units[TABLE_ROW];
    float values = (float)rows * (float)width;
    if (FEW_ROWS(rows)) {
        // Of a single row, groups that share statistics are one piece of memory: for their moments, they are one group.
        int pieces = rows == 1 ? joined : 1;
        in.ahead = stripe;
        for (int left = FIRST_COLUMN; left < LAST_COLUMN; left += stripe) {
            int right = min(left + stripe, LAST_COLUMN), held = (right - left) / width;
            for (in.again = 0;; in.again = 1) {
                moments_of_few_rows(
                        &in, left, columns, (int)rows, width * pieces, held / pieces, hi, lo, m2, units);
                if (in.again || !groups_again(hi, m2, units, held / pieces, values * (float)pieces * least)) {
                    break;
                }
            }
            for (int g = held - 1; pieces > 1 && g >= 0; g--) {
                hi[g] = hi[g / pieces];
                lo[g] = lo[g / pieces];
                m2[g] = m2[g / pieces];
                units[g] = units[g / pieces];
            }
            fold_held(f, hi, lo, m2, units, values, joined / pieces, left / width, held);
            for (long row = (rows - 1) * columns; row >= 0; row -= columns) {
                forward_planes(&arrays, row + left, row + right, groups, width, 0);
            }
        }
        return;
    }
    // The stripe that is applied, and the next one, which is gathered meanwhile and folded then; at first there is none to
    // apply, at last none to gather.
    int left = FIRST_COLUMN, right = left, next_right = min(left + stripe, LAST_COLUMN);
    no_column_moments(mine, next_right - right);
    while (left < LAST_COLUMN) {
        forward_stripe_and_gather(
                &arrays, left, right, table, mine, &in, right, next_right, rows, columns);
        int held = (next_right - right) / width;
        end_numbers(hi, next_right - right);
        end_numbers(lo, next_right - right);
        end_numbers(m2, next_right - right);
        for (int b = 0; column_of(right, b) < next_right; b++) {
            int c = own_column(b, right, next_right) - right;
            store_lanes(mine[b].hi, hi + c);
            store_lanes(mine[b].lo, lo + c);
            store_lanes(mine[b].m2 + mine[b].m2_lo, m2 + c);
        }
        for (int g = 0; width > 1 && g < held; g++) { // in place: a group's number is at most its first column's
            int c = g * width;
            moments all = across_columns((float)rows, hi + c, lo + c, m2 + c, width);
            hi[g] = all.hi;
            lo[g] = all.lo;
            m2[g] = all.m2;
        }
        if (!in.again && groups_again(hi, m2, units, held, values * least)) {
            for (int c = 0; c < next_right - right; c++) {
                hi[c] = units[c / width];
            }
            for (int b = 0; column_of(right, b) < next_right; b++) {
                mine[b] = no_lane_moments(load_lanes(hi + own_column(b, right, next_right) - right));
            }
            in.again = 1;
            left = right; // that stripe has been applied to
            continue;
        }
        in.again = 0;
        fold_held(f, hi, lo, m2, units, values, joined, right / width, held);
        put_forward_columns(table, right, next_right, width, coefficients, pitch);
        left = right;
        right = next_right;
        next_right = min(right + stripe, LAST_COLUMN);
        no_column_moments(mine, next_right - right);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_pipelined_segmented(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS ROW_ARGS, WHOLE_SEGMENTED_ARGS, GRADIENT_ARGS,
        __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    segments = RUNS_OF_BLOCK(segments);
    unfolding u = UNFOLDING;
    sums_inputs in = INPUTS_FROM(block * block_stride);
    backward_arrays arrays = BACKWARD_FROM(block * block_stride, coefficients);
    float dy[HELD], dyx[HELD], scaled_dy[HELD], scaled_dyx[HELD];
    int last_group = LAST_GROUP;
    for (int first = FIRST_GROUP - folded; first < last_group; first += folded) {
        int held = first < FIRST_GROUP ? 0 : min(folded, last_group - first);
        int coming = min(folded, last_group - first - folded);
        fold_held_sums(u, dy, dyx, scaled_dy, scaled_dyx, joined, first, held);
        for (int i = 0; i < max(held, coming); i++) {
            run whole = run_if(i < held, WHOLE_GROUP(first + i));
            run next = run_if(i < coming, WHOLE_GROUP(first + folded + i));
            int applied = first < FIRST_GROUP ? FIRST_GROUP : first + min(i, held - 1);
            arrays.row = ROW_AFFINE(whole.start, length);
            if (i < coming) {
                in.c = every_lane(coefficients_of_group(coefficients, pitch, first + folded + i));
                in.row = ROW_AFFINE(next.start, length);
            }
            sums all = backward_run_and_gather(&arrays, &whole, applied, &in, &next);
            if (i < coming) {
                dy[i] = all.dy;
                dyx[i] = all.dyx;
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_pipelined_columnar(
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
    TABLE(table);
    TABLE(forward_table);
    float dy[TABLE_ROW], dyx[TABLE_ROW], scaled_dy[TABLE_ROW], scaled_dyx[TABLE_ROW];
    if (FEW_ROWS(rows)) {
        in.ahead = stripe;
        for (int left = FIRST_COLUMN; left < LAST_COLUMN; left += stripe) {
            int right = min(left + stripe, LAST_COLUMN), first = left / width, held = (right - left) / width;
            sums_of_few_rows(&in, left, columns, (int)rows, width, first, held, dy, dyx);
            fold_held_sums(u, dy, dyx, scaled_dy, scaled_dyx, joined, first, held);
            for (long row = (rows - 1) * columns; row >= 0; row -= columns) {
                backward_planes(&arrays, row + left, row + right, groups, width, 0);
            }
        }
        return;
    }
    in.table = forward_table;
    int left = FIRST_COLUMN, right = left, next_right = min(left + stripe, LAST_COLUMN);
    for (; left < LAST_COLUMN; left = right, right = next_right, next_right = min(right + stripe, LAST_COLUMN)) {
        int first = left / width, held = (right - left) / width;
        end_numbers(dy, right - left);
        end_numbers(dyx, right - left);
        for (int b = 0; column_of(left, b) < right; b++) {
            int c = own_column(b, left, right) - left;
            store_lanes(vector_compensated(mine[b].dy, mine[b].dy_lo), dy + c);
            store_lanes(vector_compensated(mine[b].dyx, mine[b].dyx_lo), dyx + c);
        }
        for (int g = 0; width > 1 && g < held; g++) {
            dy[g] = sum_columns(dy + g * width, width);
            dyx[g] = sum_columns(dyx + g * width, width);
        }
        fold_held_sums(u, dy, dyx, scaled_dy, scaled_dyx, joined, first, held);
        put_backward_columns(table, left, right, width, coefficients, pitch);
        in.left = right;
        put_forward_columns(forward_table, right, next_right, width, coefficients, pitch);
        no_column_sums(mine, next_right - right);
        backward_stripe_and_gather(
                &arrays, left, right, table, mine, &in, right, next_right, rows, columns);
    }
}
