// Batch normalization of (N, C, S) with given statistics: a work-item for each element.
kernel void batch_norm_inference(
    global const float* x, global float* y, global const float* gamma, global const float* beta, global const float* mean,
    global const float* variance, int channels, int spatial, int elements, float epsilon) {
    const int i = get_global_id(0);
    if (i < elements) {
        const int c = i / spatial % channels;
        y[i] = (x[i] - mean[c]) / sqrt(variance[c] + epsilon) * gamma[c] + beta[c];
    }
}
