package org.clnorm.opencl;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_context_properties;
import org.jocl.cl_device_id;
import org.jocl.cl_kernel;
import org.jocl.cl_mem;
import org.jocl.cl_platform_id;
import org.jocl.cl_program;

/**
 * What a device and its compiler say of themselves, for people who look into how kernels run there. Nothing is chosen by
 * it. What a device does not answer is left out.
 */
final class DeviceDetails {
    private static final List<String> TYPES = List.of("char", "short", "int", "long", "float", "double", "half");

    private static final int[] PREFERRED = {
        CL.CL_DEVICE_PREFERRED_VECTOR_WIDTH_CHAR,
        CL.CL_DEVICE_PREFERRED_VECTOR_WIDTH_SHORT,
        CL.CL_DEVICE_PREFERRED_VECTOR_WIDTH_INT,
        CL.CL_DEVICE_PREFERRED_VECTOR_WIDTH_LONG,
        CL.CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT,
        CL.CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE,
        CL.CL_DEVICE_PREFERRED_VECTOR_WIDTH_HALF
    };

    private static final int[] NATIVE = {
        CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_CHAR,
        CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_SHORT,
        CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_INT,
        CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_LONG,
        CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
        CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE,
        CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_HALF
    };

    /** By their bits in CL_DEVICE_SINGLE_FP_CONFIG. */
    private static final List<String> ROUNDING = List.of(
            "denormals",
            "infinities and NaN",
            "to nearest",
            "to zero",
            "to infinity",
            "fma",
            "in software",
            "division and square root correctly rounded");

    /** From the extension cl_nv_device_attribute_query. */
    private static final Map<String, Integer> NVIDIA = Map.of(
            "compute capability, major", 0x4000,
            "compute capability, minor", 0x4001,
            "registers of a work-group", 0x4002,
            "warp", 0x4003);

    /** What a compiler may define, each asked for by name. */
    private static final List<String> MACROS = List.of(
            "__OPENCL_VERSION__",
            "__OPENCL_C_VERSION__",
            "__clang__",
            "__clang_major__",
            "__NV_CL_C_VERSION",
            "__AMD__",
            "__FAST_RELAXED_MATH__",
            "FP_FAST_FMAF",
            "__ENDIAN_LITTLE__",
            "cl_khr_fp16",
            "cl_khr_fp64",
            "cl_khr_subgroups");

    private static final int UNDEFINED = -999_999_999;

    private DeviceDetails() {}

    static Map<String, String> of(cl_platform_id platform, cl_device_id id) {
        Map<String, String> details = new LinkedHashMap<>();
        put(details, "OpenCL C", text(id, CL.CL_DEVICE_OPENCL_C_VERSION));
        put(details, "preferred vectors", widths(id, PREFERRED));
        put(details, "native vectors", widths(id, NATIVE));
        put(details, "float rounding", rounding(id));
        number(details, id, "clock, MHz", CL.CL_DEVICE_MAX_CLOCK_FREQUENCY);
        number(details, id, "profiling clock, ns", CL.CL_DEVICE_PROFILING_TIMER_RESOLUTION);
        number(details, id, "cache line, bytes", CL.CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE);
        NVIDIA.entrySet().stream()
                .sorted(Map.Entry.comparingByValue())
                .forEach(entry -> number(details, id, entry.getKey(), entry.getValue()));
        put(details, "extensions", text(id, CL.CL_DEVICE_EXTENSIONS));
        put(details, "compiler", macros(platform, id));
        return details;
    }

    private static void put(Map<String, String> details, String name, String value) {
        if (!value.isEmpty()) {
            details.put(name, value);
        }
    }

    private static void number(Map<String, String> details, cl_device_id id, String name, int what) {
        byte[] value = ask(id, what);
        if (value.length == Integer.BYTES || value.length == Long.BYTES) {
            details.put(name, Long.toString(number(value)));
        }
    }

    private static String widths(cl_device_id id, int[] what) {
        List<String> widths = new ArrayList<>();
        for (int i = 0; i < what.length; i++) {
            byte[] value = ask(id, what[i]);
            if (value.length == Integer.BYTES) {
                widths.add(TYPES.get(i) + " " + number(value));
            }
        }
        return String.join(", ", widths);
    }

    private static String rounding(cl_device_id id) {
        byte[] value = ask(id, CL.CL_DEVICE_SINGLE_FP_CONFIG);
        List<String> words = new ArrayList<>();
        for (int bit = 0; bit < ROUNDING.size() && value.length > 0; bit++) {
            if ((number(value) >> bit & 1) != 0) {
                words.add(ROUNDING.get(bit));
            }
        }
        return String.join(", ", words);
    }

