// Layer normalization of rows: a work-group for each.
static float sum_of_group(float value, local float* partial) {
    const int lid = get_local_id(0);
    partial[lid] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_size = get_local_size(0) / 2; half_size > 0; half_size /= 2) {
        if (lid < half_size) partial[lid] += partial[lid + half_size];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float sum = partial[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return sum;
}

kernel void layer_norm(
    global const float* x, global const float* gamma, global const float* beta, global float* y, int length,
    float epsilon, local float* partial) {
    const size_t row = (size_t) get_group_id(0) * length;
    float sum = 0;
    for (int i = get_local_id(0); i < length; i += WG) sum += x[row + i];
    const float mean = sum_of_group(sum, partial) / length;
    float squares = 0;
    for (int i = get_local_id(0); i < length; i += WG) squares += (x[row + i] - mean) * (x[row + i] - mean);
    const float invstd = 1 / sqrt(sum_of_group(squares, partial) / length + epsilon);
    for (int i = get_local_id(0); i < length; i += WG) {
        y[row + i] = (x[row + i] - mean) * invstd * gamma[i] + beta[i];
    }
}
