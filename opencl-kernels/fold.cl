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

#include "groups.clh"

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

// 1 / sqrt(v) to within one rounding: a Newton step, its residual 1 - v r^2 taken from the exact square.
INLINE float inverse_root(float v) {
    float r = 1.0f / sqrt(v);
    float square = r * r;
    float square_lo = fma(r, r, -square);
    float residual = fma(-v, square_lo, fma(-v, square, 1.0f));
    float better = fma(0.5f * r, residual, r);
    return isfinite(better) ? better : r;
}

// Writes value at group of a row, and wherever the row starts again from group 0.
INLINE void put(__global float *row, int pitch, int groups, int group, float value) {
    for (int i = group; i < pitch; i += groups) {
        row[i] = value;
    }
}

// The mean as hi + lo, where hi has so few digits that x - hi is exact not only for x near the mean, but for all x within
// some deviations of 0. A rounding of x - hi to the spacing of x would be the same for thousands of x, and with a dy that
// is not 0 on average such a bias adds up: it made dgamma ten times less exact. lo is at most 2^-11 deviations.
INLINE void split_mean(float mean, float rest, float variance, float *hi, float *lo) {
    float deviation = sqrt(variance);
    *hi = mean;
    *lo = rest;
    if (deviation > 0.0f && isfinite(deviation)) {
        float quantum = ldexp(1.0f, ilogb(deviation) - 10);
        float steps = rint(mean / quantum);
        if (fabs(steps) < 8388608.0f && quantum > 0.0f) {
            *hi = steps * quantum;
            *lo = (mean - *hi) + rest;
        }
    }
}

INLINE void put_forward(
        __global float *coefficients, int pitch, int groups, int group, float mean, float rest, float variance,
        float gamma, float beta, float epsilon) {
    float hi, lo;
    split_mean(mean, rest, variance, &hi, &lo);
    float invstd = inverse_root(variance + epsilon);
    float scale = gamma * invstd;
    put(coefficients + MEAN * pitch, pitch, groups, group, mean);
    put(coefficients + MEAN_HI * pitch, pitch, groups, group, hi);
    put(coefficients + MEAN_LO * pitch, pitch, groups, group, lo);
    put(coefficients + VARIANCE * pitch, pitch, groups, group, variance);
    put(coefficients + INVSTD * pitch, pitch, groups, group, invstd);
    put(coefficients + SCALE * pitch, pitch, groups, group, scale);
    put(coefficients + SHIFT * pitch, pitch, groups, group, fma(-lo, scale, beta));
}

INLINE void track_group(
        int group, float batch_mean, float variance, averaging a, __global float *mean, __global float *var,
        __global float *absorbed) {
    if (a.kind == AVERAGE_NONE) {
        return;
    }
    variance *= a.variance_factor;
    if (a.skip_non_finite && !(isfinite(batch_mean) && isfinite(variance))) {
        return;
    }
    float batches = absorbed[group] + 1.0f;
    float w = a.weight;
    if (a.kind == AVERAGE_CUMULATIVE) {
        w = 1.0f / batches;
    } else if (a.kind == AVERAGE_BIAS_CORRECTED) {
        w = batches == 1.0f ? 1.0f : a.weight / -expm1(batches * a.log_rest);
    }
    // Not running + w (batch - running): that leaves a rounding of a large initial value in a small average.
    mean[group] = fma(1.0f - w, mean[group], w * batch_mean);
    var[group] = fma(1.0f - w, var[group], w * variance);
    absorbed[group] = batches;
}

INLINE void fold_group(
        moments all, int group, int groups, __global const float *gamma, __global const float *beta, float epsilon,
        float count, averaging a, __global float *mean, __global float *var, __global float *absorbed,
        __global float *coefficients, int pitch) {
    float variance = all.m2 / count;
    put_forward(
            coefficients, pitch, groups, group, all.hi, all.lo, variance, gamma ? gamma[group] : 1.0f,
            beta ? beta[group] : 0.0f, epsilon);
    track_group(group, all.hi, variance, a, mean, var, absorbed);
}

#define OPTIONAL(name) (PRESENT(name) ? AT(name) : 0)
#define FOLD_GROUP(all, group) \
    fold_group( \
            all, group, groups, OPTIONAL(gamma), OPTIONAL(beta), epsilon, count, AVERAGING, OPTIONAL(running_mean), \
            OPTIONAL(running_variance), OPTIONAL(absorbed), coefficients, pitch)

// One work-group per group; its items take the slices in turn.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_moments(
        __global const float *partials, int slices, int groups, AFFINE_ARGS, RUNNING_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_MOMENTS(room);
    int group = get_group_id(0);
    moments all = no_moments();
    for (int slice = LOCAL_ITEM; slice < slices; slice += WG) {
        __global const float *partial = partials + (long)slice * 4 * pitch + group;
        moments part;
        part.n = partial[0];
        part.hi = partial[pitch];
        part.lo = partial[2 * pitch];
        part.m2 = partial[3 * pitch];
        all = join(all, part);
    }
    all = across_group(all, room);
    if (LOCAL_ITEM == 0) {
        FOLD_GROUP(all, group);
    }
}

