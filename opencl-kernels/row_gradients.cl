// dgamma and dbeta of rows whose gamma and beta go by the element (layer norm, RMS norm): sums down the columns of the
// matrix of rows, each row with its own coefficients.
//
//   kernel         launches  bytes moved                         chosen when
//   affine_sums    1         dy, x, y (its mask)                    gamma or beta of rows is to have a gradient
//   gradient_rows  1         dy, x, y (its mask), dx, dresidual    the same and dx, by work-groups of one item
//
// Output: partials[(slice * 2 + k) * parts_pitch + column], k = sum(dy' xhat), sum(dy'), for sum_parts in
// fold_gradients.cl. affine_sums goes before dx is written, which may be dy.

#ifndef ROW_GRADIENTS_CL
#define ROW_GRADIENTS_CL

#include "fold_gradients.cl"
#include "gradient_apply.cl"
#include "gradient_sums.cl"

// What is added to a column's sums from one row.
INLINE void add_row(
        lane_sums *to, sums_inputs in, scalar_coefficients c, long at, int column, int columns) {
    vec x, dy, y = (vec)(0.0f);
    vector_coefficients cs;
    if (WG > 1 || column + VW <= columns) {
        x = load_as(X, in.x + at);
        y = READS_Y(in.mask) ? load_as(Y, in.y + at) : y;
        dy = load_as(DY, in.dy + at);
        cs = at_elements(every_lane(c), in.row, column);
    } else {
        int valid = columns - column;
        x = load_first_as(X, in.x + at, valid);
        y = READS_Y(in.mask) ? load_first_as(Y, in.y + at, valid) : y;
        dy = load_first_as(DY, in.dy + at, valid);
        cs = at_last_elements(every_lane(c), in.row, column);
    }
    dy = vector_masked(dy, x, y, in.mask, in.slope, cs);
    to->dy += dy;
    to->dyx = fma(dy, vector_standardized(x, cs), to->dyx);
}

