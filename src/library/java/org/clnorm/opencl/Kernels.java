package org.clnorm.opencl;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BinaryOperator;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.Launch;
import org.jocl.CL;
import org.jocl.CLException;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_kernel;
import org.jocl.cl_program;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The binaries of one context, made when first asked for and kept, and kernels of them. A binary is known by its source
 * and its macros; shapes are arguments, so one serves all of them, and all layers.
 *
 * <p>Each kernel is a program of its own, taken from the cache or else compiled. A compiled one enters the cache when it
 * is launched for the second time, or when the kernels are released; that is when PoCL's machine code, made at the first
 * launch, is in its binary. Nor does the first result wait: PoCL makes a binary of all forms of all kernels of the
 * program, among them one that is not launched here, which takes it as long as a first launch.
 */
final class Kernels {
    private static final Logger log = LoggerFactory.getLogger(Kernels.class);

    private record KernelKey(String name, String options) {}

    /** What PoCL's compiler says when a temporary file of its own was deleted under it. */
    private static final String LOST_FILE = "unable to rename temporary";

    /** How often at most a program is built that loses its file. */
    private static final int BUILDS = 4;

    /** From this many work-items on, PoCL compiles a kernel to machine code for itself. */
    private static final long LARGE_GRID = 0xFFFF;

    /** What the kernels of one name and options share. */
    static final class Binary {
        private final String name;
        private final cl_program program;
        /** What it was taken from the cache under, or null when it was compiled. */
        private final String taken;
        /** What it is to be written to the cache under, or null when it is there. */
        private String unwritten;

        private boolean launchedSmall;
        private boolean launchedLarge;

        private Binary(String name, cl_program program, String taken, String unwritten) {
            this.name = name;
            this.program = program;
            this.taken = taken;
            this.unwritten = unwritten;
        }

        private boolean isLaunched() {
            return launchedSmall || launchedLarge;
        }
    }

    private final cl_context context;
    private final cl_device_id device;
    private final String deviceName;
    /** What every program is built with, whatever its macros. */
    private final String rounding;

    private final BinaryCache cache;
    /** What becomes of the sources; see {@link KernelSource#UNEDITED}. */
    private final BinaryOperator<String> edit;

    private final Map<KernelKey, Binary> binaries = new HashMap<>();
    /** Of those that were compiled. */
    private final Map<KernelKey, Double> seconds = new HashMap<>();

    private int compiled;
    private long compiling;

    Kernels(
            cl_context context,
            cl_device_id device,
            String deviceName,
            BinaryCache cache,
            BinaryOperator<String> edit) {
        this.context = context;
        this.device = device;
        this.deviceName = deviceName;
        this.rounding = OpenCl.roundingOption(device);
        this.cache = cache;
        this.edit = edit;
    }

    /** A kernel of the caller's own for a launch; the caller releases it. */
    Kernel prepare(Launch launch) {
        KernelKey key = new KernelKey(launch.kernel(), launch.options() + rounding);
        Binary binary = binaries.get(key);
        if (binary == null) {
            binary = make(key);
            binaries.put(key, binary);
        }
        try {
            return kernelOf(launch, binary);
        } catch (OpenClException | CLException e) {
            if (binary.taken == null || binary.isLaunched()) {
                throw e;
            }
            // It loads, but it may be not this kernel: another's, or one with other arguments.
            log.debug("The stored binary of {} does not do, and so is deleted: {}", key.name, e.getMessage());
            Binary compiled = compile(key);
            cache.delete(binary.taken);
            binaries.put(key, compiled);
            CL.clReleaseProgram(binary.program);
            return kernelOf(launch, compiled);
        }
    }

    private static Kernel kernelOf(Launch launch, Binary binary) {
        cl_kernel[] handle = new cl_kernel[1];
        int created = OpenClException.statusOf(() -> {
            int[] status = new int[1];
            handle[0] = CL.clCreateKernel(binary.program, binary.name, status);
            return status[0];
        });
        OpenClException.check(created, "Creating kernel " + binary.name);
        try {
            return new Kernel(launch, handle[0], binary);
        } catch (RuntimeException e) {
            CL.clReleaseKernel(handle[0]);
            throw e;
        }
    }

