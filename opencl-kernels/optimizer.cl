// A step of an optimizer over the tensors of a network, MEMBERS of them in a launch, since most are small.
//
//   kernel               launches        bytes moved                                      chosen when
//   update_parameters    1 of 16 tensors gradients, parameters and state (read, written)  always
//   gradient_norm        1 of 16 tensors gradients                                        gradients are clipped by their norm
//   fold_gradient_norm   1               partials                                         the same
//
// A work-group has a slice of one tensor, `per_slice` elements. What a step is, is said by numbers: an optimizer is no
// program of its own. The state lies in one piece for each moment, tensor after tensor.
//
// The formulas are those of PyTorch's documentation: SGD (Sutskever et al., 2013, with Nesterov's form), Adam (Kingma and
// Ba, 2015), AdamW (Loshchilov and Hutter, 2019), RMSprop (Tieleman and Hinton, 2012; Graves, 2013).

#ifndef OPTIMIZER_CL
#define OPTIMIZER_CL

#include "groups.clh"

// Tensors of a launch: as many as have their arguments in the 1024 bytes that a kernel may have, with what comes beside.
#define MEMBER(i) OUT(value_##i), OUT(gradient_##i), long length_##i
#define MEMBERS \
    MEMBER(0), MEMBER(1), MEMBER(2), MEMBER(3), MEMBER(4), MEMBER(5), MEMBER(6), MEMBER(7), MEMBER(8), MEMBER(9), \
            MEMBER(10), MEMBER(11), MEMBER(12), MEMBER(13), MEMBER(14), MEMBER(15)

// A tensor's slice that a work-group has: elements [at, end), of which the first is number `from` among all the launch's.
typedef struct {
    __global float *value, *gradient;
    long at, end, from;
    int member;
    long slice; // counted from the tensor that is looked at
} share;

INLINE void look_at(share *mine, __global float *value, __global float *gradient, long length, int member, long per_slice) {
    long slices = (length + per_slice - 1) / per_slice;
    if (mine->slice >= slices) {
        mine->from += length;
    } else if (mine->slice >= 0) {
        mine->value = value;
        mine->gradient = gradient;
        mine->at = mine->slice * per_slice;
        mine->end = LONG_MIN_OF(mine->at + per_slice, length);
        mine->from += mine->at;
        mine->member = member;
    }
    mine->slice -= slices;
}

INLINE share no_share(int slice) {
    share mine;
    mine.value = mine.gradient = 0;
    mine.at = mine.end = mine.from = 0;
    mine.member = 0;
    mine.slice = slice;
    return mine;
}
#define LOOK_AT(i) look_at(&mine, AT(value_##i), AT(gradient_##i), length_##i, i, per_slice)
#define FIND_SHARE \
    LOOK_AT(0), LOOK_AT(1), LOOK_AT(2), LOOK_AT(3), LOOK_AT(4), LOOK_AT(5), LOOK_AT(6), LOOK_AT(7), LOOK_AT(8), \
            LOOK_AT(9), LOOK_AT(10), LOOK_AT(11), LOOK_AT(12), LOOK_AT(13), LOOK_AT(14), LOOK_AT(15)

#define HAS_MEMBER(set, member) (((set) >> (member)) & 1)

// A gradient as it is made use of: in a loss's scale, and no element larger than `most`; NaN stays.
INLINE vec scaled_and_clipped(vec g, float scale, float most) {
    g *= (vec)(scale);
    g = select(g, (vec)(most), g > (vec)(most));
    return select(g, (vec)(-most), g < (vec)(-most));
}

// Squares in three units, since those of float32 numbers are no float32: of the small, of the usual, and of the large ones
// (Blue, 1978, "A portable Fortran program to find the Euclidean norm of a vector").
#define SMALL_BELOW 0x1p-50f
#define LARGE_ABOVE 0x1p50f
#define OF_SMALL 0x1p90f
#define OF_LARGE 0x1p-75f

typedef struct {
    vec small, usual, large;
} squares;

INLINE squares no_squares() {
    squares s;
    s.small = s.usual = s.large = (vec)(0.0f);
    return s;
}

INLINE void add_squares(squares *to, squares s) {
    to->small += s.small;
    to->usual += s.usual;
    to->large += s.large;
}

INLINE void add_square(squares *to, vec v) {
    vec size = fabs(v), small = v * (vec)(OF_SMALL), large = v * (vec)(OF_LARGE);
    ivec is_small = size < (vec)(SMALL_BELOW), is_usual = size <= (vec)(LARGE_ABOVE);
    vec none = (vec)(0.0f);
    to->small += select(none, small * small, is_small);
    to->usual += select(select(none, v * v, is_usual), none, is_small);
    to->large += select(large * large, none, is_usual); // NaN is none of the others
}

// Vectors that are added up before they meet the sum of those before.
#define NORM_TILE 32

#if WG > 1
#define LOCAL_SQUARES(name) __local float name[3 * WG]
#else
#define LOCAL_SQUARES(name) __local float *name = 0
#endif

// The sums over all lanes and items, in the first item's `to`. All items must come here.
INLINE void across_squares(squares mine, float *to, __local float *room) {
    to[0] = sum_lanes(mine.small);
    to[1] = sum_lanes(mine.usual);
    to[2] = sum_lanes(mine.large);
#if WG > 1
    for (int i = 0; i < 3; i++) {
        room[i * WG + LOCAL_ITEM] = to[i];
    }
    for (int reach = WG / 2; reach > 0; reach /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = 0; i < 3 && LOCAL_ITEM < reach; i++) {
            room[i * WG + LOCAL_ITEM] += room[i * WG + LOCAL_ITEM + reach];
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < 3; i++) {
        to[i] = room[i * WG];
    }
#endif
}

