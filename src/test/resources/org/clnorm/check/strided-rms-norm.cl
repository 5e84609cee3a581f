// RMS normalization as it stands in a library of tensors: places in bytes, strides in bytes, vectors, a factor that may be missing,
// and a part of it in a file that others include too.
#include "sums.clh"

kernel void strided_rms_norm(
    global const char* from, ulong from_offset, global const float* weight, global char* to, ulong to_offset, int length,
    ulong from_stride, ulong to_stride, float epsilon, local float* sums) {
    const size_t row = get_group_id(0);
    global const float4* x = (global const float4*) (from + from_offset + row * from_stride);
    global float4* y = (global float4*) (to + to_offset + row * to_stride);
    float squares = 0;
    for (int i = get_local_id(0); i < length / 4; i += get_local_size(0)) squares += dot(x[i], x[i]);
    const float scale = 1 / sqrt(sum_of_group(squares, sums) / length + epsilon);
    for (int i = get_local_id(0); i < length / 4; i += get_local_size(0)) {
        y[i] = x[i] * scale * (weight ? vload4(i, weight) : (float4) (1));
    }
}
