// Step 1 forward: the moments of each slice of each group.
//
//   kernel             launches  bytes moved  chosen when
//   moments_segmented  1         x            groups of contiguous runs are cut into slices; first x = addend + residual,
//                                             where there is an addend
//   moments_columnar   1         x            columns
//
// Output: partials[(slice * PARTIAL_ROWS + k) * pitch + group] of the block, k = count, mean hi, mean lo, M2, M2 in
// units. `least` is what is added to the mean of squares before its root is taken.

#ifndef MOMENTS_CL
#define MOMENTS_CL

#include "groups.clh"
#include "masks.clh"
#include "trees.clh"

typedef lane_moments moments_numbers;
typedef moments moments_found;

typedef struct {
    const_array_of(X) x;
    long ahead;
    int again; // whether this is the second look, for which the numbers have units
    float unit; // of a run's
    step_states states; // or null
    int along; // whether a vector's lanes are successive steps, or of the same
    long position, apart; // of the next vector, and from one to the next
} moments_inputs;

INLINE moments_inputs moments_inputs_of(const_array_of(X) x) {
    moments_inputs in;
    in.x = x;
    in.ahead = 0;
    in.again = 0;
    in.unit = 1.0f;
    in.states = 0;
    in.along = 0;
    in.position = in.apart = 0;
    return in;
}

// What is normalized may be a sum that nobody has made yet.
#define ADDED_ARGS TENSOR_IN(ADD, addend)

// x = addend + residual over a run, as x is stored. Those work-items write a vector that read it afterwards.
ELEMENT_LOOP void add_run(
        const_array_of(ADD) addend, const_array_of(RES) residual, array_of(X) x, const run *whole) {
    run r = *whole;
    if (WG == 1) {
        for (int n = 0; n < r.count; n++) {
            long at = r.start + n * r.stride, end = at + r.length;
            for (; at + VW <= end; at += VW) {
                store_as(X, load_as(ADD, addend + at) + load_as(RES, residual + at), x + at);
            }
            for (; at < end; at++) {
                put_as(X, get_as(ADD, addend + at) + get_as(RES, residual + at), x + at);
            }
        }
        return;
    }
    for (walk w = walk_vectors(r); w.left > 0; next_vector(&w)) {
        store_as(X, load_as(ADD, addend + w.at) + load_as(RES, residual + w.at), x + w.at);
    }
}
#define ADD_RUN(start, run) \
    if (PRESENT(addend)) { \
        add_run(AT(addend) + (start), AT(residual) + (start), (array_of(X))AT(x) + (start), run); \
    }
// The residual that is added to what is normalized; one that was added before is not.
#define AFTER_ADDITION(residual) (PRESENT(addend) ? 0 : (residual))

INLINE lane_moments moments_begin(moments_inputs in) { return no_lane_moments((vec)(in.unit)); }

INLINE vec moments_look(moments_inputs in, vec x, vec unit) { return in.again ? in_units(x, unit) : x; }

INLINE void moments_at_column(moments_inputs *in, int column) {}

INLINE void moments_at_position(moments_inputs *in, long position, long apart) {
    in->position = position;
    in->apart = apart;
}

INLINE vec moments_vector(const lane_moments *to, moments_inputs in, long at, int valid) {
    return moments_look(in, load_first_as(X, in.x + at, valid), to->unit);
}

#if MASKED
// Invalid values may be anything, and are not in any sum.
INLINE void moments_part(lane_moments *to, moments_inputs in, long at, long step, int count, int valid) {
    vec x[TILE], first = (vec)(0.0f), here = (vec)(0.0f);
    ivec keep[TILE];
    int any = 0;
    for (int i = 0; i < count; i++) {
        keep[i] = lanes_at(in.states, in.position + i * in.apart, in.along);
        here += lanes_of((vec)(1.0f), keep[i]);
        any |= any_lane(keep[i]);
    }
    if (!any) {
        return;
    }
    for (int i = 0; i < count; i++) {
        x[i] = moments_vector(to, in, at + i * step, valid);
        first += lanes_of(x[i], keep[i]);
    }
    ivec begins = open_for_lanes(to, here);
    to->hi = select(to->hi, first / here, begins);
    for (int i = 0; i < count; i++) {
        vec d = lanes_of(x[i] - to->hi, keep[i]);
        to->sum += d;
        to->squares = fma(d, d, to->squares);
    }
}

INLINE void moments_tile(lane_moments *to, moments_inputs in, const long *at) {
    moments_part(to, in, at[0], at[TILE - 1] - at[TILE - 2], TILE, VW);
}
#else

