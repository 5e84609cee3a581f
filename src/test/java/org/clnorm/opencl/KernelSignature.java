package org.clnorm.opencl;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.clnorm.plan.Argument;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.Launch;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_device_id;
import org.jocl.cl_kernel;
import org.jocl.cl_program;

/** A kernel's parameters, each as its type and its name. */
final class KernelSignature {
    private KernelSignature() {}

    /** As the host sets them. */
    static List<String> set(Launch launch) {
        return launch.arguments().stream().flatMap(KernelSignature::of).toList();
    }

    private static Stream<String> of(Argument argument) {
        if (argument.isBuffer()) {
            String buffer = (argument.name().equals("valid") ? "ushort* " : "float* ") + argument.name();
            return argument.hasOffset()
                    ? Stream.of(buffer + "_buffer", "long " + argument.name() + "_offset")
                    : Stream.of(buffer);
        }
        String type = argument.value() instanceof Integer ? "int" : argument.value() instanceof Long ? "long" : "float";
        return Stream.of(type + " " + argument.name());
    }

    /**
     * As the kernels declare them, by what the driver says of their declarations: without their bodies, and all in one
     * program, since it is programs that take time.
     *
     * @param macros the compiler's options that decide which there are
     */
    static Map<String, List<String>> declared(Collection<String> kernels, String macros, DefaultDevice.Foreign device) {
        // The file that includes the macros of all others' parameters.
        StringBuilder source = new StringBuilder(withoutBody("normalize_segmented"));
        source.append(macrosOf("optimizer.cl"));
        kernels.stream()
                .filter(kernel -> !kernel.equals("normalize_segmented"))
                .forEach(kernel -> source.append(declarationOf(kernel)).append("}\n"));
        String options = "-cl-std=CL1.2 -DSUBGROUPS=0 -cl-kernel-arg-info" + macros;
        cl_program program =
                CL.clCreateProgramWithSource(device.context, 1, new String[] {source.toString()}, null, null);
        cl_device_id[] devices = {device.device};
        OpenClException.check(
                CL.clBuildProgram(program, 1, devices, options, null, null), "Building the kernels' declarations");
        Map<String, List<String>> declared = new TreeMap<>();
        kernels.forEach(kernel -> declared.put(kernel, parametersOf(program, kernel)));
        CL.clReleaseProgram(program);
        return declared;
    }

    /** What a file defines that the one with all others' macros does not include. */
    private static String macrosOf(String file) {
        String text = KernelSource.read(file);
        String own = text.substring(text.indexOf("#define MEMBER("));
        return own.substring(0, own.indexOf("\n\n") + 1);
    }

    private static String withoutBody(String kernel) {
        String text = KernelSource.read(KernelCatalogue.entry(kernel).source(), kernel);
        int body = bodyOf(text, kernel);
        return text.substring(0, body) + text.substring(text.indexOf("\n}", body));
    }

    /** From its first word to the brace that its body begins with. */
    private static String declarationOf(String kernel) {
        String text = KernelSource.read(KernelCatalogue.entry(kernel).source(), kernel);
        int body = bodyOf(text, kernel);
        return text.substring(text.lastIndexOf("__kernel", body), body);
    }

    private static int bodyOf(String text, String kernel) {
        return text.indexOf(") {", text.indexOf("void " + kernel + "(")) + ") {".length();
    }

    private static List<String> parametersOf(cl_program program, String name) {
        cl_kernel kernel = CL.clCreateKernel(program, name, null);
        int[] count = new int[1];
        CL.clGetKernelInfo(kernel, CL.CL_KERNEL_NUM_ARGS, Sizeof.cl_uint, Pointer.to(count), null);
        List<String> parameters = new ArrayList<>();
        for (int i = 0; i < count[0]; i++) {
            String parameter = text(kernel, i, CL.CL_KERNEL_ARG_NAME).replaceFirst("^_cl_", "");
            parameters.add(text(kernel, i, CL.CL_KERNEL_ARG_TYPE_NAME) + " " + parameter);
        }
        CL.clReleaseKernel(kernel);
        return parameters;
    }

    private static String text(cl_kernel kernel, int parameter, int what) {
        byte[] text = new byte[200];
        long[] size = new long[1];
        CL.clGetKernelArgInfo(kernel, parameter, what, text.length, Pointer.to(text), size);
        return new String(text, 0, (int) size[0] - 1, StandardCharsets.US_ASCII);
    }
}
