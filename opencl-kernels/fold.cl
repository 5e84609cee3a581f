// Step 2: from a group's moments, or its gradient sums, to the coefficients that the apply step needs.
//
//   kernel          launches  bytes moved             chosen when
//   fold_moments    1         slices * groups * 16    training forward in three launches
//   fold_given      1         groups * 16             inference: the statistics are the running ones
//   track           1         groups * 24             the running update is decided after the statistics were looked at
//   fold_gradients  1         slices * groups * 8     backward in three launches
//
// Formulas: Ioffe and Szegedy, "Batch normalization", 2015. With m values per group, d = x - mean and dy' = dy where the
// activation let it through:
//   y = d * scale + beta,                      scale = gamma * invstd, invstd = 1 / sqrt(M2/m + epsilon)
//   dbeta = sum(dy'), dgamma = sum(dy' d) * invstd
//   dx = scale * (dy' - sum(dy')/m - d * invstd^2 * sum(dy' d)/m)

#ifndef FOLD_CL
#define FOLD_CL

#include "trees.clh"

// How a batch enters the running statistics.
#define AVERAGE_NONE 0
#define AVERAGE_EXPONENTIAL 1
#define AVERAGE_CUMULATIVE 2
#define AVERAGE_BIAS_CORRECTED 3

typedef struct {
    int kind;
    float weight; // of the new batch
    float log_rest; // log(1 - weight)
    float variance_factor; // m / (m - 1) or 1
    int skip_non_finite;
} averaging;

#define RUNNING_ARGS \
    OUT(running_mean), OUT(running_variance), OUT(absorbed), int average, float weight, float log_rest, \
            float variance_factor, int skip_non_finite
#define AFFINE_ARGS IN(gamma), IN(beta), float epsilon, float count

INLINE averaging averaging_of(
        int average, float weight, float log_rest, float variance_factor, int skip_non_finite) {
    averaging a;
    a.kind = average;
    a.weight = weight;
    a.log_rest = log_rest;
    a.variance_factor = variance_factor;
    a.skip_non_finite = skip_non_finite;
    return a;
}
#define AVERAGING averaging_of(average, weight, log_rest, variance_factor, skip_non_finite)

// A fold takes VW neighbouring groups at a time, from `group` on, of which the first `valid` are meant: where there are
// thousands of groups, one at a time would take longer than their elements.

// 1 / sqrt(v) to within one rounding: a Newton step, its residual 1 - v r^2 taken from the exact square.
INLINE vec inverse_root(vec v) {
    vec r = (vec)(1.0f) / sqrt(v);
    vec square = r * r;
    vec square_lo = fma(r, r, -square);
    vec residual = fma(-v, square_lo, fma(-v, square, (vec)(1.0f)));
    vec better = fma((vec)(0.5f) * r, residual, r);
    return select(r, better, isfinite(better));
}

// Writes values at their groups of a row, and wherever the row starts again from group 0.
INLINE void put(__global float *row, int pitch, int groups, int group, int valid, vec values) {
    store_first(values, valid, row + group);
    if (group < pitch - groups) {
        float lanes[VW];
        store_lanes(values, lanes);
        for (int i = 0; i < valid; i++) {
            for (int at = group + i + groups; at < pitch; at += groups) {
                row[at] = lanes[i];
            }
        }
    }
}

// Those values of a row, or one value where there is no row.
INLINE vec take(__global const float *row, int group, int valid, float otherwise) {
    if (!row) {
        return (vec)(otherwise);
    }
    return valid == 1 ? (vec)(row[group]) : load_before(row + group, row + group + valid);
}

// The mean as hi + lo, where hi has so few digits that x - hi is exact not only for x near the mean, but for all x within
// some deviations of 0. A rounding of x - hi to the spacing of x would be the same for thousands of x, and with a dy that
// is not 0 on average such a bias adds up: it made dgamma ten times less exact. lo is at most 2^-11 deviations.
INLINE void split_mean(vec mean, vec rest, vec variance, vec *hi, vec *lo) {
    ivec exponent = as_ivec(sqrt(variance)) & (ivec)(0x7f800000); // an infinity's, and a NaN's, is the largest
    vec quantum = as_vec(exponent - (ivec)(10 << 23));
    vec steps = rint(mean / quantum);
    ivec splits = exponent > (ivec)(10 << 23) && exponent < (ivec)(0x7f800000) && fabs(steps) < (vec)(8388608.0f);
    *hi = select(mean, steps * quantum, splits);
    *lo = (mean - *hi) + rest;
    *lo = select(rest, *lo, splits);
}

