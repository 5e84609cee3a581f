// Batch normalization of (N, C, S) in float32, a work-group for each channel: mean, variance about it, y = γ·x̂ + β.

// The sum of every work-item's value, in each of them. Local memory may be written again afterwards.
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

kernel void batch_norm_forward(
    global const float* x, global const float* gamma, global const float* beta, global float* y, global float* mean_out,
    global float* invstd_out, global float* running_mean, global float* running_variance, int n, int channels, int spatial,
    float epsilon, float momentum, local float* partial) {
    const int c = get_group_id(0);
    const int m = n * spatial;
    float sum = 0;
    for (int i = get_local_id(0); i < m; i += get_local_size(0)) {
        sum += x[(i / spatial * channels + c) * spatial + i % spatial];
    }
    const float mean = sum_of_group(sum, partial) / m;
    float squares = 0;
    for (int i = get_local_id(0); i < m; i += get_local_size(0)) {
        const float deviation = x[(i / spatial * channels + c) * spatial + i % spatial] - mean;
        squares += deviation * deviation;
    }
    const float variance = sum_of_group(squares, partial) / m;
    const float invstd = 1 / sqrt(variance + epsilon);
    for (int i = get_local_id(0); i < m; i += get_local_size(0)) {
        const int at = (i / spatial * channels + c) * spatial + i % spatial;
        y[at] = (x[at] - mean) * invstd * gamma[c] + beta[c];
    }
    if (get_local_id(0) == 0) {
        const float unbiased = m > 1 ? variance * m / (m - 1) : variance;
        mean_out[c] = mean;
        invstd_out[c] = invstd;
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean;
        running_variance[c] = (1 - momentum) * running_variance[c] + momentum * unbiased;
    }
}
