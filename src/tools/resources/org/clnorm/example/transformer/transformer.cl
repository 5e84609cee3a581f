/* What attention needs besides matrix products. */

/* Softmax of each row, in its place. The largest is taken out before exp, which could overflow. */
kernel void softmax_rows(global float *x, int columns) {
    x += get_global_id(0) * columns;
    float largest = x[0];
    for (int c = 1; c < columns; c++) {
        largest = fmax(largest, x[c]);
    }
    float sum = 0;
    for (int c = 0; c < columns; c++) {
        x[c] = exp(x[c] - largest);
        sum += x[c];
    }
    for (int c = 0; c < columns; c++) {
        x[c] /= sum;
    }
}

/* From the gradient by the softmax of each row that by what it was of, in its place: y (dy - sum of y dy). */
kernel void softmax_rows_backward(global const float *y, global float *dy, int columns) {
    y += get_global_id(0) * columns;
    dy += get_global_id(0) * columns;
    float sum = 0;
    for (int c = 0; c < columns; c++) {
        sum += y[c] * dy[c];
    }
    for (int c = 0; c < columns; c++) {
        dy[c] = y[c] * (dy[c] - sum);
    }
}

/* Adds the same to each sequence of a batch. */
kernel void add_to_each(global const float *x, global const float *added, global float *y, int elements) {
    size_t i = get_global_id(0);
    y[i] = x[i] + added[i % elements];
}