INLINE void put_forward(
        __global float *coefficients, int pitch, int groups, int group, int valid, vec mean, vec rest, vec variance,
        __global const float *gamma, __global const float *beta, float epsilon) {
    vec hi, lo;
    split_mean(mean, rest, variance, &hi, &lo);
    vec invstd = inverse_root(variance + (vec)(epsilon));
    vec scale = take(gamma, group, valid, 1.0f) * invstd;
    vec shift = fma(-lo, scale, take(beta, group, valid, 0.0f));
    put(coefficients + MEAN * pitch, pitch, groups, group, valid, mean);
    put(coefficients + MEAN_HI * pitch, pitch, groups, group, valid, hi);
    put(coefficients + MEAN_LO * pitch, pitch, groups, group, valid, lo);
    put(coefficients + VARIANCE * pitch, pitch, groups, group, valid, variance);
    put(coefficients + INVSTD * pitch, pitch, groups, group, valid, invstd);
    put(coefficients + SCALE * pitch, pitch, groups, group, valid, scale);
    put(coefficients + SHIFT * pitch, pitch, groups, group, valid, shift);
}

INLINE void track_groups(
        int group, int valid, vec batch_mean, vec variance, averaging a, __global float *mean, __global float *var,
        __global float *absorbed) {
    if (a.kind == AVERAGE_NONE) {
        return;
    }
    variance *= (vec)(a.variance_factor);
    vec old_mean = take(mean, group, valid, 0.0f);
    vec old_var = take(var, group, valid, 0.0f);
    vec old_batches = take(absorbed, group, valid, 0.0f);
    vec batches = old_batches + (vec)(1.0f);
    vec w = (vec)(a.weight);
    if (a.kind == AVERAGE_CUMULATIVE) {
        w = (vec)(1.0f) / batches;
    } else if (a.kind == AVERAGE_BIAS_CORRECTED) {
        vec corrected = (vec)(a.weight) / -expm1(batches * (vec)(a.log_rest));
        w = select(corrected, (vec)(1.0f), batches == (vec)(1.0f));
    }
    // Not running + w (batch - running): that leaves a rounding of a large initial value in a small average.
    vec new_mean = fma((vec)(1.0f) - w, old_mean, w * batch_mean);
    vec new_var = fma((vec)(1.0f) - w, old_var, w * variance);
    if (a.skip_non_finite) {
        ivec sound = isfinite(batch_mean) && isfinite(variance);
        new_mean = select(old_mean, new_mean, sound);
        new_var = select(old_var, new_var, sound);
        batches = select(old_batches, batches, sound);
    }
    store_first(new_mean, valid, mean + group);
    store_first(new_var, valid, var + group);
    store_first(batches, valid, absorbed + group);
}

INLINE void fold_groups(
        vec hi, vec lo, vec m2, int group, int valid, int groups, __global const float *gamma,
        __global const float *beta, float epsilon, float count, averaging a, __global float *mean, __global float *var,
        __global float *absorbed, __global float *coefficients, int pitch) {
    vec variance = m2 / (vec)(count);
    put_forward(coefficients, pitch, groups, group, valid, hi, lo, variance, gamma, beta, epsilon);
    track_groups(group, valid, hi, variance, a, mean, var, absorbed);
}

#define OPTIONAL(name) (PRESENT(name) ? AT(name) : 0)
#define FOLD_GROUPS(hi, lo, m2, group, valid) \
    fold_groups( \
            hi, lo, m2, group, valid, groups, OPTIONAL(gamma), OPTIONAL(beta), epsilon, count, AVERAGING, \
            OPTIONAL(running_mean), OPTIONAL(running_variance), OPTIONAL(absorbed), coefficients, pitch)
#define FOLD_GROUP(all, group) FOLD_GROUPS((vec)((all).hi), (vec)((all).lo), (vec)((all).m2), group, 1)

#define FIRST_OF_FOLD column_of((int)get_group_id(0) * WX * VW, 0)

// A work-group folds WX vectors of groups, as columns; its rows of items take the slices in turn. All groups have equally
// many values in a slice.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_moments(
        __global const float *partials, int slices, int groups, AFFINE_ARGS, RUNNING_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_COLUMNS(room);
    int group = FIRST_OF_FOLD;
    lane_moments mine[BLOCKS];
    no_column_moments(mine, WX * VW);
    for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {
        __global const float *partial = partials + (long)slice * 4 * pitch + group;
        join_lanes(mine, partial[0], load(partial + pitch), load(partial + 2 * pitch), load(partial + 3 * pitch));
    }
    across_column_items(mine, room);
    if (ITEM_Y == 0 && group < groups) {
        FOLD_GROUPS(mine->hi, mine->lo, mine->m2 + mine->m2_lo, group, min(groups - group, VW));
    }
}

__kernel void fold_given(
        int groups, AFFINE_ARGS, IN(mean), IN(variance), __global float *coefficients, int pitch) {
    int group = (int)get_global_id(0) * VW;
    int valid = min(groups - group, VW);
    if (valid > 0) {
        put_forward(
                coefficients, pitch, groups, group, valid, take(AT(mean), group, valid, 0.0f), (vec)(0.0f),
                take(AT(variance), group, valid, 0.0f), OPTIONAL(gamma), OPTIONAL(beta), epsilon);
    }
}

