package org.clnorm.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.function.IntSupplier;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.Activation;
import org.clnorm.Batch;
import org.clnorm.BatchNorm;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.OpenClInterop;
import org.clnorm.Shape;
import org.clnorm.Step;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.clnorm.check.Binding;
import org.clnorm.check.KernelCheck;
import org.clnorm.lifecycle.LogCapture;
import org.jocl.CL;
import org.jocl.cl_command_queue;
import org.jocl.cl_device_id;
import org.jocl.cl_image_desc;
import org.jocl.cl_image_format;
import org.jocl.cl_mem;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Layers inside of a program that has its own context, queue and buffers. */
final class OpenClInteropTest {
    private static final Shape SHAPE = Shape.of(3, 4, 5);
    private static final Layout LAYOUT = Layout.CHANNELS_FIRST;
    private static final int N = (int) SHAPE.elements();
    private static final int OFFSET = 7;
    private static final Batch X = Batch.random(SHAPE, LAYOUT, 1);
    private static final Batch DY = Batch.gradient(SHAPE, LAYOUT, 2);

    private ForeignOpenCl foreign;
    private Device device;

    @BeforeEach
    void open() {
        foreign = new ForeignOpenCl();
        device = OpenClInterop.device(foreign.context, foreign.device, foreign.queue);
    }

    @AfterEach
    void close() {
        device.close();
        foreign.close();
    }

    private static BatchNorm.Builder layer() {
        return BatchNorm.builder(4).activation(Activation.RELU);
    }

    /** The values with OFFSET others before and three behind them. */
    private static float[] padded(float[] values) {
        float[] padded = new float[OFFSET + values.length + 3];
        Arrays.fill(padded, 42);
        System.arraycopy(values, 0, padded, OFFSET, values.length);
        return padded;
    }

    @Test
    void device_overACallersQueue_saysWhoItIs() {
        DeviceInfo expected = TestDevice.AUTO.device().info();
        assertThat(device.info().name()).isEqualTo(expected.name());
        assertThat(device.info().platform()).isEqualTo(expected.platform());
        assertThat(device.info().kind()).isNotEqualTo(DeviceInfo.Kind.REFERENCE);
    }

    @Test
    void deviceId_ofADevice_isTheDriversHandle() {
        assertThat(OpenClInterop.deviceId(device)).isEqualTo(foreign.device);
        try (SubDevices parts = SubDevices.ofOneUnit()) {
            Device part = parts.devices().get(1);
            Binding binding = Binding.parse("operation=batch-norm\nkernel=k\nargs=x,y\nglobal=1");
            if (OpenClInterop.deviceId(part).equals(foreign.device)) {
                return; // it cannot be divided
            }
            assertThatThrownBy(() -> KernelCheck.of("", binding).on(part))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll(
                            "must be one that a platform lists", part.info().name());
        }
    }

    @Test
    void step_onACallersBuffers_leavesTheResultsThere() {
        cl_mem x = foreign.buffer(padded(new float[N]));
        cl_mem y = foreign.buffer(padded(new float[N]));
        cl_mem dy = foreign.buffer(padded(DY.values()));
        cl_mem dx = foreign.buffer(padded(new float[N]));
        try (BatchNorm norm = layer().build(device);
                BatchNorm ours = layer().build(TestDevice.AUTO.device());
                Tensor input = OpenClInterop.tensor(device, x, OFFSET, SHAPE, LAYOUT);
                Tensor output = OpenClInterop.tensor(device, y, OFFSET, SHAPE, LAYOUT);
                Tensor gradient = OpenClInterop.tensor(device, dy, OFFSET, SHAPE, LAYOUT);
                Tensor inputGradient = OpenClInterop.tensor(device, dx, OFFSET, SHAPE, LAYOUT)) {
            foreign.write(x, padded(X.values()));
            norm.forward(input, output);
            norm.backward(gradient, inputGradient);

            Step expected = Step.of(ours, X, null, DY);
            assertThat(foreign.read(y, OFFSET + N + 3))
                    .as("the caller's own read, in the same queue, sees y in its place and nothing else changed")
                    .isEqualTo(padded(expected.y()));
            assertThat(foreign.read(dx, OFFSET + N + 3)).isEqualTo(padded(expected.dx()));
            assertThat(foreign.read(x, OFFSET + N + 3)).isEqualTo(padded(X.values()));
            assertThat(output.download()).isEqualTo(expected.y());
            assertThat(norm.gamma().orElseThrow().gradient().download()).isEqualTo(expected.dgamma());
        }
    }

