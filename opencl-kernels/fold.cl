// Step 2: from a group's moments, or its gradient sums, to the coefficients that the apply step needs.
//
//   kernel                launches  bytes moved             chosen when
//   fold_moments          1         slices * groups * 16    training forward in three launches
//   fold_joined_moments   1         slices * groups * 16    the same, groups sharing statistics
//   fold_given            1         groups * 16             inference: the statistics are the running ones
//   track                 1         groups * 24             the running update comes after the statistics
//   fold_gradients        1         slices * groups * 8     backward in three launches
//   fold_joined_gradients 1         slices * groups * 8     the same, groups sharing statistics
//   sum_parts             1         parts * groups * 8      several blocks or slices have parts of dgamma and dbeta
//
// Where a batch lies on several devices, its moments and sums leave each device, are put together by the host, which
// leaves the numbers of all in the coefficients, and come back:
//
//   join_moments           1        slices * groups * 16    what x has on this device, into rows of the coefficients
//   fold_combined          1        groups * 28             forward by the moments of all
//   join_gradients         1        slices * groups * 8     the sums on this device
//   fold_combined_gradients 1       groups * 28             backward by the sums of all
//
// Formulas: Ioffe and Szegedy, "Batch normalization", 2015. With m values per group, d = x - mean and dy' = dy where the
// activation let it through:
//   y = d * scale + beta,                      scale = gamma * invstd, invstd = 1 / sqrt(M2/m + epsilon)
//   dbeta = sum(dy'), dgamma = sum(dy' d) * invstd
//   dx = scale * (dy' - sum(dy')/m - d * invstd^2 * sum(dy' d)/m)
// Other normalizations are variations of a line or two:
//   mean square      d = x, and M2/m + mean^2 is the variance; no sum(dy')                    (Zhang, Sennrich, 2019)
//   length           d = x, M2 + m mean^2 is the variance, 1/invstd is epsilon at least, no division by m
//   renormalization  scale = gamma * invstd * r, shift + gamma * d; r and d are constants     (Ioffe, 2017)
//   joined groups    M2, m and the two sums are of all that share them, the sums with scale    (Wu, He, 2018)

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
#define AVERAGING \
    averaging_of( \
            average, weight, log_rest, variance_factor, skip_non_finite, OPTIONAL(running_mean), \
            OPTIONAL(running_variance), OPTIONAL(absorbed))

// By which statistic is normalized.
#define CENTERED 0
#define MEAN_SQUARE 1
#define LENGTH 2

// What a forward fold takes besides moments. gamma and beta of the blocks lie `affine_stride` apart, 0 if they share
// them. `count` is m, of the last block `last_count`, of all groups that share statistics. r_max is 0 without
// renormalization.
typedef struct {
    __global const float *gamma;
    __global const float *beta;
    float epsilon, count;
    int statistic;
    float r_max, d_max;
    averaging average;
    int groups;
    __global float *coefficients;
    int pitch;
} folding;

#define AFFINE_ARGS \
    IN(gamma), IN(beta), int affine_stride, float epsilon, float count, float last_count, int statistic, int joined
#define COUNT_OF_BLOCK (block == blocks - 1 ? last_count : count)

INLINE folding folding_of(
        __global const float *gamma, __global const float *beta, long affine_start, float epsilon, float count,
        int statistic, float r_max, float d_max, averaging average, int groups, __global float *coefficients,
        int pitch) {
    folding f;
    f.gamma = gamma ? gamma + affine_start : 0;
    f.beta = beta ? beta + affine_start : 0;
    f.epsilon = epsilon;
    f.count = count;
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
            OPTIONAL(gamma), OPTIONAL(beta), (long)block * affine_stride, epsilon, COUNT_OF_BLOCK, statistic, r_max, \
            d_max, AVERAGING, groups, coefficients, pitch)

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

// Writes values at their groups of a row, and wherever the row starts again from group 0; whole vectors without a call.
CALLED void put_some(__global float *row, int groups, int group, int valid, vec values) {
    store_first(values, valid, row + group);
    if (group < WRAP) {
        float lanes[VW];
        store_lanes(values, lanes);
        for (int i = 0; i < valid; i++) {
            for (int at = group + i + groups; at < groups + WRAP; at += groups) {
                row[at] = lanes[i];
            }
        }
    }
}

// Likewise in `count` rows of coefficients, a constant, one after the other.
INLINE void put_in_rows(
        __global float *rows, int pitch, int groups, int group, int valid, const vec *values, int count) {
    if (valid >= VW && group >= WRAP) {
        EACH_OF(count) { store_anywhere(values[i], rows + i * (long)pitch + group); }
    } else {
        EACH_OF(count) { put_some(rows + i * (long)pitch, groups, group, valid, values[i]); }
    }
}
#define put_rows(f, row, group, valid, values, count) \
    put_in_rows((f).coefficients + (row) * (long)(f).pitch, (f).pitch, (f).groups, group, valid, values, count)

