// Step 2 forward: from a group's moments to the coefficients that the apply step needs, and to the running statistics.
//
//   kernel               launches  bytes moved             chosen when
//   fold_moments         1         slices * groups * 16    training forward in three launches
//   fold_joined_moments  1         slices * groups * 16    the same, groups sharing statistics
//   fold_given           1         groups * 16             inference: the statistics are the running ones
//   track                1         groups * 24             the running update comes after the statistics
//
// Where a batch lies on several devices, its moments leave each device, are put together by the host, which leaves those of all
// in the coefficients, and come back:
//
//   join_moments         1         slices * groups * 16    what x has on this device, into rows of the coefficients
//   fold_combined        1         groups * 28             forward by the moments of all
//
// In this order: the running average; coefficients (put_forward); groups of one launch, each way in which a work-item may have
// their moments (fold_group, fold_columns, fold_held); slices of several launches; kernels. The formulas are in folds.clh.

#ifndef FOLD_MOMENTS_CL
#define FOLD_MOMENTS_CL

#include "folds.clh"

// ==== The running average ====

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
    __global float *mean;
    __global float *variance;
    __global float *absorbed;
} averaging;

#define RUNNING_ARGS \
    OUT(running_mean), OUT(running_variance), OUT(absorbed), int average, float weight, float log_rest, \
            float variance_factor, int skip_non_finite

INLINE averaging averaging_of(
        int average, float weight, float log_rest, float variance_factor, int skip_non_finite, __global float *mean,
        __global float *variance, __global float *absorbed) {
    averaging a;
    a.kind = average;
    a.weight = weight;
    a.log_rest = log_rest;
    a.variance_factor = variance_factor;
    a.skip_non_finite = skip_non_finite;
    a.mean = mean;
    a.variance = variance;
    a.absorbed = absorbed;
    return a;
}
#define AVERAGING AVERAGING_OF(2.0f)
#define AVERAGING_OF(count) \
    averaging_of( \
            average, weight, log_rest, FACTOR_FROM(variance_factor, count), skip_non_finite, OPTIONAL(running_mean), \
            OPTIONAL(running_variance), OPTIONAL(absorbed))

// ==== Coefficients ====

// What a forward fold takes besides moments. gamma and beta of the blocks lie `affine_stride` apart, 0 if they share
// them. `count` is m, of the last block `last_count`, of all groups that share statistics. r_max is 0 without
// renormalization. Where there are too `few` values, y is to be beta.
typedef struct {
    __global const float *gamma;
    __global const float *beta;
    float epsilon, count;
    int few, statistic;
    float r_max, d_max;
    averaging average;
    int groups;
    __global float *coefficients;
    int pitch;
} folding;

#define AFFINE_ARGS \
    IN(gamma), IN(beta), int affine_stride, float epsilon, COUNT_ARGS, int statistic, int joined

INLINE folding folding_of(
        __global const float *gamma, __global const float *beta, long affine_start, float epsilon, float count, int few,
        int statistic, float r_max, float d_max, averaging average, int groups, __global float *coefficients,
        int pitch) {
    folding f;
    f.gamma = gamma ? gamma + affine_start : 0;
    f.beta = beta ? beta + affine_start : 0;
    f.epsilon = epsilon;
    f.count = count;
    f.few = few;
    f.statistic = statistic;
    f.r_max = r_max;
    f.d_max = d_max;
    f.average = average;
    f.groups = groups;
    f.coefficients = coefficients;
    f.pitch = pitch;
    return f;
}
#define TRACKED_ARGS RUNNING_ARGS, float r_max, float d_max
#define FOLDING \
    folding_of( \
            OPTIONAL(gamma), OPTIONAL(beta), (long)block * affine_stride, epsilon, COUNT_OF_BLOCK, \
            FEW_IN_BLOCK(block), statistic, r_max, d_max, AVERAGING_OF(COUNT_OF_BLOCK), groups, coefficients, pitch)

// 1 / sqrt(v) to within one rounding: a Newton step, its residual 1 - v r^2 taken from the exact square.
INLINE fold_vec inverse_root(fold_vec v) {
    fold_vec r = (fold_vec)(1.0f) / sqrt(v);
    fold_vec square = r * r;
    fold_vec square_lo = fma(r, r, -square);
    fold_vec residual = fma(-v, square_lo, fma(-v, square, (fold_vec)(1.0f)));
    fold_vec better = fma((fold_vec)(0.5f) * r, residual, r);
    return select(r, better, isfinite(better));
}

