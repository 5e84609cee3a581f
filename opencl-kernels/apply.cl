// Step 3 forward: y = act((x - mean) * scale + beta + residual), from the coefficients alone.
//
//   kernel           launches  bytes moved        chosen when
//   apply_segmented  1         x, residual, y     groups of contiguous runs
//   apply_columnar   1         x, residual, y     columns
//   apply_planes     1         x, residual, y     all groups' runs side by side, and work-groups of one item
//
// y may be x or the residual: an element is read before it is written, and by the work-item that writes it.

#ifndef APPLY_CL
#define APPLY_CL

#include "masks.clh"
#include "pointwise.clh"

typedef struct {
    const_array_of(X) x;
    const_array_of(RES) residual; // or null
    array_of(Y) y;
    row_affine row;
    int activation; // its kind
    float slope;
    step_states states; // or null
    int along; // whether elements of a group lie along them
    __global const float *coefficients;
    int pitch;
} forward_arrays;

#define FORWARD_ARGS TENSOR_IN(X, x), TENSOR_IN(RES, residual), TENSOR_OUT(Y, y), int activation, float slope

INLINE forward_arrays forward_of(
        const_array_of(X) x, const_array_of(RES) residual, array_of(Y) y, int activation, float slope,
        __global const float *coefficients, int pitch) {
    forward_arrays a;
    a.x = x;
    a.residual = residual;
    a.y = y;
    a.row = row_affine_at(0, 0, 0, 0);
    a.activation = activation;
    a.slope = slope;
    a.states = 0;
    a.along = 0;
    a.coefficients = coefficients;
    a.pitch = pitch;
    return a;
}
#define FORWARD_FROM(start, coefficients) \
    forward_of(AT(x) + (start), OPTIONAL_FROM(residual, start), AT(y) + (start), activation, slope, coefficients, pitch)

INLINE scalar_coefficients forward_of_group(forward_arrays a, int group) {
    return coefficients_of_group(a.coefficients, a.pitch, group);
}

INLINE vector_coefficients forward_of_columns(forward_arrays a, int column) {
    return coefficients_of_columns(a.coefficients, a.pitch, column);
}

INLINE void forward_element(forward_arrays a, long at, scalar_coefficients c) {
    float v = scalar_normalized(get_as(X, a.x + at), at_element(c, a.row, at));
    if (a.residual) {
        v += get_as(RES, a.residual + at);
    }
    put_as(Y, scalar_activated(v, a.activation, a.slope), a.y + at);
}

// What the step reads of a vector, and what it does with that.
typedef struct {
    vec x, residual;
} forward_loaded;

INLINE forward_loaded forward_load(forward_arrays a, long at) {
    forward_loaded in;
    in.x = load_as(X, a.x + at);
    in.residual = (vec)(-0.0f);
    if (a.residual) {
        in.residual = load_as(RES, a.residual + at);
    }
    return in;
}

INLINE vec forward_result(forward_arrays a, forward_loaded in, vector_coefficients c) {
    return vector_activated(vector_normalized(in.x, c) + in.residual, a.activation, a.slope);
}

INLINE void forward_store(forward_arrays a, long at, forward_loaded in, vector_coefficients c) {
    store_as(Y, forward_result(a, in, at_elements(c, a.row, at)), a.y + at);
}

INLINE void forward_ahead(forward_arrays a, long at) {
    fetch_ahead(a.x + at);
    if (a.residual) {
        fetch_ahead(a.residual + at);
    }
}

// Where an element is normalized and nothing else; and the same said so that a compiler sees it.
INLINE int forward_is_plain(forward_arrays a) { return !a.residual && a.activation == NONE; }

INLINE forward_arrays forward_plain(forward_arrays a) {
    a.residual = 0;
    a.activation = NONE;
    return a;
}

INLINE void forward_vector(forward_arrays a, long at, vector_coefficients c, int aligned) {
    vec v = vector_normalized(load_as(X, a.x + at), at_elements(c, a.row, at));
    if (a.residual) {
        v += load_as(RES, a.residual + at);
    }
    v = vector_activated(v, a.activation, a.slope);
    store_output_as(Y, v, a.y + at, aligned);
}

