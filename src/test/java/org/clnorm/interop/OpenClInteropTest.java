package org.clnorm.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.function.IntSupplier;
import org.clnorm.Activation;
import org.clnorm.Batch;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.OpenClInterop;
import org.clnorm.Shape;
import org.clnorm.Step;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.clnorm.lifecycle.LogCapture;
import org.jocl.CL;
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