// The sums of a slice's squares, at its place among all slices.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_norm(
        MEMBERS, long per_slice, int skipped, float scale, float most, __global float *partials,
        int first_slice, int slices) {
    LOCAL_SQUARES(room);
    share mine = no_share((int)get_group_id(0));
    FIND_SHARE;
    squares all = no_squares();
    long at = mine.at + (long)LOCAL_ITEM * VW, end = HAS_MEMBER(skipped, mine.member) ? mine.at : mine.end;
    while (at < end) {
        squares some = no_squares();
        for (int i = 0; i < NORM_TILE && at < end; i++, at += WG * VW) {
            int valid = (int)LONG_MIN_OF(end - at, VW);
            add_square(&some, scaled_and_clipped(load_first(mine.gradient + at, valid), scale, most));
        }
        add_squares(&all, some);
    }
    float sums[3];
    across_squares(all, sums, room);
    if (LOCAL_ITEM == 0) {
        for (int i = 0; i < 3; i++) {
            partials[i * slices + first_slice + get_group_id(0)] = sums[i];
        }
    }
}

INLINE float norm_of(const float *s) {
    if (s[2] != 0.0f) { // or NaN
        return sqrt(s[2] + s[1] * (OF_LARGE * OF_LARGE)) / OF_LARGE;
    }
    return s[1] > 0.0f ? sqrt(s[1] + s[0] / OF_SMALL / OF_SMALL) : sqrt(s[0]) / OF_SMALL;
}

// norm[0] is the norm of all gradients, norm[1] what they are multiplied by: max_norm / (norm + 1e-6), and at most 1.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void fold_gradient_norm(
        __global const float *partials, int slices, float max_norm, __global float *norm) {
    LOCAL_SQUARES(room);
    squares all = no_squares();
    for (int at = LOCAL_ITEM * VW; at < slices; at += WG * VW) {
        int valid = min(slices - at, VW);
        squares some;
        some.small = load_first(partials + at, valid);
        some.usual = load_first(partials + slices + at, valid);
        some.large = load_first(partials + 2 * slices + at, valid);
        add_squares(&all, some);
    }
    float sums[3];
    across_squares(all, sums, room);
    if (LOCAL_ITEM == 0) {
        float found = norm_of(sums), factor = max_norm / (found + 1e-6f);
        norm[0] = found;
        norm[1] = factor > 1.0f || isinf(max_norm) ? 1.0f : factor;
    }
}

// (1 - gain) v + gain g², with no square that is no float32 where the sum is one.
INLINE vec second_moment(vec v, vec g, float gain) { return fma((vec)(gain) * g, g, v - (vec)(gain) * v); }

// What a step does; the host's UpdateStep.Kind has the same order.
#define CLIP 0
#define SGD 1
#define ADAM 2
#define RMSPROP 3

// The moments are drawn towards what comes in by a share, first_gain or second_gain: a share near 0 is a float32 of all its
// digits, where one minus it is not.
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void update_parameters(
        MEMBERS, long per_slice, int skipped, float scale, float most, __global const float *norm, int kind, int decayed,
        float rate, float decay, float shrink, float momentum, float first_gain, float second_gain, float epsilon,
        float root, int nesterov, OUT(first), OUT(second), long first_element) {
    share mine = no_share((int)get_group_id(0));
    FIND_SHARE;
    __global float *firsts = OPTIONAL(first), *seconds = OPTIONAL(second);
    float factor = norm ? norm[1] : 1.0f;
    if (!HAS_MEMBER(decayed, mine.member)) {
        decay = shrink = 0.0f;
    }
    long end = HAS_MEMBER(skipped, mine.member) ? mine.at : mine.end;
    for (long at = mine.at + (long)LOCAL_ITEM * VW; at < end; at += WG * VW) {
        int valid = (int)LONG_MIN_OF(end - at, VW);
        long state = first_element + mine.from + (at - mine.at);
        vec g = scaled_and_clipped(load_first(mine.gradient + at, valid), scale, most) * (vec)(factor);
        if (kind == CLIP) {
            store_first(g, valid, mine.gradient + at);
            continue;
        }
        vec p = load_first(mine.value + at, valid), m = (vec)(0.0f), v = (vec)(1.0f);
        if (firsts) {
            m = load_first(firsts + state, valid);
        }
        if (seconds) {
            v = load_first(seconds + state, valid);
        }
        if (decay != 0.0f) { // 0 times an infinity would be NaN
            g += (vec)(decay) * p;
        }
        if (shrink != 0.0f) {
            p -= (vec)(shrink) * p;
        }
        vec step = g;
        if (kind == ADAM) {
            m = fma((vec)(first_gain), g - m, m);
            v = second_moment(v, g, second_gain);
            step = m / fma(sqrt(v), (vec)(root), (vec)(epsilon));
        } else {
            if (kind == RMSPROP) {
                v = second_moment(v, g, second_gain);
                step = g / (sqrt(v) + (vec)(epsilon));
            }
            if (firsts) {
                m = fma((vec)(momentum), m, (vec)(first_gain) * step);
                step = nesterov ? fma((vec)(momentum), m, step) : m;
            }
        }
        store_first(p - (vec)(rate) * step, valid, mine.value + at);
        if (firsts) {
            store_first(m, valid, firsts + state);
        }
        if (seconds) {
            store_first(v, valid, seconds + state);
        }
    }
}

#endif