// The mean as hi + lo, where hi has so few digits that x - hi is exact not only for x near the mean, but for all x within
// some deviations of 0. A rounding of x - hi to the spacing of x would be the same for thousands of x, and with a dy that
// is not 0 on average such a bias adds up: it made dgamma ten times less exact. lo is at most 2^-11 deviations.
INLINE void split_mean(fold_vec mean, fold_vec rest, fold_vec variance, fold_vec *hi, fold_vec *lo) {
    fold_ivec quantum = FOLD(exponent_of_root)(variance) - (fold_ivec)(10); // a power of two
    fold_vec steps = rint(FOLD(times_power)(mean, -quantum));
    fold_ivec splits = isfinite(variance) && fabs(steps) < (fold_vec)(8388608.0f);
    *hi = select(mean, FOLD(times_power)(steps, quantum), splits);
    *lo = (mean - *hi) + rest;
    *lo = select(rest, *lo, splits);
}

INLINE fold_vec within(fold_vec v, float low, float high) { // NaN stays NaN
    v = v < (fold_vec)(low) ? (fold_vec)(low) : v;
    return v > (fold_vec)(high) ? (fold_vec)(high) : v;
}

// What is added to the mean of a group's squares before its root is taken, or is its least value.
INLINE float least_of(folding f) { return f.statistic == LENGTH ? f.epsilon * f.epsilon / f.count : f.epsilon; }

// From the mean and the variance in units 2^from, those of the look that found them. The group's own unit makes its standard
// deviation about 1. If statistics are given, x and gamma may be anything beside them; it then makes about equal what
// gamma / sigma is made of.
INLINE void put_forward_of(folding f, int group, int valid, fold_vec mean, fold_vec rest, fold_vec variance, fold_ivec from, int given) {
    fold_vec gamma = take(f.gamma, group, valid, 1.0f);
    fold_vec shift = take(f.beta, group, valid, 0.0f);
    fold_vec true_mean = FOLD(times_power)(mean, -from);
    fold_vec true_rest = FOLD(times_power)(rest, -from);
    if (f.statistic != CENTERED) {
        fold_ivec to_one = -max(FOLD(exponent_of)(mean), FOLD(exponent_of_root)(variance)); // or the squares may be out of range
        to_one = clamp(to_one, (fold_ivec)(-126) - from, (fold_ivec)(126) - from);
        mean = FOLD(times_far_power)(mean, to_one);
        rest = FOLD(times_far_power)(rest, to_one);
        variance = FOLD(times_far_power)(FOLD(times_far_power)(variance, to_one), to_one);
        from += to_one;
        variance = fma(mean, mean, fma((fold_vec)(2.0f) * mean, rest, variance));
        variance *= (fold_vec)(f.statistic == LENGTH ? f.count : 1.0f);
        mean = rest = true_mean = true_rest = (fold_vec)(0.0f);
    }
    fold_vec epsilon = (fold_vec)(f.epsilon);
    fold_ivec of_epsilon = f.statistic == LENGTH || f.epsilon == 0.0f ? FOLD(exponent_of)(epsilon) : FOLD(exponent_of_root)(epsilon);
    fold_ivec in_range = (fold_ivec)(126) - FOLD(exponent_of)(mean) + from; // of the mean
    fold_ivec power = min(-max(FOLD(exponent_of_root)(variance) - from, of_epsilon), in_range);
    power = clamp(power, (fold_ivec)(-126), (fold_ivec)(126));
    fold_vec in_power = FOLD(times_far_power)(FOLD(times_far_power)(variance, power - from), power - from);
    fold_vec spread = in_power;
    if (f.statistic != LENGTH) {
        spread += FOLD(times_power)(FOLD(times_power)(epsilon, power), power);
    }
    fold_vec norm = inverse_root(spread);
    if (f.statistic == LENGTH) {
        fold_vec most = FOLD(times_power)((fold_vec)(1.0f / f.epsilon), -power);
        norm = norm > most ? most : norm;
    }
    fold_vec invstd = FOLD(times_power)(norm, power);
    if (given) {
        fold_ivec of_gamma = select(FOLD(exponent_of)(gamma), (fold_ivec)(0), gamma == (fold_vec)(0.0f));
        fold_ivec even = (of_gamma + FOLD(exponent_of)(invstd)) >> (fold_ivec)(1);
        even = clamp(min(even, (fold_ivec)(126) - FOLD(exponent_of)(true_mean)), (fold_ivec)(-126), (fold_ivec)(126));
        in_power = FOLD(times_far_power)(FOLD(times_far_power)(variance, even - from), even - from);
        norm = FOLD(times_far_power)(norm, power - even);
        power = even;
    }
    variance = in_power;
    mean = FOLD(times_far_power)(mean, power - from);
    rest = FOLD(times_far_power)(rest, power - from);
    fold_vec hi, lo;
    split_mean(mean, rest, variance, &hi, &lo);
    fold_vec scale = norm;
    if (f.r_max > 0.0f) {
        fold_vec there = inverse_root(take(f.average.variance, group, valid, 1.0f) + (fold_vec)(f.epsilon));
        fold_vec r = within(FOLD(times_power)(spread * norm * there, -power), 1.0f / f.r_max, f.r_max);
        fold_vec d = ((true_mean - take(f.average.mean, group, valid, 0.0f)) + true_rest) * there;
        d = within(d, -f.d_max, f.d_max);
        scale *= r;
        shift = fma(gamma, d, shift);
        fold_vec renorm[] = {r, d};
        put_rows(f, RENORM_R, group, valid, renorm, 2);
    }
    scale = gamma * scale;
    if (f.few) {
        norm = invstd = scale = lo = (fold_vec)(0.0f);
    }
    // An infinite scale, of a variance of 0, leaves no NaN in the shift.
    shift = select(shift, fma(-lo, scale, shift), isfinite(scale));
    fold_vec mean_rows[] = {true_mean, hi, lo}; // from MEAN on
    fold_vec rest_rows[] = {invstd, norm, scale, shift, FOLD(power_of_two)(power)}; // from INVSTD on
    put_rows(f, MEAN, group, valid, mean_rows, 3);
    put_rows(f, INVSTD, group, valid, rest_rows, 5);
    if (!given) { // nobody asks for what was given
        put_rows(f, VARIANCE, group, valid, &variance, 1);
    }
}