    /**
     * To be called before each launch. It may write the binary, which PoCL does not stand while a kernel of it runs. A kernel
     * is first until it {@link #ran}.
     *
     * @return whether it is the first of its binary and size, for which PoCL compiles
     */
    boolean isFirst(Kernel kernel) {
        Binary binary = kernel.binary();
        boolean first = isLarge(kernel) ? !binary.launchedLarge : !binary.launchedSmall;
        if (!first && binary.unwritten != null) {
            write(binary);
        }
        return first;
    }

    private static boolean isLarge(Kernel kernel) {
        return kernel.items() >= LARGE_GRID;
    }

    /** To be called after the launch for which {@link #isFirst} said that it is, and after what the driver did for it. */
    void ran(Kernel kernel) {
        Binary binary = kernel.binary();
        binary.launchedLarge |= isLarge(kernel);
        binary.launchedSmall |= !isLarge(kernel);
        if (binary.taken != null) {
            cache.prove(binary.taken);
        }
    }

    /** How many programs were compiled from source. */
    int compiled() {
        return compiled;
    }

    /** Nanoseconds that it took to compile them. */
    long compiling() {
        return compiling;
    }

    private Binary make(KernelKey key) {
        String file = KernelCatalogue.entry(key.name).source();
        String text = KernelSource.read(file, key.name, edit);
        String options = key.options;
        if (!cache.isOn()) {
            return new Binary(key.name, build(key, file, text), null, null);
        }
        String cacheKey = cache.key(text, options);
        cl_program program = fromCache(file, key.name, cacheKey, options);
        return program == null
                ? new Binary(key.name, build(key, file, text), null, cacheKey)
                : new Binary(key.name, program, cacheKey, null);
    }

    /** Without a look at the cache, which is to get it. */
    private Binary compile(KernelKey key) {
        String file = KernelCatalogue.entry(key.name).source();
        String text = KernelSource.read(file, key.name, edit);
        return new Binary(key.name, build(key, file, text), null, cache.key(text, key.options));
    }

    private cl_program build(KernelKey key, String file, String text) {
        long before = compiling;
        cl_program program = build(file, text, key.options);
        seconds.put(key, (compiling - before) * 1e-9);
        return program;
    }

    /** The program of a binary in the cache; null where there is none that the driver takes. */
    private cl_program fromCache(String file, String kernel, String cacheKey, String options) {
        byte[] binary = cache.read(cacheKey, kernel);
        if (binary == null || !cache.admits(cacheKey)) {
            return null;
        }
        long start = System.nanoTime();
        cl_device_id[] devices = {device};
        cl_program[] program = new cl_program[1];
        int built = OpenClException.statusOf(() -> {
            int[] status = new int[1];
            program[0] = CL.clCreateProgramWithBinary(
                    context, 1, devices, new long[] {binary.length}, new byte[][] {binary}, new int[1], status);
            return status[0] == CL.CL_SUCCESS
                    ? CL.clBuildProgram(program[0], 1, devices, options, null, null)
                    : status[0];
        });
        if (built == CL.CL_SUCCESS) {
            log.debug(
                    "Took {} with {} from the cache in {} ms", file, options, (System.nanoTime() - start) / 1_000_000);
            return program[0];
        }
        log.debug("{} refuses the stored binary of {}: {}", deviceName, file, CL.stringFor_errorCode(built));
        if (program[0] != null) {
            CL.clReleaseProgram(program[0]);
        }
        cache.delete(cacheKey);
        return null;
    }

    private void write(Binary made) {
        String cacheKey = made.unwritten;
        made.unwritten = null;
        byte[] binary = binaryOf(made);
        if (binary.length > 0) {
            cache.write(cacheKey, made.name, binary);
        }
    }

