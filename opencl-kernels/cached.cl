// All three steps in one launch, for groups that the registers of a work-group hold: an item keeps its share, CACHED
// vectors at most, from the reduce step to the apply step. What a pass reads is read once, all of it is on its way before
// an item waits for the first of it, and nothing depends on what a cache still has.
//
//   kernel                      launches  bytes moved                     chosen when
//   normalize_cached_segmented  1         x, residual, y                  a GPU; a group is WG * CACHED vectors at most
//   normalize_cached_columnar   1         x, residual, y                  a GPU; columns of WY * CACHED rows at most
//   gradient_cached_segmented   1         dy, x, y (its mask), dx, dresidual  as forward
//   gradient_cached_columnar    1         dy, x, y (its mask), dx, dresidual  as forward
//
// Every run of contiguous elements is a whole number of vectors (where it is not, the host takes VW = 1), a stripe is one
// block wide, and no operand has 2^31 elements. The arguments are those of the kernels in fused.cl.
//
// The moments of a share are taken in two passes over its registers: the mean first, rounded to hi, then what is left
// around it, lo = sum(x - hi) / count and M2 = sum((x - hi)^2) - count lo^2, where lo is half a unit of hi's last place or
// so. Shares join by Chan's formula (statistics.clh), so the error is that of CACHED additions and of the tree.

#include "apply.cl"
#include "fold_gradients.cl"
#include "fold_moments.cl"
#include "gradient_apply.cl"
#include "gradient_sums.cl"
#include "moments.cl"

#ifndef CACHED
#define CACHED 8
#endif

// Where the vectors of a work-item lie. Loops over them go to CACHED, unrolled, with a condition on the count: an array that is
// indexed by anything but a constant is not in registers. Registers are what limits how many work-groups a unit has, so that they
// hold x, and dy, alone: what else is read of a vector is read when it is needed.
typedef struct {
    int count;
    int at[CACHED];
} share;

INLINE share share_of_group(run whole) {
    share s;
    walk w = walk_vectors(whole);
    s.count = (int)w.left;
    EACH_OF(i, CACHED) {
        s.at[i] = (int)w.at;
        next_vector(&w);
    }
    return s;
}

INLINE share share_of_stripe(int rows, int columns, int column) {
    share s;
    s.count = column < columns ? max((rows - ITEM_Y + WY - 1) / WY, 0) : 0;
    EACH_OF(i, CACHED) {
        s.at[i] = (int)((uint)(ITEM_Y + i * WY) * (uint)columns + (uint)column); // past the count, anything
    }
    return s;
}

// The sums of an addend and a residual, which are x from then on: to registers, as they are stored, and to memory.
ELEMENT_LOOP void load_sums(
        vec *in, const_array_of(ADD) addend, const_array_of(RES) residual, array_of(X) x, const share *own) {
    share s = *own;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            in[i] = load_as(ADD, addend + s.at[i]) + load_as(RES, residual + s.at[i]);
        } else {
            in[i] = (vec)(0.0f);
        }
    }
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            store_as(X, in[i], x + s.at[i]);
            in[i] = X_T == 0 ? in[i] : load_as(X, x + s.at[i]); // as it was rounded
        }
    }
}

ELEMENT_LOOP void load_share(vec *in, const_array_of(X) x, const share *own) {
    share s = *own;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            in[i] = load_as(X, x + s.at[i]);
        } else {
            in[i] = (vec)(0.0f);
        }
    }
}

// The moments of a share, lane by lane.
typedef struct {
    float n;
    vec hi, lo, m2;
} share_moments;

// Those of `count` vectors from their mean, the sum of what is left around it, and of the squares of that.
INLINE share_moments moments_around(int count, vec hi, vec rest, vec squares) {
    share_moments of;
    of.n = (float)count;
    of.hi = of.lo = of.m2 = (vec)(0.0f);
    if (count > 0) {
        vec lo = rest * (vec)(1.0f / (float)count);
        vector_two_sum(hi, lo, &of.hi, &of.lo);
        of.m2 = fma(-rest, lo, squares);
    }
    return of;
}

INLINE lane_moments lanes_of_share(share_moments of, vec unit) {
    lane_moments mine = no_lane_moments(unit);
    mine.n = of.n;
    mine.hi = of.hi;
    mine.lo = of.lo;
    mine.m2 = of.m2;
    return mine;
}

