// The gradients of batch normalization of (N, S, C), channels last: a work-group for each channel.
kernel void batch_norm_backward(
    global const float* dy, global const float* x, global const float* gamma, global const float* mean,
    global const float* invstd, global float* dx, global float* dgamma, global float* dbeta, int rows, int channels,
    local float* sums, local float* products) {
    const int c = get_group_id(0);
    const int lid = get_local_id(0);
    const int size = get_local_size(0);
    float sum = 0;
    float product = 0;
    for (int row = lid; row < rows; row += size) {
        const int i = row * channels + c;
        sum += dy[i];
        product += dy[i] * (x[i] - mean[c]);
    }
    sums[lid] = sum;
    products[lid] = product;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_size = size / 2; half_size > 0; half_size /= 2) {
        if (lid < half_size) {
            sums[lid] += sums[lid + half_size];
            products[lid] += products[lid + half_size];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float total = sums[0];
    const float scaled = products[0] * invstd[c];
    if (lid == 0) {
        dbeta[c] = total;
        dgamma[c] = scaled;
    }
    for (int row = lid; row < rows; row += size) {
        const int i = row * channels + c;
        const float normalized = (x[i] - mean[c]) * invstd[c];
        dx[i] = gamma[c] * invstd[c] * (dy[i] - total / rows - normalized * scaled / rows);
    }
}
