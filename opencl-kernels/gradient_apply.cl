// Step 3 backward: dx = dy' unit grad_dy + (x unit - mean_hi) grad_x + grad_1 + past, and the residual's gradient dy'.
// `past` is the gradient of x by what is computed from it past the normalization.
//
//   kernel                    launches  bytes moved                                     chosen when
//   gradient_apply_segmented  1         dy, x (unless frozen), y (its mask), past, dx, dresidual  groups of contiguous runs
//   gradient_apply_columnar   1         the same                                          columns
//
// dx or dresidual may be dy, and dx may be past: an element is read before it is written, and by the work-item that writes it.

#ifndef GRADIENT_APPLY_CL
#define GRADIENT_APPLY_CL

#include "masks.clh"
#include "pointwise.clh"

typedef struct {
    const_array_of(DY) dy;
    const_array_of(X) x;
    const_array_of(Y) y;
    const_array_of(PAST) past; // or null
    array_of(DX) dx;
    array_of(DRES) dresidual; // or null
    row_affine row;
    int mask, frozen;
    float slope;
    step_states states; // or null
    int along; // whether elements of a group lie along them
    __global const float *coefficients;
    int pitch;
} backward_arrays;

#define BACKWARD_OUTPUTS TENSOR_IN(PAST, past), TENSOR_OUT(DX, dx), TENSOR_OUT(DRES, dresidual), MASK_ARGS, int frozen

INLINE backward_arrays backward_of(
        const_array_of(DY) dy, const_array_of(X) x, const_array_of(Y) y, const_array_of(PAST) past, array_of(DX) dx,
        array_of(DRES) dresidual, MASK_ARGS, int frozen, __global const float *coefficients, int pitch) {
    backward_arrays a;
    a.dy = dy;
    a.x = x;
    a.y = y;
    a.past = past;
    a.dx = dx;
    a.dresidual = dresidual;
    a.row = row_affine_at(0, 0, 0, 0);
    a.mask = mask;
    a.slope = slope;
    a.states = 0;
    a.along = 0;
    a.frozen = frozen;
    a.coefficients = coefficients;
    a.pitch = pitch;
    return a;
}
#define BACKWARD_FROM(start, coefficients) \
    backward_of( \
            AT(dy) + (start), AT(x) + (start), AT(y) + (start), OPTIONAL_FROM(past, start), AT(dx) + (start), \
            OPTIONAL_FROM(dresidual, start), mask, slope, frozen, coefficients, pitch)

INLINE scalar_coefficients backward_of_group(backward_arrays a, int group) {
    __global const float *here = a.coefficients + group;
    scalar_coefficients c;
    c.unit = here[UNIT * a.pitch];
    c.hi = here[MEAN_HI * a.pitch];
    // For the mask, and for gamma's gradient by the element. Not read for nothing: of seven numbers a CPU's compiler makes a
    // gather, slower than one by one.
    c.scale = c.shift = 0.0f;
    if (ROWS || FINDS_V(a.mask)) {
        c.scale = here[SCALE * a.pitch];
        c.shift = here[SHIFT * a.pitch];
    }
    c.grad_dy = here[GRAD_DY * a.pitch];
    c.grad_x = here[GRAD_X * a.pitch];
    c.grad_1 = here[GRAD_1 * a.pitch];
    c.gamma = 1.0f;
    c.beta = -0.0f;
    return c;
}

INLINE vector_coefficients backward_of_columns(backward_arrays a, int column) {
    __global const float *here = a.coefficients + column;
    vector_coefficients c;
    c.unit = load(here + UNIT * a.pitch);
    c.hi = load(here + MEAN_HI * a.pitch);
    c.scale = c.shift = (vec)(0.0f);
    if (FINDS_V(a.mask)) {
        c.scale = load(here + SCALE * a.pitch);
        c.shift = load(here + SHIFT * a.pitch);
    }
    c.grad_dy = load(here + GRAD_DY * a.pitch);
    c.grad_x = load(here + GRAD_X * a.pitch);
    c.grad_1 = load(here + GRAD_1 * a.pitch);
    c.gamma = (vec)(1.0f);
    c.beta = (vec)(-0.0f);
    return c;
}

