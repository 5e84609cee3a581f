package org.clnorm.interop;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.clnorm.DeviceInfo;
import org.clnorm.TestDevice;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_buffer_region;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_context_properties;
import org.jocl.cl_device_id;
import org.jocl.cl_mem;
import org.jocl.cl_platform_id;

/** The OpenCL part of a program that has nothing to do with this library: a context, a queue and buffers of its own. */
final class ForeignOpenCl implements AutoCloseable {
    final cl_device_id device;
    final cl_context context;
    final cl_command_queue queue;
    private final List<cl_mem> buffers = new ArrayList<>();

    /** On the device that the library takes by default. */
    @SuppressWarnings("deprecation") // as in the library: some drivers have no other call
    ForeignOpenCl() {
        DeviceInfo info = TestDevice.AUTO.device().info();
        int[] count = new int[1];
        check(CL.clGetPlatformIDs(0, null, count));
        cl_platform_id[] platforms = new cl_platform_id[count[0]];
        check(CL.clGetPlatformIDs(platforms.length, platforms, null));
        cl_device_id found = null;
        cl_platform_id foundOn = null;
        for (cl_platform_id platform : platforms) {
            if (CL.clGetDeviceIDs(platform, 0xFFFFFFFFL, 0, null, count) != CL.CL_SUCCESS) {
                continue;
            }
            cl_device_id[] ids = new cl_device_id[count[0]];
            check(CL.clGetDeviceIDs(platform, 0xFFFFFFFFL, ids.length, ids, null));
            for (cl_device_id id : ids) {
                if (found == null && nameOf(id).equals(info.name())) {
                    found = id;
                    foundOn = platform;
                }
            }
        }
        assertThat(found).as("the library's default device, looked for by name").isNotNull();
        device = found;
        cl_context_properties properties = new cl_context_properties();
        properties.addProperty(CL.CL_CONTEXT_PLATFORM, foundOn);
        int[] status = new int[1];
        context = CL.clCreateContext(properties, 1, new cl_device_id[] {device}, null, null, status);
        check(status[0]);
        queue = CL.clCreateCommandQueue(context, device, 0, status);
        check(status[0]);
    }

    private static String nameOf(cl_device_id id) {
        long[] size = new long[1];
        check(CL.clGetDeviceInfo(id, CL.CL_DEVICE_NAME, 0, null, size));
        byte[] bytes = new byte[(int) size[0]];
        check(CL.clGetDeviceInfo(id, CL.CL_DEVICE_NAME, bytes.length, Pointer.to(bytes), null));
        return new String(bytes, 0, bytes.length - 1, StandardCharsets.UTF_8).strip();
    }

    cl_mem buffer(float... values) {
        int[] status = new int[1];
        cl_mem buffer = CL.clCreateBuffer(
                context,
                CL.CL_MEM_READ_WRITE | CL.CL_MEM_COPY_HOST_PTR,
                (long) values.length * Sizeof.cl_float,
                Pointer.to(values),
                status);
        check(status[0]);
        buffers.add(buffer);
        return buffer;
    }

    /** One made with flags, of undefined content. */
    cl_mem bufferOf(long flags, long bytes) {
        int[] status = new int[1];
        cl_mem buffer = CL.clCreateBuffer(context, flags, bytes, null, status);
        check(status[0]);
        buffers.add(buffer);
        return buffer;
    }

    /** Bytes of a buffer, as a buffer. */
    cl_mem subBuffer(cl_mem parent, long flags, long firstByte, long bytes) {
        int[] status = new int[1];
        cl_mem buffer = CL.clCreateSubBuffer(
                parent, flags, CL.CL_BUFFER_CREATE_TYPE_REGION, new cl_buffer_region(firstByte, bytes), status);
        check(status[0]);
        buffers.add(0, buffer); // to be released before its parent
        return buffer;
    }

    /** How many bytes lie between places where a sub-buffer may start. */
    int alignment() {
        int[] bits = new int[1];
        check(CL.clGetDeviceInfo(device, CL.CL_DEVICE_MEM_BASE_ADDR_ALIGN, Sizeof.cl_uint, Pointer.to(bits), null));
        return bits[0] / 8;
    }

    void write(cl_mem to, float... values) {
        check(CL.clEnqueueWriteBuffer(
                queue, to, true, 0, (long) values.length * Sizeof.cl_float, Pointer.to(values), 0, null, null));
    }

    /** Waits for what is in the queue before it. */
    float[] read(cl_mem from, int count) {
        float[] values = new float[count];
        check(CL.clEnqueueReadBuffer(
                queue, from, true, 0, (long) count * Sizeof.cl_float, Pointer.to(values), 0, null, null));
        return values;
    }

    int references(cl_mem buffer) {
        int[] count = new int[1];
        check(CL.clGetMemObjectInfo(buffer, CL.CL_MEM_REFERENCE_COUNT, Sizeof.cl_uint, Pointer.to(count), null));
        return count[0];
    }

    int contextReferences() {
        int[] count = new int[1];
        check(CL.clGetContextInfo(context, CL.CL_CONTEXT_REFERENCE_COUNT, Sizeof.cl_uint, Pointer.to(count), null));
        return count[0];
    }

    int queueReferences() {
        int[] count = new int[1];
        check(CL.clGetCommandQueueInfo(queue, CL.CL_QUEUE_REFERENCE_COUNT, Sizeof.cl_uint, Pointer.to(count), null));
        return count[0];
    }

    static void check(int status) {
        assertThat(CL.stringFor_errorCode(status)).isEqualTo("CL_SUCCESS");
    }

    @Override
    public void close() {
        buffers.forEach(CL::clReleaseMemObject);
        CL.clReleaseCommandQueue(queue);
        CL.clReleaseContext(context);
    }
}
