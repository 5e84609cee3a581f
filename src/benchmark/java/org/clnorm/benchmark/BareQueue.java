package org.clnorm.benchmark;

import org.clnorm.Device;
import org.clnorm.OpenClInterop;
import org.clnorm.opencl.OpenCl;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_context_properties;
import org.jocl.cl_device_id;
import org.jocl.cl_event;
import org.jocl.cl_kernel;
import org.jocl.cl_mem;
import org.jocl.cl_platform_id;
import org.jocl.cl_program;

/**
 * A queue on a device by JOCL alone, for what its calls cost by themselves: launches of a kernel that does nothing, with as
 * many arguments as clnorm's have.
 */
final class BareQueue implements AutoCloseable {
    static final int BUFFERS = 8;
    static final int NUMBERS = 12;
    private static final String SOURCE = """
            __kernel void bare(__global float *a, __global float *b, __global float *c, __global float *d,
                __global float *e, __global float *f, __global float *g, __global float *h,
                int i, int j, int k, int l, int m, int n, int o, int p, int q, int r, int s, int t) {
                if (i + j + k + l + m + n + o + p + q + r + s + t != 12)
                    a[0] = b[0] + c[0] + d[0] + e[0] + f[0] + g[0] + h[0];
            }
            """;

    private final cl_device_id device;
    private final cl_context context;
    private final cl_command_queue queue;
    private final cl_program program;
    private final cl_kernel kernel;
    private cl_event held;
    private final cl_mem[] buffers = new cl_mem[BUFFERS];

    @SuppressWarnings("deprecation") // OpenCL 1.2's call, as in clnorm
    BareQueue(OpenCl.Candidate candidate) {
        CL.setExceptionsEnabled(true);
        String[] index = candidate.index().split(":");
        cl_platform_id[] platforms = new cl_platform_id[Integer.parseInt(index[0]) + 1];
        CL.clGetPlatformIDs(platforms.length, platforms, null);
        cl_platform_id platform = platforms[platforms.length - 1];
        cl_device_id[] devices = new cl_device_id[Integer.parseInt(index[1]) + 1];
        CL.clGetDeviceIDs(platform, CL.CL_DEVICE_TYPE_ALL, devices.length, devices, null);
        device = devices[devices.length - 1];
        cl_context_properties properties = new cl_context_properties();
        properties.addProperty(CL.CL_CONTEXT_PLATFORM, platform);
        context = CL.clCreateContext(properties, 1, new cl_device_id[] {device}, null, null, null);
        queue = CL.clCreateCommandQueue(context, device, 0, null);
        program = CL.clCreateProgramWithSource(context, 1, new String[] {SOURCE}, null, null);
        CL.clBuildProgram(program, 0, null, null, null, null);
        kernel = CL.clCreateKernel(program, "bare", null);
        for (int i = 0; i < BUFFERS; i++) {
            buffers[i] = CL.clCreateBuffer(context, CL.CL_MEM_READ_WRITE, 1024, null, null);
        }
        CL.setExceptionsEnabled(false);
        setArguments();
    }

    /** A clnorm device over this queue. */
    Device device() {
        return OpenClInterop.device(context, device, queue);
    }

    private void setArguments() {
        for (int i = 0; i < BUFFERS; i++) {
            CL.clSetKernelArg(kernel, i, Sizeof.cl_mem, Pointer.to(buffers[i]));
        }
        for (int i = 0; i < NUMBERS; i++) {
            CL.clSetKernelArg(kernel, BUFFERS + i, Sizeof.cl_int, Pointer.to(new int[] {1}));
        }
    }

    /** Enqueues the kernel so often, two work-groups each time. */
    void launch(int times, boolean withArguments) {
        for (int i = 0; i < times; i++) {
            if (withArguments) {
                setArguments();
            }
            CL.clEnqueueNDRangeKernel(queue, kernel, 1, null, new long[] {2}, new long[] {1}, 0, null, null);
        }
    }

    /** Lets nothing that is enqueued from now on begin, so that the device's threads do not compete with the caller. */
    void hold() {
        held = CL.clCreateUserEvent(context, null);
        CL.clEnqueueBarrierWithWaitList(queue, 1, new cl_event[] {held}, null);
    }

    /** Lets it run, and waits until all is done. */
    void release() {
        CL.clSetUserEventStatus(held, CL.CL_COMPLETE);
        CL.clFinish(queue);
        CL.clReleaseEvent(held);
    }

    @Override
    public void close() {
        CL.clFinish(queue);
        CL.clReleaseKernel(kernel);
        CL.clReleaseProgram(program);
        for (cl_mem buffer : buffers) {
            CL.clReleaseMemObject(buffer);
        }
        CL.clReleaseCommandQueue(queue);
        CL.clReleaseContext(context);
    }
}
