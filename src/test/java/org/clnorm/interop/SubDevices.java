package org.clnorm.interop;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Device;
import org.clnorm.OpenClInterop;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_device_partition_property;

/**
 * Parts of the OpenCL device, each with one of its compute units and a context and queue of its own; of a device that cannot be
 * divided, as GPUs cannot, the whole twice.
 */
public final class SubDevices implements AutoCloseable {
    private final List<Device> devices = new ArrayList<>();
    private final List<cl_device_id> ids = new ArrayList<>();
    private final List<cl_context> contexts = new ArrayList<>();
    private final List<cl_command_queue> queues = new ArrayList<>();

    private SubDevices() {}

    /** As many as the device has units, and at least two. */
    @SuppressWarnings("deprecation") // as in the library: some drivers have no other call
    public static SubDevices ofOneUnit() {
        SubDevices parts = new SubDevices();
        try (ForeignOpenCl whole = new ForeignOpenCl()) {
            cl_device_partition_property equally = new cl_device_partition_property();
            equally.addProperty(CL.CL_DEVICE_PARTITION_EQUALLY, 1);
            int[] count = new int[1];
            if (CL.clCreateSubDevices(whole.device, equally, 0, null, count) == CL.CL_SUCCESS && count[0] > 1) {
                cl_device_id[] ids = new cl_device_id[count[0]];
                check(CL.clCreateSubDevices(whole.device, equally, ids.length, ids, null));
                parts.ids.addAll(List.of(ids));
            } else {
                parts.ids.addAll(List.of(whole.device, whole.device));
            }
        }
        int[] status = new int[1];
        for (cl_device_id id : parts.ids) {
            cl_context context = CL.clCreateContext(null, 1, new cl_device_id[] {id}, null, null, status);
            check(status[0]);
            parts.contexts.add(context);
            cl_command_queue queue = CL.clCreateCommandQueue(context, id, 0, status);
            check(status[0]);
            parts.queues.add(queue);
            parts.devices.add(OpenClInterop.device(context, id, queue));
        }
        return parts;
    }

    private static void check(int status) {
        assertThat(CL.stringFor_errorCode(status)).isEqualTo("CL_SUCCESS");
    }

    public List<Device> devices() {
        return devices;
    }

    /** How many compute units each of them says that it has. */
    public List<Integer> units() {
        List<Integer> units = new ArrayList<>();
        for (cl_device_id id : ids) {
            int[] answer = new int[1];
            check(CL.clGetDeviceInfo(id, CL.CL_DEVICE_MAX_COMPUTE_UNITS, Sizeof.cl_uint, Pointer.to(answer), null));
            units.add(answer[0]);
        }
        return units;
    }

    @Override
    public void close() {
        devices.forEach(Device::close);
        queues.forEach(CL::clReleaseCommandQueue);
        contexts.forEach(CL::clReleaseContext);
        ids.forEach(CL::clReleaseDevice);
    }
}
