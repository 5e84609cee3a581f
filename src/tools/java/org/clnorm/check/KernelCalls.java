package org.clnorm.check;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.clnorm.check.Binding.Argument;
import org.clnorm.check.Binding.Launch;
import org.clnorm.opencl.Handles;
import org.clnorm.opencl.OpenClBackend;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_kernel;
import org.jocl.cl_mem;
import org.jocl.cl_program;

/** Somebody's kernels on a device: compiled once for each set of compiler options, called as their binding says. */
final class KernelCalls implements AutoCloseable {
    /** Local memory that {@link #soil} writes to, in floats. */
    private static final int SOILED = 4096;

    private static final String SOIL = "kernel void soil(local float* memory, float value, global float* out) {"
            + " for (int i = get_local_id(0); i < " + SOILED + "; i += get_local_size(0)) memory[i] = value;"
            + " barrier(CLK_LOCAL_MEM_FENCE); if (memory[get_local_id(0)] == 1.5f) out[0] = value; }";

    /** What a kernel or its call ends with that cannot be run. */
    static final class CallException extends RuntimeException {
        CallException(String message) {
            super(message);
        }
    }

    final cl_context context;
    final cl_command_queue queue;
    private final cl_device_id device;
    private final String source;
    private final Binding binding;
    private final Map<String, cl_program> programs = new HashMap<>();
    private final Map<String, cl_kernel> kernels = new HashMap<>();

    KernelCalls(OpenClBackend backend, String source, Binding binding) {
        List<Object> handles = Handles.of(backend);
        this.context = (cl_context) handles.get(0);
        this.device = (cl_device_id) handles.get(1);
        this.queue = (cl_command_queue) handles.get(2);
        this.source = source;
        this.binding = binding;
    }

    static void check(int status, String what) {
        if (status != CL.CL_SUCCESS) {
            throw new CallException(what + " failed: " + CL.stringFor_errorCode(status));
        }
    }

    /**
     * Enqueues all launches.
     *
     * @param names what names in expressions stand for
     * @param arrays the buffer of an array or of scratch
     */
    void enqueue(Map<String, Double> names, Function<Argument, cl_mem> arrays) {
        String options = options(names);
        for (Launch launch : binding.launches()) {
            cl_kernel kernel = kernel(launch.kernel(), options);
            int[] count = new int[1];
            check(
                    CL.clGetKernelInfo(kernel, CL.CL_KERNEL_NUM_ARGS, Sizeof.cl_uint, Pointer.to(count), null),
                    "Asking for the arguments of " + launch.kernel());
            if (count[0] != launch.arguments().size()) {
                throw new CallException(
                        "the kernel " + launch.kernel() + " takes " + count[0] + " arguments, but the binding has "
                                + launch.arguments().size());
            }
            for (int i = 0; i < count[0]; i++) {
                Argument argument = launch.arguments().get(i);
                int status = set(kernel, i, argument, names, arrays);
                check(
                        status,
                        "Setting argument " + i + " of " + launch.kernel() + ", which is to be " + describe(argument)
                                + ",");
            }
            long[] global = sizes(launch.global(), names);
            long[] local = launch.local().isEmpty() ? null : sizes(launch.local(), names);
            check(
                    CL.clEnqueueNDRangeKernel(queue, kernel, global.length, null, global, local, 0, null, null),
                    "Enqueuing " + launch.kernel() + " with global size " + Arrays.toString(global) + " and local size "
                            + Arrays.toString(local));
        }
    }

    private static String describe(Argument argument) {
        if (argument instanceof Argument.Array array) {
            return array.part().toString();
        }
        if (argument instanceof Argument.Scratch scratch) {
            return scratch.name();
        }
        if (argument instanceof Argument.Local local) {
            return "local memory of " + local.bytes() + " bytes";
        }
        return argument instanceof Argument.Scalar scalar ? scalar.value().toString() : "null";
    }

    private static long[] sizes(List<Expression> expressions, Map<String, Double> names) {
        return expressions.stream().mapToLong(size -> size.whole(names)).toArray();
    }

