// An OpenCL layer under which Oclgrind's check for memory that nobody wrote can be believed.
//
// That check keeps a shadow of each buffer. Whatever the host writes makes a new shadow, as long as what was written, of the
// whole buffer; a fill does so for each of its elements; a copy leaves the shadow as it was; and a new buffer may get the shadow
// of one that was released. A kernel's loads and stores are followed exactly. So this layer has kernels do it all: each new buffer
// is written once from end to end, and then overwritten with what nobody wrote; writes and fills go to a buffer of their own
// length first, from where a kernel copies them.
//
// The loader takes it from OPENCL_LAYERS. It is for one thread at a time, as the simulator is.

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl_layer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cl_icd_dispatch *below;
static cl_icd_dispatch here;

// Copies of structs are not held against the shadow, since they may have holes.
static const char *const source =
        "typedef struct { uchar byte[64]; } block;\n"
        "__kernel void copy(__global const uchar *from, ulong from_at, __global uchar *to, ulong to_at, ulong bytes) {\n"
        "    ulong i = get_global_id(0), whole = bytes / sizeof(block);\n"
        "    from += from_at;\n"
        "    to += to_at;\n"
        "    if (i < whole) {\n"
        "        ((__global block *)to)[i] = ((__global const block *)from)[i];\n"
        "        return;\n"
        "    }\n"
        "    for (i = whole * sizeof(block); i < bytes; i++) {\n"
        "        to[i] = from[i];\n"
        "    }\n"
        "}\n"
        "typedef struct { uchar byte; } one;\n"
        "__kernel void forget(__global uchar *to, ulong bytes) {\n"
        "    ulong i = get_global_id(0), whole = bytes / sizeof(block);\n"
        "    block nothing[1];\n"
        "    one none[1];\n"
        "    if (i < whole) {\n"
        "        ((__global block *)to)[i] = nothing[0];\n"
        "        return;\n"
        "    }\n"
        "    for (i = whole * sizeof(block); i < bytes; i++) {\n"
        "        ((__global one *)to)[i] = none[0];\n"
        "    }\n"
        "}\n";

// What the layer has of its own in a context, which it keeps: a context's address is so given to no other.
typedef struct known {
    cl_context context;
    cl_command_queue queue;
    cl_kernel copy, forget;
    struct known *next;
} known;

static known *all;

static void check(cl_int status, const char *doing) {
    if (status != CL_SUCCESS) {
        fprintf(stderr, "oclgrind-layer: %s: status %d\n", doing, status);
        abort();
    }
}

static known *of(cl_context context) {
    for (known *k = all; k; k = k->next) {
        if (k->context == context) {
            return k;
        }
    }
    known *k = calloc(1, sizeof *k);
    cl_device_id device;
    cl_int status;
    check(below->clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof device, &device, NULL), "asking for the device");
    k->context = context;
    k->queue = below->clCreateCommandQueue(context, device, 0, &status);
    check(status, "creating a queue");
    cl_program program = below->clCreateProgramWithSource(context, 1, (const char **)&source, NULL, &status);
    check(status, "creating a program");
    check(below->clBuildProgram(program, 1, &device, "", NULL, NULL), "building");
    k->copy = below->clCreateKernel(program, "copy", &status);
    check(status, "creating a kernel");
    k->forget = below->clCreateKernel(program, "forget", &status);
    check(status, "creating a kernel");
    k->next = all;
    return all = k;
}

static known *of_queue(cl_command_queue queue) {
    cl_context context;
    check(below->clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL), "asking for the context");
    return of(context);
}

static size_t items(size_t bytes) { return bytes / 64 + (bytes % 64 > 0); }

static void copy(
        cl_command_queue queue, cl_mem from, cl_ulong from_at, cl_mem to, cl_ulong to_at, cl_ulong bytes, cl_uint waits,
        const cl_event *wait, cl_event *event) {
    cl_kernel kernel = of_queue(queue)->copy;
    size_t size = items(bytes);
    below->clSetKernelArg(kernel, 0, sizeof from, &from);
    below->clSetKernelArg(kernel, 1, sizeof from_at, &from_at);
    below->clSetKernelArg(kernel, 2, sizeof to, &to);
    below->clSetKernelArg(kernel, 3, sizeof to_at, &to_at);
    below->clSetKernelArg(kernel, 4, sizeof bytes, &bytes);
    check(below->clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &size, NULL, waits, wait, event), "copying");
    check(below->clFinish(queue), "copying");
}