CALLED void put_forward(folding f, int group, int valid, fold_vec mean, fold_vec rest, fold_vec variance, fold_ivec from) {
    put_forward_of(f, group, valid, mean, rest, variance, from, 0);
}

// The same of given statistics. Not a call: most of what is known here leaves nothing to be done.
INLINE void put_given(folding f, int group, int valid, __global const float *mean, __global const float *variance) {
    put_forward_of(
            f, group, valid, take(mean, group, valid, 0.0f), (fold_vec)(0.0f), take(variance, group, valid, 0.0f),
            (fold_ivec)(0), 1);
}

// (1 - w) old, rounded once: 1 - w as a float32 would be off by as much in every batch, and the weights would not add up to 1; of
// w = 0.001, an average came out 1e-5 too large. An infinity stays.
INLINE fold_vec rest_of(fold_vec old, fold_vec w) { return select(fma(-w, old, old), old, isinf(old)); }

// The variance is in units 2^from, squared.
CALLED void track_groups(int group, int valid, fold_vec batch_mean, fold_vec variance, fold_ivec from, averaging a) {
    if (a.kind == AVERAGE_NONE) {
        return;
    }
    // Judged as float32, in which statistics are kept.
    fold_ivec sound = isfinite(batch_mean) && isfinite(FOLD(times_power)(FOLD(times_power)(variance, -from), -from));
    variance *= (fold_vec)(a.variance_factor);
    fold_vec old_mean = take(a.mean, group, valid, 0.0f);
    fold_vec old_var = take(a.variance, group, valid, 0.0f);
    fold_vec old_batches = take(a.absorbed, group, valid, 0.0f);
    fold_vec batches = old_batches + (fold_vec)(1.0f);
    fold_vec w = (fold_vec)(a.weight);
    if (a.kind == AVERAGE_CUMULATIVE) {
        w = (fold_vec)(1.0f) / batches;
    } else if (a.kind == AVERAGE_BIAS_CORRECTED) {
        fold_vec corrected = (fold_vec)(a.weight) / -expm1(batches * (fold_vec)(a.log_rest));
        w = select(corrected, (fold_vec)(1.0f), batches == (fold_vec)(1.0f));
    }
    // Not running + w (batch - running): that leaves a rounding of a large initial value in a small average. What has no
    // weight leaves no trace, whatever it is: a batch of weight 0, and what was there beside one of weight 1.
    fold_ivec replaced = w == (fold_vec)(1.0f);
    fold_ivec kept = w == (fold_vec)(0.0f);
    fold_vec in_var = FOLD(times_power)(FOLD(times_power)(w * variance, -from), -from);
    fold_vec new_mean = select(fma(w, batch_mean, rest_of(old_mean, w)), batch_mean, replaced);
    fold_vec new_var = select(rest_of(old_var, w) + in_var, in_var, replaced);
    new_mean = select(new_mean, old_mean, kept);
    new_var = select(new_var, old_var, kept);
    if (a.skip_non_finite) {
        new_mean = select(old_mean, new_mean, sound);
        new_var = select(old_var, new_var, sound);
        batches = select(old_batches, batches, sound);
    }
    fold_store_first(new_mean, valid, a.mean + group);
    fold_store_first(new_var, valid, a.variance + group);
    fold_store_first(batches, valid, a.absorbed + group);
}