    private static int set(
            cl_kernel kernel, int i, Argument argument, Map<String, Double> names, Function<Argument, cl_mem> arrays) {
        if (argument instanceof Argument.Null) {
            return CL.clSetKernelArg(kernel, i, Sizeof.cl_mem, null);
        }
        if (argument instanceof Argument.Local local) {
            return CL.clSetKernelArg(kernel, i, local.bytes().whole(names), null);
        }
        if (argument instanceof Argument.Scalar scalar) {
            return switch (scalar.kind()) {
                case INT ->
                    CL.clSetKernelArg(kernel, i, Sizeof.cl_int, Pointer.to(new int[] {
                        (int) scalar.value().whole(names)
                    }));
                case LONG ->
                    CL.clSetKernelArg(kernel, i, Sizeof.cl_long, Pointer.to(new long[] {
                        scalar.value().whole(names)
                    }));
                case FLOAT ->
                    CL.clSetKernelArg(kernel, i, Sizeof.cl_float, Pointer.to(new float[] {
                        (float) scalar.value().real(names)
                    }));
            };
        }
        return CL.clSetKernelArg(kernel, i, Sizeof.cl_mem, Pointer.to(arrays.apply(argument)));
    }

    /** Waits for all that was enqueued. */
    void finish() {
        check(CL.clFinish(queue), "Running the kernel");
    }

    /** Writes a value to local memory, where the next kernel finds it that reads before it writes. */
    void soil(float value) {
        cl_kernel kernel = kernel("soil", null);
        int[] status = new int[1];
        cl_mem out = CL.clCreateBuffer(context, CL.CL_MEM_READ_WRITE, Sizeof.cl_float, null, status);
        check(status[0], "A buffer");
        CL.clSetKernelArg(kernel, 0, (long) SOILED * Sizeof.cl_float, null);
        CL.clSetKernelArg(kernel, 1, Sizeof.cl_float, Pointer.to(new float[] {value}));
        CL.clSetKernelArg(kernel, 2, Sizeof.cl_mem, Pointer.to(out));
        check(
                CL.clEnqueueNDRangeKernel(queue, kernel, 1, null, new long[] {64 * 64}, new long[] {64}, 0, null, null),
                "Writing to local memory");
        finish();
        CL.clReleaseMemObject(out);
    }

    private String options(Map<String, Double> names) {
        return BindingReader.BRACES
                .matcher(binding.options())
                .replaceAll(match -> Long.toString(Expression.of(match.group(1)).whole(names)));
    }

    /** @param options null for those of our own */
    private cl_kernel kernel(String name, String options) {
        return kernels.computeIfAbsent(name + " " + options, key -> {
            int[] status = new int[1];
            cl_program program = programs.computeIfAbsent(String.valueOf(options), o -> build(options));
            cl_kernel kernel = CL.clCreateKernel(program, name, status);
            check(status[0], "Finding the kernel " + name + " in the file");
            return kernel;
        });
    }

    private cl_program build(String options) {
        String text = options == null ? SOIL : source;
        int[] status = new int[1];
        cl_program program = CL.clCreateProgramWithSource(context, 1, new String[] {text}, null, status);
        check(status[0], "Reading the file");
        int built =
                CL.clBuildProgram(program, 1, new cl_device_id[] {device}, options == null ? "" : options, null, null);
        if (built != CL.CL_SUCCESS) {
            String log = log(program);
            CL.clReleaseProgram(program);
            throw new CallException("the file does not compile"
                    + (options == null || options.isEmpty() ? "" : " with " + options) + ": " + log);
        }
        return program;
    }

    private String log(cl_program program) {
        long[] size = new long[1];
        CL.clGetProgramBuildInfo(program, device, CL.CL_PROGRAM_BUILD_LOG, 0, null, size);
        byte[] bytes = new byte[(int) size[0]];
        CL.clGetProgramBuildInfo(program, device, CL.CL_PROGRAM_BUILD_LOG, bytes.length, Pointer.to(bytes), null);
        String log = new String(bytes, StandardCharsets.UTF_8).replace("\0", "").strip();
        return log.lines().filter(line -> line.contains("error")).findFirst().orElse(log);
    }

    @Override
    public void close() {
        kernels.values().forEach(CL::clReleaseKernel);
        programs.values().forEach(CL::clReleaseProgram);
    }
}
