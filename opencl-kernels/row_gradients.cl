// dgamma and dbeta of rows whose gamma and beta go by the element (layer norm, RMS norm): sums down the columns of the
// matrix of rows, each row with its own coefficients.
//
//   kernel         launches  bytes moved        chosen when
//   affine_sums    1         dy, x, y (MASK 2)  gamma or beta of rows is to have a gradient
//
// Output: partials[(slice * 2 + k) * parts_pitch + column], k = sum(dy' xhat), sum(dy'), for sum_parts in fold.cl. It goes
// before dx is written, which may be dy.

#ifndef ROW_GRADIENTS_CL
#define ROW_GRADIENTS_CL

#include "gradient_sums.cl"

// What is added to a column's sums from one row.
INLINE void add_row(
        lane_sums *to, sums_inputs in, scalar_coefficients c, long at, int column, int columns, long elements) {
    vec x = load_before_as(X, in.x + at, in.x + elements);
    vec y = READS_Y ? load_before_as(Y, in.y + at, in.y + elements) : (vec)(0.0f);
    vec dy = load_before_as(DY, in.dy + at, in.dy + elements);
    vector_coefficients cs = at_last_elements(every_lane(c), in.row, column);
    dy = vector_masked(dy, x, y, cs);
    to->dy += dy;
    to->dyx = multiply_add(dy, (x - cs.hi) * cs.scale + cs.shift, to->dyx);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void affine_sums(
        GRADIENT_INPUTS ROW_ARGS, long rows, int columns, long rows_per_slice, int stripes,
        __global const float *coefficients, int pitch, __global float *partials, int parts_pitch) {
    LOCAL_COLUMN_SUMS(room);
    int left = (int)(get_group_id(0) % stripes) * STRIPE;
    int right = min(left + STRIPE, columns);
    long slice = get_group_id(0) / stripes;
    long first = slice * rows_per_slice;
    long last = LONG_MIN_OF(rows, first + rows_per_slice);
    sums_inputs in = INPUTS;
    in.row = ROW_AFFINE(0, columns);
    lane_sums mine[BLOCKS];
    no_column_sums(mine, STRIPE);
    for (long row = first + ITEM_Y; row < last; row += TILE * WY) {
        for (int b = 0; b < BLOCKS && column_of(left, b) < right; b++) {
            int column = column_of(left, b);
            lane_sums tile = no_lane_sums();
            for (int i = 0; i < TILE && row + i * WY < last; i++) {
                scalar_coefficients c = forward_of_group(coefficients, pitch, (int)(row + i * WY));
                add_row(&tile, in, c, (row + i * WY) * columns + column, column, columns, rows * columns);
            }
            add_compensated(&mine[b].dy, &mine[b].dy_lo, tile.dy);
            add_compensated(&mine[b].dyx, &mine[b].dyx_lo, tile.dyx);
        }
    }
    across_column_sum_items(mine, room);
    if (ITEM_Y == 0) {
        for (int b = 0; b < BLOCKS && column_of(left, b) < right; b++) {
            int column = column_of(left, b);
            __global float *partial = partials + slice * 2 * parts_pitch + column;
            store(mine[b].dyx + mine[b].dyx_lo, partial);
            store(mine[b].dy + mine[b].dy_lo, partial + parts_pitch);
        }
    }
}

#endif