// A tile's vectors, for which what an argument decides is asked once: of columns, whose rows are apart, and of a GPU's
// work-item. Along contiguous memory a single work-item is quicker by one vector after the other (measured: up to an
// eighth). Its stores stand once, after all branches: compilers make one of two equal stores at the ends of branches, and
// forget that it was to go past the cache (measured: twice the time).
INLINE void forward_tile(forward_arrays a, const long *at, const vector_coefficients *c) {
    vec v[TILE];
    EACH_OF(i, TILE) { v[i] = load_as(X, a.x + at[i]); }
    EACH_OF(i, TILE) { v[i] = vector_standardized(v[i], c[i % LINE_VECTORS(a.y)]); }
    if (ROWS && a.row.has_gamma && a.row.has_beta) { // the same roundings as vector_normalized
        EACH_OF(i, TILE) { v[i] = fma(v[i], load(a.row.gamma + at[i]), load(a.row.beta + at[i])); }
    } else if (ROWS && a.row.has_gamma) {
        EACH_OF(i, TILE) { v[i] *= load(a.row.gamma + at[i]); }
    } else if (ROWS && a.row.has_beta) {
        EACH_OF(i, TILE) { v[i] += load(a.row.beta + at[i]); }
    }
    if (a.residual) {
        EACH_OF(i, TILE) { v[i] += load_as(RES, a.residual + at[i]); }
    }
    if (ACTIVATION ? a.activation != NONE : a.activation == RELU) {
        EACH_OF(i, TILE) { v[i] = vector_activated(v[i], a.activation, a.slope); }
    }
    EACH_OF(i, TILE) { store_if_aligned_as(Y, v[i], a.y + at[i]); }
}

INLINE void forward_partial(forward_arrays a, long at, int valid, vector_coefficients c) {
    forward_loaded in;
    in.x = load_first_as(X, a.x + at, valid);
    in.residual = (vec)(-0.0f);
    if (a.residual) {
        in.residual = load_first_as(RES, a.residual + at, valid);
    }
    store_first_as(Y, forward_result(a, in, c), valid, a.y + at);
}

// Where no step takes part.
INLINE void forward_blank(forward_arrays a, long at) { put_as(Y, 0.0f, a.y + at); }
INLINE void forward_blank_vector(forward_arrays a, long at) { store_as(Y, (vec)(0.0f), a.y + at); }

#define APPLIED forward
#define OUTPUT y
#include "sweep_template.clh"
#undef APPLIED
#undef OUTPUT

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void apply_segmented(
        FORWARD_ARGS MASKED_ARGS ROW_ARGS, SEGMENTED_ARGS, __global const float *coefficients, int pitch) {
    const int block = BLOCK_OF(LAST_FIRST), in_block = IN_BLOCK(LAST_FIRST);
    segments = (int)RUNS_OF_BLOCK(segments);
    int group = GROUP_IN(in_block % SETS), slice = in_block / SETS;
    run part = run_if(HAS_GROUP_IN(in_block % SETS), SLICE_OF_SEGMENTS(group, slice));
    forward_arrays arrays = FORWARD_FROM(block * block_stride, OF_BLOCK(coefficients));
    arrays.row = ROW_AFFINE((long)group * length, length);
    arrays.states = STATES_OF_BLOCK;
    arrays.along = STEPS_ALONG;
    forward_run(&arrays, &part, group);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void apply_columnar(
        FORWARD_ARGS MASKED_ARGS, FLAT_ARGS, __global const float *coefficients, int pitch) {
    const int block = BLOCK_OF(LAST_FIRST), in_block = IN_BLOCK(LAST_FIRST);
    forward_arrays arrays = FORWARD_FROM(block * block_stride, OF_BLOCK(coefficients));
    arrays.states = STATES_OF_BLOCK;
    forward_flat(&arrays, RUNS_OF_BLOCK(rows) * groups, in_block, per_slice, groups);
}

#if WG == 1
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void apply_planes(
        FORWARD_ARGS, FLAT_ARGS, int length, __global const float *coefficients, int pitch) {
    const int block = BLOCK_OF(LAST_FIRST), in_block = IN_BLOCK(LAST_FIRST);
    long from = in_block * per_slice;
    long end = LONG_MIN_OF(RUNS_OF_BLOCK(rows) * groups * length, from + per_slice);
    forward_arrays arrays = FORWARD_FROM(block * block_stride, OF_BLOCK(coefficients));
    forward_planes(&arrays, from, end, groups, length, 1);
}
#endif

#endif
