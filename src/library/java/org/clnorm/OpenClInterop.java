package org.clnorm;

import java.util.Objects;
import org.clnorm.backend.Operand;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.opencl.OpenClMemory;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_mem;

/**
 * The door for programs that use OpenCL themselves: layers on their context and queue, tensors over their buffers. What
 * comes in through it stays the caller's; closing a device or a tensor never releases it.
 *
 * <p>What cannot be worked with is refused when it comes in, as far as OpenCL can be asked. It cannot be asked whether
 * a handle is one of an object that was released: such a handle ends in whatever the driver makes of it. A buffer that
 * kernels may only read is for inputs, one that they may only write for outputs, and one that the host may not read
 * cannot be downloaded; a pass says so before it runs. Tensors over one buffer, over its sub-buffers too, are known to
 * overlap where they share bytes; but a backward pass does not notice when its x was written through another of them.
 */
public final class OpenClInterop {
    private OpenClInterop() {}

    /**
     * Makes a device over a caller's context and queue. Its work is enqueued there, in order with the caller's. The
     * environment variable {@code CLNORM_STRATEGY} may name its kernel strategy.
     *
     * @param context the context that the device's memory is in; it outlives the result
     * @param device a device of the context
     * @param queue an in-order queue of {@code context} on {@code device}; it outlives the result
     * @throws IllegalArgumentException when the queue is of another context, on another device, or out of order, and
     *     when the variable names no strategy
     */
    public static Device device(cl_context context, cl_device_id device, cl_command_queue queue) {
        Objects.requireNonNull(context, "context");
        Objects.requireNonNull(device, "device");
        Objects.requireNonNull(queue, "queue");
        return Device.over(OpenClBackend.over(context, device, queue, Device.variable(Device.STRATEGY_VARIABLE)));
    }

    /**
     * Makes a tensor over a caller's buffer of float32 elements.
     *
     * @param device a device over the buffer's context
     * @param buffer holds float32 elements; it outlives the result
     * @param offset the tensor's first element, counted from the buffer's first, from 0
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in the buffer
     * @throws IllegalArgumentException when the buffer is too small, is of another context, is no buffer, has not whole
     *     elements, or is a sub-buffer that starts where the device cannot work with it; and when the device is not an
     *     OpenCL one
     * @throws IllegalStateException when the device is closed
     */
    public static Tensor tensor(Device device, cl_mem buffer, long offset, Shape shape, Layout layout) {
        return tensor(device, buffer, offset, shape, layout, DataType.FLOAT32);
    }

    /**
     * Makes a tensor over a caller's buffer of elements of any type.
     *
     * @param device a device over the buffer's context
     * @param buffer holds elements of that type; it outlives the result
     * @param offset the tensor's first element, counted from the buffer's first, from 0
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in the buffer
     * @param type how its elements are stored
     * @throws IllegalArgumentException when the buffer is too small, is of another context, is no buffer, has not whole
     *     elements, or is a sub-buffer that starts where the device cannot work with it; and when the device is not an
     *     OpenCL one
     * @throws IllegalStateException when the device is closed
     */
    public static Tensor tensor(Device device, cl_mem buffer, long offset, Shape shape, Layout layout, DataType type) {
        Objects.requireNonNull(device, "device");
        Objects.requireNonNull(shape, "shape");
        Objects.requireNonNull(layout, "layout");
        Objects.requireNonNull(buffer, "buffer");
        Objects.requireNonNull(type, "type");
        OpenClMemory memory = backend(device).wrap(buffer, type);
        if (offset < 0 || offset > memory.elements() || shape.elements() > memory.elements() - offset) {
            throw new IllegalArgumentException("The buffer must hold shape " + shape + " at offset " + offset
                    + ", but it has " + memory.elements() + " " + type + " elements");
        }
        return Tensor.borrowing(
                device, shape, Objects.requireNonNull(layout, "layout"), new Operand(memory, offset, type));
    }

    /**
     * The buffer that a tensor lies in, from its element {@link #offset} on. It stays the tensor's.
     *
     * @param tensor a tensor on an OpenCL device
     * @throws IllegalArgumentException when the device is not an OpenCL one
     * @throws IllegalStateException when the tensor or its device is closed
     */
    public static cl_mem buffer(Tensor tensor) {
        Objects.requireNonNull(tensor, "tensor");
        backend(tensor.device());
        return ((OpenClMemory) tensor.operand().memory()).handle();
    }

    /**
     * The element of its {@link #buffer} at which a tensor starts, counted in elements of the tensor's type.
     *
     * @param tensor a tensor on any device
     * @throws IllegalStateException when the tensor or its device is closed
     */
    public static long offset(Tensor tensor) {
        Objects.requireNonNull(tensor, "tensor");
        return tensor.operand().offset();
    }

    /**
     * Which OpenCL device a device is, for a program that asks the driver about it, or makes a context of its own on it.
     *
     * @param device an OpenCL device
     * @throws IllegalArgumentException when the device is not an OpenCL one
     * @throws IllegalStateException when the device is closed
     */
    public static cl_device_id deviceId(Device device) {
        Objects.requireNonNull(device, "device");
        return backend(device).deviceId();
    }

    private static OpenClBackend backend(Device device) {
        if (device.backend() instanceof OpenClBackend backend) {
            return backend;
        }
        throw new IllegalArgumentException("The device must be an OpenCL device, but given was " + device);
    }
}
