/*
 * A layer of the OpenCL loader (OPENCL_LAYERS) under which calls fail that a test has chosen, and which counts the objects that a
 * program holds. A call that is to fail does not reach the driver, so that what was under way before it still is.
 *
 * It is for one thread's calls at a time to be told apart; counts are right for many.
 */
#include <CL/cl_layer.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#define MOST_CALLS 65536

enum kind { CONTEXT, QUEUE, MEMORY, PROGRAM, KERNEL, EVENT, KINDS };

static const cl_icd_dispatch *next;
static cl_icd_dispatch own;

static atomic_long calls;       /* that could fail, since it was armed */
static atomic_long failing;     /* the first call to fail, from 1 on; 0 for none */
static atomic_int stays_failed; /* whether all calls after it fail, too, as on a device that is gone */
static atomic_long failed;      /* how many did */
static const char *first;       /* the function of the first of them */
static const char *names[MOST_CALLS];
static atomic_long references[KINDS];

/* --- for the test ------------------------------------------------------------------------------------------------------ */

/* Counts calls from here on, and has one of them fail, or all from that one on. What failed is forgotten then, and not before. */
EXPORTED void faults_arm(long call, int stays) {
    atomic_store(&failing, 0);
    atomic_store(&calls, 0);
    if (call > 0) {
        atomic_store(&failed, 0);
        first = NULL;
    }
    atomic_store(&stays_failed, stays);
    atomic_store(&failing, call);
}

/* How many calls there were since it was armed that could fail. */
EXPORTED long faults_calls(void) { return atomic_load(&calls); }

/* How many calls failed, and the function of the first. */
EXPORTED long faults_failed(void) { return atomic_load(&failed); }
EXPORTED const char *faults_first(void) { return first; }

/* The function of a call, from 1 on; null where there was none, or where too many were. */
EXPORTED const char *faults_name(long call) {
    return call < 1 || call > atomic_load(&calls) || call > MOST_CALLS ? NULL : names[call - 1];
}

/* References that the program holds to objects of a kind. */
EXPORTED long faults_references(int kind) { return kind < 0 || kind >= KINDS ? -1 : atomic_load(&references[kind]); }

/* --- calls that can fail ----------------------------------------------------------------------------------------------- */

static int fails(const char *name) {
    long call = atomic_fetch_add(&calls, 1) + 1;
    long wanted = atomic_load(&failing);
    if (call <= MOST_CALLS) {
        names[call - 1] = name;
    }
    int hit = wanted > 0 && (atomic_load(&stays_failed) ? call >= wanted : call == wanted);
    if (hit && atomic_fetch_add(&failed, 1) == 0) {
        first = name;
    }
    return hit;
}

/* The status of a call that fails: the one that fits the function, or that of a device which is gone. */
static cl_int status_of(cl_int fitting, cl_int gone) { return atomic_load(&stays_failed) ? gone : fitting; }

/* A function that returns a status. */
#define CALL(NAME, FITTING, GONE, PARAMETERS, ARGUMENTS)                                                                       \
    static cl_int CL_API_CALL own_##NAME PARAMETERS {                                                                          \
        return fails(#NAME) ? status_of(FITTING, GONE) : next->NAME ARGUMENTS;                                                 \
    }

/* One that enqueues something and may make an event. */
#define ENQUEUE(NAME, FITTING, PARAMETERS, ARGUMENTS)                                                                          \
    static cl_int CL_API_CALL own_##NAME PARAMETERS {                                                                          \
        if (fails(#NAME)) {                                                                                                    \
            return status_of(FITTING, CL_INVALID_COMMAND_QUEUE);                                                               \
        }                                                                                                                      \
        cl_int status = next->NAME ARGUMENTS;                                                                                  \
        if (status == CL_SUCCESS && event) {                                                                                   \
            atomic_fetch_add(&references[EVENT], 1);                                                                           \
        }                                                                                                                      \
        return status;                                                                                                         \
    }

