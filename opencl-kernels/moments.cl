// Step 1 forward: the moments of each slice of each group.
//
//   kernel             launches  bytes moved  chosen when
//   moments_segmented  1         x            groups of contiguous runs are cut into slices
//   moments_columnar   1         x            columns
//
// Output: partials[(slice * 4 + k) * pitch + group], k = count, mean hi, mean lo, M2.

#ifndef MOMENTS_CL
#define MOMENTS_CL

#include "groups.clh"

inline moments moments_of_run(__global const float *x, __global const float *end, run r) {
    lane_moments body = no_lane_moments();
    vec tile[TILE];
    walk w = walk_vectors(r);
    while (w.left >= TILE) {
#pragma unroll
        for (int i = 0; i < TILE; i++) {
            tile[i] = load(x + w.at);
            next_vector(&w);
        }
        join_tile(&body, tile);
    }
    while (w.left > 0) {
        join_lanes(&body, 1.0f, load(x + w.at), (vec)(0.0f), (vec)(0.0f));
        next_vector(&w);
    }
    moments all = across_lanes(body, VW);

    // What is left of each segment is less than a vector: the lanes past it gather numbers that nobody looks at.
    int rest = r.length % VW;
    if (rest > 0) {
        lane_moments edge = no_lane_moments();
        __global const float *p = x + r.start + (r.length - rest) + LOCAL_ITEM * r.stride;
        long stride = WG * r.stride;
        int left = r.count > LOCAL_ITEM ? (r.count - LOCAL_ITEM + WG - 1) / WG : 0;
        while (left >= TILE) {
#pragma unroll
            for (int i = 0; i < TILE; i++) {
                tile[i] = load_before(p, end);
                p += stride;
            }
            join_tile(&edge, tile);
            left -= TILE;
        }
        for (; left > 0; left--) {
            join_lanes(&edge, 1.0f, load_before(p, end), (vec)(0.0f), (vec)(0.0f));
            p += stride;
        }
        all = join(all, across_lanes(edge, rest));
    }
    return all;
}

// The item's share of rows [first, last) of its columns: every WY-th row.
inline void moments_of_columns(
        __global const float *x, __global const float *end, int groups, int stripe, long first, long last,
        lane_moments *mine) {
    for (int b = 0; b < BLOCKS; b++) {
        mine[b] = no_lane_moments();
    }
    vec tile[TILE];
    long stride = (long)WY * groups;
    for (long row = first + ITEM_Y; row < last; row += (long)TILE * WY) {
        bool whole = row + (long)(TILE - 1) * WY < last;
        for (int b = 0; b < BLOCKS; b++) {
            int column = column_of(stripe, b);
            if (column >= groups) {
                break;
            }
            __global const float *p = x + row * groups + column;
            if (whole) {
                if (p + (TILE - 1) * stride + VW <= end) {
#pragma unroll
                    for (int i = 0; i < TILE; i++) {
                        tile[i] = load(p + i * stride);
                    }
                } else {
                    for (int i = 0; i < TILE; i++) {
                        tile[i] = load_before(p + i * stride, end);
                    }
                }
                join_tile(&mine[b], tile);
            } else {
                for (long r = row; r < last; r += WY) {
                    join_lanes(&mine[b], 1.0f, load_before(p, end), (vec)(0.0f), (vec)(0.0f));
                    p += stride;
                }
            }
        }
    }
}

// Over the WY work-items that share columns: afterwards those with ITEM_Y = 0 hold the result.
#if WY > 1
#define LOCAL_COLUMNS(name) __local vec name[5 * WG]
#else
#define LOCAL_COLUMNS(name) __local vec *name = 0
#endif
inline void across_column_items(lane_moments *mine, __local vec *room) {
#if WY > 1
    int item = LOCAL_ITEM;
    for (int b = 0; b < BLOCKS; b++) {
        for (int reach = 1; reach < WY; reach *= 2) {
            room[item] = mine[b].hi;
            room[item + WG] = mine[b].lo;
            room[item + 2 * WG] = mine[b].m2;
            room[item + 3 * WG] = mine[b].m2_lo;
            room[item + 4 * WG] = (vec)(mine[b].n);
            barrier(CLK_LOCAL_MEM_FENCE);
            int other = item + reach * WX;
            if ((ITEM_Y & (2 * reach - 1)) == 0 && other < WG) {
                float n = first_lane(room[other + 4 * WG]);
                if (n > 0.0f) {
                    join_lanes(
                            &mine[b], n, room[other], room[other + WG], room[other + 2 * WG] + room[other + 3 * WG]);
                }
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
#endif
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void moments_segmented(
        IN(x), long elements, SEGMENTED_ARGS, __global float *partials, int pitch) {
    LOCAL_MOMENTS(room);
    int group = get_group_id(0) % groups;
    int slice = get_group_id(0) / groups;
    moments all = moments_of_run(AT(x), AT(x) + elements, SLICE_OF_SEGMENTS(group, slice));
    all = across_group(all, room);
    if (LOCAL_ITEM == 0) {
        __global float *partial = partials + (long)slice * 4 * pitch + group;
        partial[0] = all.n;
        partial[pitch] = all.hi;
        partial[2 * pitch] = all.lo;
        partial[3 * pitch] = all.m2;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void moments_columnar(
        IN(x), long elements, COLUMNAR_ARGS, __global float *partials, int pitch) {
    LOCAL_COLUMNS(room);
    int stripes = (groups + STRIPE - 1) / STRIPE;
    int stripe = get_group_id(0) % stripes;
    int slice = get_group_id(0) / stripes;
    long first = slice * rows_per_slice;
    long last = LONG_MIN_OF(rows, first + rows_per_slice);
    lane_moments mine[BLOCKS];
    moments_of_columns(AT(x), AT(x) + elements, groups, stripe, first, last, mine);
    across_column_items(mine, room);
    if (ITEM_Y == 0) {
        for (int b = 0; b < BLOCKS; b++) {
            int column = column_of(stripe, b);
            if (column >= groups) {
                break;
            }
            __global float *partial = partials + (long)slice * 4 * pitch + column;
            store((vec)(mine[b].n), partial);
            store(mine[b].hi, partial + pitch);
            store(mine[b].lo, partial + 2 * pitch);
            store(mine[b].m2 + mine[b].m2_lo, partial + 3 * pitch);
        }
    }
}

#endif
