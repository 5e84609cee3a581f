// Batch normalization of (N, C, S) in two launches: PARTS work-groups for each channel leave the count, mean and squares of
// their share, and those of the second launch merge them (Chan's formula) before they write y.

static void merge(float* count, float* mean, float* squares, float n, float other_mean, float other_squares) {
    const float total = *count + n;
    if (n == 0) return;
    const float distance = other_mean - *mean;
    *mean += distance * n / total;
    *squares += other_squares + distance * distance * *count * n / total;
    *count = total;
}

kernel void moments(
    global const float* x, global float* partial, int n, int channels, int spatial, int parts, local float* means,
    local float* counts, local float* all_squares) {
    const int c = get_global_id(1);
    const int part = get_group_id(0);
    const int lid = get_local_id(0);
    const int m = n * spatial;
    const int stride = get_global_size(0);
    float count = 0;
    float mean = 0;
    float squares = 0;
    for (int i = get_global_id(0); i < m; i += stride) {
        merge(&count, &mean, &squares, 1, x[(i / spatial * channels + c) * spatial + i % spatial], 0);
    }
    counts[lid] = count;
    means[lid] = mean;
    all_squares[lid] = squares;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lid == 0) {
        for (int i = 1; i < get_local_size(0); i++) merge(&count, &mean, &squares, counts[i], means[i], all_squares[i]);
        global float* out = partial + 3 * (c * parts + part);
        out[0] = count;
        out[1] = mean;
        out[2] = squares;
    }
}

kernel void normalize_by_moments(
    global const float* x, global const float* partial, global const float* gamma, global const float* beta,
    global float* y, global float* mean_out, global float* variance_out, int n, int channels, int spatial, int parts,
    float epsilon) {
    const int c = get_global_id(1);
    const int m = n * spatial;
    float count = 0;
    float mean = 0;
    float squares = 0;
    for (int part = 0; part < parts; part++) {
        global const float* in = partial + 3 * (c * parts + part);
        merge(&count, &mean, &squares, in[0], in[1], in[2]);
    }
    const float variance = squares / m;
    for (int i = get_global_id(0); i < m; i += get_global_size(0)) {
        const int at = (i / spatial * channels + c) * spatial + i % spatial;
        y[at] = (x[at] - mean) / sqrt(variance + epsilon) * gamma[c] + beta[c];
    }
    if (get_global_id(0) == 0) {
        mean_out[c] = mean;
        variance_out[c] = variance;
    }
}
