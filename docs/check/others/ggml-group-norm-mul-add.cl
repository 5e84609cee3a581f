// ggml's fused kernel takes gamma and beta with an element for each of x; of channels, they are spread over them first.
#include "group_norm.cl"

kernel void spread(global const float* of_channels, global float* of_elements, int channels, int spatial) {
    size_t i = get_global_id(0);
    of_elements[i] = of_channels[i / spatial % channels];
}