__kernel void track(
        int groups, RUNNING_ARGS, __global const float *coefficients, int pitch) {
    int group = (int)get_global_id(0) * VW;
    int valid = min(groups - group, VW);
    if (valid > 0) {
        track_groups(
                group, valid, load(coefficients + MEAN * pitch + group), load(coefficients + VARIANCE * pitch + group),
                AVERAGING, AT(running_mean), AT(running_variance), AT(absorbed));
    }
}

INLINE void store_gradient(__global float *to, int group, int valid, vec value, int accumulate) {
    store_first(accumulate ? take(to, group, valid, 0.0f) + value : value, valid, to + group);
}

#define GRADIENT_ARGS OUT(dgamma), OUT(dbeta), int accumulate, int frozen, float count

INLINE void fold_sums(
        vec dy, vec dyx, int group, int valid, int groups, __global float *dgamma, __global float *dbeta,
        int accumulate, int frozen, float count, __global float *coefficients, int pitch) {
    vec invstd = take(coefficients + INVSTD * pitch, group, valid, 0.0f);
    vec scale = take(coefficients + SCALE * pitch, group, valid, 0.0f);
    vec lo = take(coefficients + MEAN_LO * pitch, group, valid, 0.0f);
    dyx = fma(-lo, dy, dyx); // it was gathered around mean_hi
    if (dgamma) {
        store_gradient(dgamma, group, valid, dyx * invstd, accumulate);
    }
    if (dbeta) {
        store_gradient(dbeta, group, valid, dy, accumulate);
    }
    put(coefficients + GRAD_DY * pitch, pitch, groups, group, valid, scale);
    if (!frozen) {
        vec by_x = -scale * (invstd * invstd) * (dyx / (vec)(count));
        vec by_1 = -scale * (dy / (vec)(count));
        put(coefficients + GRAD_X * pitch, pitch, groups, group, valid, by_x);
        put(coefficients + GRAD_1 * pitch, pitch, groups, group, valid, fma(-by_x, lo, by_1));
    }
}
#define FOLD_LANE_SUMS(dy, dyx, group, valid) \
    fold_sums( \
            dy, dyx, group, valid, groups, OPTIONAL(dgamma), OPTIONAL(dbeta), accumulate, frozen, count, \
            coefficients, pitch)
#define FOLD_SUMS(all, group) FOLD_LANE_SUMS((vec)((all).dy), (vec)((all).dyx), group, 1)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_gradients(
        __global const float *partials, int slices, int groups, GRADIENT_ARGS, __global float *coefficients,
        int pitch) {
    LOCAL_COLUMN_SUMS(room);
    int group = FIRST_OF_FOLD;
    lane_sums mine[BLOCKS];
    no_column_sums(mine, WX * VW);
    for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {
        __global const float *partial = partials + (long)slice * 2 * pitch + group;
        vec rest;
        two_sum(mine->dy, load(partial), &mine->dy, &rest);
        mine->dy_lo += rest;
        two_sum(mine->dyx, load(partial + pitch), &mine->dyx, &rest);
        mine->dyx_lo += rest;
    }
    across_column_sum_items(mine, room);
    if (ITEM_Y == 0 && group < groups) {
        FOLD_LANE_SUMS(mine->dy + mine->dy_lo, mine->dyx + mine->dyx_lo, group, min(groups - group, VW));
    }
}

// Where the apply step is of the same launch, its work-items read what the one that folds has written.
#if WG > 1
#define FOLDED barrier(CLK_GLOBAL_MEM_FENCE)
#else
#define FOLDED
#endif

// The columns of a work-item of a stripe, each a group, once the work-items of the first row have them.
#define EACH_COLUMN_OF_STRIPE(FOLD_VECTOR) \
    for (int b = 0; ITEM_Y == 0 && b < BLOCKS && column_of(left, b) < right; b++) { \
        FOLD_VECTOR(b, column_of(left, b), min(right - column_of(left, b), VW)); \
    }
#define FOLD_MOMENTS_OF(b, group, valid) FOLD_GROUPS(mine[b].hi, mine[b].lo, mine[b].m2 + mine[b].m2_lo, group, valid)
#define FOLD_SUMS_OF(b, group, valid) \
    FOLD_LANE_SUMS(mine[b].dy + mine[b].dy_lo, mine[b].dyx + mine[b].dyx_lo, group, valid)
#define FOLD_COLUMNS EACH_COLUMN_OF_STRIPE(FOLD_MOMENTS_OF)
#define FOLD_COLUMN_SUMS EACH_COLUMN_OF_STRIPE(FOLD_SUMS_OF)

#endif
