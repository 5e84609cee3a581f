package org.clnorm.opencl;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
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
        if (argument.value() instanceof Place place) {
            String buffer = "float* " + argument.name();
            return place.hasOffset()
                    ? Stream.of(buffer + "_buffer", "long " + argument.name() + "_offset")
                    : Stream.of(buffer);
        }
        String type = argument.value() instanceof Integer ? "int" : argument.value() instanceof Long ? "long" : "float";
        return Stream.of(type + " " + argument.name());
    }

    /** As the kernel declares them, by what the driver says of its source. */
    static List<String> declared(Launch launch, DefaultDevice.Foreign device) {
        String source = KernelSource.read(KernelCatalogue.entry(launch.kernel()).source(), launch.kernel());
        cl_program program = CL.clCreateProgramWithSource(device.context, 1, new String[] {source}, null, null);
        cl_device_id[] devices = {device.device};
        OpenClException.check(
                CL.clBuildProgram(program, 1, devices, launch.options() + " -cl-kernel-arg-info", null, null),
                "Building " + launch.kernel());
        cl_kernel kernel = CL.clCreateKernel(program, launch.kernel(), null);
        int[] count = new int[1];
        CL.clGetKernelInfo(kernel, CL.CL_KERNEL_NUM_ARGS, Sizeof.cl_uint, Pointer.to(count), null);
        List<String> parameters = new ArrayList<>();
        for (int i = 0; i < count[0]; i++) {
            String name = text(kernel, i, CL.CL_KERNEL_ARG_NAME);
            parameters.add(text(kernel, i, CL.CL_KERNEL_ARG_TYPE_NAME) + " " + name.replaceFirst("^_cl_", ""));
        }
        CL.clReleaseKernel(kernel);
        CL.clReleaseProgram(program);
        return parameters;
    }

    private static String text(cl_kernel kernel, int parameter, int what) {
        byte[] text = new byte[200];
        long[] size = new long[1];
        CL.clGetKernelArgInfo(kernel, parameter, what, text.length, Pointer.to(text), size);
        return new String(text, 0, (int) size[0] - 1, StandardCharsets.US_ASCII);
    }
}
