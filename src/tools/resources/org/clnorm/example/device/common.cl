/* What the networks of this example need besides matrix products and normalization: one work-item for each result. */

/* Each row of y is the row. */
kernel void repeat_row(global const float *row, global float *y, int columns) {
    size_t i = get_global_id(0);
    y[i] = row[i % columns];
}

/* The sum down a column. Its order is fixed, so that two runs give the same bits. */
kernel void sum_rows(global const float *x, global float *sum, int rows, int columns) {
    size_t column = get_global_id(0);
    float s = 0;
    for (int row = 0; row < rows; row++) {
        s += x[(size_t)row * columns + column];
    }
    sum[column] = s;
}

kernel void relu(global const float *x, global float *y) {
    size_t i = get_global_id(0);
    y[i] = fmax(x[i], 0.0f);
}

kernel void relu_backward(global const float *y, global const float *dy, global float *dx) {
    size_t i = get_global_id(0);
    dx[i] = y[i] > 0 ? dy[i] : 0.0f;
}

kernel void sum_of_two(global const float *a, global const float *b, global float *y) {
    size_t i = get_global_id(0);
    y[i] = a[i] + b[i];
}

/* y of (N, channels) is the mean of x of (N, positions, channels). */
kernel void mean_pool(global const float *x, global float *y, int positions, int channels) {
    size_t i = get_global_id(0);
    size_t image = i / channels;
    size_t channel = i % channels;
    global const float *from = x + image * positions * channels + channel;
    float sum = 0;
    for (int position = 0; position < positions; position++) {
        sum += from[(size_t)position * channels];
    }
    y[i] = sum / positions;
}

kernel void mean_pool_backward(global const float *dy, global float *dx, int positions, int channels) {
    size_t i = get_global_id(0);
    size_t image = i / ((size_t)positions * channels);
    dx[i] = dy[image * channels + i % channels] / positions;
}

/* One row of logits: adds its loss, and whether it was right, to what its place in the batch has gathered, and leaves the
   gradient of the batch's mean loss. The largest logit is taken out before exp, which could overflow. */
kernel void softmax_loss(global const float *logits, global const float *labels, global float *losses,
                         global float *hits, global float *dlogits, int classes) {
    size_t row = get_global_id(0);
    int label = (int)labels[row];
    logits += row * classes;
    dlogits += row * classes;
    int best = 0;
    for (int c = 1; c < classes; c++) {
        best = logits[c] > logits[best] ? c : best;
    }
    float largest = logits[best];
    float sum = 0;
    for (int c = 0; c < classes; c++) {
        sum += exp(logits[c] - largest);
    }
    for (int c = 0; c < classes; c++) {
        float p = exp(logits[c] - largest) / sum;
        dlogits[c] = label < 0 ? 0.0f : (p - (c == label ? 1.0f : 0.0f)) / get_global_size(0);
    }
    if (label >= 0) {
        losses[row] += log(sum) + largest - logits[label];
        hits[row] += best == label ? 1.0f : 0.0f;
    }
}
