kernel void wrong(global float *x) { x[0] = nowhere; }
