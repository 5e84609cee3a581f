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

// Where the vectors of a work-item lie. Loops over them go to CACHED, unrolled, with a condition on the count: an array
// that is indexed by anything but a constant is not in registers.
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
        forward_loaded *in, const_array_of(ADD) addend, const_array_of(RES) residual, array_of(X) x, const share *own) {
    share s = *own;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            in[i].x = load_as(ADD, addend + s.at[i]) + load_as(RES, residual + s.at[i]);
            in[i].residual = (vec)(-0.0f);
        } else {
            in[i].x = in[i].residual = (vec)(0.0f);
        }
    }
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            store_as(X, in[i].x, x + s.at[i]);
            in[i].x = X_T == 0 ? in[i].x : load_as(X, x + s.at[i]); // as it was rounded
        }
    }
}

ELEMENT_LOOP void load_forward(forward_loaded *in, const forward_arrays *arrays, const share *own) {
    forward_arrays a = *arrays;
    share s = *own;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            in[i] = forward_load(a, s.at[i]);
        } else {
            in[i].x = in[i].residual = (vec)(0.0f);
        }
    }
}

// For a second look at what x is in registers; it is to be loaded again after that.
INLINE void put_in_units(forward_loaded *in, vec unit) {
    EACH_OF(i, CACHED) { in[i].x = in_units(in[i].x, unit); }
}

ELEMENT_LOOP lane_moments moments_of_share(const forward_loaded *in, int count, vec unit) {
    lane_moments mine = no_lane_moments(unit);
    if (count > 0) {
        vec sum = in[0].x;
        _Pragma("unroll") for (int i = 1; i < CACHED; i++) {
            sum += in[i].x;
        }
        vec part = (vec)(1.0f / (float)count);
        vec hi = sum * part;
        vec rest = (vec)(0.0f);
        vec m2 = (vec)(0.0f);
        EACH_OF(i, CACHED) {
            vec d = i < count ? in[i].x - hi : (vec)(0.0f);
            rest += d;
            m2 = fma(d, d, m2);
        }
        vec lo = rest * part;
        mine.n = (float)count;
        two_sum(hi, lo, &mine.hi, &mine.lo);
        mine.m2 = fma(-rest, lo, m2);
    }
    return mine;
}

ELEMENT_LOOP void store_forward(
        const forward_arrays *arrays, const share *own, const forward_loaded *in, vector_coefficients c) {
    forward_arrays a = *arrays;
    share s = *own;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            forward_store(a, s.at[i], in[i], c);
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
    forward_loaded in[CACHED];
    moments all;
    float unit = 1.0f;
    int again = 0;
    long start = block * block_stride;
    a.residual = AFTER_ADDITION(a.residual);
    for (;;) {
        if (PRESENT(addend) && !again) {
            load_sums(in, AT(addend) + start, AT(residual) + start, (array_of(X))AT(x) + start, &mine);
        } else {
            load_forward(in, &a, &mine);
        }
        if (again) {
            put_in_units(in, (vec)(unit));
        }
        all = across_team(across_all_lanes(moments_of_share(in, mine.count, (vec)(unit))), whole.items, room);
        if (again || !teams_again(all, whole.items, least_of(f), &unit, units)) {
            break;
        }
        again = 1;
    }
    if (is_first_of_team(whole)) {
        fold_group(f, all, unit, group);
    }
    FOLDED;
    if (again) {
        load_forward(in, &a, &mine);
    }
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
    forward_loaded in[CACHED];
    lane_moments mine[VECTORS];
    mine[0] = no_lane_moments((vec)(1.0f));
    int again = 0;
    for (;;) {
        load_forward(in, &a, &own);
        if (again) {
            put_in_units(in, mine[0].unit);
        }
        mine[0] = moments_of_share(in, own.count, mine[0].unit);
        across_column_items(mine, room);
        if (again || !columns_again(mine, right - left, least_of(f), units)) {
            break;
        }
        again = 1;
    }
    fold_columns(f, mine, left, right);
    FOLDED;
    if (again) {
        load_forward(in, &a, &own);
    }
    if (own.count > 0) {
        store_forward(&a, &own, in, forward_of_columns(a, left));
    }
}

// The sums of a share, which from then on has dy' in the place of dy.
ELEMENT_LOOP lane_sums sums_of_share(backward_loaded *in, const share *own, const sums_inputs *inputs) {
    share s = *own;
    sums_inputs from = *inputs;
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            in[i].dy = load_as(DY, from.dy + s.at[i]);
            in[i].x = vector_undone(load_as(X, from.x + s.at[i]), from.mask, from.slope);
            in[i].y = READS_Y(from.mask) ? load_as(Y, from.y + s.at[i]) : (vec)(0.0f);
        } else {
            in[i].dy = in[i].x = in[i].y = (vec)(0.0f);
        }
    }
    lane_sums mine = no_lane_sums();
    EACH_OF(i, CACHED) {
        if (i < s.count) {
            vector_coefficients c = at_elements(from.c, from.row, s.at[i]);
            in[i].dy = vector_masked(in[i].dy, in[i].x, in[i].y, from.mask, from.slope, c);
            vec dy = vector_weighted(in[i].dy, c);
            mine.dy += dy;
            mine.dyx = fma(dy, vector_deviation(in[i].x, from.c), mine.dyx);
        }
    }
    return mine;
}

ELEMENT_LOOP void store_backward(
        const backward_arrays *arrays, const share *own, const backward_loaded *in, vector_coefficients c) {
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
    backward_loaded in[CACHED];
    sums all = across_team_sums(across_sum_lanes(sums_of_share(in, &mine, &from), ALL_LANES), whole.items, room);
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
    backward_loaded in[CACHED];
    lane_sums mine[VECTORS];
    mine[0] = sums_of_share(in, &own, &from);
    across_column_sum_items(mine, room);
    fold_column_sums(u, mine, left, right);
    FOLDED;
    if (own.count > 0) {
        backward_arrays arrays = BACKWARD_FROM(block * block_stride, coefficients);
        store_backward(&arrays, &own, in, backward_of_columns(arrays, left));
    }
}