__kernel void fold_given(
        int groups, AFFINE_ARGS, IN(mean), IN(variance), __global float *coefficients, int pitch) {
    int group = get_global_id(0);
    if (group < groups) {
        put_forward(
                coefficients, pitch, groups, group, AT(mean)[group], 0.0f, AT(variance)[group],
                PRESENT(gamma) ? AT(gamma)[group] : 1.0f, PRESENT(beta) ? AT(beta)[group] : 0.0f, epsilon);
    }
}

__kernel void track(int groups, RUNNING_ARGS, __global const float *coefficients, int pitch) {
    int group = get_global_id(0);
    if (group < groups) {
        track_group(
                group, coefficients[MEAN * pitch + group], coefficients[VARIANCE * pitch + group], AVERAGING, AT(running_mean), AT(running_variance), AT(absorbed));
    }
}

INLINE void store_gradient(__global float *to, int group, float value, int accumulate) {
    to[group] = accumulate ? to[group] + value : value;
}

#define GRADIENT_ARGS OUT(dgamma), OUT(dbeta), int accumulate, int frozen, float count

INLINE void fold_sums(
        sums all, int group, int groups, __global float *dgamma, __global float *dbeta, int accumulate, int frozen,
        float count, __global float *coefficients, int pitch) {
    float invstd = coefficients[INVSTD * pitch + group];
    float scale = coefficients[SCALE * pitch + group];
    float lo = coefficients[MEAN_LO * pitch + group];
    all.dyx = fma(-lo, all.dy, all.dyx); // it was gathered around mean_hi
    if (dgamma) {
        store_gradient(dgamma, group, all.dyx * invstd, accumulate);
    }
    if (dbeta) {
        store_gradient(dbeta, group, all.dy, accumulate);
    }
    if (frozen) {
        put(coefficients + GRAD_DY * pitch, pitch, groups, group, scale);
    } else {
        float by_x = -scale * (invstd * invstd) * (all.dyx / count);
        float by_1 = -scale * (all.dy / count);
        put(coefficients + GRAD_DY * pitch, pitch, groups, group, scale);
        put(coefficients + GRAD_X * pitch, pitch, groups, group, by_x);
        put(coefficients + GRAD_1 * pitch, pitch, groups, group,
            fma(-by_x, lo, by_1));
    }
}
#define FOLD_SUMS(all, group) \
    fold_sums(all, group, groups, OPTIONAL(dgamma), OPTIONAL(dbeta), accumulate, frozen, count, coefficients, pitch)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_gradients(
        __global const float *partials, int slices, int groups, GRADIENT_ARGS, __global float *coefficients,
        int pitch) {
    LOCAL_SUMS(room);
    int group = get_group_id(0);
    float dy = 0.0f, dy_lo = 0.0f, dyx = 0.0f, dyx_lo = 0.0f;
    for (int slice = LOCAL_ITEM; slice < slices; slice += WG) {
        __global const float *partial = partials + (long)slice * 2 * pitch + group;
        float rest;
        two_sum_scalar(dy, partial[0], &dy, &rest);
        dy_lo += rest;
        two_sum_scalar(dyx, partial[pitch], &dyx, &rest);
        dyx_lo += rest;
    }
    sums all;
    all.dy = dy + dy_lo;
    all.dyx = dyx + dyx_lo;
    all = across_group_sums(all, room);
    if (LOCAL_ITEM == 0) {
        FOLD_SUMS(all, group);
    }
}

// Where the apply step is of the same launch, its work-items read what the one that folds has written.
#if WG > 1
#define FOLDED barrier(CLK_GLOBAL_MEM_FENCE)
#else
#define FOLDED
#endif

// The columns of a work-item of a stripe, each a group, once the work-items of the first row have them.
#define FOLD_EACH_COLUMN(FOLD_ONE) \
    for (int b = 0; ITEM_Y == 0 && b < BLOCKS; b++) { \
        for (int i = 0; i < VW && column_of(left, b) + i < right; i++) { \
            FOLD_ONE(b, i); \
        } \
    }

INLINE moments moments_of_lane(lane_moments lanes, int i) {
    float hi[VW], lo[VW], m2[VW];
    store_lanes(lanes.hi, hi);
    store_lanes(lanes.lo, lo);
    store_lanes(lanes.m2 + lanes.m2_lo, m2);
    moments one;
    one.n = lanes.n;
    one.hi = hi[i];
    one.lo = lo[i];
    one.m2 = m2[i];
    return one;
}
#define FOLD_MOMENTS_OF_LANE(b, i) FOLD_GROUP(moments_of_lane(mine[b], i), column_of(left, b) + i)
#define FOLD_COLUMNS(mine) FOLD_EACH_COLUMN(FOLD_MOMENTS_OF_LANE)

INLINE sums sums_of_lane(lane_sums lanes, int i) {
    float dy[VW], dyx[VW];
    store_lanes(lanes.dy + lanes.dy_lo, dy);
    store_lanes(lanes.dyx + lanes.dyx_lo, dyx);
    sums one;
    one.dy = dy[i];
    one.dyx = dyx[i];
    return one;
}
#define FOLD_SUMS_OF_LANE(b, i) FOLD_SUMS(sums_of_lane(mine[b], i), column_of(left, b) + i)
#define FOLD_COLUMN_SUMS(mine) FOLD_EACH_COLUMN(FOLD_SUMS_OF_LANE)

#endif
