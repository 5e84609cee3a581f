// y = x, contiguous: what a pass would take if it did nothing but move its data. The ceiling that benchmarks quote.
//
//   kernel  launches  bytes moved  chosen when
//   copy    1         x, y         Backend.copy

#include "groups.clh"

// Vectors that a GPU's work-item reads before it writes one, as apply steps do, or the ceiling would be too low.
#define COPIED 4

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void copy(
        IN(x), OUT(y), long elements, long per_slice) {
    __global const float *x = AT(x);
    __global float *y = AT(y);
    long at = get_group_id(0) * per_slice;
    long end = LONG_MIN_OF(elements, at + per_slice);
    if (WG == 1) {
        for (int lead = elements_to_line(y + at, (int)LONG_MIN_OF(end - at, LINE), sizeof(float)); lead > 0; lead--, at++) {
            y[at] = x[at];
        }
    }
    if (WG > 1 && (((size_t)(x + at) | (size_t)(y + at)) & (VW * sizeof(float) - 1)) != 0) {
        for (at += LOCAL_ITEM; at < end; at += WG) { // no vectors, which are aligned
            y[at] = x[at];
        }
        return;
    }
    at += (long)LOCAL_ITEM * VW;
    if (WG > 1) {
        for (; at + (COPIED - 1) * WG * VW + VW <= end; at += COPIED * WG * VW) {
            vec v[COPIED];
            EACH_OF(i, COPIED) { v[i] = load(x + at + i * WG * VW); }
            EACH_OF(i, COPIED) { store(v[i], y + at + i * WG * VW); }
        }
    }
    for (; at + VW <= end; at += WG * VW) {
        if (WG == 1) {
            store_aligned_0(load(x + at), y + at);
        } else {
            store(load(x + at), y + at);
        }
    }
    for (; at < end; at++) {
        y[at] = x[at];
    }
}
