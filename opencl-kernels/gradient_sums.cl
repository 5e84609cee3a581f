// Step 1 backward: sum(dy') and sum(dy' (x - mean_hi)), deviations in units (groups.clh), of each slice of each group; dy' is
// dy where the activation let it through. The fold step moves the second sum from mean_hi to the mean, a thousandth of a
// deviation away at most.
//
//   kernel                   launches  bytes moved       chosen when
//   gradient_sums_segmented  1         x, dy, y (its mask)  groups of contiguous runs are cut into slices
//   gradient_sums_columnar   1         x, dy, y (its mask)  columns
//
// Output: partials[(slice * 2 + k) * pitch + group] of the block, k = sum(dy'), sum(dy' (x - mean_hi)).

#ifndef GRADIENT_SUMS_CL
#define GRADIENT_SUMS_CL

#include "masks.clh"
#include "pointwise.clh"
#include "trees.clh"

typedef lane_sums sums_numbers;
typedef sums sums_found;

typedef struct {
    const_array_of(DY) dy;
    const_array_of(X) x;
    const_array_of(Y) y;
    int mask;
    float slope;
    __global const float *coefficients;
    int pitch;
    const float *table; // of coefficients by column from `left` on, or null for one group to a column
    int left;
    vector_coefficients c;
    row_affine row;
    long ahead;
    step_states states; // as of moments
    int along;
    long position, apart;
} sums_inputs;

INLINE sums_inputs sums_inputs_of(
        const_array_of(DY) dy, const_array_of(X) x, const_array_of(Y) y, MASK_ARGS,
        __global const float *coefficients, int pitch) {
    sums_inputs in;
    in.dy = dy;
    in.x = x;
    in.y = y;
    in.mask = mask;
    in.slope = slope;
    in.coefficients = coefficients;
    in.pitch = pitch;
    in.table = 0;
    in.left = 0;
    in.row = row_affine_at(0, 0, 0, 0);
    in.ahead = 0;
    in.states = 0;
    in.along = 0;
    in.position = in.apart = 0;
    return in;
}
#define INPUTS_FROM(start) \
    sums_inputs_of(AT(dy) + (start), AT(x) + (start), AT(y) + (start), mask, slope, coefficients, pitch)

INLINE lane_sums sums_begin(sums_inputs in) { return no_lane_sums(); }

INLINE void sums_at_column(sums_inputs *in, int column) {
    if (in->table) {
        in->c = coefficients_in(in->table, column - in->left);
    } else {
        in->c = coefficients_of_columns(in->coefficients, in->pitch, column);
    }
}

INLINE void sums_at_position(sums_inputs *in, long position, long apart) {
    in->position = position;
    in->apart = apart;
}

// What a mask keeps of a vector that was read, the i-th from where the inputs are: elsewhere may be anything.
INLINE vec sums_kept(sums_inputs in, vec v, int i) {
    return MASKED && in.states ? lanes_of(v, lanes_at(in.states, in.position + i * in.apart, in.along)) : v;
}

INLINE void sums_tile(lane_sums *to, sums_inputs in, const long *at) {
    vec dy[TILE], dyx[TILE];
    EACH_OF(i, TILE) {
        fetch_ahead(in.dy + at[i] + in.ahead);
        fetch_ahead(in.x + at[i] + in.ahead);
        vec x = sums_kept(in, vector_undone(load_as(X, in.x + at[i]), in.mask, in.slope), i);
        vec y = READS_Y(in.mask) ? sums_kept(in, load_as(Y, in.y + at[i]), i) : (vec)(0.0f);
        vector_coefficients c = at_elements(in.c, in.row, at[i]);
        vec given = sums_kept(in, load_dy(in.dy + at[i]), i);
        dy[i] = vector_weighted(vector_masked(given, x, y, in.mask, in.slope, c), c);
        dyx[i] = dy[i] * vector_deviation(x, in.c);
    }
    vector_add_compensated(&to->dy, &to->dy_lo, sum_of_tile(dy));
    vector_add_compensated(&to->dyx, &to->dyx_lo, sum_of_tile(dyx));
}

INLINE void sums_part(lane_sums *to, sums_inputs in, long at, long step, int count, int valid) {
    vec dy = (vec)(0.0f);
    vec dyx = (vec)(0.0f);
    for (int i = 0; i < count; i++, at += step) {
        vec x = sums_kept(in, vector_undone(load_first_as(X, in.x + at, valid), in.mask, in.slope), i);
        vec y = READS_Y(in.mask) ? sums_kept(in, load_first_as(Y, in.y + at, valid), i) : (vec)(0.0f);
        vector_coefficients c = at_last_elements(in.c, in.row, at);
        vec given = sums_kept(in, load_first_as(DY, in.dy + at, valid), i);
        vec masked = vector_weighted(vector_masked(given, x, y, in.mask, in.slope, c), c);
        dy += masked;
        dyx = fma(masked, vector_deviation(x, in.c), dyx);
    }
    vector_add_compensated(&to->dy, &to->dy_lo, dy);
    vector_add_compensated(&to->dyx, &to->dyx_lo, dyx);
}

INLINE void sums_end(lane_sums *numbers) {}

