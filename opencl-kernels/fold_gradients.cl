// Step 2 backward: from a group's gradient sums to dgamma, dbeta and the coefficients of dx.
//
//   kernel                   launches  bytes moved             chosen when
//   fold_gradients           1         slices * groups * 8     backward in three launches
//   fold_joined_gradients    1         slices * groups * 8     the same, groups sharing statistics
//   sum_parts                1         parts * groups * 8      several blocks or slices have parts of dgamma and dbeta
//   fold_inverse             1         groups * 40             y took x's place, once after the forward pass
//
// Where a batch lies on several devices, its sums leave each device, are put together by the host, which leaves those of all in
// the coefficients, and come back:
//
//   join_gradients           1         slices * groups * 8     the sums on this device
//   fold_combined_gradients  1         groups * 28             backward by the sums of all
//
// In this order: dgamma, dbeta and coefficients (fold_centred_sums); groups of one launch, each way in which a work-item may
// have their sums (fold_group_sums, fold_column_sums, fold_held_sums); kernels, which find sums in memory: of slices, of those
// on the host, and parts of dgamma and dbeta. The formulas are in folds.clh.

#ifndef FOLD_GRADIENTS_CL
#define FOLD_GRADIENTS_CL

#include "folds.clh"

// ==== From sums to gradients and coefficients ====