// Which arrays are read besides dy. x may hold anything where it is not.
INLINE int reads_x(backward_arrays a) { return (FINDS_V(a.mask)) | !a.frozen; }

INLINE void backward_element(backward_arrays a, long at, scalar_coefficients c) {
    c = at_element(c, a.row, at);
    float x = reads_x(a) ? scalar_undone(get_as(X, a.x + at), a.mask, a.slope) : 0.0f;
    float y = READS_Y(a.mask) ? get_as(Y, a.y + at) : 0.0f;
    float dy = scalar_masked(get_as(DY, a.dy + at), x, y, a.mask, a.slope, c);
    float dx = scalar_backward(dy, x, a.frozen, c);
    put_as(DX, a.past ? dx + get_as(PAST, a.past + at) : dx, a.dx + at);
    if (a.dresidual) {
        put_as(DRES, dy, a.dresidual + at);
    }
}

// A vector of dx, with what came past the normalization.
INLINE vec with_past(backward_arrays a, vec dx, long at) { return a.past ? dx + load_as(PAST, a.past + at) : dx; }

// As in apply.cl.
typedef struct {
    vec dy, x, y;
} backward_loaded;

INLINE backward_loaded backward_load(backward_arrays a, long at) {
    backward_loaded in;
    in.dy = load_dy(a.dy + at);
    in.x = in.y = (vec)(0.0f);
    if (reads_x(a)) {
        in.x = vector_undone(load_as(X, a.x + at), a.mask, a.slope);
    }
    if (READS_Y(a.mask)) {
        in.y = load_as(Y, a.y + at);
    }
    return in;
}

INLINE void backward_store(backward_arrays a, long at, backward_loaded in, vector_coefficients c) {
    c = at_elements(c, a.row, at);
    vec dy = vector_masked(in.dy, in.x, in.y, a.mask, a.slope, c);
    store_as(DX, with_past(a, vector_backward(dy, in.x, a.frozen, c), at), a.dx + at);
    if (a.dresidual) {
        store_as(DRES, dy, a.dresidual + at);
    }
}

// Nothing: of the arrays that it reads, processors see in time where they go on (asked for, a pass took 1 to 2 % longer).
INLINE void backward_ahead(backward_arrays a, long at) {}

// Where dx is all there is to be done; and the same said so that a compiler sees it.
INLINE int backward_is_plain(backward_arrays a) { return !a.frozen && !a.dresidual && !a.past; }

INLINE backward_arrays backward_plain(backward_arrays a) {
    a.frozen = 0;
    a.dresidual = 0;
    a.past = 0;
    return a;
}

// What is the usual way is asked once; the store stands once, as in a tile.
INLINE void backward_vector(backward_arrays a, long at, vector_coefficients c, int aligned) {
    c = at_elements(c, a.row, at);
    vec dx;
    if (a.frozen || a.dresidual) {
        backward_loaded in = backward_load(a, at);
        vec dy = vector_masked(in.dy, in.x, in.y, a.mask, a.slope, c);
        dx = vector_backward(dy, in.x, a.frozen, c);
        if (a.dresidual) {
            store_if_aligned_as(DRES, dy, a.dresidual + at);
        }
    } else {
        vec x = vector_undone(load_as(X, a.x + at), a.mask, a.slope);
        vec y = READS_Y(a.mask) ? load_as(Y, a.y + at) : (vec)(0.0f);
        dx = vector_backward(vector_masked(load_dy(a.dy + at), x, y, a.mask, a.slope, c), x, 0, c);
    }
    dx = with_past(a, dx, at);
    store_output_as(DX, dx, a.dx + at, aligned);
}