// Those values of a row, or one value where there is no row.
CALLED vec take_some(__global const float *row, long group, int valid, float otherwise) {
    if (!row) {
        return (vec)(otherwise);
    }
    return valid == 1 ? (vec)(row[group]) : load_first(row + group, valid);
}

INLINE vec take(__global const float *row, long group, int valid, float otherwise) {
    return row && valid >= VW ? load_anywhere(row + group) : take_some(row, group, valid, otherwise);
}

// The mean as hi + lo, where hi has so few digits that x - hi is exact not only for x near the mean, but for all x within
// some deviations of 0. A rounding of x - hi to the spacing of x would be the same for thousands of x, and with a dy that
// is not 0 on average such a bias adds up: it made dgamma ten times less exact. lo is at most 2^-11 deviations.
INLINE void split_mean(vec mean, vec rest, vec variance, vec *hi, vec *lo) {
    ivec quantum = exponent_of_root(variance) - (ivec)(10); // a power of two
    vec steps = rint(times_power(mean, -quantum));
    ivec splits = isfinite(variance) && fabs(steps) < (vec)(8388608.0f);
    *hi = select(mean, times_power(steps, quantum), splits);
    *lo = (mean - *hi) + rest;
    *lo = select(rest, *lo, splits);
}

INLINE vec within(vec v, float low, float high) { // NaN stays NaN
    v = v < (vec)(low) ? (vec)(low) : v;
    return v > (vec)(high) ? (vec)(high) : v;
}

// What is added to the mean of a group's squares before its root is taken, or is its least value.
INLINE float least_of(folding f) { return f.statistic == LENGTH ? f.epsilon * f.epsilon / f.count : f.epsilon; }

// From the mean and the variance in units 2^from, those of the look that found them. The group's own unit makes its standard
// deviation about 1. If statistics are given, x and gamma may be anything beside them; it then makes about equal what
// gamma / sigma is made of.
INLINE void put_forward_of(folding f, int group, int valid, vec mean, vec rest, vec variance, ivec from, int given) {
    vec gamma = take(f.gamma, group, valid, 1.0f);
    vec shift = take(f.beta, group, valid, 0.0f);
    vec true_mean = times_power(mean, -from);
    vec true_rest = times_power(rest, -from);
    if (f.statistic != CENTERED) {
        ivec to_one = -max(exponent_of(mean), exponent_of_root(variance)); // or the squares may be out of range
        to_one = clamp(to_one, (ivec)(-126) - from, (ivec)(126) - from);
        mean = times_far_power(mean, to_one);
        rest = times_far_power(rest, to_one);
        variance = times_far_power(times_far_power(variance, to_one), to_one);
        from += to_one;
        variance = fma(mean, mean, fma((vec)(2.0f) * mean, rest, variance));
        variance *= (vec)(f.statistic == LENGTH ? f.count : 1.0f);
        mean = rest = true_mean = true_rest = (vec)(0.0f);
    }
    vec epsilon = (vec)(f.epsilon);
    ivec of_epsilon = f.statistic == LENGTH || f.epsilon == 0.0f ? exponent_of(epsilon) : exponent_of_root(epsilon);
    ivec in_range = (ivec)(126) - exponent_of(mean) + from; // of the mean
    ivec power = min(-max(exponent_of_root(variance) - from, of_epsilon), in_range);
    power = clamp(power, (ivec)(-126), (ivec)(126));
    vec in_power = times_far_power(times_far_power(variance, power - from), power - from);
    vec spread = in_power;
    if (f.statistic != LENGTH) {
        spread += times_power(times_power(epsilon, power), power);
    }
    vec norm = inverse_root(spread);
    if (f.statistic == LENGTH) {
        vec most = times_power((vec)(1.0f / f.epsilon), -power);
        norm = norm > most ? most : norm;
    }
    vec invstd = times_power(norm, power);
    if (given) {
        ivec of_gamma = select(exponent_of(gamma), (ivec)(0), gamma == (vec)(0.0f));
        ivec even = (of_gamma + exponent_of(invstd)) >> (ivec)(1);
        even = clamp(min(even, (ivec)(126) - exponent_of(true_mean)), (ivec)(-126), (ivec)(126));
        in_power = times_far_power(times_far_power(variance, even - from), even - from);
        norm = times_far_power(norm, power - even);
        power = even;
    }
    variance = in_power;
    mean = times_far_power(mean, power - from);
    rest = times_far_power(rest, power - from);
    vec hi, lo;
    split_mean(mean, rest, variance, &hi, &lo);
    vec scale = norm;
    if (f.r_max > 0.0f) {
        vec there = inverse_root(take(f.average.variance, group, valid, 1.0f) + (vec)(f.epsilon));
        vec r = within(times_power(spread * norm * there, -power), 1.0f / f.r_max, f.r_max);
        vec d = ((true_mean - take(f.average.mean, group, valid, 0.0f)) + true_rest) * there;
        d = within(d, -f.d_max, f.d_max);
        scale *= r;
        shift = fma(gamma, d, shift);
        vec renorm[] = {r, d};
        put_rows(f, RENORM_R, group, valid, renorm, 2);
    }
    scale = gamma * scale;
    // An infinite scale, of a variance of 0, leaves no NaN in the shift.
    shift = select(shift, fma(-lo, scale, shift), isfinite(scale));
    vec mean_rows[] = {true_mean, hi, lo}; // from MEAN on
    vec rest_rows[] = {invstd, norm, scale, shift, power_of_two(power)}; // from INVSTD on
    put_rows(f, MEAN, group, valid, mean_rows, 3);
    put_rows(f, INVSTD, group, valid, rest_rows, 5);
    if (!given) { // nobody asks for what was given
        put_rows(f, VARIANCE, group, valid, &variance, 1);
    }
}

