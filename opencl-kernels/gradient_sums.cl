// Step 1 backward: sum(dy') and sum(dy' (x - mean)) of each slice of each group, centred with the mean's two floats;
// dy' is dy where the activation let it through.
//
//   kernel                   launches  bytes moved       chosen when
//   gradient_sums_segmented  1         x, dy, y (MASK 2)  groups of contiguous runs are cut into slices
//   gradient_sums_columnar   1         x, dy, y (MASK 2)  columns
//
// Output: partials[(slice * 2 + k) * pitch + group], k = sum(dy'), sum(dy' (x - mean)).

#ifndef GRADIENT_SUMS_CL
#define GRADIENT_SUMS_CL

#include "pointwise.clh"

typedef struct {
    __global const float *dy;
    __global const float *x;
    __global const float *y;
} gradient_inputs;

#define GRADIENT_INPUTS IN(dy), IN(x), IN(y)

inline gradient_inputs gradient_inputs_of(
        __global const float *dy, __global const float *x, __global const float *y) {
    gradient_inputs in;
    in.dy = dy;
    in.x = x;
    in.y = y;
    return in;
}
#define INPUTS gradient_inputs_of(AT(dy), AT(x), AT(y))

// The sums of one tile, each lane by itself.
typedef struct {
    vec dy;
    vec dyx;
} tile_sums;

inline void add_to_tile(tile_sums *tile, vec dy, vec x, vec y, vector_coefficients c, vec mean_lo) {
    vec masked = vector_masked(dy, x, y, c);
    tile->dy += masked;
    tile->dyx = multiply_add(masked, (x - c.hi) - mean_lo, tile->dyx);
}

inline void add_vector(tile_sums *tile, gradient_inputs in, long at, vector_coefficients c, vec mean_lo) {
    add_to_tile(
            tile, load(in.dy + at), load(in.x + at), READS_Y ? load(in.y + at) : (vec)(0.0f), c, mean_lo);
}

inline void add_before(tile_sums *tile, gradient_inputs in, long at, long end, vector_coefficients c, vec mean_lo) {
    if (at + VW <= end) {
        add_vector(tile, in, at, c, mean_lo);
        return;
    }
    vec dy = load_before(in.dy + at, in.dy + end);
    vec x = load_before(in.x + at, in.x + end);
    vec y = READS_Y ? load_before(in.y + at, in.y + end) : (vec)(0.0f);
    add_to_tile(tile, dy, x, y, c, mean_lo);
}

inline tile_sums no_tile(void) {
    tile_sums none;
    none.dy = none.dyx = (vec)(0.0f);
    return none;
}

inline void close_tile(lane_sums *to, tile_sums tile) {
    add_compensated(&to->dy, &to->dy_lo, tile.dy);
    add_compensated(&to->dyx, &to->dyx_lo, tile.dyx);
}

inline sums gradient_sums_of_run(
        gradient_inputs in, long end, run r, __global const float *coefficients, int pitch, int group) {
    vector_coefficients c = every_lane(forward_of_group(coefficients, pitch, group));
    vec mean_lo = (vec)(coefficients[MEAN_LO * pitch + group]);
    lane_sums body = no_lane_sums();
    walk w = walk_vectors(r);
    while (w.left > 0) {
        tile_sums tile = no_tile();
        if (w.left >= TILE) {
#pragma unroll
            for (int i = 0; i < TILE; i++) {
                add_vector(&tile, in, w.at, c, mean_lo);
                next_vector(&w);
            }
        } else {
            while (w.left > 0) {
                add_vector(&tile, in, w.at, c, mean_lo);
                next_vector(&w);
            }
        }
        close_tile(&body, tile);
    }
    sums all = across_sum_lanes(body, VW);

    int rest = r.length % VW;
    if (rest > 0) {
        lane_sums edge = no_lane_sums();
        long at = r.start + (r.length - rest) + LOCAL_ITEM * r.stride;
        for (int n = LOCAL_ITEM; n < r.count;) {
            tile_sums tile = no_tile();
            for (int i = 0; i < TILE && n < r.count; i++, n += WG) {
                add_before(&tile, in, at, end, c, mean_lo);
                at += WG * r.stride;
            }
            close_tile(&edge, tile);
        }
        sums more = across_sum_lanes(edge, rest);
        all.dy += more.dy;
        all.dyx += more.dyx;
    }
    return all;
}