// A work-item's share of columns [.., right), as in gather_template.clh.
ELEMENT_LOOP void add_rows(
        lane_sums *mine, const sums_inputs *inputs, int columns, int left, int right, long first, long last,
        __global const float *coefficients, int pitch) {
    sums_inputs in = *inputs;
    for (long row = first; row < last; row += TILE * WY) {
        for (int b = 0; b < VECTORS && column_of(left, b) < right; b++) {
            int column = column_of(left, b);
            lane_sums tile = no_lane_sums();
            for (int i = 0; i < TILE && row + i * WY < last; i++) {
                if (in.states && in.states[row + i * WY] != STEP_VALID) {
                    continue;
                }
                scalar_coefficients c = coefficients_of_group(coefficients, pitch, (int)(row + i * WY));
                add_row(&tile, in, c, (row + i * WY) * columns + column, column, columns);
            }
            vector_add_compensated(&mine[b].dy, &mine[b].dy_lo, tile.dy);
            vector_add_compensated(&mine[b].dyx, &mine[b].dyx_lo, tile.dyx);
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void affine_sums(
        GRADIENT_INPUTS, TENSOR_IN(VALID, valid), MASK_ARGS ROW_ARGS, long rows, int columns, long rows_per_slice, int stripes,
        __global const float *coefficients, int pitch, __global float *partials, int parts_pitch) {
    LOCAL_COLUMN_SUMS(room);
    int left = (int)(get_group_id(0) % stripes) * STRIPE + ITEM_X * VW;
    int right = min((int)(get_group_id(0) % stripes + 1) * STRIPE, columns);
    long slice = get_group_id(0) / stripes;
    long first = slice * rows_per_slice;
    long last = LONG_MIN_OF(rows, first + rows_per_slice);
    sums_inputs in = INPUTS_FROM(0);
    in.row = ROW_AFFINE(0, columns);
    in.states = OPTIONAL(valid);
    lane_sums mine[VECTORS];
    no_column_sums(mine, STRIPE);
    add_rows(mine, &in, columns, left, right, first + ITEM_Y, last, coefficients, pitch);
    across_column_sum_items(mine, room);
    if (ITEM_Y == 0) {
        for (int b = 0; b < VECTORS && column_of(left, b) < right; b++) {
            int column = column_of(left, b);
            __global float *partial = partials + slice * 2 * parts_pitch + column;
            store(vector_compensated(mine[b].dyx, mine[b].dyx_lo), partial);
            store(vector_compensated(mine[b].dy, mine[b].dy_lo), partial + parts_pitch);
        }
    }
}

#if WG == 1
// Vectors of a row that are taken together.
#define PANEL 4

INLINE void add_to_column(__global float *to_gamma, __global float *to_beta, int column, vec gamma, vec beta) {
    store(load(to_gamma + column) + gamma, to_gamma + column);
    store(load(to_beta + column) + beta, to_beta + column);
}

// A work-item takes a slice of the rows, VW of them at a time: their sums row by row, from memory; their fold, as one
// vector; and then, from the cache, column by column, dx and what dgamma and dbeta get of these rows. A column's sums are
// added up VW rows at a time, so that a slice of some hundred rows has some ten roundings. Rows' statistics are their own:
// they are never frozen.
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void gradient_rows(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS ROW_ARGS, int groups, int columns, int rows_per_slice, GRADIENT_ARGS,
        __global float *coefficients, int pitch, __global float *partials, int parts_pitch) {
    const int block = 0, blocks = 1;
    unfolding u = UNFOLDING;
    int first = (int)get_group_id(0) * rows_per_slice;
    int last = min(first + rows_per_slice, groups);
    sums_inputs in = INPUTS_FROM(0);
    backward_arrays a = BACKWARD_FROM(0, coefficients);
    __global float *to_gamma = partials + get_group_id(0) * 2 * (long)parts_pitch;
    __global float *to_beta = to_gamma + parts_pitch;
    for (int column = 0; column < columns; column += VW) {
        store((vec)(0.0f), to_gamma + column);
        store((vec)(0.0f), to_beta + column);
    }
    for (; first < last; first += VW) {
        int held = min(last - first, VW);
        float dy[2 * VW], dyx[2 * VW], scaled_dy[2 * VW], scaled_dyx[2 * VW]; // with room after the last
        for (int i = 0; i < held; i++) {
            run row;
            row.start = (long)(first + i) * columns;
            row.stride = row.length = columns;
            row.count = 1;
            row.item = 0;
            row.items = 1;
            in.c = every_lane(coefficients_of_group(coefficients, pitch, first + i));
            in.row = ROW_AFFINE(row.start, columns);
            sums all = sums_of_run(&in, &row);
            dy[i] = all.dy;
            dyx[i] = all.dyx;
        }
        fold_held_sums(u, dy, dyx, scaled_dy, scaled_dyx, 1, first, held);
        row_affine affine = ROW_AFFINE(0, columns);
        int column = 0;
        for (; column + PANEL * VW <= columns; column += PANEL * VW) {
            vec gamma[PANEL], beta[PANEL];
            EACH_OF(v, PANEL) { gamma[v] = beta[v] = (vec)(0.0f); }
            for (int i = 0; i < held; i++) {
                vector_coefficients c = every_lane(backward_of_group(a, first + i));
                long row = (long)(first + i) * columns;
                a.row = ROW_AFFINE(row, columns);
                EACH_OF(v, PANEL) {
                    long at = row + column + v * VW;
                    vector_coefficients cs = at_elements(c, a.row, at);
                    vec x = load_as(X, a.x + at);
                    vec y = READS_Y(in.mask) ? load_as(Y, a.y + at) : (vec)(0.0f);
                    vec dy = vector_masked(load_dy(a.dy + at), x, y, in.mask, in.slope, cs);
                    gamma[v] = fma(dy, vector_standardized(x, cs), gamma[v]);
                    beta[v] += dy;
                    vec dx = with_past(a, vector_backward(dy, x, 0, cs), at);
                    store_if_aligned_as(DX, dx, a.dx + at);
                    if (a.dresidual) {
                        store_if_aligned_as(DRES, dy, a.dresidual + at);
                    }
                }
            }
            EACH_OF(v, PANEL) { add_to_column(to_gamma, to_beta, column + v * VW, gamma[v], beta[v]); }
        }
        for (; column < columns; column += VW) {
            int valid = min(columns - column, VW);
            vec gamma = (vec)(0.0f), beta = (vec)(0.0f);
            for (int i = 0; i < held; i++) {
                vector_coefficients cs = every_lane(backward_of_group(a, first + i));
                cs = at_last_elements(cs, affine, column);
                long at = (long)(first + i) * columns + column;
                vec x = load_first_as(X, a.x + at, valid);
                vec y = READS_Y(in.mask) ? load_first_as(Y, a.y + at, valid) : (vec)(0.0f);
                vec dy = vector_masked(load_first_as(DY, a.dy + at, valid), x, y, in.mask, in.slope, cs);
                gamma = fma(dy, vector_standardized(x, cs), gamma);
                beta += dy;
                vec dx = vector_backward(dy, x, 0, cs);
                if (a.past) {
                    dx += load_first_as(PAST, a.past + at, valid);
                }
                store_first_as(DX, dx, valid, a.dx + at);
                if (a.dresidual) {
                    store_first_as(DRES, dy, valid, a.dresidual + at);
                }
            }
            add_to_column(to_gamma, to_beta, column, gamma, beta);
        }
    }
}
#endif

#endif