INLINE void moments_tile(lane_moments *to, moments_inputs in, const long *at) {
    vec tile[TILE];
#pragma unroll
    for (int i = 0; i < TILE; i++) {
        fetch_ahead(in.x + at[i] + in.ahead);
        tile[i] = load_as(X, in.x + at[i]);
    }
    if (in.again) {
        EACH_OF(i, TILE) { tile[i] = in_units(tile[i], to->unit); }
    }
    add_tile(to, tile);
}

INLINE void moments_part(lane_moments *to, moments_inputs in, long at, long step, int count, int valid) {
    vec first = (vec)(0.0f);
    if (to->n + to->open == 0.0f) {
        for (int i = 0; i < count; i++) {
            first += moments_vector(to, in, at + i * step, valid);
        }
    }
    if (open_for(to, count)) {
        to->hi = first * (vec)(1.0f / count);
    }
    for (int i = 0; i < count; i++) {
        vec d = moments_vector(to, in, at + i * step, valid) - to->hi;
        to->sum += d;
        to->squares = fma(d, d, to->squares);
    }
}
#endif

INLINE void moments_end(lane_moments *numbers) { join_open(numbers); }

INLINE moments moments_of_lanes(lane_moments body, lane_moments edge, run r) {
    moments all = across_all_lanes(body);
    return WG == 1 && r.length % VW > 0 ? join(all, across_edge(edge, r.length)) : all;
}

#define GATHERED moments
#include "gather_template.clh"
#undef GATHERED

// Groups of few rows of `width` columns are gone over directly, in two passes, the second of which finds in the cache what
// the first one read: columns on their own would be more numbers than there are elements.
#define FEW_ROWS(rows) ((rows) < TILE)

// The sum over a group's values, tile by tile, so that a lane's chain of additions stays short.
INLINE vec sum_of_few_rows(moments_inputs in, long at, int columns, int rows, int width, vec unit) {
    vec sum = (vec)(0.0f);
    for (int row = 0; row < rows; row++) {
        const_array_of(X) p = in.x + at + (long)row * columns;
        int column = 0;
        for (; column + TILE * VW <= width; column += TILE * VW) {
            vec tile[TILE];
            EACH_OF(i, TILE) {
                fetch_ahead(p + column + i * VW + in.ahead);
                tile[i] = moments_look(in, load_as(X, p + column + i * VW), unit);
            }
            sum += sum_of_tile(tile);
        }
        for (; column + VW <= width; column += VW) {
            fetch_ahead(p + column + in.ahead);
            sum += moments_look(in, load_as(X, p + column), unit);
        }
        if (column < width) {
            fetch_ahead(p + column + in.ahead);
            vec x = load_first_as(X, p + EDGE_AT(width), EDGE_VALID(width));
            sum += lanes_of(moments_look(in, x, unit), of_edge(width));
        }
    }
    return sum;
}

// The sums of its deviations from a mean, and of their squares.
INLINE void deviations_of_few_rows(
        moments_inputs in, long at, int columns, int rows, int width, vec unit, vec mean, vec *sum, vec *squares) {
    *sum = *squares = (vec)(0.0f);
    for (int row = 0; row < rows; row++) {
        const_array_of(X) p = in.x + at + (long)row * columns;
        int column = 0;
        for (; column + TILE * VW <= width; column += TILE * VW) {
            vec d[TILE], of_d[TILE];
            EACH_OF(i, TILE) {
                d[i] = moments_look(in, load_as(X, p + column + i * VW), unit) - mean;
                of_d[i] = d[i] * d[i];
            }
            *sum += sum_of_tile(d);
            *squares += sum_of_tile(of_d);
        }
        for (; column + VW <= width; column += VW) {
            vec d = moments_look(in, load_as(X, p + column), unit) - mean;
            *sum += d;
            *squares = fma(d, d, *squares);
        }
        if (column < width) {
            vec x = load_first_as(X, p + EDGE_AT(width), EDGE_VALID(width));
            vec d = lanes_of(moments_look(in, x, unit) - mean, of_edge(width));
            *sum += d;
            *squares = fma(d, d, *squares);
        }
    }
}

// A group of few vectors stays in registers from its sum to its deviations: of SMALL_GROUP whole ones at most, as two planes of
// 7 x 7 have with vectors of 16, or of LARGER_GROUP, as one of 14 x 14 has; and of MOST_EDGES with what is left of its rows.
#define SMALL_GROUP 6
#define LARGER_GROUP 12
#define MOST_EDGES 2