    @Test
    void tensor_ofALayer_isABufferForTheCaller() {
        try (BatchNorm norm = layer().build(device)) {
            Tensor gamma = norm.gamma().orElseThrow().value();
            assertThat(OpenClInterop.offset(gamma)).isZero();
            foreign.write(OpenClInterop.buffer(gamma), 2, 3, 4, 5);
            assertThat(gamma.download())
                    .as("a caller's kernel may be the optimizer")
                    .containsExactly(2, 3, 4, 5);
            Tensor slice = gamma.slice(2, Shape.of(2), LAYOUT);
            assertThat(OpenClInterop.offset(slice)).isEqualTo(2);
            assertThat(OpenClInterop.buffer(slice)).isEqualTo(OpenClInterop.buffer(gamma));
        }
    }

    @Test
    void close_ofWhatIsOverTheCallersObjects_releasesNoneOfThem() throws InterruptedException {
        cl_mem buffer = foreign.buffer(padded(X.values()));
        useAndClose(buffer);
        // Counted after a first use: drivers keep references of their own once a queue has been used.
        int contexts = settled(foreign::contextReferences);
        int queues = settled(foreign::queueReferences);
        useAndClose(buffer);
        useAndClose(buffer);
        assertThat(settled(() -> foreign.references(buffer))).isOne();
        assertThat(settled(foreign::queueReferences)).isEqualTo(queues);
        assertThat(settled(foreign::contextReferences))
                .as("what the library made in the context is gone, and no more")
                .isEqualTo(contexts);
        assertThat(foreign.read(buffer, OFFSET + N + 3)).isEqualTo(padded(X.values()));
    }

    /** The count once it stays the same: drivers let go of what a command used some time after it is done. */
    private static int settled(IntSupplier count) throws InterruptedException {
        int last = count.getAsInt();
        for (int same = 0; same < 20; same++) {
            Thread.sleep(10);
            int now = count.getAsInt();
            if (now != last) {
                last = now;
                same = 0;
            }
        }
        return last;
    }

    private void useAndClose(cl_mem buffer) {
        Device own = OpenClInterop.device(foreign.context, foreign.device, foreign.queue);
        Tensor tensor = OpenClInterop.tensor(own, buffer, OFFSET, SHAPE, LAYOUT);
        try (BatchNorm norm = layer().build(own);
                Tensor y = norm.forward(tensor);
                Tensor uploaded = DY.on(own)) {
            assertThat(y.download()).hasSize(N);
            assertThat(uploaded.download()).isEqualTo(DY.values());
        }
        tensor.close();
        Tensor left = OpenClInterop.tensor(own, buffer, 0, SHAPE, LAYOUT);
        own.close();
        assertThat(left.isClosed()).isTrue();
        left.close();
    }

    @Test
    void tensor_droppedUnclosed_isNoLeakAndLetsTheBufferGo() throws InterruptedException {
        cl_mem buffer = foreign.buffer(new float[N]);
        try (LogCapture log = new LogCapture()) {
            dropTensorOver(buffer);
            long deadline = System.nanoTime() + 20_000_000_000L;
            while (foreign.references(buffer) > 1 && System.nanoTime() < deadline) {
                System.gc();
                Thread.sleep(10);
            }
            assertThat(foreign.references(buffer)).isOne();
            Thread.sleep(300); // leaks are counted before they are reported
            assertThat(log.warnings("dropTensorOver")).isEmpty();
        }
    }

    private void dropTensorOver(cl_mem buffer) {
        OpenClInterop.tensor(device, buffer, 0, SHAPE, LAYOUT);
    }