ELEMENT_LOOP share_moments moments_of_share(const vec *in, int count) {
    vec hi = in[0], rest = (vec)(0.0f), squares = (vec)(0.0f);
    _Pragma("unroll") for (int i = 1; i < CACHED; i++) {
        hi += in[i];
    }
    hi *= (vec)(1.0f / (float)count);
    EACH_OF(i, CACHED) {
        vec d = i < count ? in[i] - hi : (vec)(0.0f);
        rest += d;
        squares = fma(d, d, squares);
    }
    return moments_around(count, hi, rest, squares);
}

// A second look, at what lies in memory: there are no registers for what hardly ever happens.
RARE share_moments moments_of_share_again(const_array_of(X) x, share own, vec unit) {
    vec hi = (vec)(0.0f), rest = hi, squares = hi;
    EACH_OF(i, CACHED) {
        if (i < own.count) {
            hi += in_units(load_as(X, x + own.at[i]), unit);
        }
    }
    hi *= (vec)(1.0f / (float)own.count);
    EACH_OF(i, CACHED) {
        if (i < own.count) {
            vec d = in_units(load_as(X, x + own.at[i]), unit) - hi;
            rest += d;
            squares = fma(d, d, squares);
        }
    }
    return moments_around(own.count, hi, rest, squares);
}