// Where those are, from the group's start: whole ones, then, from LARGER_GROUP on, the others.
typedef struct {
    int whole, edges;
    long at[LARGER_GROUP + MOST_EDGES];
} small_group;

INLINE small_group small_group_of(int columns, int rows, int width) {
    small_group g;
    int in_row = width / VW;
    g.whole = rows * in_row;
    g.edges = width % VW > 0 ? rows : 0;
    for (int i = 0; i < min(g.whole, LARGER_GROUP); i++) {
        g.at[i] = i / in_row * (long)columns + i % in_row * VW;
    }
    for (int i = 0; i < min(g.edges, MOST_EDGES); i++) {
        g.at[LARGER_GROUP + i] = i * (long)columns + EDGE_AT(width);
    }
    return g;
}

// SMALL_GROUP, LARGER_GROUP, or 0 where it is larger than both.
INLINE int bound_of(small_group g) {
    return g.edges > MOST_EDGES      ? 0
           : g.whole <= SMALL_GROUP  ? SMALL_GROUP
           : g.whole <= LARGER_GROUP ? LARGER_GROUP
                                     : 0;
}

// The mean of one that begins at element `start` and has n values in rows of `width`, and the sums of its deviations from it, and
// of their squares, lane by lane. `most` is its bound, a constant.
INLINE void moments_of_small_group(
        moments_inputs in, long start, const small_group *g, int width, int most, float n, vec unit, float *mean, vec *sum,
        vec *squares) {
    const_array_of(X) p = in.x + start;
    vec x[LARGER_GROUP], edge[MOST_EDGES], sums[2] = {(vec)(0.0f), (vec)(0.0f)};
    ivec meant = of_edge(width);
    EACH_OF(i, most) {
        if (i < g->whole) {
            fetch_ahead(p + g->at[i] + in.ahead);
            x[i] = moments_look(in, load_as(X, p + g->at[i]), unit);
            sums[i % 2] += x[i];
        }
    }
    EACH_OF(i, MOST_EDGES) {
        if (i < g->edges) {
            vec v = load_first_as(X, p + g->at[LARGER_GROUP + i], EDGE_VALID(width));
            edge[i] = lanes_of(moments_look(in, v, unit), meant);
            sums[i % 2] += edge[i];
        }
    }
    *mean = sum_lanes(sums[0] + sums[1]) * (1.0f / n);
    vec about = (vec)(*mean), rest = (vec)(0.0f), all = (vec)(0.0f);
    EACH_OF(i, MOST_EDGES) {
        if (i < g->edges) {
            vec d = lanes_of(edge[i] - about, meant);
            rest += d;
            all = fma(d, d, all);
        }
    }
    EACH_OF(i, most) {
        if (i < g->whole) {
            vec d = x[i] - about;
            rest += d;
            all = fma(d, d, all);
        }
    }
    *sum = rest;
    *squares = all;
}