    @Test
    void tensors_overTheSameBuffer_areKnownToOverlap() {
        cl_mem buffer = foreign.buffer(new float[3 * N]);
        try (BatchNorm norm = layer().build(device);
                Tensor x = OpenClInterop.tensor(device, buffer, 0, SHAPE, LAYOUT);
                Tensor overlapping = OpenClInterop.tensor(device, buffer, N - 1, SHAPE, LAYOUT);
                Tensor same = OpenClInterop.tensor(device, buffer, 0, SHAPE, LAYOUT);
                Tensor next = OpenClInterop.tensor(device, buffer, N, SHAPE, LAYOUT)) {
            x.upload(X.values());
            for (Tensor y : new Tensor[] {overlapping, same, x}) {
                assertThatThrownBy(() -> norm.forward(x, y))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("y may not share memory with x");
            }
            assertThat(x.download()).isEqualTo(X.values());
            norm.forward(x, next);
            try (BatchNorm ours = layer().build(TestDevice.AUTO.device())) {
                assertThat(next.download()).isEqualTo(Step.of(ours, X, null, DY).y());
            }
        }
    }

    @Test
    void tensor_thatTheBufferCannotHold_isRefused() {
        cl_mem buffer = foreign.buffer(new float[N]);
        for (long offset : new long[] {-1, 1, N, Long.MAX_VALUE}) {
            assertThatThrownBy(() -> OpenClInterop.tensor(device, buffer, offset, SHAPE, LAYOUT))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("(3, 4, 5)", "offset " + offset, "has " + N);
        }
        OpenClInterop.tensor(device, buffer, 0, SHAPE, LAYOUT).close();
    }

    @Test
    void interop_withTheReference_isRefused() {
        cl_mem buffer = foreign.buffer(new float[N]);
        Device reference = TestDevice.REFERENCE.device();
        try (Tensor tensor = reference.vector(1)) {
            assertThatThrownBy(() -> OpenClInterop.tensor(reference, buffer, 0, SHAPE, LAYOUT))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll(
                            "must be an OpenCL device", reference.info().name());
            assertThatThrownBy(() -> OpenClInterop.deviceId(reference))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("must be an OpenCL device");
            assertThatThrownBy(() -> OpenClInterop.buffer(tensor))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll(
                            "must be an OpenCL device", reference.info().name());
        }
    }