INLINE sums sums_of_lanes(lane_sums body, lane_sums edge, run r) {
    sums all = across_sum_lanes(body, ALL_LANES);
    if (WG == 1) {
        sums more = across_sum_lanes(edge, r.length % VW > 0 ? of_edge(r.length) : (ivec)(0));
        all.dy += more.dy;
        all.dyx += more.dyx;
    }
    return all;
}

#define GATHERED sums
#include "gather_template.clh"
#undef GATHERED

// What a vector of a group of few rows adds, of which some lanes are meant.
INLINE void add_of_few_rows(sums_inputs in, long at, int valid, ivec meant, vec *dy, vec *dyx) {
    vec x = vector_undone(load_first_as(X, in.x + at, valid), in.mask, in.slope);
    vec y = READS_Y(in.mask) ? load_first_as(Y, in.y + at, valid) : (vec)(0.0f);
    vec masked = vector_masked(load_first_as(DY, in.dy + at, valid), x, y, in.mask, in.slope, in.c);
    *dy += lanes_of(masked, meant);
    *dyx += lanes_of(masked * vector_deviation(x, in.c), meant);
}

INLINE void add_whole_of_few_rows(sums_inputs in, long at, vec *dy, vec *dyx) {
    fetch_ahead(in.dy + at + in.ahead);
    fetch_ahead(in.x + at + in.ahead);
    vec x = vector_undone(load_as(X, in.x + at), in.mask, in.slope);
    vec y = READS_Y(in.mask) ? load_as(Y, in.y + at) : (vec)(0.0f);
    vec masked = vector_masked(load_dy(in.dy + at), x, y, in.mask, in.slope, in.c);
    *dy += masked;
    *dyx = fma(masked, vector_deviation(x, in.c), *dyx);
}

// The sums of `held` neighbouring groups, from group `first` and element `at` on, of few rows of `width` columns, directly; see
// moments_of_few_rows.
ELEMENT_LOOP void sums_of_few_rows(
        const sums_inputs *inputs, long at, int columns, int rows, int width, int first, int held, float *sum_dy,
        float *sum_dyx) {
    sums_inputs in = *inputs;
    const int whole = width / VW * VW; // elements of whole vectors
    const long elements = (long)rows * columns;
    const ivec meant = of_edge(width);
    for (int g = 0; g < held; g++, at += width) {
        in.c = every_lane(coefficients_of_group(in.coefficients, in.pitch, first + g));
        vec dy = (vec)(0.0f), dyx = (vec)(0.0f);
        for (long row = at; row < at + elements; row += columns) {
            for (long here = row; here < row + whole; here += VW) {
                add_whole_of_few_rows(in, here, &dy, &dyx);
            }
            if (whole < width) {
                add_of_few_rows(in, row + EDGE_AT(width), EDGE_VALID(width), meant, &dy, &dyx);
            }
        }
        sum_dy[g] = sum_lanes(dy);
        sum_dyx[g] = sum_lanes(dyx);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_sums_segmented(
        GRADIENT_INPUTS MASKED_ARGS, MASK_ARGS ROW_ARGS, SEGMENTED_ARGS, __global const float *coefficients,
        __global float *partials, int pitch) {
    LOCAL_SUMS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    segments = (int)RUNS_OF_BLOCK(segments);
    int group = GROUP_IN(in_block % SETS), slice = in_block / SETS;
    run part = run_if(HAS_GROUP_IN(in_block % SETS), SLICE_OF_SEGMENTS(group, slice));
    sums_inputs in = INPUTS_FROM(block * block_stride);
    in.row = ROW_AFFINE((long)group * length, length);
    in.c = every_lane(coefficients_of_group(coefficients, pitch, group));
    in.states = STATES_OF_BLOCK;
    in.along = 1;
    sums all = across_team_sums(sums_of_run(&in, &part), part.items, room);
    if (is_first_of_team(part)) {
        __global float *partial = OF_BLOCK(partials) + (long)slice * 2 * pitch + group;
        partial[0] = all.dy;
        partial[pitch] = all.dyx;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_sums_columnar(
        GRADIENT_INPUTS MASKED_ARGS, MASK_ARGS, COLUMNAR_ARGS, __global const float *coefficients,
        __global float *partials, int pitch) {
    LOCAL_COLUMN_SUMS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    rows = RUNS_OF_BLOCK(rows);
    int stripes = (groups + STRIPE - 1) / STRIPE;
    int left = in_block % stripes * STRIPE + ITEM_X * VW;
    int right = min((in_block % stripes + 1) * STRIPE, groups);
    int slice = in_block / stripes;
    long first = slice * rows_per_slice;
    long last = LONG_MIN_OF(rows, first + rows_per_slice);
    lane_sums mine[VECTORS];
    no_column_sums(mine, STRIPE);
    sums_inputs in = INPUTS_FROM(block * block_stride);
    in.states = STATES_OF_BLOCK;
    sums_of_columns(mine, &in, groups, left, right, first + ITEM_Y, last);
    across_column_sum_items(mine, room);
    if (ITEM_Y == 0) {
        for (int b = 0; b < VECTORS; b++) {
            int column = own_column(b, left, right);
            if (column_of(left, b) >= groups) {
                break;
            }
            __global float *partial = OF_BLOCK(partials) + (long)slice * 2 * pitch + column;
            store(vector_compensated(mine[b].dy, mine[b].dy_lo), partial);
            store(vector_compensated(mine[b].dyx, mine[b].dyx_lo), partial + pitch);
        }
    }
}

#endif