// A tile's vectors. Its stores stand once, after all branches: compilers make one of two equal stores at the ends of
// branches, and forget that it was to go past the cache (measured: twice the time).
INLINE void backward_tile(backward_arrays a, const long *at, const vector_coefficients *c) {
    vec dx[TILE];
    backward_loaded in[TILE];
    if (a.frozen || a.dresidual) {
        // All are read before one is written: for all a compiler knows, that is what the next one is read from.
        EACH_OF(i, TILE) { in[i] = backward_load(a, at[i]); }
        EACH_OF(i, TILE) {
            vector_coefficients here = at_elements(c[i % LINE_VECTORS(a.dx)], a.row, at[i]);
            vec dy = vector_masked(in[i].dy, in[i].x, in[i].y, a.mask, a.slope, here);
            dx[i] = vector_backward(dy, in[i].x, a.frozen, here);
            if (a.dresidual) {
                store_if_aligned_as(DRES, dy, a.dresidual + at[i]);
            }
        }
    } else {
        EACH_OF(i, TILE) {
            in[i].x = vector_undone(load_as(X, a.x + at[i]), a.mask, a.slope);
            in[i].y = READS_Y(a.mask) ? load_as(Y, a.y + at[i]) : (vec)(0.0f);
            in[i].dy = load_dy(a.dy + at[i]);
        }
        EACH_OF(i, TILE) {
            vector_coefficients here = at_elements(c[i % LINE_VECTORS(a.dx)], a.row, at[i]);
            vec dy = vector_masked(in[i].dy, in[i].x, in[i].y, a.mask, a.slope, here);
            dx[i] = vector_backward(dy, in[i].x, 0, here);
        }
    }
    if (a.past) {
        EACH_OF(i, TILE) { dx[i] += load_as(PAST, a.past + at[i]); }
    }
    EACH_OF(i, TILE) { store_if_aligned_as(DX, dx[i], a.dx + at[i]); }
}

INLINE void backward_partial(backward_arrays a, long at, int valid, vector_coefficients c) {
    vec x = reads_x(a) ? vector_undone(load_first_as(X, a.x + at, valid), a.mask, a.slope) : (vec)(0.0f);
    vec y = READS_Y(a.mask) ? load_first_as(Y, a.y + at, valid) : (vec)(0.0f);
    vec dy = vector_masked(load_first_as(DY, a.dy + at, valid), x, y, a.mask, a.slope, c);
    vec dx = vector_backward(dy, x, a.frozen, c);
    if (a.past) {
        dx += load_first_as(PAST, a.past + at, valid);
    }
    store_first_as(DX, dx, valid, a.dx + at);
    if (a.dresidual) {
        store_first_as(DRES, dy, valid, a.dresidual + at);
    }
}

// Where no step takes part: nothing comes through.
INLINE void backward_blank(backward_arrays a, long at) {
    put_as(DX, a.past ? get_as(PAST, a.past + at) : 0.0f, a.dx + at);
    if (a.dresidual) {
        put_as(DRES, 0.0f, a.dresidual + at);
    }
}
INLINE void backward_blank_vector(backward_arrays a, long at) {
    store_as(DX, with_past(a, (vec)(0.0f), at), a.dx + at);
    if (a.dresidual) {
        store_as(DRES, (vec)(0.0f), a.dresidual + at);
    }
}

#define APPLIED backward
#define OUTPUT dx
#include "sweep_template.clh"
#undef APPLIED
#undef OUTPUT

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_apply_segmented(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS MASKED_ARGS ROW_ARGS, SEGMENTED_ARGS, __global const float *coefficients, int pitch) {
    const int block = BLOCK_OF(LAST_FIRST), in_block = IN_BLOCK(LAST_FIRST);
    segments = (int)RUNS_OF_BLOCK(segments);
    int group = GROUP_IN(in_block % SETS), slice = in_block / SETS;
    run part = run_if(HAS_GROUP_IN(in_block % SETS), SLICE_OF_SEGMENTS(group, slice));
    backward_arrays arrays = BACKWARD_FROM(block * block_stride, OF_BLOCK(coefficients));
    arrays.row = ROW_AFFINE((long)group * length, length);
    arrays.states = STATES_OF_BLOCK;
    arrays.along = STEPS_ALONG;
    backward_run(&arrays, &part, group);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void gradient_apply_columnar(
        GRADIENT_INPUTS, BACKWARD_OUTPUTS MASKED_ARGS, FLAT_ARGS, __global const float *coefficients, int pitch) {
    const int block = BLOCK_OF(LAST_FIRST), in_block = IN_BLOCK(LAST_FIRST);
    backward_arrays arrays = BACKWARD_FROM(block * block_stride, OF_BLOCK(coefficients));
    arrays.states = STATES_OF_BLOCK;
    backward_flat(&arrays, RUNS_OF_BLOCK(rows) * groups, in_block, per_slice, groups);
}

#endif