// From the moments of neighbouring groups: coefficients, and their part in the running statistics.
INLINE void fold_groups(folding f, fold_vec hi, fold_vec lo, fold_vec m2, fold_vec unit, int group, int valid) {
    fold_vec variance = m2 / (fold_vec)(f.few ? 1.0f : f.count);
    fold_ivec infinite = FOLD(has_infinity)(hi, m2, unit);
    if (f.statistic == CENTERED) { // the mean, and deviations from it, are none
        hi = select(hi, (fold_vec)(NAN), infinite);
        variance = select(variance, (fold_vec)(NAN), infinite);
    } else {
        variance = select(variance, (fold_vec)(INFINITY), infinite);
    }
    fold_ivec from = FOLD(exponent_of)(unit);
    put_forward(f, group, valid, hi, lo, variance, from);
    track_groups(group, valid, FOLD(times_power)(hi, -from), variance, from, f.average);
}

// ==== Groups whose moments a work-item has ====

INLINE void fold_group(folding f, moments all, float unit, int group) {
    fold_groups(f, (fold_vec)(all.hi), (fold_vec)(all.lo), (fold_vec)(all.m2), (fold_vec)(unit), group, 1);
}

// The columns of a stripe, each a group, once the work-items of the first row have them. All of a work-group must come here: the
// items that share columns take one each.
INLINE void fold_columns(folding f, const lane_moments *mine, int left, int right, __local vec *room) {
    for (int b = 0; b < VECTORS; b++) {
        int group = column_of(left, b);
        vec m2 = mine[b].m2 + mine[b].m2_lo;
#if WG > 1
        vec values[] = {mine[b].hi, mine[b].lo, m2, mine[b].unit};
        deal_lanes(values, 4, room);
        for (int lane = ITEM_Y; lane < VW && group + lane < right; lane += WY) {
            fold_groups(
                    f, dealt(room, 0, lane), dealt(room, 1, lane), dealt(room, 2, lane), dealt(room, 3, lane),
                    group + lane, 1);
        }
        if (VECTORS > 1) {
            barrier(CLK_LOCAL_MEM_FENCE);
        }
#else
        if (group < right) {
            fold_groups(f, mine[b].hi, mine[b].lo, m2, mine[b].unit, group, min(right - group, VW));
        }
#endif
    }
}

INLINE moments in_unit(moments m, float from, float to) {
    if (from != to) {
        float back = 1.0f / from;
        m.hi = m.hi * back * to;
        m.lo = m.lo * back * to;
        m.m2 = m.m2 * back * back * to * to;
    }
    return m;
}

#if WG == 1
// Units for a second look at groups of as many values each, where one is called for.
CALLED int groups_again(const float *hi, const float *m2, float *units, int held, float least) {
    int again = 0;
    for (int g = 0; g < held; g += VW) {
        vec unit = vector_second_unit(load_lanes(hi + g), load_lanes(m2 + g), (vec)(least));
        store_lanes(unit, units + g);
        again |= any_lane(first_lanes(unit - (vec)(1.0f), held - g) != (vec)(0.0f));
    }
    return again;
}