CALLED void put_forward(folding f, int group, int valid, vec mean, vec rest, vec variance, ivec from) {
    put_forward_of(f, group, valid, mean, rest, variance, from, 0);
}

// The variance is in units 2^from, squared.
CALLED void track_groups(int group, int valid, vec batch_mean, vec variance, ivec from, averaging a) {
    if (a.kind == AVERAGE_NONE) {
        return;
    }
    // Judged as float32, in which statistics are kept.
    ivec sound = isfinite(batch_mean) && isfinite(times_power(times_power(variance, -from), -from));
    variance *= (vec)(a.variance_factor);
    vec old_mean = take(a.mean, group, valid, 0.0f);
    vec old_var = take(a.variance, group, valid, 0.0f);
    vec old_batches = take(a.absorbed, group, valid, 0.0f);
    vec batches = old_batches + (vec)(1.0f);
    vec w = (vec)(a.weight);
    if (a.kind == AVERAGE_CUMULATIVE) {
        w = (vec)(1.0f) / batches;
    } else if (a.kind == AVERAGE_BIAS_CORRECTED) {
        vec corrected = (vec)(a.weight) / -expm1(batches * (vec)(a.log_rest));
        w = select(corrected, (vec)(1.0f), batches == (vec)(1.0f));
    }
    // Not running + w (batch - running): that leaves a rounding of a large initial value in a small average. A weight of 1
    // leaves nothing of what was there, whatever it was.
    ivec replaced = w == (vec)(1.0f);
    vec in_var = times_power(times_power(w * variance, -from), -from);
    vec new_mean = select(fma((vec)(1.0f) - w, old_mean, w * batch_mean), batch_mean, replaced);
    vec new_var = select(fma((vec)(1.0f) - w, old_var, in_var), in_var, replaced);
    if (a.skip_non_finite) {
        new_mean = select(old_mean, new_mean, sound);
        new_var = select(old_var, new_var, sound);
        batches = select(old_batches, batches, sound);
    }
    store_first(new_mean, valid, a.mean + group);
    store_first(new_var, valid, a.variance + group);
    store_first(batches, valid, a.absorbed + group);
}

INLINE void fold_groups(folding f, vec hi, vec lo, vec m2, vec unit, int group, int valid) {
    vec variance = m2 / (vec)(f.count);
    ivec infinite = has_infinity(hi, m2, unit);
    if (f.statistic == CENTERED) { // the mean, and deviations from it, are none
        hi = select(hi, (vec)(NAN), infinite);
        variance = select(variance, (vec)(NAN), infinite);
    } else {
        variance = select(variance, (vec)(INFINITY), infinite);
    }
    ivec from = exponent_of(unit);
    put_forward(f, group, valid, hi, lo, variance, from);
    track_groups(group, valid, times_power(hi, -from), variance, from, f.average);
}

INLINE void fold_group(folding f, moments all, float unit, int group) {
    fold_groups(f, (vec)(all.hi), (vec)(all.lo), (vec)(all.m2), (vec)(unit), group, 1);
}