    private static String text(cl_device_id id, int what) {
        return new String(ask(id, what), StandardCharsets.UTF_8)
                .replace("\0", "")
                .strip();
    }

    private static long number(byte[] value) {
        ByteBuffer bytes = ByteBuffer.wrap(value).order(ByteOrder.nativeOrder());
        return value.length == Long.BYTES ? bytes.getLong() : bytes.getInt();
    }

    /** The bytes of the answer; none where there is none. */
    private static byte[] ask(cl_device_id id, int what) {
        long[] size = new long[1];
        int status = OpenClException.statusOf(() -> CL.clGetDeviceInfo(id, what, 0, null, size));
        if (status != CL.CL_SUCCESS || size[0] > 1 << 20) {
            return new byte[0];
        }
        byte[] value = new byte[(int) size[0]];
        status = OpenClException.statusOf(() -> CL.clGetDeviceInfo(id, what, value.length, Pointer.to(value), null));
        return status == CL.CL_SUCCESS ? value : new byte[0];
    }

    /** What is defined for a kernel, by running one. */
    private static String macros(cl_platform_id platform, cl_device_id id) {
        StringBuilder source = new StringBuilder("__kernel void macros(__global int *out) {\n");
        for (int i = 0; i < MACROS.size(); i++) {
            source.append("#ifdef ")
                    .append(MACROS.get(i))
                    .append("\n    out[")
                    .append(i)
                    .append("] = 0 + ");
            source.append(MACROS.get(i)).append(";\n#endif\n");
        }
        source.append("}\n");
        int[] values = new int[MACROS.size()];
        Arrays.fill(values, UNDEFINED);
        String problem = run(platform, id, source.toString(), values);
        if (!problem.isEmpty()) {
            return problem;
        }
        List<String> words = new ArrayList<>();
        for (int i = 0; i < values.length; i++) {
            words.add(MACROS.get(i) + (values[i] == UNDEFINED ? " undefined" : "=" + values[i]));
        }
        return String.join(", ", words);
    }

    /** Runs a kernel over some values; returns what kept it from that, or else nothing. */
    private static String run(cl_platform_id platform, cl_device_id id, String source, int[] values) {
        Deque<Runnable> releases = new ArrayDeque<>();
        try {
            run(platform, id, source, values, releases);
            return "";
        } catch (OpenClException e) {
            return e.getMessage();
        } finally {
            releases.forEach(Runnable::run);
        }
    }

    /** @param releases gets what is to be called at the end, in order */
    @SuppressWarnings("deprecation") // the call that OpenCL 1.2 has
    private static void run(
            cl_platform_id platform, cl_device_id id, String source, int[] values, Deque<Runnable> releases) {
        int[] status = new int[1];
        cl_context_properties properties = new cl_context_properties();
        properties.addProperty(CL.CL_CONTEXT_PLATFORM, platform);
        long bytes = (long) values.length * Sizeof.cl_int;
        cl_context context = CL.clCreateContext(properties, 1, new cl_device_id[] {id}, null, null, status);
        OpenClException.check(status[0], "Creating a context");
        releases.push(() -> CL.clReleaseContext(context));
        cl_command_queue queue = CL.clCreateCommandQueue(context, id, 0, status);
        OpenClException.check(status[0], "Creating a queue");
        releases.push(() -> CL.clReleaseCommandQueue(queue));
        cl_program program = CL.clCreateProgramWithSource(context, 1, new String[] {source}, null, status);
        OpenClException.check(status[0], "Creating a program");
        releases.push(() -> CL.clReleaseProgram(program));
        OpenClException.check(
                OpenClException.statusOf(() -> CL.clBuildProgram(program, 1, new cl_device_id[] {id}, "", null, null)),
                "Compiling a kernel that asks for macros");
        cl_kernel kernel = CL.clCreateKernel(program, "macros", status);
        OpenClException.check(status[0], "Creating a kernel");
        releases.push(() -> CL.clReleaseKernel(kernel));
        cl_mem out = CL.clCreateBuffer(
                context, CL.CL_MEM_READ_WRITE | CL.CL_MEM_COPY_HOST_PTR, bytes, Pointer.to(values), status);
        OpenClException.check(status[0], "Allocating " + bytes + " bytes");
        releases.push(() -> CL.clReleaseMemObject(out));
        OpenClException.check(CL.clSetKernelArg(kernel, 0, Sizeof.cl_mem, Pointer.to(out)), "Setting an argument");
        OpenClException.check(
                CL.clEnqueueNDRangeKernel(queue, kernel, 1, null, new long[] {1}, new long[] {1}, 0, null, null),
                "Launching a kernel");
        OpenClException.check(
                CL.clEnqueueReadBuffer(queue, out, true, 0, bytes, Pointer.to(values), 0, null, null),
                "Reading what a kernel wrote");
    }
}