// The moments of `held` groups, as numbers in arrays with room for a vector after the last, folded; those that share
// statistics get what they have together. n is how many values a group has.
CALLED void fold_held(
        folding f, float *hi, float *lo, float *m2, float *units, float n, int joined, int first, int held) {
    end_numbers(hi, held);
    end_numbers(lo, held);
    end_numbers(m2, held);
    end_numbers(units, held);
    for (int g = 0; joined > 1 && g < held; g += joined) {
        float unit = units[g];
        for (int i = g; i < g + joined; i++) {
            unit = fmin(unit, units[i]);
        }
        for (int i = g; i < g + joined; i++) {
            moments one;
            one.n = n;
            one.hi = hi[i];
            one.lo = lo[i];
            one.m2 = m2[i];
            one = in_unit(one, units[i], unit);
            hi[i] = one.hi;
            lo[i] = one.lo;
            m2[i] = one.m2;
            units[i] = unit;
        }
        moments all = across_columns(n, hi + g, lo + g, m2 + g, joined);
        for (int i = g; i < g + joined; i++) {
            hi[i] = all.hi;
            lo[i] = all.lo;
            m2[i] = all.m2;
        }
    }
    for (int g = 0; g < held; g += VW) {
        fold_groups(
                f, load_lanes(hi + g), load_lanes(lo + g), load_lanes(m2 + g), load_lanes(units + g), first + g,
                min(held - g, VW));
    }
}
#endif

// ==== Slices, whose moments are in memory ====

// A work-group folds WX vectors of groups, as columns, a vector to a work-item (VECTORS is 1); its rows of
// items take the slices in turn. All groups have equally many values in a slice.
INLINE void join_slices(
        lane_moments *mine, __global const float *partials, int slices, int group, int groups, int pitch,
        __local vec *room) {
    no_column_moments(mine, WX * VW);
    int valid = min(groups - group, VW);
    for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {
        __global const float *partial = partials + (long)slice * PARTIAL_ROWS * pitch;
        join_lanes(
                mine, partial[0], load_first(partial + pitch + group, valid), load_first(partial + 2 * pitch + group, valid),
                load_first(partial + 3 * pitch + group, valid));
    }
    across_column_items(mine, room);
}

INLINE float unit_of_partial(__global const float *partial, int pitch) {
    float m2 = partial[3 * pitch];
    return m2 == M2_OF_LARGE ? UNIT_OF_LARGE : m2 == M2_OF_SMALL ? UNIT_OF_SMALL : 1.0f;
}

// The moments of all slices of `count` groups, `step` apart, where some slices are in units of their own.
RARE moments join_units(
        __global const float *partials, int slices, int pitch, int count, long step, float *common_unit) {
    float unit = UNIT_OF_SMALL;
    for (int i = 0; i < slices * count; i++) {
        __global const float *partial = partials + (long)(i / count) * PARTIAL_ROWS * pitch + i % count * step;
        unit = fmin(unit, partial[0] > 0.0f ? unit_of_partial(partial, pitch) : UNIT_OF_SMALL);
    }
    joining all = no_joining();
    for (int i = 0; i < slices * count; i++) {
        __global const float *partial = partials + (long)(i / count) * PARTIAL_ROWS * pitch + i % count * step;
        float own = unit_of_partial(partial, pitch);
        moments part;
        part.n = partial[0];
        part.hi = partial[pitch];
        part.lo = partial[2 * pitch];
        part.m2 = partial[(own == 1.0f ? 3 : 4) * pitch];
        join_one(&all, in_unit(part, own, unit));
    }
    *common_unit = unit;
    return joined_all(all);
}