ELEMENT_LOOP void store_forward(const forward_arrays *arrays, const share *own, const vec *in, vector_coefficients c) {
    forward_arrays a = *arrays;
    share s = *own;
    // Residuals are read some at a time, for all a compiler knows from where y is written.
    EACH_OF(part, 2) {
        forward_loaded loaded[CACHED / 2];
        EACH_OF(i, CACHED / 2) {
            int of = part * (CACHED / 2) + i;
            loaded[i].x = in[of];
            loaded[i].residual = (vec)(-0.0f);
            if (a.residual && of < s.count) {
                loaded[i].residual = load_as(RES, a.residual + s.at[of]);
            }
        }
        EACH_OF(i, CACHED / 2) {
            int of = part * (CACHED / 2) + i;
            if (of < s.count) {
                forward_store(a, s.at[of], loaded[i], c);
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_cached_segmented(
        FORWARD_ARGS, ADDED_ARGS ROW_ARGS, WHOLE_SEGMENTED_ARGS, AFFINE_ARGS, TRACKED_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_MOMENTS(room);
    LOCAL_TEAM_UNITS(units);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    segments = RUNS_OF_BLOCK(segments);
    folding f = FOLDING;
    int group = GROUP_IN(in_block);
    run whole = run_if(HAS_GROUP_IN(in_block), WHOLE_GROUP(group));
    forward_arrays a = FORWARD_FROM(block * block_stride, coefficients);
    a.row = ROW_AFFINE(whole.start, length);
    share mine = share_of_group(whole);
    vec in[CACHED];
    moments all;
    float unit = 1.0f;
    long start = block * block_stride;
    a.residual = AFTER_ADDITION(a.residual);
    if (PRESENT(addend)) {
        load_sums(in, AT(addend) + start, AT(residual) + start, (array_of(X))AT(x) + start, &mine);
    } else {
        load_share(in, a.x, &mine);
    }
    moments own = across_all_lanes(lanes_of_share(moments_of_share(in, mine.count), (vec)(unit)));
    for (int again = 0;; again = 1) {
        all = across_team(own, whole.items, room);
        if (again || !teams_again(all, whole.items, least_of(f), &unit, units)) {
            break;
        }
        own = across_all_lanes(lanes_of_share(moments_of_share_again(a.x, mine, (vec)(unit)), (vec)(unit)));
    }
    if (is_first_of_team(whole)) {
        fold_group(f, all, unit, group);
    }
    FOLDED;
    store_forward(&a, &mine, in, every_lane(forward_of_group(a, group)));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void normalize_cached_columnar(
        FORWARD_ARGS, STRIPE_ARGS, AFFINE_ARGS, TRACKED_ARGS, __global float *coefficients,
        int pitch) {
    LOCAL_COLUMNS(room);
    LOCAL_UNITS(units);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    rows = RUNS_OF_BLOCK(rows);
    folding f = FOLDING;
    int columns = groups * width;
    int left = FIRST_COLUMN, right = LAST_COLUMN;
    forward_arrays a = FORWARD_FROM(block * block_stride, coefficients);
    share own = share_of_stripe((int)rows, columns, left);
    vec in[CACHED];
    lane_moments mine[VECTORS];
    load_share(in, a.x, &own);
    mine[0] = lanes_of_share(moments_of_share(in, own.count), (vec)(1.0f));
    for (int again = 0;; again = 1) {
        across_column_items(mine, room);
        if (again || !columns_again(mine, right - left, least_of(f), units)) {
            break;
        }
        mine[0] = lanes_of_share(moments_of_share_again(a.x, own, mine[0].unit), mine[0].unit);
    }
    fold_columns(f, mine, left, right, room);
    FOLDED;
    if (own.count > 0) {
        store_forward(&a, &own, in, forward_of_columns(a, left));
    }
}

// What an item keeps for dx.
typedef struct {
    vec dy, x;
} backward_held;

// The sums of a share, which from then on has dy' in the place of dy.
ELEMENT_LOOP lane_sums sums_of_share(backward_held *in, const share *own, const sums_inputs *inputs) {
    share s = *own;
    sums_inputs from = *inputs;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            in[i].dy = load_as(DY, from.dy + s.at[i]);
            in[i].x = vector_undone(load_as(X, from.x + s.at[i]), from.mask, from.slope);
        } else {
            in[i].dy = in[i].x = (vec)(0.0f);
        }
    }
    lane_sums mine = no_lane_sums();
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            vector_coefficients c = at_elements(from.c, from.row, s.at[i]);
            vec y = READS_Y(from.mask) ? load_as(Y, from.y + s.at[i]) : (vec)(0.0f);
            in[i].dy = vector_masked(in[i].dy, in[i].x, y, from.mask, from.slope, c);
            vec dy = vector_weighted(in[i].dy, c);
            mine.dy += dy;
            mine.dyx = fma(dy, vector_deviation(in[i].x, from.c), mine.dyx);
        }
    }
    return mine;
}

ELEMENT_LOOP void store_backward(
        const backward_arrays *arrays, const share *own, const backward_held *in, vector_coefficients c) {
    backward_arrays a = *arrays;
    share s = *own;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            vec dx = vector_backward(in[i].dy, in[i].x, a.frozen, at_elements(c, a.row, s.at[i]));
            store_as(DX, with_past(a, dx, s.at[i]), a.dx + s.at[i]);
            if (a.dresidual) {
                store_as(DRES, in[i].dy, a.dresidual + s.at[i]);
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_cached_segmented(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS ROW_ARGS, WHOLE_SEGMENTED_ARGS, GRADIENT_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_SUMS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    segments = RUNS_OF_BLOCK(segments);
    unfolding u = UNFOLDING;
    int group = GROUP_IN(in_block);
    run whole = run_if(HAS_GROUP_IN(in_block), WHOLE_GROUP(group));
    share mine = share_of_group(whole);
    sums_inputs from = INPUTS_FROM(block * block_stride);
    backward_arrays arrays = BACKWARD_FROM(block * block_stride, coefficients);
    arrays.row = from.row = ROW_AFFINE(whole.start, length);
    from.c = every_lane(coefficients_of_group(coefficients, pitch, group));
    backward_held in[CACHED];
    lane_sums own = sums_of_share(in, &mine, &from);
    sums all = across_team_sums(across_sum_lanes(own, ALL_LANES), whole.items, room);
    if (is_first_of_team(whole)) {
        fold_group_sums(u, all, group);
    }
    FOLDED;
    store_backward(&arrays, &mine, in, every_lane(backward_of_group(arrays, group)));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_cached_columnar(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, STRIPE_ARGS, GRADIENT_ARGS, __global float *coefficients,
        int pitch) {
    LOCAL_COLUMN_SUMS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    rows = RUNS_OF_BLOCK(rows);
    unfolding u = UNFOLDING;
    int columns = groups * width;
    int left = FIRST_COLUMN, right = LAST_COLUMN;
    share own = share_of_stripe((int)rows, columns, left);
    sums_inputs from = INPUTS_FROM(block * block_stride);
    if (own.count > 0) {
        sums_at_column(&from, left);
    }
    backward_held in[CACHED];
    lane_sums mine[VECTORS];
    mine[0] = sums_of_share(in, &own, &from);
    across_column_sum_items(mine, room);
    fold_column_sums(u, mine, left, right, room);
    FOLDED;
    if (own.count > 0) {
        backward_arrays arrays = BACKWARD_FROM(block * block_stride, coefficients);
        store_backward(&arrays, &own, in, backward_of_columns(arrays, left));
    }
}
