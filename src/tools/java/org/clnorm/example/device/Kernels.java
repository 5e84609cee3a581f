package org.clnorm.example.device;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.clnorm.OpenClInterop;
import org.clnorm.Tensor;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_kernel;
import org.jocl.cl_program;

/** The kernels of one .cl file. */
public final class Kernels {
    private final Queue queue;
    private final cl_program program;
    private final Map<String, cl_kernel> kernels = new HashMap<>();

    private Kernels(Queue queue, cl_program program) {
        this.queue = queue;
        this.program = program;
    }

    static Kernels build(Queue queue, Class<?> beside, String file) {
        String source = read(beside, file);
        int[] status = new int[1];
        cl_program program = CL.clCreateProgramWithSource(
                queue.context, 1, new String[] {source}, new long[] {source.length()}, status);
        Status.check(status[0], file);
        // Like clnorm's own kernels, without -cl-fast-relaxed-math.
        int built = CL.clBuildProgram(program, 0, null, "", null, null);
        if (built != CL.CL_SUCCESS) {
            throw new IllegalStateException(file + " does not compile: " + log(queue, program));
        }
        return new Kernels(queue, program);
    }

    private static String read(Class<?> beside, String file) {
        try (InputStream in = beside.getResourceAsStream(file)) {
            if (in == null) {
                throw new IllegalStateException("There is no " + file + " beside " + beside);
            }
            return new String(in.readAllBytes(), StandardCharsets.US_ASCII);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String log(Queue queue, cl_program program) {
        long[] size = new long[1];
        CL.clGetProgramBuildInfo(program, queue.id, CL.CL_PROGRAM_BUILD_LOG, 0, null, size);
        byte[] bytes = new byte[(int) size[0]];
        CL.clGetProgramBuildInfo(program, queue.id, CL.CL_PROGRAM_BUILD_LOG, bytes.length, Pointer.to(bytes), null);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /**
     * Enqueues a kernel.
     *
     * @param name the kernel's name
     * @param items how many work-items; the runtime puts them into groups as it likes
     * @param arguments tensors, whole numbers and floats, in the kernel's order; a tensor is passed as its buffer
     */
    public void run(String name, long items, Object... arguments) {
        cl_kernel kernel = kernels.computeIfAbsent(name, this::create);
        for (int i = 0; i < arguments.length; i++) {
            Status.check(set(kernel, i, arguments[i]), "argument " + i + " of " + name);
        }
        Status.check(
                CL.clEnqueueNDRangeKernel(queue.handle, kernel, 1, null, new long[] {items}, null, 0, null, null),
                name);
    }

    private static int set(cl_kernel kernel, int index, Object argument) {
        if (argument instanceof Tensor tensor) {
            // The tensors here are whole buffers; one that were a slice of another would begin at OpenClInterop.offset.
            return CL.clSetKernelArg(kernel, index, Sizeof.cl_mem, Pointer.to(OpenClInterop.buffer(tensor)));
        }
        if (argument instanceof Float number) {
            return CL.clSetKernelArg(kernel, index, Sizeof.cl_float, Pointer.to(new float[] {number}));
        }
        if (argument instanceof Integer number) {
            return CL.clSetKernelArg(kernel, index, Sizeof.cl_int, Pointer.to(new int[] {number}));
        }
        throw new IllegalArgumentException("A kernel takes tensors, ints and floats, but given was " + argument);
    }

    private cl_kernel create(String name) {
        int[] status = new int[1];
        cl_kernel kernel = CL.clCreateKernel(program, name, status);
        Status.check(status[0], "kernel " + name);
        return kernel;
    }

    void close() {
        kernels.values().forEach(CL::clReleaseKernel);
        CL.clReleaseProgram(program);
    }
}
