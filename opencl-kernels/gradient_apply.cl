// Step 3 backward: dx = dy' unit grad_dy + (x unit - mean_hi) grad_x + grad_1, and the residual's gradient dy'.
//
//   kernel                    launches  bytes moved                                     chosen when
//   gradient_apply_segmented  1         dy, x (unless FROZEN), y (MASK 2), dx, dresidual  groups of contiguous runs
//   gradient_apply_columnar   1         the same                                          columns
//
// dx or dresidual may be dy: an element is read before it is written, and by the work-item that writes it.

#ifndef GRADIENT_APPLY_CL
#define GRADIENT_APPLY_CL

#include "pointwise.clh"
#include "sweep.clh"

typedef struct {
    const_array_of(DY) dy;
    const_array_of(X) x;
    const_array_of(Y) y;
    array_of(DX) dx;
    array_of(DRES) dresidual;
    row_affine row;
} backward_arrays;

#define BACKWARD_OUTPUTS TENSOR_OUT(DX, dx), TENSOR_OUT(DRES, dresidual) ROW_ARGS
#define SHIFT_OUTPUTS dx_offset += block_start, dresidual_offset += block_start

INLINE backward_arrays backward_of(
        const_array_of(DY) dy, const_array_of(X) x, const_array_of(Y) y, array_of(DX) dx,
        array_of(DRES) dresidual) {
    backward_arrays a;
    a.dy = dy;
    a.x = x;
    a.y = y;
    a.dx = dx;
    a.dresidual = dresidual;
    a.row = row_affine_at(0, 0, 0, 0);
    return a;
}
#define BACKWARD_ARRAYS backward_of(AT(dy), AT(x), AT(y), AT(dx), AT(dresidual))

INLINE void backward_element(backward_arrays a, long at, scalar_coefficients c) {
    c = at_element(c, a.row, at);
    float x = READS_X ? get_as(X, a.x + at) : 0.0f;
    float dy = scalar_masked(get_as(DY, a.dy + at), x, READS_Y ? get_as(Y, a.y + at) : 0.0f, c);
    put_as(DX, scalar_backward(dy, x, c), a.dx + at);
    if (RESIDUAL) {
        put_as(DRES, dy, a.dresidual + at);
    }
}

INLINE void backward_vector(backward_arrays a, long at, vector_coefficients c) {
    c = at_elements(c, a.row, at);
    vec x = READS_X ? load_as(X, a.x + at) : (vec)(0.0f);
    vec dy = vector_masked(LOAD_DY(a.dy + at), x, READS_Y ? load_as(Y, a.y + at) : (vec)(0.0f), c);
    store_if_aligned_as(DX, vector_backward(dy, x, c), a.dx + at);
    if (RESIDUAL) {
        store_if_aligned_as(DRES, dy, a.dresidual + at);
    }
}

INLINE void backward_aligned(backward_arrays a, long at, vector_coefficients c) {
    c = at_elements(c, a.row, at);
    vec x = READS_X ? load_as(X, a.x + at) : (vec)(0.0f);
    vec dy = vector_masked(LOAD_DY(a.dy + at), x, READS_Y ? load_as(Y, a.y + at) : (vec)(0.0f), c);
    store_aligned_as(DX, vector_backward(dy, x, c), a.dx + at);
    if (RESIDUAL) {
        store_if_aligned_as(DRES, dy, a.dresidual + at);
    }
}

INLINE void backward_partial(backward_arrays a, long at, int valid, vector_coefficients c) {
    vec x = READS_X ? load_before_as(X, a.x + at, a.x + at + valid) : (vec)(0.0f);
    vec y = READS_Y ? load_before_as(Y, a.y + at, a.y + at + valid) : (vec)(0.0f);
    vec dy = vector_masked(load_before_as(DY, a.dy + at, a.dy + at + valid), x, y, c);
    store_first_as(DX, vector_backward(dy, x, c), valid, a.dx + at);
    if (RESIDUAL) {
        store_first_as(DRES, dy, valid, a.dresidual + at);
    }
}

// As in apply.cl.
typedef struct {
    vec dy, x, y;
} backward_loaded;

INLINE backward_loaded backward_load(backward_arrays a, long at) {
    backward_loaded in;
    in.dy = load_as(DY, a.dy + at);
    in.x = READS_X ? load_as(X, a.x + at) : (vec)(0.0f);
    in.y = READS_Y ? load_as(Y, a.y + at) : (vec)(0.0f);
    return in;
}

INLINE void backward_store(backward_arrays a, long at, backward_loaded in, vector_coefficients c) {
    c = at_elements(c, a.row, at);
    vec dy = vector_masked(in.dy, in.x, in.y, c);
    store_as(DX, vector_backward(dy, in.x, c), a.dx + at);
    if (RESIDUAL) {
        store_as(DRES, dy, a.dresidual + at);
    }
}

DEFINE_SWEEPS(backward, DX, dx)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_apply_segmented(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, SEGMENTED_ARGS, __global const float *coefficients, int pitch) {
    ENTER_BLOCK(LAST_FIRST);
    SHIFT_INPUTS, SHIFT_OUTPUTS;
    segments = (int)RUNS_OF_BLOCK(segments);
    int group = in_block % groups;
    int slice = in_block / groups;
    backward_arrays arrays = BACKWARD_ARRAYS;
    arrays.row = ROW_AFFINE((long)group * length, length);
    backward_run(arrays, SLICE_OF_SEGMENTS(group, slice), backward_of_group(OF_BLOCK(coefficients), pitch, group));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_apply_columnar(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS, FLAT_ARGS, __global const float *coefficients, int pitch) {
    ENTER_BLOCK(LAST_FIRST);
    SHIFT_INPUTS, SHIFT_OUTPUTS;
    backward_flat(
            BACKWARD_ARRAYS, RUNS_OF_BLOCK(rows) * groups, in_block, per_slice, groups, OF_BLOCK(coefficients), pitch);
}

#endif
