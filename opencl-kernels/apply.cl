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

#include "pointwise.clh"
#include "sweep.clh"

typedef struct {
    const_array_of(X) x;
    const_array_of(RES) residual;
    array_of(Y) y;
    row_affine row;
} forward_arrays;

#define FORWARD_ARRAYS TENSOR_IN(X, x), TENSOR_IN(RES, residual), TENSOR_OUT(Y, y) ROW_ARGS
#define SHIFT_FORWARD x_offset += block_start, residual_offset += block_start, y_offset += block_start

INLINE forward_arrays forward_of(
        const_array_of(X) x, const_array_of(RES) residual, array_of(Y) y) {
    forward_arrays a;
    a.x = x;
    a.residual = residual;
    a.y = y;
    a.row = row_affine_at(0, 0, 0, 0);
    return a;
}

INLINE void forward_element(forward_arrays a, long at, scalar_coefficients c) {
    float residual = RESIDUAL ? get_as(RES, a.residual + at) : 0.0f;
    put_as(Y, scalar_forward(get_as(X, a.x + at), residual, at_element(c, a.row, at)), a.y + at);
}

INLINE void forward_vector(forward_arrays a, long at, vector_coefficients c) {
    c = at_elements(c, a.row, at);
    vec residual = RESIDUAL ? load_as(RES, a.residual + at) : (vec)(0.0f);
    store_if_aligned_as(Y, vector_forward(load_as(X, a.x + at), residual, c), a.y + at);
}

INLINE void forward_aligned(forward_arrays a, long at, vector_coefficients c) {
    c = at_elements(c, a.row, at);
    vec residual = RESIDUAL ? load_as(RES, a.residual + at) : (vec)(0.0f);
    store_aligned_as(Y, vector_forward(load_as(X, a.x + at), residual, c), a.y + at);
}

INLINE void forward_partial(forward_arrays a, long at, int valid, vector_coefficients c) {
    vec x = load_before_as(X, a.x + at, a.x + at + valid);
    vec residual = RESIDUAL ? load_before_as(RES, a.residual + at, a.residual + at + valid) : (vec)(0.0f);
    store_first_as(Y, vector_forward(x, residual, c), valid, a.y + at);
}

// What the step reads of a vector, and what it does with that once several such reads are under way.
typedef struct {
    vec x, residual;
} forward_loaded;

INLINE forward_loaded forward_load(forward_arrays a, long at) {
    forward_loaded in;
    in.x = load_as(X, a.x + at);
    in.residual = RESIDUAL ? load_as(RES, a.residual + at) : (vec)(0.0f);
    return in;
}

INLINE void forward_store(forward_arrays a, long at, forward_loaded in, vector_coefficients c) {
    store_as(Y, vector_forward(in.x, in.residual, at_elements(c, a.row, at)), a.y + at);
}

DEFINE_SWEEPS(forward, Y, y)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void apply_segmented(
        FORWARD_ARRAYS, SEGMENTED_ARGS, __global const float *coefficients, int pitch) {
    ENTER_BLOCK(LAST_FIRST);
    SHIFT_FORWARD;
    segments = (int)RUNS_OF_BLOCK(segments);
    int group = in_block % groups;
    int slice = in_block / groups;
    forward_arrays arrays = forward_of(AT(x), AT(residual), AT(y));
    arrays.row = ROW_AFFINE((long)group * length, length);
    forward_run(
            arrays, SLICE_OF_SEGMENTS(group, slice), forward_of_group(OF_BLOCK(coefficients), pitch, group));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void apply_columnar(
        FORWARD_ARRAYS, FLAT_ARGS, __global const float *coefficients, int pitch) {
    ENTER_BLOCK(LAST_FIRST);
    SHIFT_FORWARD;
    forward_flat(
            forward_of(AT(x), AT(residual), AT(y)), RUNS_OF_BLOCK(rows) * groups, in_block, per_slice, groups,
            OF_BLOCK(coefficients), pitch);
}

#if WG == 1
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void apply_planes(
        FORWARD_ARRAYS, FLAT_ARGS, int length, __global const float *coefficients, int pitch) {
    ENTER_BLOCK(LAST_FIRST);
    SHIFT_FORWARD;
    long from = in_block * per_slice;
    long end = LONG_MIN_OF(RUNS_OF_BLOCK(rows) * groups * length, from + per_slice);
    forward_planes(
            forward_of(AT(x), AT(residual), AT(y)), from, end, groups, length, OF_BLOCK(coefficients), pitch);
}
#endif

#endif
