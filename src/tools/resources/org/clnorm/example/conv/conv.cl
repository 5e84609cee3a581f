/* Convolutions as products of matrices. Images lie channels last, so what a position of the kernel sees is so many channels
   in a row, which are copied, or added up, together. */

/* One work-item for each position of the output and of the kernel: copies the channels there, or zeros from the padding. */
kernel void im2col(global const float *x, global float *columns, int size, int channels, int width, int stride,
                   int padding, int out) {
    size_t item = get_global_id(0);
    int tap = item % (width * width);
    size_t row = item / (width * width);
    size_t image = row / (out * out);
    int place = row % (out * out);
    int iy = place / out * stride + tap / width - padding;
    int ix = place % out * stride + tap % width - padding;
    global float *to = columns + item * channels;
    if (iy < 0 || iy >= size || ix < 0 || ix >= size) {
        for (int c = 0; c < channels; c++) {
            to[c] = 0;
        }
    } else {
        global const float *from = x + ((image * size + iy) * size + ix) * channels;
        for (int c = 0; c < channels; c++) {
            to[c] = from[c];
        }
    }
}

/* The reverse. One work-item for each position of x: adds up what all that saw it say, in a fixed order, which needs no
   atomics. */
kernel void col2im(global const float *columns, global float *dx, int size, int channels, int width, int stride,
                   int padding, int out) {
    size_t item = get_global_id(0);
    size_t image = item / (size * size);
    int place = item % (size * size);
    int y = place / size + padding;
    int x = place % size + padding;
    global float *to = dx + item * channels;
    for (int c = 0; c < channels; c++) {
        to[c] = 0;
    }
    for (int ky = 0; ky < width; ky++) {
        int oy = (y - ky) / stride;
        if (y < ky || (y - ky) % stride != 0 || oy >= out) {
            continue;
        }
        for (int kx = 0; kx < width; kx++) {
            int ox = (x - kx) / stride;
            if (x < kx || (x - kx) % stride != 0 || ox >= out) {
                continue;
            }
            size_t row = (image * out + oy) * out + ox;
            global const float *from = columns + (row * width * width + ky * width + kx) * channels;
            for (int c = 0; c < channels; c++) {
                to[c] += from[c];
            }
        }
    }
}