/* One that makes an object. */
#define MAKE(TYPE, NAME, KIND, FITTING, GONE, PARAMETERS, ARGUMENTS)                                                           \
    static TYPE CL_API_CALL own_##NAME PARAMETERS {                                                                            \
        if (fails(#NAME)) {                                                                                                    \
            if (status) {                                                                                                      \
                *status = status_of(FITTING, GONE);                                                                            \
            }                                                                                                                  \
            return NULL;                                                                                                       \
        }                                                                                                                      \
        TYPE made = next->NAME ARGUMENTS;                                                                                      \
        if (made) {                                                                                                            \
            atomic_fetch_add(&references[KIND], 1);                                                                            \
        }                                                                                                                      \
        return made;                                                                                                           \
    }

/* What is retained and released; neither fails. */
#define HOLD(TYPE, KIND, RETAIN, RELEASE)                                                                                      \
    static cl_int CL_API_CALL own_##RETAIN(TYPE object) {                                                                      \
        cl_int status = next->RETAIN(object);                                                                                  \
        if (status == CL_SUCCESS) {                                                                                            \
            atomic_fetch_add(&references[KIND], 1);                                                                            \
        }                                                                                                                      \
        return status;                                                                                                         \
    }                                                                                                                          \
    static cl_int CL_API_CALL own_##RELEASE(TYPE object) {                                                                     \
        cl_int status = next->RELEASE(object);                                                                                 \
        if (status == CL_SUCCESS) {                                                                                            \
            atomic_fetch_sub(&references[KIND], 1);                                                                            \
        }                                                                                                                      \
        return status;                                                                                                         \
    }

#define WAITS cl_uint waits, const cl_event *waited, cl_event *event

/* --- each function ----------------------------------------------------------------------------------------------------- */

