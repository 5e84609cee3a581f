package org.clnorm.opencl;

import java.util.HashMap;
import java.util.Map;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_kernel;
import org.jocl.cl_program;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The kernels of one context, compiled when first asked for and kept. A binary is known by its source and its macros;
 * shapes are arguments, so one serves all of them.
 */
final class Kernels {
    private static final Logger log = LoggerFactory.getLogger(Kernels.class);

    private record ProgramKey(String source, String options) {}

    private record KernelKey(String name, String options) {}

    private final cl_context context;
    private final cl_device_id device;
    private final String deviceName;
    private final Runnable afterCompiling;
    private final Map<ProgramKey, cl_program> programs = new HashMap<>();
    private final Map<KernelKey, Kernel> kernels = new HashMap<>();

    /** @param afterCompiling called when a compilation is over, well or not */
    Kernels(cl_context context, cl_device_id device, String deviceName, Runnable afterCompiling) {
        this.afterCompiling = afterCompiling;
        this.context = context;
        this.device = device;
        this.deviceName = deviceName;
    }

    /** A kernel of the catalogue, under a strategy and the macros of a pass, ready for its first argument. */
    Kernel get(String name, Strategy strategy, String macros) {
        KernelKey key = new KernelKey(name, strategy.macros() + macros);
        Kernel kernel = kernels.get(key);
        if (kernel == null) {
            kernel = create(key, strategy);
            kernels.put(key, kernel);
        }
        return kernel.begin();
    }

    private Kernel create(KernelKey key, Strategy strategy) {
        ProgramKey programKey =
                new ProgramKey(KernelCatalogue.entry(key.name).source(), "-cl-std=CL1.2 " + key.options);
        cl_program program = programs.get(programKey);
        if (program == null) {
            program = build(programKey.source, KernelSource.read(programKey.source), programKey.options);
            programs.put(programKey, program);
        }
        int[] status = new int[1];
        cl_kernel handle = CL.clCreateKernel(program, key.name, status);
        OpenClException.check(status[0], "Creating kernel " + key.name);
        return new Kernel(key.name, handle, strategy.items());
    }

    /** Compiles a source text; {@code file} is its name in messages. */
    cl_program build(String file, String text, String options) {
        int[] status = new int[1];
        cl_program program = CL.clCreateProgramWithSource(context, 1, new String[] {text}, null, status);
        OpenClException.check(status[0], "Creating a program from " + file);
        long start = System.nanoTime();
        int built = OpenClException.statusOf(
                () -> CL.clBuildProgram(program, 1, new cl_device_id[] {device}, options, null, null));
        afterCompiling.run();
        if (built != CL.CL_SUCCESS) {
            String buildLog = log(program);
            CL.clReleaseProgram(program);
            throw new KernelBuildException(file, options, deviceName, CL.stringFor_errorCode(built) + "\n" + buildLog);
        }
        log.debug("Built {} with {} in {} ms", file, options, (System.nanoTime() - start) / 1_000_000);
        return program;
    }

    private String log(cl_program program) {
        long[] size = new long[1];
        CL.clGetProgramBuildInfo(program, device, CL.CL_PROGRAM_BUILD_LOG, 0, null, size);
        byte[] bytes = new byte[(int) Math.max(1, size[0])];
        CL.clGetProgramBuildInfo(
                program,
                device,
                CL.CL_PROGRAM_BUILD_LOG,
                (long) bytes.length * Sizeof.cl_char,
                Pointer.to(bytes),
                null);
        return new String(bytes, 0, bytes.length - 1, java.nio.charset.StandardCharsets.UTF_8);
    }

    void release() {
        kernels.values().forEach(Kernel::release);
        programs.values().forEach(CL::clReleaseProgram);
        kernels.clear();
        programs.clear();
    }
}
