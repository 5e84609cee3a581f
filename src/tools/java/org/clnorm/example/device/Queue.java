package org.clnorm.example.device;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.OpenClInterop;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.mpi.DataParallel;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_event;

/**
 * The one queue that a network's whole work goes through, in order: the kernels of this example, CLBlast's matrix
 * products, and the layers of clnorm, which see it as their {@link #device}. Since each finds what those before it have
 * left, nothing needs to wait, and nothing to leave the device.
 *
 * <p>What is made on a queue, tensors and layers, is closed with it. It is for one thread.
 */
public final class Queue implements AutoCloseable {
    final cl_context context;
    final cl_device_id id;
    final cl_command_queue handle;

    private final Device device;
    private final DataParallel ranks;
    private final Map<String, Kernels> kernels = new HashMap<>();
    private final Deque<AutoCloseable> kept = new ArrayDeque<>();
    private final Stopwatch normalization;
    private long uploads;
    private long downloads;

    private Queue(cl_context context, cl_device_id id, DataParallel ranks) {
        this.ranks = ranks;
        this.context = context;
        this.id = id;
        int[] status = new int[1];
        this.handle = createQueue(context, id, status);
        Status.check(status[0], "a queue");
        this.device = OpenClInterop.device(context, id, handle);
        this.normalization = new Stopwatch(this);
    }

    /**
     * A queue on the OpenCL device that another one of clnorm is on, which may be closed before it.
     *
     * @param ranks those who train together, of which this is one; null where it trains alone
     * @throws IllegalArgumentException when it is on the CPU reference, or CLBlast is not there for this machine
     */
    public static Queue on(Device chosen, DataParallel ranks) {
        if (chosen.info().kind() == DeviceInfo.Kind.REFERENCE) {
            throw new IllegalArgumentException(
                    "A network whose every tensor is on the device needs an OpenCL device, and"
                            + " the CPU reference is none; clnorm devices lists what there is");
        }
        Natives.require();
        // A program of one's own makes a context first, and clnorm's device over it. Here clnorm has chosen the device,
        // by
        // --device, so that its context is taken: any buffer in it knows it.
        try (Tensor any = chosen.tensor(Shape.of(1, 1), Layout.CHANNELS_FIRST)) {
            cl_context context = new cl_context();
            Status.check(
                    CL.clGetMemObjectInfo(
                            OpenClInterop.buffer(any), CL.CL_MEM_CONTEXT, Sizeof.cl_context, Pointer.to(context), null),
                    "the context");
            cl_device_id id = new cl_device_id();
            Status.check(
                    CL.clGetContextInfo(context, CL.CL_CONTEXT_DEVICES, Sizeof.cl_device_id, Pointer.to(id), null),
                    "the device");
            return new Queue(context, id, ranks);
        }
    }

    @SuppressWarnings("deprecation") // as in the library: some drivers have no other call
    private static cl_command_queue createQueue(cl_context context, cl_device_id id, int[] status) {
        return CL.clCreateCommandQueue(context, id, CL.CL_QUEUE_PROFILING_ENABLE, status);
    }

    /** The device as clnorm's layers want it. */
    public Device device() {
        return device;
    }

    /** Those who train together, if it is not one alone. */
    public Optional<DataParallel> ranks() {
        return Optional.ofNullable(ranks);
    }

    /** How many train together. */
    public int size() {
        return ranks == null ? 1 : ranks.group().size();
    }

    /** Which of them this is, from 0 on. */
    public int rank() {
        return ranks == null ? 0 : ranks.group().rank();
    }

    /** A tensor of zeros. One of images lies channels last, (N, H, W, C), as {@link Gemm} makes and wants it. */
    public Tensor tensor(long... dimensions) {
        return keep(device.tensor(Shape.of(dimensions), Layout.CHANNELS_LAST));
    }

    /** Closes something together with the queue, such as a layer of clnorm. */
    public <T extends AutoCloseable> T keep(T made) {
        kept.push(made);
        return made;
    }

    /** The kernels in a file beside a class, compiled when they are first asked for. */
    public Kernels kernels(Class<?> beside, String file) {
        return kernels.computeIfAbsent(beside.getPackageName() + "/" + file, name -> Kernels.build(this, beside, file));
    }

    /** The kernels that several parts have in common. */
    public Kernels common() {
        return kernels(Queue.class, "common.cl");
    }

    /** From the host to the device. Every such transfer of a network is one through here, and counted. */
    public void upload(Tensor to, float[] from) {
        uploads++;
        to.upload(from);
    }

    /** From the device to the host, which waits for all that the tensor depends on. Counted too. */
    public float[] download(Tensor from) {
        downloads++;
        return from.download();
    }

    /** How often the host gave something to the device. */
    public long uploads() {
        return uploads;
    }

    /** How often the host waited for something from the device. */
    public long downloads() {
        return downloads;
    }

    /** What measures the device's time in normalization. */
    public Stopwatch normalization() {
        return normalization;
    }

    /** What is reached when all before it is over; the caller's to release. */
    @SuppressWarnings("deprecation") // OpenCL 1.1's; 1.2's takes a list of events more
    cl_event marker() {
        cl_event event = new cl_event();
        Status.check(CL.clEnqueueMarker(handle, event), "a marker");
        return event;
    }

    /** Waits for all that was enqueued. */
    public void finish() {
        device.finish();
    }

    @Override
    public void close() {
        finish();
        normalization.nanos(); // lets go of its events
        for (AutoCloseable each : kept) {
            closeQuietly(each);
        }
        kernels.values().forEach(Kernels::close);
        device.close();
        CL.clReleaseCommandQueue(handle);
    }

    private static void closeQuietly(AutoCloseable each) {
        try {
            each.close();
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException("A part of a network could not be closed", e);
        }
    }
}