#define CALLS                                                                                                                  \
    CALL(clGetPlatformIDs, CL_OUT_OF_HOST_MEMORY, CL_OUT_OF_HOST_MEMORY,                                                       \
         (cl_uint room, cl_platform_id *platforms, cl_uint *count), (room, platforms, count))                                  \
    CALL(clGetPlatformInfo, CL_OUT_OF_HOST_MEMORY, CL_OUT_OF_HOST_MEMORY,                                                      \
         (cl_platform_id of, cl_platform_info what, size_t room, void *value, size_t *size), (of, what, room, value, size))    \
    CALL(clGetDeviceIDs, CL_OUT_OF_RESOURCES, CL_DEVICE_NOT_AVAILABLE,                                                         \
         (cl_platform_id of, cl_device_type type, cl_uint room, cl_device_id *devices, cl_uint *count),                        \
         (of, type, room, devices, count))                                                                                     \
    CALL(clGetDeviceInfo, CL_OUT_OF_RESOURCES, CL_INVALID_DEVICE,                                                              \
         (cl_device_id of, cl_device_info what, size_t room, void *value, size_t *size), (of, what, room, value, size))        \
    CALL(clGetContextInfo, CL_OUT_OF_RESOURCES, CL_INVALID_CONTEXT,                                                            \
         (cl_context of, cl_context_info what, size_t room, void *value, size_t *size), (of, what, room, value, size))         \
    CALL(clGetCommandQueueInfo, CL_OUT_OF_RESOURCES, CL_INVALID_COMMAND_QUEUE,                                                 \
         (cl_command_queue of, cl_command_queue_info what, size_t room, void *value, size_t *size),                            \
         (of, what, room, value, size))                                                                                        \
    CALL(clGetMemObjectInfo, CL_OUT_OF_RESOURCES, CL_INVALID_MEM_OBJECT,                                                       \
         (cl_mem of, cl_mem_info what, size_t room, void *value, size_t *size), (of, what, room, value, size))                 \
    CALL(clBuildProgram, CL_BUILD_PROGRAM_FAILURE, CL_DEVICE_NOT_AVAILABLE,                                                    \
         (cl_program program, cl_uint count, const cl_device_id *devices, const char *options,                                 \
          void(CL_CALLBACK * then)(cl_program, void *), void *data),                                                           \
         (program, count, devices, options, then, data))                                                                       \
    CALL(clGetProgramInfo, CL_OUT_OF_RESOURCES, CL_INVALID_PROGRAM,                                                            \
         (cl_program of, cl_program_info what, size_t room, void *value, size_t *size), (of, what, room, value, size))         \
    CALL(clGetProgramBuildInfo, CL_OUT_OF_RESOURCES, CL_INVALID_DEVICE,                                                        \
         (cl_program of, cl_device_id device, cl_program_build_info what, size_t room, void *value, size_t *size),             \
         (of, device, what, room, value, size))                                                                                \
    CALL(clSetKernelArg, CL_OUT_OF_RESOURCES, CL_INVALID_KERNEL,                                                               \
         (cl_kernel kernel, cl_uint place, size_t size, const void *value), (kernel, place, size, value))                      \
    CALL(clWaitForEvents, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, CL_INVALID_CONTEXT,                                    \
         (cl_uint count, const cl_event *events), (count, events))                                                             \
    CALL(clGetEventInfo, CL_OUT_OF_RESOURCES, CL_INVALID_EVENT,                                                                \
         (cl_event of, cl_event_info what, size_t room, void *value, size_t *size), (of, what, room, value, size))             \
    CALL(clFlush, CL_OUT_OF_RESOURCES, CL_INVALID_COMMAND_QUEUE, (cl_command_queue queue), (queue))                            \
    CALL(clFinish, CL_OUT_OF_RESOURCES, CL_INVALID_COMMAND_QUEUE, (cl_command_queue queue), (queue))                           \
    ENQUEUE(clEnqueueReadBuffer, CL_OUT_OF_RESOURCES,                                                                          \
            (cl_command_queue queue, cl_mem from, cl_bool blocks, size_t at, size_t bytes, void *to, WAITS),                   \
            (queue, from, blocks, at, bytes, to, waits, waited, event))                                                        \
    ENQUEUE(clEnqueueWriteBuffer, CL_MEM_OBJECT_ALLOCATION_FAILURE,                                                            \
            (cl_command_queue queue, cl_mem to, cl_bool blocks, size_t at, size_t bytes, const void *from, WAITS),             \
            (queue, to, blocks, at, bytes, from, waits, waited, event))                                                        \
    ENQUEUE(clEnqueueCopyBuffer, CL_MEM_OBJECT_ALLOCATION_FAILURE,                                                             \
            (cl_command_queue queue, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t bytes, WAITS),               \
            (queue, from, to, from_at, to_at, bytes, waits, waited, event))                                                    \
    ENQUEUE(clEnqueueFillBuffer, CL_MEM_OBJECT_ALLOCATION_FAILURE,                                                             \
            (cl_command_queue queue, cl_mem to, const void *pattern, size_t size, size_t at, size_t bytes, WAITS),             \
            (queue, to, pattern, size, at, bytes, waits, waited, event))                                                       \
    ENQUEUE(clEnqueueUnmapMemObject, CL_OUT_OF_RESOURCES, (cl_command_queue queue, cl_mem memory, void *mapped, WAITS),        \
            (queue, memory, mapped, waits, waited, event))                                                                     \
    ENQUEUE(clEnqueueNDRangeKernel, CL_OUT_OF_RESOURCES,                                                                       \
            (cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *from, const size_t *items,            \
             const size_t *group, WAITS),                                                                                      \
            (queue, kernel, dimensions, from, items, group, waits, waited, event))                                             \
    MAKE(cl_context, clCreateContext, CONTEXT, CL_OUT_OF_HOST_MEMORY, CL_DEVICE_NOT_AVAILABLE,                                 \
         (const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,                                 \
          void(CL_CALLBACK * tell)(const char *, const void *, size_t, void *), void *data, cl_int *status),                   \
         (properties, count, devices, tell, data, status))                                                                     \
    MAKE(cl_command_queue, clCreateCommandQueue, QUEUE, CL_OUT_OF_RESOURCES, CL_INVALID_DEVICE,                                \
         (cl_context context, cl_device_id device, cl_command_queue_properties properties, cl_int *status),                    \
         (context, device, properties, status))                                                                                \
    MAKE(cl_mem, clCreateBuffer, MEMORY, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_INVALID_CONTEXT,                                 \
         (cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *status),                                   \
         (context, flags, bytes, host, status))                                                                                \
    MAKE(cl_mem, clCreateSubBuffer, MEMORY, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_INVALID_MEM_OBJECT,                           \
         (cl_mem of, cl_mem_flags flags, cl_buffer_create_type type, const void *region, cl_int *status),                      \
         (of, flags, type, region, status))                                                                                    \
    MAKE(cl_program, clCreateProgramWithSource, PROGRAM, CL_OUT_OF_HOST_MEMORY, CL_INVALID_CONTEXT,                            \
         (cl_context context, cl_uint count, const char **texts, const size_t *lengths, cl_int *status),                       \
         (context, count, texts, lengths, status))                                                                             \
    MAKE(cl_program, clCreateProgramWithBinary, PROGRAM, CL_OUT_OF_HOST_MEMORY, CL_INVALID_CONTEXT,                            \
         (cl_context context, cl_uint count, const cl_device_id *devices, const size_t *lengths,                               \
          const unsigned char **binaries, cl_int *each, cl_int *status),                                                       \
         (context, count, devices, lengths, binaries, each, status))                                                           \
    MAKE(cl_kernel, clCreateKernel, KERNEL, CL_OUT_OF_HOST_MEMORY, CL_INVALID_PROGRAM,                                         \
         (cl_program program, const char *name, cl_int *status), (program, name, status))                                      \
    HOLD(cl_context, CONTEXT, clRetainContext, clReleaseContext)                                                               \
    HOLD(cl_command_queue, QUEUE, clRetainCommandQueue, clReleaseCommandQueue)                                                 \
    HOLD(cl_mem, MEMORY, clRetainMemObject, clReleaseMemObject)                                                                \
    HOLD(cl_program, PROGRAM, clRetainProgram, clReleaseProgram)                                                               \
    HOLD(cl_kernel, KERNEL, clRetainKernel, clReleaseKernel)                                                                   \
    HOLD(cl_event, EVENT, clRetainEvent, clReleaseEvent)