CALLED void store_gradient(__global float *to, int group, int valid, fold_vec value, int accumulate) {
    fold_store_first(accumulate ? take(to, group, valid, 0.0f) + value : value, valid, to + group);
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
    OUT(dgamma), OUT(dbeta), int affine_stride, int parts, int accumulate, float epsilon, COUNT_ARGS, \
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
    u.count = statistic == LENGTH ? 1.0f : max(count, 1.0f); // all of a block may be masked
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

INLINE fold_vec taken(unfolding u, int row, int group, int valid) {
    return take(u.coefficients + row * u.pitch, group, valid, 0.0f);
}

// A group's own sums give its gamma's and beta's gradients; `scaled` ones, sums of scale times them over all groups that
// share statistics, give dx. Sums with x are around the mean, of which `lo` is the rest.
CALLED void fold_centred_sums(
        unfolding u, fold_vec dy, fold_vec dyx, fold_vec scaled_dy, fold_vec scaled_dyx, fold_vec lo, fold_vec scale, int group, int valid) {
    fold_vec norm = taken(u, NORM, group, valid);
    fold_vec unit = taken(u, UNIT, group, valid);
    if (u.dgamma) {
        fold_vec dgamma = dyx * norm; // sum(dy' (x - mean)) * invstd
        if (u.renormalized) {
            dgamma = fma(dgamma, taken(u, RENORM_R, group, valid), dy * taken(u, RENORM_D, group, valid));
        }
        store_gradient(u.dgamma, group, valid, dgamma, u.accumulate);
    }
    if (u.dbeta) {
        store_gradient(u.dbeta, group, valid, dy, u.accumulate);
    }
    fold_vec by_x = -(norm * norm) * (scaled_dyx / (fold_vec)(u.count));
    fold_vec by_1 = -scaled_dy / (fold_vec)(u.count);
    if (u.statistic != CENTERED) {
        by_1 = (fold_vec)(0.0f);
    }
    if (u.statistic == LENGTH) { // shorter than epsilon: divided by epsilon, whatever x
        by_x = norm >= FOLD(times_power)((fold_vec)(1.0f / u.epsilon), -FOLD(exponent_of)(unit)) ? (fold_vec)(0.0f) : by_x;
    }
    by_1 = select(by_1, fma(-by_x, lo, by_1), isfinite(by_x));
    fold_vec values[] = {scale, by_x * unit, by_1 * unit}; // GRAD_DY, GRAD_X, GRAD_1
    put_rows(u, GRAD_DY, group, valid, values, 3);
}

// Of sums that were gathered around mean_hi.
INLINE void fold_sums(unfolding u, fold_vec dy, fold_vec dyx, fold_vec scaled_dy, fold_vec scaled_dyx, int group, int valid) {
    fold_vec lo = taken(u, MEAN_LO, group, valid);
    fold_centred_sums(
            u, dy, FOLD(centred)(lo, dy, dyx), scaled_dy, FOLD(centred)(lo, scaled_dy, scaled_dyx), lo,
            taken(u, SCALE, group, valid), group, valid);
}

// The same, of groups that share statistics with no other. Each of the following, and fold_gradients, ends here; those that
// share them end in fold_sums.
INLINE void fold_own_sums(unfolding u, fold_vec dy, fold_vec dyx, int group, int valid) {
    fold_vec scale = taken(u, SCALE, group, valid);
    fold_sums(u, dy, dyx, scale * dy, scale * dyx, group, valid);
}

// ==== Groups whose sums a work-item has ====

// One launch, runs: the sums of one group, by one work-item.
INLINE void fold_group_sums(unfolding u, sums all, int group) {
    fold_own_sums(u, (fold_vec)(all.dy), (fold_vec)(all.dyx), group, 1);
}

// One launch, columns: those of a stripe, each a group, once the work-items of the first row have them; as fold_columns.
INLINE void fold_column_sums(unfolding u, const lane_sums *mine, int left, int right, __local vec *room) {
    for (int b = 0; b < VECTORS; b++) {
        int group = column_of(left, b);
        vec dy = vector_compensated(mine[b].dy, mine[b].dy_lo);
        vec dyx = vector_compensated(mine[b].dyx, mine[b].dyx_lo);
#if WG > 1
        vec values[] = {dy, dyx};
        deal_lanes(values, 2, room);
        for (int lane = ITEM_Y; lane < VW && group + lane < right; lane += WY) {
            fold_own_sums(u, dealt(room, 0, lane), dealt(room, 1, lane), group + lane, 1);
        }
        if (VECTORS > 1) {
            barrier(CLK_LOCAL_MEM_FENCE);
        }
#else
        if (group < right) {
            fold_own_sums(u, dy, dyx, group, min(right - group, VW));
        }
#endif
    }
}

#if WG == 1
// One launch on a CPU: the sums of `held` groups, as numbers in arrays with room for a vector after the last; the arrays of
// scaled sums have as much room.
CALLED void fold_held_sums(
        unfolding u, float *dy, float *dyx, float *scaled_dy, float *scaled_dyx, int joined, int first, int held) {
    end_numbers(dy, held);
    end_numbers(dyx, held);
    if (joined == 1) {
        for (int g = 0; g < held; g += VW) {
            fold_own_sums(u, load_lanes(dy + g), load_lanes(dyx + g), first + g, min(held - g, VW));
        }
        return;
    }
    end_numbers(scaled_dy, held);
    end_numbers(scaled_dyx, held);
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
#endif

// ==== Sums in memory ====

// A work-group folds WX vectors of groups, as columns, a vector to a work-item: VECTORS is 1. Adds up the slices' sums: an
// item takes slices ITEM_Y, ITEM_Y + WY and so on, then the items of a column put theirs together.
INLINE void add_slices(
        lane_sums *mine, __global const float *partials, int slices, int group, int groups, int pitch,
        __local vec *room) {
    no_column_sums(mine, WX * VW);
    int valid = min(groups - group, VW);
    for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {
        __global const float *partial = partials + (long)slice * 2 * pitch;
        vec rest;
        vector_two_sum(mine->dy, load_first(partial + group, valid), &mine->dy, &rest);
        mine->dy_lo += rest;
        vector_two_sum(mine->dyx, load_first(partial + pitch + group, valid), &mine->dyx, &rest);
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
    lane_sums mine[VECTORS];
    add_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    fold_column_sums(u, mine, group, groups, room);
}

// Leaves sum(dy') and sum(dy' (x - mean)), in units, in the rows GRAD_DY and GRAD_X.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void join_gradients(
        __global const float *partials, int slices, FOLD_BLOCKS, int groups, __global float *coefficients, int pitch) {
    LOCAL_COLUMN_SUMS(room);
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = FIRST_OF_FOLD;
    lane_sums mine[VECTORS];
    add_slices(mine, OF_BLOCK(partials), slices, group, groups, pitch, room);
    if (ITEM_Y == 0 && group < groups) {
        int valid = min(groups - group, VW);
        vec lo = load_first(coefficients + MEAN_LO * pitch + group, valid);
        vec dy = vector_compensated(mine->dy, mine->dy_lo);
        vec dyx = vector_compensated(mine->dyx, mine->dyx_lo);
        dyx = vector_centred(lo, dy, dyx);
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
    int group = (int)(in_block * get_local_size(0) + get_local_id(0)) * FOLD_LANES;
    int valid = min(groups - group, FOLD_LANES);
    if (valid > 0) {
        unfolding u = UNFOLDING;
        fold_ivec power = CONVERT_IVEC(taken(u, GRAD_DY + 4, group, valid)) + FOLD(exponent_of)(taken(u, UNIT, group, valid));
        power = clamp(power, (fold_ivec)(-252), (fold_ivec)(252));
        fold_vec dy = taken(u, GRAD_DY, group, valid);
        fold_vec dyx = FOLD(times_far_power)(taken(u, GRAD_DY + 1, group, valid), power);
        fold_vec scale = taken(u, SCALE, group, valid);
        fold_vec scaled_dy = scale * taken(u, GRAD_DY + 2, group, valid);
        fold_vec scaled_dyx = scale * FOLD(times_far_power)(taken(u, GRAD_DY + 3, group, valid), power);
        fold_vec lo = taken(u, MEAN_LO, group, valid);
        fold_centred_sums(u, dy, dyx, scaled_dy, scaled_dyx, lo, scale, group, valid);
    }
}

// Where y took x's place, it gives v = (x unit - mean_hi) scale + shift again, and v stands for x from here on: what the
// forward pass left of x is put in terms of v. The mean of v is shift + mean_lo scale, and its deviation is gamma, so that
// this is what its unit goes by. The backward pass is the same as ever: unit scale, which is gamma invstd, does not change.
__kernel void fold_inverse(FOLD_BLOCKS, int groups, __global float *coefficients, int pitch) {
    const int block = BLOCK_OF(get_group_id(0)), in_block = IN_BLOCK(get_group_id(0));
    coefficients = OF_BLOCK(coefficients);
    int group = (int)(in_block * get_local_size(0) + get_local_id(0)) * FOLD_LANES;
    int valid = min(groups - group, FOLD_LANES);
    if (valid > 0) {
        fold_vec lo = take(coefficients + MEAN_LO * pitch, group, valid, 0.0f);
        fold_vec norm = take(coefficients + NORM * pitch, group, valid, 1.0f);
        fold_vec scale = take(coefficients + SCALE * pitch, group, valid, 1.0f);
        fold_vec shift = take(coefficients + SHIFT * pitch, group, valid, 0.0f);
        fold_ivec from = FOLD(exponent_of)(take(coefficients + UNIT * pitch, group, valid, 1.0f));
        fold_ivec power = clamp(-FOLD(exponent_of)(scale / norm), (fold_ivec)(-126), (fold_ivec)(126));
        fold_vec mean = fma(lo, scale, shift);
        fold_vec rest = fma(lo, scale, shift - mean); // what the shift's rounding, and the mean's, left
        fold_vec means[] = {FOLD(times_power)(mean, power), FOLD(times_power)(rest, power)}; // MEAN_HI, MEAN_LO
        fold_vec scales[] = {norm / FOLD(times_power)(scale, power), FOLD(times_far_power)(scale, from - power)}; // NORM, SCALE
        fold_vec units[] = {FOLD(power_of_two)(power)};
        put_in_rows(coefficients + MEAN_HI * (long)pitch, pitch, groups, group, valid, means, 2);
        put_in_rows(coefficients + NORM * (long)pitch, pitch, groups, group, valid, scales, 2);
        put_in_rows(coefficients + UNIT * (long)pitch, pitch, groups, group, valid, units, 1);
    }
}

// The sums of groups that a work-item folds at a time, and what rounding left out of them.
typedef struct {
    fold_vec dy, dy_lo;
    fold_vec dyx, dyx_lo;
} fold_lane_sums;

INLINE fold_lane_sums no_fold_sums(void) {
    fold_lane_sums none;
    none.dy = none.dy_lo = none.dyx = none.dyx_lo = (fold_vec)(0.0f);
    return none;
}

INLINE void add_sums(fold_lane_sums *to, fold_vec dy, fold_vec dyx) {
    fold_vec rest;
    FOLD(two_sum)(to->dy, dy, &to->dy, &rest);
    to->dy_lo += rest;
    FOLD(two_sum)(to->dyx, dyx, &to->dyx, &rest);
    to->dyx_lo += rest;
}

// Those of `valid` neighbouring groups over all slices, with what rounding left in them.
INLINE fold_lane_sums sums_of_slices(__global const float *partial, int slices, int pitch, int valid) {
    fold_lane_sums all = no_fold_sums();
    for (int slice = 0; slice < slices; slice++, partial += 2 * pitch) {
        add_sums(&all, take(partial, 0, valid, 0.0f), take(partial, pitch, valid, 0.0f));
    }
    all.dy = FOLD(compensated)(all.dy, all.dy_lo);
    all.dyx = FOLD(compensated)(all.dyx, all.dyx_lo);
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
    int together = joined > 0 ? FOLD_LANES : 1; // neighbours, a vector of them at a time
    fold_lane_sums scaled = no_fold_sums();
    for (int i = LOCAL_ITEM * together; i < JOINED; i += WG * together) {
        long at = (long)block * (groups + WRAP) + group + (long)i * JOINED_STEP;
        int valid = min(JOINED - i, together);
        fold_lane_sums some = sums_of_slices(partials + at, slices, pitch, valid);
        fold_vec scale = take(coefficients + SCALE * pitch, at, valid, 0.0f);
        add_sums(&scaled, fold_first_lanes(scale * some.dy, valid), fold_first_lanes(scale * some.dyx, valid));
    }
    sums mine;
    mine.dy = sum_of_fold(FOLD(compensated)(scaled.dy, scaled.dy_lo));
    mine.dyx = sum_of_fold(FOLD(compensated)(scaled.dyx, scaled.dyx_lo));
    mine = across_team_sums(mine, WG, room);
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
        fold_lane_sums some = sums_of_slices(OF_BLOCK(partials) + own, slices, pitch, valid);
        fold_sums(u, some.dy, some.dyx, (fold_vec)(mine.dy), (fold_vec)(mine.dyx), own, valid);
    }
}

// dgamma and dbeta from `parts` of them, blocks' or slices', `step` apart; those of beta lie `beta_at` after those of gamma.
__kernel void sum_parts(
        __global const float *values, long gamma_at, long beta_at, int parts, long step, int count, OUT(dgamma),
        OUT(dbeta), int accumulate) {
    int column = (int)get_global_id(0) * FOLD_LANES;
    int valid = min(count - column, FOLD_LANES);
    if (valid > 0) {
        fold_vec gamma = (fold_vec)(0.0f), gamma_lo = (fold_vec)(0.0f), beta = (fold_vec)(0.0f), beta_lo = (fold_vec)(0.0f);
        for (int part = 0; part < parts; part++) {
            __global const float *here = values + part * step + column;
            fold_vec rest;
            FOLD(two_sum)(gamma, take(here + gamma_at, 0, valid, 0.0f), &gamma, &rest);
            gamma_lo += rest;
            FOLD(two_sum)(beta, take(here + beta_at, 0, valid, 0.0f), &beta, &rest);
            beta_lo += rest;
        }
        if (PRESENT(dgamma)) {
            store_gradient(AT(dgamma), column, valid, FOLD(compensated)(gamma, gamma_lo), accumulate);
        }
        if (PRESENT(dbeta)) {
            store_gradient(AT(dbeta), column, valid, FOLD(compensated)(beta, beta_lo), accumulate);
        }
    }
}

#endif
