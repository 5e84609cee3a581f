package org.clnorm.opencl;

import java.util.List;
import java.util.stream.Stream;
import org.clnorm.Device;
import org.clnorm.plan.Strategy;
import org.jocl.CL;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_context_properties;
import org.jocl.cl_device_id;
import org.jocl.cl_platform_id;

/** The device that tests run on; they fail where there is none. */
final class DefaultDevice {
    private DefaultDevice() {}

    static OpenCl.Candidate candidate() {
        return OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE));
    }

    static OpenClBackend open(String strategy) {
        return (OpenClBackend) candidate().open(strategy);
    }

    static List<String> strategies() {
        return Stream.concat(
                        Stream.of(Strategy.AUTO),
                        Strategy.all(candidate().facts()).stream().map(Strategy::name))
                .toList();
    }

    /** The same device as somebody has it who uses OpenCL without this library. */
    static final class Foreign implements AutoCloseable {
        final cl_device_id device;
        final cl_context context;
        final cl_command_queue queue;

        @SuppressWarnings("deprecation") // as in the backend
        Foreign() {
            String[] index = candidate().index().split(":");
            cl_platform_id[] platforms = new cl_platform_id[Integer.parseInt(index[0]) + 1];
            check(CL.clGetPlatformIDs(platforms.length, platforms, null));
            cl_platform_id platform = platforms[platforms.length - 1];
            cl_device_id[] devices = new cl_device_id[Integer.parseInt(index[1]) + 1];
            check(CL.clGetDeviceIDs(platform, CL.CL_DEVICE_TYPE_ALL & 0xFFFFFFFFL, devices.length, devices, null));
            device = devices[devices.length - 1];
            cl_context_properties properties = new cl_context_properties();
            properties.addProperty(CL.CL_CONTEXT_PLATFORM, platform);
            int[] status = new int[1];
            context = CL.clCreateContext(properties, 1, new cl_device_id[] {device}, null, null, status);
            check(status[0]);
            queue = CL.clCreateCommandQueue(context, device, 0, status);
            check(status[0]);
        }

        @Override
        public void close() {
            check(CL.clReleaseCommandQueue(queue));
            check(CL.clReleaseContext(context));
        }

        private static void check(int status) {
            OpenClException.check(status, "What a test asked for");
        }
    }
}