    /** What the driver made of a program; empty where it does not say. */
    private byte[] binaryOf(Binary made) {
        long[] size = new long[1];
        byte[][] binary = new byte[1][];
        int status = OpenClException.statusOf(() -> {
            int asked = CL.clGetProgramInfo(
                    made.program, CL.CL_PROGRAM_BINARY_SIZES, Sizeof.size_t, Pointer.to(size), null);
            binary[0] = new byte[asked == CL.CL_SUCCESS ? (int) size[0] : 0];
            return binary[0].length == 0
                    ? asked
                    : CL.clGetProgramInfo(
                            made.program,
                            CL.CL_PROGRAM_BINARIES,
                            Sizeof.POINTER,
                            Pointer.to(Pointer.to(binary[0])),
                            null);
        });
        if (status == CL.CL_SUCCESS && binary[0].length > 0) {
            return binary[0];
        }
        log.debug("{} gives no binary of {}: status {}", deviceName, made.name, status);
        return new byte[0];
    }

    /** All programs that there are now, in the order of their kernels' names. */
    List<OpenClBackend.BuiltProgram> programs() {
        List<OpenClBackend.BuiltProgram> programs = new ArrayList<>();
        binaries.forEach((key, binary) -> programs.add(new OpenClBackend.BuiltProgram(
                key.name, key.options, seconds.getOrDefault(key, 0.0), binaryOf(binary))));
        programs.sort(Comparator.comparing(OpenClBackend.BuiltProgram::kernel)
                .thenComparing(OpenClBackend.BuiltProgram::options));
        return programs;
    }

    /**
     * Compiles a source text; {@code file} is its name in messages. Where a temporary file was deleted meanwhile, it does so
     * again: PoCL's compiler deletes them when a signal of the JVM's reaches it, which {@link SignalHandlers} ends.
     */
    cl_program build(String file, String text, String options) {
        for (int left = BUILDS - 1; ; left--) {
            try {
                return buildOnce(file, text, options);
            } catch (KernelBuildException e) {
                if (left == 0 || !e.getMessage().contains(LOST_FILE)) {
                    throw e;
                }
                log.debug("Building {} again, as its temporary file was deleted", file);
            }
        }
    }

    private cl_program buildOnce(String file, String text, String options) {
        int[] status = new int[1];
        cl_program program = CL.clCreateProgramWithSource(context, 1, new String[] {text}, null, status);
        OpenClException.check(status[0], "Creating a program from " + file);
        long start = System.nanoTime();
        int[] built = new int[1];
        SignalHandlers.keepDuring(() -> built[0] = OpenClException.statusOf(
                () -> CL.clBuildProgram(program, 1, new cl_device_id[] {device}, options, null, null)));
        compiling += System.nanoTime() - start;
        if (built[0] != CL.CL_SUCCESS) {
            String buildLog = log(program);
            CL.clReleaseProgram(program);
            throw new KernelBuildException(
                    file, options, deviceName, OpenClException.inWords(built[0]) + "\n" + buildLog);
        }
        compiled++;
        log.debug("Built {} with {} in {} ms", file, options, (System.nanoTime() - start) / 1_000_000);
        return program;
    }

    /** What the compiler said; empty where the driver does not tell. */
    private String log(cl_program program) {
        long[] size = new long[1];
        int asked = OpenClException.statusOf(
                () -> CL.clGetProgramBuildInfo(program, device, CL.CL_PROGRAM_BUILD_LOG, 0, null, size));
        byte[] bytes = new byte[asked == CL.CL_SUCCESS ? (int) size[0] : 0];
        if (bytes.length == 0) {
            return "";
        }
        asked = OpenClException.statusOf(() -> CL.clGetProgramBuildInfo(
                program, device, CL.CL_PROGRAM_BUILD_LOG, bytes.length, Pointer.to(bytes), null));
        return asked == CL.CL_SUCCESS ? new String(bytes, 0, bytes.length - 1, StandardCharsets.UTF_8) : "";
    }

    void release() {
        for (Binary made : binaries.values()) {
            if (made.unwritten != null && made.isLaunched()) {
                write(made);
            }
            CL.clReleaseProgram(made.program);
        }
        binaries.clear();
    }
}
