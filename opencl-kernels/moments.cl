// Step 1 forward: the moments of each slice of each group.
//
//   kernel             launches  bytes moved  chosen when
//   moments_segmented  1         x            groups of contiguous runs are cut into slices
//   moments_columnar   1         x            columns
//
// Output: partials[(slice * 4 + k) * pitch + group], k = count, mean hi, mean lo, M2.

#ifndef MOMENTS_CL
#define MOMENTS_CL

#include "gather.clh"
#include "trees.clh"

typedef lane_moments moments_numbers;

typedef struct {
    const_array_of(X) x;
    long ahead;
} moments_inputs;

INLINE moments_inputs moments_inputs_of(const_array_of(X) x) {
    moments_inputs in;
    in.x = x;
    in.ahead = 0;
    return in;
}

INLINE void moments_at_column(moments_inputs *in, int column) {}

INLINE void moments_tile(lane_moments *to, moments_inputs in, const long *at) {
    vec tile[TILE];
#pragma unroll
    for (int i = 0; i < TILE; i++) {
        fetch_ahead(in.x + at[i] + in.ahead);
        tile[i] = load_as(X, in.x + at[i]);
    }
    add_tile(to, tile);
}

INLINE void moments_part(lane_moments *to, moments_inputs in, long at, long step, int count, long end) {
    vec first = (vec)(0.0f);
    if (to->n + to->open == 0.0f) {
        for (int i = 0; i < count; i++) {
            first += load_before_as(X, in.x + at + i * step, in.x + end);
        }
    }
    OPEN_FOR(to, count, first);
    for (int i = 0; i < count; i++) {
        vec d = load_before_as(X, in.x + at + i * step, in.x + end) - to->hi;
        to->sum += d;
        to->squares = fma(d, d, to->squares);
    }
}

INLINE void moments_end(lane_moments *numbers) { join_open(numbers); }

DEFINE_GATHERS(moments)

INLINE moments moments_of_lanes(lane_moments body, lane_moments edge, run r) {
    return join(across_lanes(body, VW), across_lanes(edge, r.length % VW));
}

// Groups of few rows of `width` columns are gone over directly, in two passes, the second of which finds in the cache what
// the first one read: columns on their own would be more numbers than there are elements.
#define FEW_ROWS(rows) ((rows) < TILE)

// The sum over a group's vectors of f(vector), whose lanes past the group's end are 0. `ahead` is fetched in time.
#define EACH_OF_FEW_ROWS(x, at, columns, rows, width, end, ahead, body) \
    for (int row = 0; row < rows; row++) { \
        const_array_of(X) p = (x) + (at) + (long)row * columns; \
        int i = 0; \
        for (; i + VW <= width; i += VW) { \
            if (ahead) { \
                fetch_ahead(p + i + ahead); \
            } \
            body(load_as(X, p + i), VW); \
        } \
        if (i < width) { \
            if (ahead) { \
                fetch_ahead(p + i + ahead); \
            } \
            body(load_before_as(X, p + i, (x) + (end)), width - i); \
        } \
    }

// The moments of `held` neighbouring groups from element `at` on, into arrays with room for a vector after the last.
// Each step is taken for all of them, so that no group waits for its own sums.
INLINE void moments_of_few_rows(
        moments_inputs in, long at, int columns, int rows, int width, int held, long end, float *hi, float *lo,
        float *m2) {
    float n = (float)(rows * width);
    for (int g = 0; g < held; g++) {
        vec sum = (vec)(0.0f);
#define ADD(v, valid) sum += first_lanes(v, valid)
        EACH_OF_FEW_ROWS(in.x, at + g * width, columns, rows, width, end, in.ahead, ADD)
#undef ADD
        hi[g] = sum_lanes(sum);
    }
    for (int g = 0; g < held; g += VW) {
        store_lanes(load_lanes(hi + g) / (vec)(n), hi + g);
    }
    for (int g = 0; g < held; g++) {
        vec rest = (vec)(0.0f), squares = (vec)(0.0f);
        vec mean = (vec)(hi[g]);
#define ADD(v, valid) \
    vec d = first_lanes((v) - mean, valid); \
    rest += d; \
    squares = fma(d, d, squares)
        EACH_OF_FEW_ROWS(in.x, at + g * width, columns, rows, width, end, 0, ADD)
#undef ADD
        lo[g] = sum_lanes(rest);
        m2[g] = sum_lanes(squares);
    }
    for (int g = 0; g < held; g += VW) {
        vec rest = load_lanes(lo + g);
        vec small = rest / (vec)(n);
        vec mean, mean_lo;
        two_sum(load_lanes(hi + g), small, &mean, &mean_lo);
        store_lanes(mean, hi + g);
        store_lanes(mean_lo, lo + g);
        store_lanes(fma(-rest, small, load_lanes(m2 + g)), m2 + g);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void moments_segmented(
        TENSOR_IN(X, x), long elements, SEGMENTED_ARGS, __global float *partials, int pitch) {
    LOCAL_MOMENTS(room);
    ENTER_BLOCK(get_group_id(0));
    x_offset += block_start;
    elements -= block_start;
    segments = (int)RUNS_OF_BLOCK(segments);
    int group = in_block % groups;
    int slice = in_block / groups;
    run part = SLICE_OF_SEGMENTS(group, slice);
    lane_moments body = no_lane_moments();
    lane_moments edge = no_lane_moments();
    moments_of_run(&body, &edge, moments_inputs_of(AT(x)), part, elements);
    moments all = across_group(moments_of_lanes(body, edge, part), room);
    if (LOCAL_ITEM == 0) {
        __global float *partial = OF_BLOCK(partials) + (long)slice * 4 * pitch + group;
        partial[0] = all.n;
        partial[pitch] = all.hi;
        partial[2 * pitch] = all.lo;
        partial[3 * pitch] = all.m2;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void moments_columnar(
        TENSOR_IN(X, x), long elements, COLUMNAR_ARGS, __global float *partials, int pitch) {
    LOCAL_COLUMNS(room);
    ENTER_BLOCK(get_group_id(0));
    x_offset += block_start;
    elements -= block_start;
    rows = RUNS_OF_BLOCK(rows);
    int stripes = (groups + STRIPE - 1) / STRIPE;
    int left = in_block % stripes * STRIPE;
    int slice = in_block / stripes;
    long first = slice * rows_per_slice;
    long last = LONG_MIN_OF(rows, first + rows_per_slice);
    lane_moments mine[BLOCKS];
    no_column_moments(mine, STRIPE);
    moments_of_columns(mine, moments_inputs_of(AT(x)), groups, left, min(left + STRIPE, groups), first, last, elements);
    across_column_items(mine, room);
    if (ITEM_Y == 0) {
        for (int b = 0; b < BLOCKS; b++) {
            int column = column_of(left, b);
            if (column >= groups) {
                break;
            }
            __global float *partial = OF_BLOCK(partials) + (long)slice * 4 * pitch + column;
            store((vec)(mine[b].n), partial);
            store(mine[b].hi, partial + pitch);
            store(mine[b].lo, partial + 2 * pitch);
            store(mine[b].m2 + mine[b].m2_lo, partial + 3 * pitch);
        }
    }
}

#endif