    @Test
    void interop_withNull_namesTheArgument() {
        cl_mem buffer = foreign.buffer(new float[N]);
        assertThatThrownBy(() -> OpenClInterop.device(null, foreign.device, foreign.queue))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("context");
        assertThatThrownBy(() -> OpenClInterop.device(foreign.context, null, foreign.queue))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("device");
        assertThatThrownBy(() -> OpenClInterop.device(foreign.context, foreign.device, null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("queue");
        assertThatThrownBy(() -> OpenClInterop.tensor(null, buffer, 0, SHAPE, LAYOUT))
                .isInstanceOf(NullPointerException.class)
                .hasMessageContaining("device");
        assertThatThrownBy(() -> OpenClInterop.tensor(device, null, 0, SHAPE, LAYOUT))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("buffer");
        assertThatThrownBy(() -> OpenClInterop.tensor(device, buffer, 0, null, LAYOUT))
                .isInstanceOf(NullPointerException.class)
                .hasMessageContaining("shape");
        assertThatThrownBy(() -> OpenClInterop.tensor(device, buffer, 0, SHAPE, null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("layout");
    }

    private static void assertRefused(ThrowingCallable call, String... parts) {
        assertThatThrownBy(call).isInstanceOf(IllegalArgumentException.class).hasMessageContainingAll(parts);
    }

    @Test
    @SuppressWarnings("deprecation") // as in the library
    void device_overAnOutOfOrderQueue_isRefused() {
        int[] status = new int[1];
        cl_command_queue queue = CL.clCreateCommandQueue(
                foreign.context, foreign.device, CL.CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, status);
        ForeignOpenCl.check(status[0]);
        try {
            assertRefused(
                    () -> OpenClInterop.device(foreign.context, foreign.device, queue),
                    "queue must be an in-order one",
                    "CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE");
        } finally {
            CL.clReleaseCommandQueue(queue);
        }
    }

    @Test
    void device_overAQueueThatTimes_isTaken() {
        int[] status = new int[1];
        @SuppressWarnings("deprecation") // as in the library
        cl_command_queue queue =
                CL.clCreateCommandQueue(foreign.context, foreign.device, CL.CL_QUEUE_PROFILING_ENABLE, status);
        ForeignOpenCl.check(status[0]);
        OpenClInterop.device(foreign.context, foreign.device, queue).close();
        CL.clReleaseCommandQueue(queue);
    }

    @Test
    void device_overAQueueOfAnotherContext_isRefused() {
        try (ForeignOpenCl other = new ForeignOpenCl()) {
            assertRefused(
                    () -> OpenClInterop.device(foreign.context, foreign.device, other.queue),
                    "queue must be of the context that was given",
                    "another");
        }
    }

    @Test
    void device_overAQueueOnAnotherDevice_isRefused() {
        cl_device_id another = new cl_device_id();
        assertRefused(
                () -> OpenClInterop.device(foreign.context, another, foreign.queue),
                "queue must be on the device that was given",
                "another");
    }

    @Test
    void device_overNoQueue_isRefused() {
        assertRefused(
                () -> OpenClInterop.device(foreign.context, foreign.device, new cl_command_queue()),
                "queue must be a command queue that was not released",
                "CL_INVALID_COMMAND_QUEUE");
    }

    @Test
    void tensor_overABufferOfAnotherContext_isRefused() {
        try (ForeignOpenCl other = new ForeignOpenCl()) {
            cl_mem buffer = other.buffer(new float[N]);
            assertRefused(
                    () -> OpenClInterop.tensor(device, buffer, 0, SHAPE, LAYOUT),
                    "buffer must be of the device's context",
                    "another");
        }
    }

    @Test
    void tensor_overWhatIsNoBuffer_isRefused() {
        assertRefused(
                () -> OpenClInterop.tensor(device, new cl_mem(), 0, SHAPE, LAYOUT),
                "buffer must be a buffer that was not released",
                "CL_INVALID_MEM_OBJECT");
        int[] status = new int[1];
        cl_image_format format = new cl_image_format();
        format.image_channel_order = CL.CL_RGBA;
        format.image_channel_data_type = CL.CL_FLOAT;
        cl_image_desc desc = new cl_image_desc();
        desc.image_type = CL.CL_MEM_OBJECT_IMAGE2D;
        desc.image_width = 8;
        desc.image_height = 8;
        cl_mem image = CL.clCreateImage(foreign.context, CL.CL_MEM_READ_WRITE, format, desc, null, status);
        ForeignOpenCl.check(status[0]);
        try {
            assertRefused(
                    () -> OpenClInterop.tensor(device, image, 0, SHAPE, LAYOUT),
                    "buffer must be a buffer, but given was a CL_MEM_OBJECT_IMAGE2D");
        } finally {
            CL.clReleaseMemObject(image);
        }
    }

    @Test
    void tensor_overABufferOfHalfElements_isRefused() {
        cl_mem buffer = foreign.bufferOf(CL.CL_MEM_READ_WRITE, 4 * N + 2);
        assertRefused(
                () -> OpenClInterop.tensor(device, buffer, 0, SHAPE, LAYOUT),
                "buffer must have whole float32 elements, but it has 242 bytes");
        OpenClInterop.tensor(device, buffer, 0, SHAPE, LAYOUT, DataType.FLOAT16).close();
    }

    @Test
    void tensor_overAReadOnlyBuffer_isForInput() {
        cl_mem readOnly = foreign.bufferOf(CL.CL_MEM_READ_ONLY, 4 * N);
        try (BatchNorm norm = layer().build(device);
                BatchNorm ours = layer().build(TestDevice.AUTO.device());
                Tensor x = OpenClInterop.tensor(device, readOnly, 0, SHAPE, LAYOUT);
                Tensor dy = DY.on(device);
                Tensor other = X.on(device)) {
            x.upload(X.values());
            Step expected = Step.of(ours, X, null, DY);
            try (Tensor y = norm.forward(x);
                    Tensor dx = norm.backward(dy)) {
                assertThat(y.download()).isEqualTo(expected.y());
                assertThat(dx.download()).isEqualTo(expected.dx());
                norm.forward(other, y);
                assertRefused(
                        () -> norm.forward(other, x), "y cannot be used for output", "CL_MEM_READ_ONLY", "(3, 4, 5)");
                assertRefused(() -> norm.backward(dy, x), "dx cannot be used for output", "CL_MEM_READ_ONLY");
            }
            assertThat(x.download()).as("the host may write and read it").isEqualTo(X.values());
        }
    }

    @Test
    void tensor_overAWriteOnlyBuffer_isForOutput() {
        cl_mem writeOnly = foreign.bufferOf(CL.CL_MEM_WRITE_ONLY, 4 * N);
        try (BatchNorm norm = layer().build(device);
                BatchNorm ours = layer().build(TestDevice.AUTO.device());
                Tensor x = X.on(device);
                Tensor output = OpenClInterop.tensor(device, writeOnly, 0, SHAPE, LAYOUT)) {
            Step expected = Step.of(ours, X, null, DY);
            norm.forward(x, output);
            assertThat(output.download()).isEqualTo(expected.y());
            assertRefused(() -> norm.backward(output), "dy cannot be used for input", "CL_MEM_WRITE_ONLY");
            assertRefused(() -> norm.forward(output), "x cannot be used for input", "CL_MEM_WRITE_ONLY");
            try (Tensor y = device.tensor(SHAPE, LAYOUT)) {
                assertRefused(
                        () -> norm.forward(x, output, y), "residual cannot be used for input", "CL_MEM_WRITE_ONLY");
                norm.forward(x, x, output);
                assertRefused(() -> norm.backward(y), "y cannot be used for input", "CL_MEM_WRITE_ONLY");
            }
        }
    }

    @Test
    void tensor_overABufferThatTheHostMayNotUse_isForPasses() {
        cl_mem noAccess = foreign.bufferOf(CL.CL_MEM_READ_WRITE | CL.CL_MEM_HOST_NO_ACCESS, 4 * N);
        cl_mem hostReads = foreign.bufferOf(CL.CL_MEM_READ_WRITE | CL.CL_MEM_HOST_READ_ONLY, 4 * N);
        cl_mem hostWrites = foreign.bufferOf(CL.CL_MEM_READ_WRITE | CL.CL_MEM_HOST_WRITE_ONLY, 4 * N);
        try (BatchNorm norm = layer().build(device);
                BatchNorm ours = layer().build(TestDevice.AUTO.device());
                Tensor between = OpenClInterop.tensor(device, noAccess, 0, SHAPE, LAYOUT);
                Tensor to = OpenClInterop.tensor(device, hostReads, 0, SHAPE, LAYOUT);
                Tensor from = OpenClInterop.tensor(device, hostWrites, 0, SHAPE, LAYOUT)) {
            from.upload(X.values());
            norm.forward(from, to);
            assertThat(to.download()).isEqualTo(Step.of(ours, X, null, DY).y());
            norm.forward(from, between);
            assertRefused(between::download, "cannot be used for a download", "CL_MEM_HOST_NO_ACCESS");
            assertRefused(from::download, "cannot be used for a download", "CL_MEM_HOST_WRITE_ONLY");
            assertRefused(() -> between.upload(X.values()), "cannot be used for an upload", "CL_MEM_HOST_NO_ACCESS");
            assertRefused(() -> to.upload(X.values()), "cannot be used for an upload", "CL_MEM_HOST_READ_ONLY");
        }
    }

    @Test
    void tensors_overSubBuffers_areKnownToOverlapWhereTheyDo() {
        int step = foreign.alignment();
        int elements = step / 4;
        Shape shape = Shape.of(2, elements); // two steps long
        Batch values = Batch.random(shape, LAYOUT, 5);
        cl_mem root = foreign.bufferOf(CL.CL_MEM_READ_WRITE, 6L * step);
        try (BatchNorm norm = BatchNorm.builder(elements).build(device);
                BatchNorm ours = BatchNorm.builder(elements).build(TestDevice.AUTO.device());
                Tensor x = tensorAt(root, 0, shape);
                Tensor sameBytes = subTensor(root, 0, shape);
                Tensor crossing = subTensor(root, step, shape);
                Tensor next = subTensor(root, 2L * step, shape);
                Tensor sibling = subTensor(root, 3L * step, shape);
                Tensor behindInTheRoot = tensorAt(root, 3L * elements, shape)) {
            for (Tensor x1 : new Tensor[] {x, sameBytes}) {
                x1.upload(values.values());
                assertRefused(() -> norm.forward(x1, crossing), "y may not share memory with x");
                norm.forward(x1, next);
                norm.forward(x1, sibling);
                norm.forward(x1, behindInTheRoot);
            }
            assertRefused(() -> norm.forward(x, sameBytes), "y may not share memory with x");
            assertRefused(() -> norm.forward(next, sibling), "y may not share memory with x");
            assertRefused(() -> norm.forward(next, behindInTheRoot), "y may not share memory with x");
            assertRefused(() -> norm.forward(sibling, behindInTheRoot), "y may not share memory with x");
            norm.forward(sameBytes, next);
            assertThat(next.download())
                    .isEqualTo(Step.of(ours, values, null, values).y());
        }
    }

    private Tensor tensorAt(cl_mem root, long offset, Shape shape) {
        return OpenClInterop.tensor(device, root, offset, shape, LAYOUT);
    }

    private Tensor subTensor(cl_mem root, long firstByte, Shape shape) {
        cl_mem part = foreign.subBuffer(root, 0, firstByte, shape.elements() * 4);
        return OpenClInterop.tensor(device, part, 0, shape, LAYOUT);
    }

    @Test
    void tensors_ofTwoTypesOverOneBuffer_areKnownToOverlapByTheirBytes() {
        Shape shape = Shape.of(2, 5);
        cl_mem root = foreign.bufferOf(CL.CL_MEM_READ_WRITE, 80);
        try (BatchNorm norm = BatchNorm.builder(5).build(device);
                Tensor x = OpenClInterop.tensor(device, root, 0, shape, LAYOUT);
                Tensor inside = OpenClInterop.tensor(device, root, 10, shape, LAYOUT, DataType.FLOAT16);
                Tensor behind = OpenClInterop.tensor(device, root, 20, shape, LAYOUT, DataType.FLOAT16)) {
            x.fill(1);
            assertRefused(() -> norm.forward(x, inside), "y may not share memory with x");
            norm.forward(x, behind);
        }
    }

    @Test
    void tensor_overASubBuffer_isAsItsParentWasMade() {
        int step = foreign.alignment();
        cl_mem readOnly = foreign.bufferOf(CL.CL_MEM_READ_ONLY, 4L * step);
        cl_mem open = foreign.bufferOf(CL.CL_MEM_READ_WRITE, 4L * step);
        Shape shape = Shape.of(2, step / 8);
        try (BatchNorm norm = BatchNorm.builder(step / 8).build(device);
                Tensor x = device.tensor(shape, LAYOUT);
                Tensor inherits = subTensor(readOnly, step, shape);
                Tensor narrower = OpenClInterop.tensor(
                        device, foreign.subBuffer(open, CL.CL_MEM_READ_ONLY, step, step), 0, shape, LAYOUT)) {
            assertRefused(() -> norm.forward(x, inherits), "y cannot be used for output", "CL_MEM_READ_ONLY");
            assertRefused(() -> norm.forward(x, narrower), "y cannot be used for output", "CL_MEM_READ_ONLY");
            assertRefused(
                    () -> OpenClInterop.tensor(device, foreign.subBuffer(open, 0, 0, step), step / 4, shape, LAYOUT),
                    "offset " + step / 4,
                    "has " + step / 4);
        }
    }

    @Test
    void tensor_onAClosedDevice_isRefused() {
        cl_mem buffer = foreign.buffer(new float[N]);
        Device closed = OpenClInterop.device(foreign.context, foreign.device, foreign.queue);
        closed.close();
        assertThatThrownBy(() -> OpenClInterop.tensor(closed, buffer, 0, SHAPE, LAYOUT))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContainingAll("device", "closed");
    }

    /** JOCL's exceptions are a switch for the whole process, and most programs that use JOCL turn them on first thing. */
    @Test
    void library_inAProgramWithJoclsExceptionsOn_works() {
        CL.setExceptionsEnabled(true);
        try {
            assertThat(Device.candidates()).hasSizeGreaterThan(1);
            try (Device opened = TestDevice.AUTO.open();
                    BatchNorm norm = layer().build(opened)) {
                assertThat(Step.of(norm, X, null, DY).y()).hasSize(N);
            }
        } finally {
            CL.setExceptionsEnabled(false);
        }
    }
}