static cl_int CL_API_CALL write_buffer(
        cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t at, size_t bytes, const void *from, cl_uint waits,
        const cl_event *wait, cl_event *event) {
    (void)blocking;
    cl_int status;
    cl_mem between = below->clCreateBuffer(of_queue(queue)->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    if (status != CL_SUCCESS) {
        return status;
    }
    status = below->clEnqueueWriteBuffer(queue, between, CL_TRUE, 0, bytes, from, waits, wait, NULL);
    if (status == CL_SUCCESS) {
        copy(queue, between, 0, buffer, at, bytes, 0, NULL, event);
    }
    below->clReleaseMemObject(between);
    return status;
}

static cl_int CL_API_CALL fill_buffer(
        cl_command_queue queue, cl_mem buffer, const void *pattern, size_t length, size_t at, size_t bytes, cl_uint waits,
        const cl_event *wait, cl_event *event) {
    char *filled = malloc(bytes);
    for (size_t i = 0; i < bytes; i += length) {
        memcpy(filled + i, pattern, length);
    }
    cl_int status = write_buffer(queue, buffer, CL_TRUE, at, bytes, filled, waits, wait, event);
    free(filled);
    return status;
}

static cl_int CL_API_CALL copy_buffer(
        cl_command_queue queue, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t bytes, cl_uint waits,
        const cl_event *wait, cl_event *event) {
    copy(queue, from, from_at, to, to_at, bytes, waits, wait, event);
    return CL_SUCCESS;
}

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t bytes, void *from, cl_int *status) {
    cl_int own;
    cl_mem buffer = below->clCreateBuffer(context, flags, bytes, from, &own);
    if (status) {
        *status = own;
    }
    if (own != CL_SUCCESS) {
        return buffer;
    }
    known *k = of(context);
    void *zeros = from ? NULL : calloc(bytes, 1);
    check(below->clEnqueueWriteBuffer(k->queue, buffer, CL_TRUE, 0, bytes, from ? from : zeros, 0, NULL, NULL), "writing");
    free(zeros);
    if (!from) {
        cl_ulong length = bytes;
        size_t size = items(bytes);
        below->clSetKernelArg(k->forget, 0, sizeof buffer, &buffer);
        below->clSetKernelArg(k->forget, 1, sizeof length, &length);
        check(below->clEnqueueNDRangeKernel(k->queue, k->forget, 1, NULL, &size, NULL, 0, NULL, NULL), "forgetting");
        check(below->clFinish(k->queue), "forgetting");
    }
    return buffer;
}

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info name, size_t size, void *value, size_t *needed) {
    static const char own[] = "oclgrind-layer";
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    const void *answer = name == CL_LAYER_API_VERSION ? (const void *)&version : name == CL_LAYER_NAME ? own : NULL;
    size_t length = name == CL_LAYER_API_VERSION ? sizeof version : sizeof own;
    if (!answer || (value && size < length)) {
        return CL_INVALID_VALUE;
    }
    if (value) {
        memcpy(value, answer, length);
    }
    if (needed) {
        *needed = length;
    }
    return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL
clInitLayer(cl_uint entries, const cl_icd_dispatch *target, cl_uint *own_entries, const cl_icd_dispatch **own) {
    if (!target || !own_entries || !own || entries < sizeof here / sizeof(void *)) {
        return CL_INVALID_VALUE;
    }
    below = target;
    here = *target;
    here.clCreateBuffer = create_buffer;
    here.clEnqueueWriteBuffer = write_buffer;
    here.clEnqueueFillBuffer = fill_buffer;
    here.clEnqueueCopyBuffer = copy_buffer;
    *own_entries = sizeof here / sizeof(void *);
    *own = &here;
    return CL_SUCCESS;
}
