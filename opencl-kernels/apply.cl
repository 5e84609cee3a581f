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
    __global const float *x;
    __global const float *residual;
    __global float *y;
} forward_arrays;

#define FORWARD_ARRAYS IN(x), IN(residual), OUT(y)

INLINE forward_arrays forward_of(
        __global const float *x, __global const float *residual, __global float *y) {
    forward_arrays a;
    a.x = x;
    a.residual = residual;
    a.y = y;
    return a;
}

INLINE void forward_element(forward_arrays a, long at, scalar_coefficients c) {
    a.y[at] = scalar_forward(a.x[at], RESIDUAL ? a.residual[at] : 0.0f, c);
}

INLINE void forward_vector(forward_arrays a, long at, vector_coefficients c) {
    store_if_aligned(vector_forward(load(a.x + at), RESIDUAL ? load(a.residual + at) : (vec)(0.0f), c), a.y + at);
}

INLINE void forward_aligned(forward_arrays a, long at, vector_coefficients c) {
    store_aligned(vector_forward(load(a.x + at), RESIDUAL ? load(a.residual + at) : (vec)(0.0f), c), a.y + at);
}

INLINE void forward_partial(forward_arrays a, long at, int valid, vector_coefficients c) {
    vec x = load_before(a.x + at, a.x + at + valid);
    vec residual = RESIDUAL ? load_before(a.residual + at, a.residual + at + valid) : (vec)(0.0f);
    store_first(vector_forward(x, residual, c), valid, a.y + at);
}

// What the step reads of a vector, and what it does with that once several such reads are under way.
typedef struct {
    vec x, residual;
} forward_loaded;

INLINE forward_loaded forward_load(forward_arrays a, long at) {
    forward_loaded in;
    in.x = load(a.x + at);
    in.residual = RESIDUAL ? load(a.residual + at) : (vec)(0.0f);
    return in;
}

INLINE void forward_store(forward_arrays a, long at, forward_loaded in, vector_coefficients c) {
    store(vector_forward(in.x, in.residual, c), a.y + at);
}

DEFINE_SWEEPS(forward, y)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void apply_segmented(
        FORWARD_ARRAYS, SEGMENTED_ARGS, __global const float *coefficients, int pitch) {
    int group = APPLY_GROUP_ID % groups;
    int slice = APPLY_GROUP_ID / groups;
    forward_run(
            forward_of(AT(x), AT(residual), AT(y)), SLICE_OF_SEGMENTS(group, slice),
            forward_of_group(coefficients, pitch, group));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void apply_columnar(
        FORWARD_ARRAYS, long elements, long per_slice, int groups, __global const float *coefficients, int pitch) {
    forward_flat(forward_of(AT(x), AT(residual), AT(y)), elements, per_slice, groups, coefficients, pitch);
}

#if WG == 1
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void apply_planes(
        FORWARD_ARRAYS, long elements, long per_slice, int groups, int length, __global const float *coefficients,
        int pitch) {
    forward_planes(forward_of(AT(x), AT(residual), AT(y)), elements, per_slice, groups, length, coefficients, pitch);
}
#endif

#endif