// The fold of a group that an item has for all of its work-group; or, after a first look that calls for a second one, its
// unit, negative, in the place of the group's.
INLINE void fold_look(folding f, moments all, float unit, int group) {
    float better = unit == 1.0f ? second_unit_scalar(all.hi, all.m2, all.n * least_of(f)) : 1.0f;
    if (better == 1.0f) {
        fold_group(f, all, unit, group);
    } else {
        f.coefficients[UNIT * f.pitch + group] = -better;
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

// Units for a second look at groups of as many values each, where one is called for.
CALLED int groups_again(const float *hi, const float *m2, float *units, int held, float least) {
    int again = 0;
    for (int g = 0; g < held; g += VW) {
        vec unit = second_unit(load_lanes(hi + g), load_lanes(m2 + g), (vec)(least));
        store_lanes(unit, units + g);
        again |= any_lane(first_lanes(unit - (vec)(1.0f), held - g) != (vec)(0.0f));
    }
    return again;
}

// The moments of `held` groups, as numbers in arrays with room for a vector after the last, folded; those that share
// statistics get what they have together. n is how many values a group has.
CALLED void fold_held(
        folding f, float *hi, float *lo, float *m2, float *units, float n, int joined, int first, int held) {
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

#define FOLD_BLOCKS int per_block, int blocks
#define FIRST_OF_FOLD ((in_block * WX + ITEM_X) * VW)

// A work-group folds WX vectors of groups, as columns; its rows of items take the slices in turn. All groups have equally
// many values in a slice.
INLINE void join_slices(
        lane_moments *mine, __global const float *partials, int slices, int group, int groups, int pitch,
        __local vec *room) {
    no_column_moments(mine, WX * VW);
    for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {
        __global const float *partial = partials + (long)slice * PARTIAL_ROWS * pitch;
        join_lanes(
                mine, partial[0], load_anywhere(partial + pitch + group), load_anywhere(partial + 2 * pitch + group),
                load_anywhere(partial + 3 * pitch + group));
    }
    across_column_items(mine, room);
}

INLINE float unit_of_partial(__global const float *partial, int pitch) {
    float m2 = partial[3 * pitch];
    return m2 == M2_OF_LARGE ? UNIT_OF_LARGE : m2 == M2_OF_SMALL ? UNIT_OF_SMALL : 1.0f;
}

// The moments of all slices of `count` groups, `step` apart, where some slices are in units of their own.
CALLED moments join_units(
        __global const float *partials, int slices, int pitch, int count, long step, float *common_unit) {
    float unit = UNIT_OF_SMALL;
    for (int i = 0; i < slices * count; i++) {
        unit = fmin(unit, unit_of_partial(partials + (long)(i / count) * PARTIAL_ROWS * pitch + i % count * step, pitch));
    }
    moments all = no_moments();
    for (int i = 0; i < slices * count; i++) {
        __global const float *partial = partials + (long)(i / count) * PARTIAL_ROWS * pitch + i % count * step;
        float own = unit_of_partial(partial, pitch);
        moments part;
        part.n = partial[0];
        part.hi = partial[pitch];
        part.lo = partial[2 * pitch];
        part.m2 = partial[(own == 1.0f ? 3 : 4) * pitch];
        all = join(all, in_unit(part, own, unit));
    }
    *common_unit = unit;
    return all;
}

// What join_slices found, with units where slices have them: M2 is not finite then.
CALLED lane_moments joined_slices(
        lane_moments mine, __global const float *partials, int slices, int group, int valid, int pitch) {
    mine.m2 += mine.m2_lo;
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
    lane_moments mine[BLOCKS];
    join_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    if (ITEM_Y == 0 && group < groups) {
        int valid = min(groups - group, VW);
        lane_moments all = joined_slices(*mine, OF_BLOCK(partials), slices, group, valid, pitch);
        fold_groups(f, all.hi, all.lo, all.m2, all.unit, group, valid);
    }
}

// Leaves M2 in the row VARIANCE, and the unit of all in the row INVSTD.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void join_moments(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, __global float *coefficients, int pitch) {
    LOCAL_COLUMNS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = FIRST_OF_FOLD;
    lane_moments mine[BLOCKS];
    join_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    if (ITEM_Y == 0 && group < groups) {
        int valid = min(groups - group, VW);
        lane_moments all = joined_slices(*mine, OF_BLOCK(partials), slices, group, valid, pitch);
        vec none = select((vec)(0.0f), (vec)(NAN), has_infinity(all.hi, all.m2, all.unit));
        store_first(all.hi + none, valid, coefficients + MEAN_HI * pitch + group);
        store_first(all.lo, valid, coefficients + MEAN_LO * pitch + group);
        store_first(all.m2 + none, valid, coefficients + VARIANCE * pitch + group);
        store_first(all.unit, valid, coefficients + INVSTD * pitch + group);
    }
}

// Which groups share statistics: `joined` neighbours of a block; or, where joined is 0, those of the same number in all
// blocks. A work-group takes all that share them.
#define FIRST_JOINED (joined > 0 ? (int)(get_group_id(0) % per_block) * joined : (int)get_group_id(0))
#define JOINED (joined > 0 ? joined : blocks)
#define JOINED_STEP (joined > 0 ? 1 : groups + WRAP)
#define JOINED_BLOCK (joined > 0 ? (int)(get_group_id(0) / per_block) : 0)

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
    moments mine = no_moments();
    float unit = 1.0f;
    for (int i = LOCAL_ITEM; i < slices * JOINED; i += WG) {
        __global const float *partial =
                OF_BLOCK(partials) + (long)(i / JOINED) * PARTIAL_ROWS * pitch + group + (long)(i % JOINED) * JOINED_STEP;
        moments part;
        part.n = partial[0];
        part.hi = partial[pitch];
        part.lo = partial[2 * pitch];
        part.m2 = partial[3 * pitch];
        mine = join(mine, part);
    }
    mine = across_group(mine, room);
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
    int together = joined > 0 ? VW : 1; // neighbours, a vector of them at a time
    for (int i = LOCAL_ITEM * together; i < JOINED; i += WG * together) {
        block = joined > 0 ? JOINED_BLOCK : i;
        coefficients = OF_BLOCK(of_first);
        folding f = FOLDING;
        f.average.kind = i == 0 ? f.average.kind : AVERAGE_NONE;
        fold_groups(
                f, (vec)(mine.hi), (vec)(mine.lo), (vec)(mine.m2), (vec)(unit), joined > 0 ? group + i : group,
                min(JOINED - i, together));
    }
}

__kernel void fold_given(
        FOLD_BLOCKS, int groups, AFFINE_ARGS, IN(mean), IN(variance), __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = (int)(in_block * get_local_size(0) + get_local_id(0)) * VW;
    int valid = min(groups - group, VW);
    if (valid > 0) {
        averaging none = averaging_of(AVERAGE_NONE, 0.0f, 0.0f, 0.0f, 0, 0, 0, 0);
        folding f = folding_of(
                OPTIONAL(gamma), OPTIONAL(beta), (long)block * affine_stride, epsilon, COUNT_OF_BLOCK, statistic, 0.0f,
                0.0f, none, groups, coefficients, pitch);
        // Not a call: most of what is known here leaves nothing to be done.
        put_forward_of(
                f, group, valid, take(AT(mean), group, valid, 0.0f), (vec)(0.0f),
                take(AT(variance), group, valid, 0.0f), (ivec)(0), 1);
    }
}

// The host left the mean, the variance, in the row INVSTD the estimate of it that enters the running variance, and in the row
// NORM the power of two that all of these are in units of.
__kernel void fold_combined(
        FOLD_BLOCKS, int groups, AFFINE_ARGS, RUNNING_ARGS, __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = (int)(in_block * get_local_size(0) + get_local_id(0)) * VW;
    int valid = min(groups - group, VW);
    if (valid > 0) {
        folding f = folding_of(
                OPTIONAL(gamma), OPTIONAL(beta), (long)block * affine_stride, epsilon, COUNT_OF_BLOCK, statistic, 0.0f,
                0.0f, AVERAGING, groups, coefficients, pitch);
        vec hi = take(coefficients + MEAN_HI * pitch, group, valid, 0.0f);
        vec lo = take(coefficients + MEAN_LO * pitch, group, valid, 0.0f);
        vec variance = take(coefficients + VARIANCE * pitch, group, valid, 0.0f);
        vec estimate = take(coefficients + INVSTD * pitch, group, valid, 0.0f);
        ivec from = exponent_of(take(coefficients + NORM * pitch, group, valid, 1.0f));
        put_forward(f, group, valid, hi, lo, variance, from);
        track_groups(group, valid, times_power(hi, -from), estimate, from, f.average);
    }
}

// Where there are several blocks, each is a batch of its own, one after the other; or, if they are averaged, all of them
// are one batch with the average of their means and variances.
__kernel void track(
        FOLD_BLOCKS, int groups, int averaged, float last_factor, RUNNING_ARGS, __global const float *coefficients,
        int pitch) {
    int group = (int)get_global_id(0) * VW;
    int valid = min(groups - group, VW);
    if (valid > 0) {
        averaging a = AVERAGING;
        ivec least = (ivec)(126); // of the blocks' units, in which the sums over them are
        for (int block = 0; averaged && block < blocks; block++) {
            least = min(least, exponent_of(load_anywhere(OF_BLOCK(coefficients) + UNIT * pitch + group)));
        }
        vec mean = (vec)(0.0f), mean_lo = (vec)(0.0f), variance = (vec)(0.0f), variance_lo = (vec)(0.0f);
        for (int block = 0; block < blocks; block++) {
            __global const float *here = OF_BLOCK(coefficients) + group;
            ivec unit = exponent_of(load_anywhere(here + UNIT * pitch));
            vec own_mean = load_anywhere(here + MEAN * pitch);
            vec own = load_anywhere(here + VARIANCE * pitch);
            if (averaged) {
                vec rest;
                own = times_far_power(times_far_power(own, least - unit), least - unit);
                two_sum(mean, times_power(own_mean, least), &mean, &rest);
                mean_lo += rest;
                two_sum(variance, own, &variance, &rest);
                variance_lo += rest;
            } else {
                a.variance_factor = block == blocks - 1 ? last_factor : variance_factor;
                track_groups(group, valid, own_mean, own, unit, a);
            }
        }
        if (averaged) {
            vec all = (vec)((float)blocks);
            mean = times_power((mean + mean_lo) / all, -least);
            track_groups(group, valid, mean, (variance + variance_lo) / all, least, a);
        }
    }
}

CALLED void store_gradient(__global float *to, int group, int valid, vec value, int accumulate) {
    store_first(accumulate ? take(to, group, valid, 0.0f) + value : value, valid, to + group);
}

// What a backward fold takes besides sums. In `parts`, a block leaves its part of dgamma and dbeta in the coefficients.
typedef struct {
    __global float *dgamma;
    __global float *dbeta;
    int accumulate;
    float epsilon, count;
    int statistic, renormalized;
    int groups;
    __global float *coefficients;
    int pitch;
} unfolding;

#define GRADIENT_ARGS \
    OUT(dgamma), OUT(dbeta), int affine_stride, int parts, int accumulate, float epsilon, float count, float last_count, \
            int statistic, int joined, int renormalized

INLINE unfolding unfolding_of(
        __global float *dgamma, __global float *dbeta, long affine_start, int parts, int accumulate,
        float epsilon, float count, int statistic, int renormalized, int groups, __global float *coefficients,
        int pitch) {
    unfolding u;
    u.dgamma = parts ? coefficients + GRAD_GAMMA * pitch : dgamma ? dgamma + affine_start : 0;
    u.dbeta = parts ? coefficients + GRAD_BETA * pitch : dbeta ? dbeta + affine_start : 0;
    u.accumulate = parts ? 0 : accumulate;
    u.epsilon = epsilon;
    u.count = statistic == LENGTH ? 1.0f : count;
    u.statistic = statistic;
    u.renormalized = renormalized;
    u.groups = groups;
    u.coefficients = coefficients;
    u.pitch = pitch;
    return u;
}
#define UNFOLDING \
    unfolding_of( \
            OPTIONAL(dgamma), OPTIONAL(dbeta), (long)block * affine_stride, parts, accumulate, epsilon, \
            COUNT_OF_BLOCK, statistic, renormalized, groups, coefficients, pitch)

INLINE vec taken(unfolding u, int row, int group, int valid) {
    return take(u.coefficients + row * u.pitch, group, valid, 0.0f);
}

// A group's own sums give its gamma's and beta's gradients; `scaled` ones, sums of scale times them over all groups that
// share statistics, give dx. Sums with x are around the mean, of which `lo` is the rest.
CALLED void fold_centred_sums(
        unfolding u, vec dy, vec dyx, vec scaled_dy, vec scaled_dyx, vec lo, vec scale, int group, int valid) {
    vec norm = taken(u, NORM, group, valid);
    vec unit = taken(u, UNIT, group, valid);
    if (u.dgamma) {
        vec dgamma = dyx * norm;
        if (u.renormalized) {
            dgamma = fma(dgamma, taken(u, RENORM_R, group, valid), dy * taken(u, RENORM_D, group, valid));
        }
        store_gradient(u.dgamma, group, valid, dgamma, u.accumulate);
    }
    if (u.dbeta) {
        store_gradient(u.dbeta, group, valid, dy, u.accumulate);
    }
    vec by_x = -(norm * norm) * (scaled_dyx / (vec)(u.count));
    vec by_1 = -scaled_dy / (vec)(u.count);
    if (u.statistic != CENTERED) {
        by_1 = (vec)(0.0f);
    }
    if (u.statistic == LENGTH) { // shorter than epsilon: divided by epsilon, whatever x
        by_x = norm >= times_power((vec)(1.0f / u.epsilon), -exponent_of(unit)) ? (vec)(0.0f) : by_x;
    }
    by_1 = select(by_1, fma(-by_x, lo, by_1), isfinite(by_x));
    vec values[] = {scale, by_x * unit, by_1 * unit}; // GRAD_DY, GRAD_X, GRAD_1
    put_rows(u, GRAD_DY, group, valid, values, 3);
}

// sum(dy' (x - mean)) from that around mean_hi. Where the sum of dy' is infinite, so is that, and no rest moves it.
INLINE vec centred(vec lo, vec dy, vec dyx) { return select(dyx, fma(-lo, dy, dyx), isfinite(dy)); }

// Of sums that were gathered around mean_hi.
INLINE void fold_sums(unfolding u, vec dy, vec dyx, vec scaled_dy, vec scaled_dyx, int group, int valid) {
    vec lo = taken(u, MEAN_LO, group, valid);
    fold_centred_sums(
            u, dy, centred(lo, dy, dyx), scaled_dy, centred(lo, scaled_dy, scaled_dyx), lo,
            taken(u, SCALE, group, valid), group, valid);
}

INLINE void fold_own_sums(unfolding u, vec dy, vec dyx, int group, int valid) {
    vec scale = taken(u, SCALE, group, valid);
    fold_sums(u, dy, dyx, scale * dy, scale * dyx, group, valid);
}

INLINE void fold_group_sums(unfolding u, sums all, int group) {
    fold_own_sums(u, (vec)(all.dy), (vec)(all.dyx), group, 1);
}

// As fold_held; the arrays of scaled sums have as much room.
CALLED void fold_held_sums(
        unfolding u, float *dy, float *dyx, float *scaled_dy, float *scaled_dyx, int joined, int first, int held) {
    if (joined == 1) {
        for (int g = 0; g < held; g += VW) {
            fold_own_sums(u, load_lanes(dy + g), load_lanes(dyx + g), first + g, min(held - g, VW));
        }
        return;
    }
    for (int g = 0; g < held; g++) {
        float scale = u.coefficients[SCALE * u.pitch + first + g];
        scaled_dy[g] = scale * dy[g];
        scaled_dyx[g] = scale * dyx[g];
    }
    for (int g = 0; g < held; g += joined) {
        float all_dy = sum_columns(scaled_dy + g, joined);
        float all_dyx = sum_columns(scaled_dyx + g, joined);
        for (int i = g; i < g + joined; i++) {
            scaled_dy[i] = all_dy;
            scaled_dyx[i] = all_dyx;
        }
    }
    for (int g = 0; g < held; g += VW) {
        fold_sums(
                u, load_lanes(dy + g), load_lanes(dyx + g), load_lanes(scaled_dy + g), load_lanes(scaled_dyx + g),
                first + g, min(held - g, VW));
    }
}

// As join_slices.
INLINE void add_slices(
        lane_sums *mine, __global const float *partials, int slices, int group, int groups, int pitch,
        __local vec *room) {
    no_column_sums(mine, WX * VW);
    for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {
        __global const float *partial = partials + (long)slice * 2 * pitch + group;
        vec rest;
        two_sum(mine->dy, load_anywhere(partial), &mine->dy, &rest);
        mine->dy_lo += rest;
        two_sum(mine->dyx, load_anywhere(partial + pitch), &mine->dyx, &rest);
        mine->dyx_lo += rest;
    }
    across_column_sum_items(mine, room);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_gradients(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, GRADIENT_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_COLUMN_SUMS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    unfolding u = UNFOLDING;
    int group = FIRST_OF_FOLD;
    lane_sums mine[BLOCKS];
    add_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    if (ITEM_Y == 0 && group < groups) {
        vec dy = compensated(mine->dy, mine->dy_lo);
        fold_own_sums(u, dy, compensated(mine->dyx, mine->dyx_lo), group, min(groups - group, VW));
    }
}

// Leaves sum(dy') and sum(dy' (x - mean)), in units, in the rows GRAD_DY and GRAD_X.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void join_gradients(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, __global float *coefficients, int pitch) {
    LOCAL_COLUMN_SUMS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = FIRST_OF_FOLD;
    lane_sums mine[BLOCKS];
    add_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    if (ITEM_Y == 0 && group < groups) {
        int valid = min(groups - group, VW);
        vec lo = take(coefficients + MEAN_LO * pitch, group, valid, 0.0f);
        vec dy = compensated(mine->dy, mine->dy_lo);
        vec dyx = centred(lo, dy, compensated(mine->dyx, mine->dyx_lo));
        store_first(dy, valid, coefficients + GRAD_DY * pitch + group);
        store_first(dyx, valid, coefficients + GRAD_X * pitch + group);
    }
}

// The host left the two sums of this device, for dgamma and dbeta, and the averages of all, for dx, in the rows from
// GRAD_DY on; so count is 1. Those with x are to be times 2 to the number in the row after them, which may be no float32.
__kernel void fold_combined_gradients(
        FOLD_BLOCKS, int groups, GRADIENT_ARGS, __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = (int)(in_block * get_local_size(0) + get_local_id(0)) * VW;
    int valid = min(groups - group, VW);
    if (valid > 0) {
        unfolding u = UNFOLDING;
        ivec power = CONVERT_IVEC(taken(u, GRAD_DY + 4, group, valid)) + exponent_of(taken(u, UNIT, group, valid));
        power = clamp(power, (ivec)(-252), (ivec)(252));
        vec dy = taken(u, GRAD_DY, group, valid);
        vec dyx = times_far_power(taken(u, GRAD_DY + 1, group, valid), power);
        vec scale = taken(u, SCALE, group, valid);
        vec scaled_dy = scale * taken(u, GRAD_DY + 2, group, valid);
        vec scaled_dyx = scale * times_far_power(taken(u, GRAD_DY + 3, group, valid), power);
        vec lo = taken(u, MEAN_LO, group, valid);
        fold_centred_sums(u, dy, dyx, scaled_dy, scaled_dyx, lo, scale, group, valid);
    }
}

// The sums of `valid` neighbouring groups over all slices, without what rounding leaves.
INLINE lane_sums sums_of_slices(__global const float *partial, int slices, int pitch, int valid) {
    lane_sums all = no_lane_sums();
    for (int slice = 0; slice < slices; slice++, partial += 2 * pitch) {
        vec rest;
        two_sum(all.dy, take(partial, 0, valid, 0.0f), &all.dy, &rest);
        all.dy_lo += rest;
        two_sum(all.dyx, take(partial, pitch, valid, 0.0f), &all.dyx, &rest);
        all.dyx_lo += rest;
    }
    all.dy = compensated(all.dy, all.dy_lo);
    all.dyx = compensated(all.dyx, all.dyx_lo);
    return all;
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_joined_gradients(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, GRADIENT_ARGS,
        __global float *coefficients, int pitch) {
    LOCAL_SUMS(room);
#if WG > 1
    __local sums shared[1];
#endif
    int block = JOINED_BLOCK;
    int group = FIRST_JOINED;
    int together = joined > 0 ? VW : 1; // neighbours, a vector of them at a time
    lane_sums scaled = no_lane_sums();
    for (int i = LOCAL_ITEM * together; i < JOINED; i += WG * together) {
        long at = (long)block * (groups + WRAP) + group + (long)i * JOINED_STEP;
        int valid = min(JOINED - i, together);
        lane_sums some = sums_of_slices(partials + at, slices, pitch, valid);
        vec scale = take(coefficients + SCALE * pitch, at, valid, 0.0f), rest;
        two_sum(scaled.dy, first_lanes(scale * some.dy, valid), &scaled.dy, &rest);
        scaled.dy_lo += rest;
        two_sum(scaled.dyx, first_lanes(scale * some.dyx, valid), &scaled.dyx, &rest);
        scaled.dyx_lo += rest;
    }
    sums mine = across_group_sums(across_sum_lanes(scaled, ALL_LANES), room);
#if WG > 1
    if (LOCAL_ITEM == 0) {
        shared[0] = mine;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    mine = shared[0];
#endif
    __global float *of_first = coefficients;
    for (int i = LOCAL_ITEM * together; i < JOINED; i += WG * together) {
        block = joined > 0 ? JOINED_BLOCK : i;
        coefficients = OF_BLOCK(of_first);
        int own = joined > 0 ? group + i : group, valid = min(JOINED - i, together);
        unfolding u = UNFOLDING;
        lane_sums some = sums_of_slices(OF_BLOCK(partials) + own, slices, pitch, valid);
        fold_sums(u, some.dy, some.dyx, (vec)(mine.dy), (vec)(mine.dyx), own, valid);
    }
}

// dgamma and dbeta from `parts` of them, `step` apart; those of beta lie `beta_at` after those of gamma.
__kernel void sum_parts(
        __global const float *values, long gamma_at, long beta_at, int parts, long step, int count, OUT(dgamma),
        OUT(dbeta), int accumulate) {
    int column = (int)get_global_id(0) * VW;
    int valid = min(count - column, VW);
    if (valid > 0) {
        vec gamma = (vec)(0.0f), gamma_lo = (vec)(0.0f), beta = (vec)(0.0f), beta_lo = (vec)(0.0f);
        for (int part = 0; part < parts; part++) {
            __global const float *here = values + part * step + column;
            vec rest;
            two_sum(gamma, take(here + gamma_at, 0, valid, 0.0f), &gamma, &rest);
            gamma_lo += rest;
            two_sum(beta, take(here + beta_at, 0, valid, 0.0f), &beta, &rest);
            beta_lo += rest;
        }
        if (PRESENT(dgamma)) {
            store_gradient(AT(dgamma), column, valid, compensated(gamma, gamma_lo), accumulate);
        }
        if (PRESENT(dbeta)) {
            store_gradient(AT(dbeta), column, valid, compensated(beta, beta_lo), accumulate);
        }
    }
}

// Where the apply step is of the same launch, its work-items read what the one that folds has written.
#if WG > 1
#define FOLDED barrier(CLK_GLOBAL_MEM_FENCE)
#else
#define FOLDED
#endif

// The columns of a work-item of a stripe, each a group, once the work-items of the first row have them.
INLINE void fold_columns(folding f, const lane_moments *mine, int left, int right) {
    for (int b = 0; ITEM_Y == 0 && b < BLOCKS && column_of(left, b) < right; b++) {
        int group = column_of(left, b);
        vec m2 = mine[b].m2 + mine[b].m2_lo;
        fold_groups(f, mine[b].hi, mine[b].lo, m2, mine[b].unit, group, min(right - group, VW));
    }
}

INLINE void fold_column_sums(unfolding u, const lane_sums *mine, int left, int right) {
    for (int b = 0; ITEM_Y == 0 && b < BLOCKS && column_of(left, b) < right; b++) {
        int group = column_of(left, b);
        vec dy = compensated(mine[b].dy, mine[b].dy_lo);
        fold_own_sums(u, dy, compensated(mine[b].dyx, mine[b].dyx_lo), group, min(right - group, VW));
    }
}

#endif
