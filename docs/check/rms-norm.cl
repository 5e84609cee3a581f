// RMS normalization of rows of float16, sums in float32: a work-group for each row.
kernel void rms_norm(
    global const half* x, global half* y, global const float* weight, long length, float epsilon, local float* partial) {
    const int lid = get_local_id(0);
    const size_t row = (size_t) get_group_id(0) * length;
    float squares = 0;
    for (long i = lid; i < length; i += get_local_size(0)) {
        const float value = vload_half(row + i, x);
        squares += value * value;
    }
    partial[lid] = squares;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_size = get_local_size(0) / 2; half_size > 0; half_size /= 2) {
        if (lid < half_size) partial[lid] += partial[lid + half_size];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float scale = 1 / sqrt(partial[0] / length + epsilon);
    for (long i = lid; i < length; i += get_local_size(0)) {
        vstore_half(vload_half(row + i, x) * scale * weight[i], row + i, y);
    }
}