// The moments of `held` neighbouring groups from element `at` on, into arrays with room for a vector after the last. What the
// lanes of a vector of groups have is added for all of them together. Units are read in a second look only.
ELEMENT_LOOP void moments_of_few_rows(
        const moments_inputs *inputs, long at, int columns, int rows, int width, int held, float *hi, float *lo, float *m2,
        const float *units) {
    moments_inputs in = *inputs;
    float n = (float)(rows * width);
    small_group small = small_group_of(columns, rows, width);
    int most = bound_of(small);
    // Of large groups, the sums of a vector of them first: deviations wait for their group's mean, the next one's sum for nothing
    // (1.05 times as fast for 1568 values each; for 784, 0.96).
    int together = rows * width > 1024 ? VW : 1;
    vec sums[VW], squares[VW];
    EACH_OF(i, VW) { sums[i] = squares[i] = (vec)(0.0f); }
    end_numbers(hi, held);
    for (int first = 0; first < held; first += VW) {
        int some = min(held - first, VW);
        for (int g = 0; most == SMALL_GROUP && g < some; g++) {
            moments_of_small_group(
                    in, at + (first + g) * width, &small, width, SMALL_GROUP, n, (vec)(units[first + g]), hi + first + g, sums + g,
                    squares + g);
        }
        for (int g = 0; most == LARGER_GROUP && g < some; g++) {
            moments_of_small_group(
                    in, at + (first + g) * width, &small, width, LARGER_GROUP, n, (vec)(units[first + g]), hi + first + g, sums + g,
                    squares + g);
        }
        for (int from = 0; most == 0 && from < some; from += together) {
            int to = min(from + together, some);
            for (int g = from; g < to; g++) {
                vec unit = (vec)(units[first + g]);
                vec sum = sum_of_few_rows(in, at + (first + g) * width, columns, rows, width, unit);
                hi[first + g] = sum_lanes(sum) * (1.0f / n);
            }
            for (int g = from; g < to; g++) {
                deviations_of_few_rows(
                        in, at + (first + g) * width, columns, rows, width, (vec)(units[first + g]), (vec)(hi[first + g]),
                        sums + g, squares + g);
            }
        }
        vec rest = sum_lanes_of_each(sums);
        vec step = rest / (vec)(n);
        vec mean, mean_lo;
        vector_two_sum(load_lanes(hi + first), step, &mean, &mean_lo);
        store_lanes(mean, hi + first);
        store_lanes(mean_lo, lo + first);
        store_lanes(fma(-rest, step, sum_lanes_of_each(squares)), m2 + first);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void moments_segmented(
        TENSOR_IN(X, x), TENSOR_IN(RES, residual), ADDED_ARGS MASKED_ARGS, float least, SEGMENTED_ARGS, __global float *partials, int pitch) {
    LOCAL_MOMENTS(room);
    LOCAL_TEAM_UNITS(units);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    segments = (int)RUNS_OF_BLOCK(segments);
    int group = GROUP_IN(in_block % SETS), slice = in_block / SETS;
    run part = run_if(HAS_GROUP_IN(in_block % SETS), SLICE_OF_SEGMENTS(group, slice));
    ADD_RUN(block * block_stride, &part);
    moments_inputs in = moments_inputs_of(AT(x) + block * block_stride);
    in.states = STATES_OF_BLOCK;
    in.along = 1;
    moments all;
    for (;;) {
        all = across_team(moments_of_run(&in, &part), part.items, room);
        if (in.again || !teams_again(all, part.items, least, &in.unit, units)) {
            break;
        }
        in.again = 1;
    }
    if (is_first_of_team(part)) {
        __global float *partial = OF_BLOCK(partials) + (long)slice * PARTIAL_ROWS * pitch + group;
        partial[0] = all.n;
        partial[pitch] = all.hi;
        partial[2 * pitch] = all.lo;
        partial[3 * pitch] = in.unit == 1.0f ? all.m2 : in.unit < 1.0f ? M2_OF_LARGE : M2_OF_SMALL;
        if (in.again) {
            partial[4 * pitch] = all.m2;
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void moments_columnar(
        TENSOR_IN(X, x) MASKED_ARGS, float least, COLUMNAR_ARGS, __global float *partials, int pitch) {
    LOCAL_COLUMNS(room);
    LOCAL_UNITS(units);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    rows = RUNS_OF_BLOCK(rows);
    int stripes = (groups + STRIPE - 1) / STRIPE;
    int left = in_block % stripes * STRIPE + ITEM_X * VW;
    int right = min((in_block % stripes + 1) * STRIPE, groups);
    int slice = in_block / stripes;
    long first = slice * rows_per_slice;
    long last = LONG_MIN_OF(rows, first + rows_per_slice);
    moments_inputs in = moments_inputs_of(AT(x) + block * block_stride);
    in.states = STATES_OF_BLOCK;
    lane_moments mine[VECTORS];
    no_column_moments(mine, STRIPE);
    for (;;) {
        moments_of_columns(mine, &in, groups, left, right, first + ITEM_Y, last);
        across_column_items(mine, room);
        if (in.again || !columns_again(mine, right - left, least, units)) {
            break;
        }
        in.again = 1;
    }
    if (ITEM_Y == 0) {
        for (int b = 0; b < VECTORS; b++) {
            int column = own_column(b, left, right);
            if (column_of(left, b) >= groups) {
                break;
            }
            __global float *partial = OF_BLOCK(partials) + (long)slice * PARTIAL_ROWS * pitch + column;
            vec unit = mine[b].unit;
            vec m2 = mine[b].m2 + mine[b].m2_lo;
            vec other = select((vec)(M2_OF_SMALL), (vec)(M2_OF_LARGE), unit < (vec)(1.0f));
            store((vec)(mine[b].n), partial);
            store(mine[b].hi, partial + pitch);
            store(mine[b].lo, partial + 2 * pitch);
            store(select(other, m2, unit == (vec)(1.0f)), partial + 3 * pitch);
            if (in.again) {
                store(m2, partial + 4 * pitch);
            }
        }
    }
}

#endif