// The item's share of rows [first, last) of its columns: every WY-th row.
inline void gradient_sums_of_columns(
        gradient_inputs in, long end, int groups, int stripe, long first, long last,
        __global const float *coefficients, int pitch, lane_sums *mine) {
    for (int b = 0; b < BLOCKS; b++) {
        mine[b] = no_lane_sums();
    }
    for (long row = first + ITEM_Y; row < last; row += (long)TILE * WY) {
        bool whole = row + (long)(TILE - 1) * WY < last;
        for (int b = 0; b < BLOCKS; b++) {
            int column = column_of(stripe, b);
            if (column >= groups) {
                break;
            }
            vector_coefficients c = forward_of_columns(coefficients, pitch, column);
            vec mean_lo = load(coefficients + MEAN_LO * pitch + column);
            tile_sums tile = no_tile();
            long at = row * groups + column;
            long stride = (long)WY * groups;
            if (whole && at + (TILE - 1) * stride + VW <= end) {
#pragma unroll
                for (int i = 0; i < TILE; i++) {
                    add_vector(&tile, in, at + i * stride, c, mean_lo);
                }
            } else {
                for (int i = 0; i < TILE && row + (long)i * WY < last; i++) {
                    add_before(&tile, in, at + i * stride, end, c, mean_lo);
                }
            }
            close_tile(&mine[b], tile);
        }
    }
}

// Over the WY work-items that share columns: afterwards those with ITEM_Y = 0 hold the result.
#if WY > 1
#define LOCAL_COLUMN_SUMS(name) __local vec name[2 * WG]
#else
#define LOCAL_COLUMN_SUMS(name) __local vec *name = 0
#endif
inline void across_column_sum_items(lane_sums *mine, __local vec *room) {
#if WY > 1
    int item = LOCAL_ITEM;
    for (int b = 0; b < BLOCKS; b++) {
        mine[b].dy += mine[b].dy_lo;
        mine[b].dyx += mine[b].dyx_lo;
        mine[b].dy_lo = mine[b].dyx_lo = (vec)(0.0f);
        for (int reach = 1; reach < WY; reach *= 2) {
            room[item] = mine[b].dy;
            room[item + WG] = mine[b].dyx;
            barrier(CLK_LOCAL_MEM_FENCE);
            int other = item + reach * WX;
            if ((ITEM_Y & (2 * reach - 1)) == 0 && other < WG) {
                mine[b].dy += room[other];
                mine[b].dyx += room[other + WG];
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
#endif
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_sums_segmented(
        GRADIENT_INPUTS, long elements, SEGMENTED_ARGS, __global const float *coefficients,
        __global float *partials, int pitch) {
    LOCAL_SUMS(room);
    int group = get_group_id(0) % groups;
    int slice = get_group_id(0) / groups;
    sums all =
            gradient_sums_of_run(INPUTS, elements, SLICE_OF_SEGMENTS(group, slice), coefficients, pitch, group);
    all = across_group_sums(all, room);
    if (LOCAL_ITEM == 0) {
        __global float *partial = partials + (long)slice * 2 * pitch + group;
        partial[0] = all.dy;
        partial[pitch] = all.dyx;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_sums_columnar(
        GRADIENT_INPUTS, long elements, COLUMNAR_ARGS, __global const float *coefficients,
        __global float *partials, int pitch) {
    LOCAL_COLUMN_SUMS(room);
    int stripes = (groups + STRIPE - 1) / STRIPE;
    int stripe = get_group_id(0) % stripes;
    int slice = get_group_id(0) / stripes;
    long first = slice * rows_per_slice;
    long last = LONG_MIN_OF(rows, first + rows_per_slice);
    lane_sums mine[BLOCKS];
    gradient_sums_of_columns(INPUTS, elements, groups, stripe, first, last, coefficients, pitch, mine);
    across_column_sum_items(mine, room);
    if (ITEM_Y == 0) {
        for (int b = 0; b < BLOCKS; b++) {
            int column = column_of(stripe, b);
            if (column >= groups) {
                break;
            }
            __global float *partial = partials + (long)slice * 2 * pitch + column;
            store(mine[b].dy + mine[b].dy_lo, partial);
            store(mine[b].dyx + mine[b].dyx_lo, partial + pitch);
        }
    }
}

#endif