// What join_slices found, with units where slices have them: M2 is not finite then.
RARE lane_moments joined_slices(
        lane_moments mine, __global const float *partials, int slices, int group, int valid, int pitch) {
    mine.m2 += mine.m2_lo;
    mine.m2_lo = (vec)(0.0f);
    if (any_lane(!isfinite(mine.m2))) {
        float hi[VW], lo[VW], m2[VW], units[VW];
        store_lanes(mine.hi, hi);
        store_lanes(mine.lo, lo);
        store_lanes(mine.m2, m2);
        for (int i = 0; i < VW; i++) {
            units[i] = 1.0f;
            if (i < valid && !isfinite(m2[i])) {
                moments all = join_units(partials + group + i, slices, pitch, 1, 0, &units[i]);
                hi[i] = all.hi;
                lo[i] = all.lo;
                m2[i] = all.m2;
            }
        }
        mine.hi = load_lanes(hi);
        mine.lo = load_lanes(lo);
        mine.m2 = load_lanes(m2);
        mine.unit = load_lanes(units);
    }
    return mine;
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_moments(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, AFFINE_ARGS, TRACKED_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_COLUMNS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    folding f = FOLDING;
    int group = FIRST_OF_FOLD;
    lane_moments mine[VECTORS];
    join_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    if (ITEM_Y == 0 && group < groups) {
        *mine = joined_slices(*mine, OF_BLOCK(partials), slices, group, min(groups - group, VW), pitch);
    }
    fold_columns(f, mine, group, groups, room);
}

// Leaves M2 in the row VARIANCE, and the unit of all in the row INVSTD.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void join_moments(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, __global float *coefficients, int pitch) {
    LOCAL_COLUMNS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = FIRST_OF_FOLD;
    lane_moments mine[VECTORS];
    join_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    if (ITEM_Y == 0 && group < groups) {
        int valid = min(groups - group, VW);
        lane_moments all = joined_slices(*mine, OF_BLOCK(partials), slices, group, valid, pitch);
        vec none = select((vec)(0.0f), (vec)(NAN), vector_has_infinity(all.hi, all.m2, all.unit));
        store_first(all.hi + none, valid, coefficients + MEAN_HI * pitch + group);
        store_first(all.lo, valid, coefficients + MEAN_LO * pitch + group);
        store_first(all.m2 + none, valid, coefficients + VARIANCE * pitch + group);
        store_first(all.unit, valid, coefficients + INVSTD * pitch + group);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_joined_moments(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, AFFINE_ARGS, TRACKED_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_MOMENTS(room);
#if WG > 1
    __local moments shared[1];
    __local float shared_unit[1];
#endif
    int block = JOINED_BLOCK;
    int group = FIRST_JOINED;
    joining own = no_joining();
    float unit = 1.0f;
    for (int i = LOCAL_ITEM; i < slices * JOINED; i += WG) {
        __global const float *partial =
                OF_BLOCK(partials) + (long)(i / JOINED) * PARTIAL_ROWS * pitch + group + (long)(i % JOINED) * JOINED_STEP;
        moments part;
        part.n = partial[0];
        part.hi = partial[pitch];
        part.lo = partial[2 * pitch];
        part.m2 = partial[3 * pitch];
        join_one(&own, part);
    }
    moments mine = across_team(joined_all(own), WG, room);
    if (LOCAL_ITEM == 0 && !isfinite(mine.m2)) {
        mine = join_units(OF_BLOCK(partials) + group, slices, pitch, JOINED, JOINED_STEP, &unit);
    }
#if WG > 1
    if (LOCAL_ITEM == 0) {
        shared[0] = mine;
        shared_unit[0] = unit;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    mine = shared[0];
    unit = shared_unit[0];
#endif
    __global float *of_first = coefficients;
    int together = joined > 0 ? FOLD_LANES : 1; // neighbours, a vector of them at a time
    for (int i = LOCAL_ITEM * together; i < JOINED; i += WG * together) {
        block = joined > 0 ? JOINED_BLOCK : i;
        coefficients = OF_BLOCK(of_first);
        folding f = FOLDING;
        f.average.kind = i == 0 ? f.average.kind : AVERAGE_NONE;
        fold_groups(
                f, (fold_vec)(mine.hi), (fold_vec)(mine.lo), (fold_vec)(mine.m2), (fold_vec)(unit), joined > 0 ? group + i : group,
                min(JOINED - i, together));
    }
}

__kernel void fold_given(
        FOLD_BLOCKS, int groups, AFFINE_ARGS, IN(mean), IN(variance), __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = (int)(in_block * get_local_size(0) + get_local_id(0)) * FOLD_LANES;
    int valid = min(groups - group, FOLD_LANES);
    if (valid > 0) {
        averaging none = averaging_of(AVERAGE_NONE, 0.0f, 0.0f, 0.0f, 0, 0, 0, 0);
        folding f = folding_of(
                OPTIONAL(gamma), OPTIONAL(beta), (long)block * affine_stride, epsilon, 1.0f, 0, statistic, 0.0f, 0.0f,
                none, groups, coefficients, pitch);
        put_given(f, group, valid, AT(mean), AT(variance));
    }
}

// The host left the mean, the variance, in the row INVSTD the estimate of it that enters the running variance, and in the row
// NORM the power of two that all of these are in units of.
__kernel void fold_combined(
        FOLD_BLOCKS, int groups, AFFINE_ARGS, RUNNING_ARGS, __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = (int)(in_block * get_local_size(0) + get_local_id(0)) * FOLD_LANES;
    int valid = min(groups - group, FOLD_LANES);
    if (valid > 0) {
        folding f = folding_of(
                OPTIONAL(gamma), OPTIONAL(beta), (long)block * affine_stride, epsilon, 1.0f, 0, statistic, 0.0f, 0.0f,
                AVERAGING, groups, coefficients, pitch);
        fold_vec hi = take(coefficients + MEAN_HI * pitch, group, valid, 0.0f);
        fold_vec lo = take(coefficients + MEAN_LO * pitch, group, valid, 0.0f);
        fold_vec variance = take(coefficients + VARIANCE * pitch, group, valid, 0.0f);
        fold_vec estimate = take(coefficients + INVSTD * pitch, group, valid, 0.0f);
        fold_ivec from = FOLD(exponent_of)(take(coefficients + NORM * pitch, group, valid, 1.0f));
        put_forward(f, group, valid, hi, lo, variance, from);
        track_groups(group, valid, FOLD(times_power)(hi, -from), estimate, from, f.average);
    }
}

// Where there are several blocks, each is a batch of its own, one after the other; or, if they are averaged, all of them
// are one batch with the average of their means and variances.
__kernel void track(
        FOLD_BLOCKS, int groups, int averaged, float last_factor, COUNT_ARGS, RUNNING_ARGS, __global const float *coefficients,
        int pitch) {
    int group = (int)get_global_id(0) * FOLD_LANES;
    int valid = min(groups - group, FOLD_LANES);
    if (valid > 0) {
        averaging a = AVERAGING;
        fold_ivec least = (fold_ivec)(126); // of the blocks' units, in which the sums over them are
        for (int block = 0; averaged && block < blocks; block++) {
            fold_ivec unit = FOLD(exponent_of)(fold_load(OF_BLOCK(coefficients) + UNIT * pitch + group));
            least = FEW_IN_BLOCK(block) ? least : min(least, unit);
        }
        fold_vec mean = (fold_vec)(0.0f), mean_lo = (fold_vec)(0.0f), variance = (fold_vec)(0.0f), variance_lo = (fold_vec)(0.0f);
        int entered = 0;
        for (int block = 0; block < blocks; block++) {
            if (FEW_IN_BLOCK(block)) {
                continue;
            }
            entered++;
            __global const float *here = OF_BLOCK(coefficients) + group;
            fold_ivec unit = FOLD(exponent_of)(fold_load(here + UNIT * pitch));
            fold_vec own_mean = fold_load(here + MEAN * pitch);
            fold_vec own = fold_load(here + VARIANCE * pitch);
            if (averaged) {
                fold_vec rest;
                own *= (fold_vec)(PRESENT(counts) ? FACTOR_FROM(variance_factor, COUNT_OF_BLOCK) : 1.0f);
                own = FOLD(times_far_power)(FOLD(times_far_power)(own, least - unit), least - unit);
                FOLD(two_sum)(mean, FOLD(times_power)(own_mean, least), &mean, &rest);
                mean_lo += rest;
                FOLD(two_sum)(variance, own, &variance, &rest);
                variance_lo += rest;
            } else {
                a.variance_factor =
                        FACTOR_FROM(block == blocks - 1 ? last_factor : variance_factor, COUNT_OF_BLOCK);
                track_groups(group, valid, own_mean, own, unit, a);
            }
        }
        if (averaged && entered > 0) {
            fold_vec all = (fold_vec)((float)entered);
            a.variance_factor = PRESENT(counts) ? 1.0f : a.variance_factor;
            mean = FOLD(times_power)((mean + mean_lo) / all, -least);
            track_groups(group, valid, mean, (variance + variance_lo) / all, least, a);
        }
    }
}

#endif