CALLS

/* The one function that is like no other: it returns memory that is mapped. */
static void *CL_API_CALL own_clEnqueueMapBuffer(cl_command_queue queue, cl_mem memory, cl_bool blocks, cl_map_flags flags,
                                                size_t at, size_t bytes, WAITS, cl_int *status) {
    if (fails("clEnqueueMapBuffer")) {
        if (status) {
            *status = status_of(CL_MAP_FAILURE, CL_INVALID_COMMAND_QUEUE);
        }
        return NULL;
    }
    void *mapped = next->clEnqueueMapBuffer(queue, memory, blocks, flags, at, bytes, waits, waited, event, status);
    if (mapped && event) {
        atomic_fetch_add(&references[EVENT], 1);
    }
    return mapped;
}

/* --- for the loader ---------------------------------------------------------------------------------------------------- */

EXPORTED cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t room, void *value, size_t *size) {
    cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    const char name[] = "clnorm faults";
    const void *answer = what == CL_LAYER_API_VERSION ? (const void *)&version : name;
    size_t bytes = what == CL_LAYER_API_VERSION ? sizeof version : sizeof name;
    if ((what != CL_LAYER_API_VERSION && what != CL_LAYER_NAME) || (value && room < bytes)) {
        return CL_INVALID_VALUE;
    }
    if (value) {
        memcpy(value, answer, bytes);
    }
    if (size) {
        *size = bytes;
    }
    return CL_SUCCESS;
}

EXPORTED cl_int CL_API_CALL clInitLayer(cl_uint count, const cl_icd_dispatch *target, cl_uint *own_count,
                                        const cl_icd_dispatch **table) {
    if (!target || !own_count || !table || count < sizeof own / sizeof(void *)) {
        return CL_INVALID_VALUE;
    }
    next = target;
    own = *target;

    /* The list once more, each function into its place. */
#undef CALL
#undef ENQUEUE
#undef MAKE
#undef HOLD
#define CALL(NAME, ...) own.NAME = own_##NAME;
#define ENQUEUE(NAME, ...) own.NAME = own_##NAME;
#define MAKE(TYPE, NAME, ...) own.NAME = own_##NAME;
#define HOLD(TYPE, KIND, RETAIN, RELEASE)                                                                                      \
    own.RETAIN = own_##RETAIN;                                                                                                 \
    own.RELEASE = own_##RELEASE;
    CALLS
    own.clEnqueueMapBuffer = own_clEnqueueMapBuffer;

    *own_count = sizeof own / sizeof(void *);
    *table = &own;
    return CL_SUCCESS;
}
