package org.clnorm.benchmark;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.clnorm.BackendOf;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;

/**
 * What a training step costs besides the kernels' time: memory, in Java and on the device, and the host's time. It is done
 * with the public classes, one layer and tensors that are used over and over, as a training loop does it.
 */
final class Footprint {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** Calls between two waits for the device. */
    private static final int QUEUED = 20;

    private static final double MEGABYTE = 1 << 20;

    private final OpenCl.Candidate candidate;

    Footprint(OpenCl.Candidate candidate) {
        this.candidate = candidate;
    }

    /** A layer, its tensors and its device. */
    private static final class Loop implements AutoCloseable {
        final Device device;
        final OpenClBackend backend;
        private final BatchNorm layer;
        private final Tensor x;
        private final Tensor dy;
        private final Tensor y;
        private final Tensor dx;

        Loop(Device device, Shape shape, Layout layout) {
            this.device = device;
            this.backend = BackendOf.device(device);
            layer = BatchNorm.builder((int) shape.channels()).build(device);
            float[] values = new float[(int) shape.elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = i % 13;
            }
            x = device.upload(values, shape, layout);
            dy = device.upload(values, shape, layout);
            y = device.tensor(shape, layout);
            dx = device.tensor(shape, layout);
        }

        void forward() {
            layer.forward(x, y);
        }

        void backward() {
            layer.backward(dy, dx);
        }

        void steps(int count) {
            for (int i = 0; i < count; i++) {
                forward();
                backward();
                if (i % QUEUED == QUEUED - 1) {
                    device.finish();
                }
            }
            device.finish();
        }

        @Override
        public void close() {
            for (Tensor tensor : List.of(x, dy, y, dx)) {
                tensor.close();
            }
            layer.close();
        }
    }

    List<Figure> figures(List<Shape> shapes) {
        List<Figure> figures = new ArrayList<>();
        steadySteps(figures);
        temporaryMemory(shapes, figures);
        hostTime(figures);
        return figures;
    }

    /** Shapes that get different strategies, small enough for the many steps after which Java code is compiled. */
    private void steadySteps(List<Figure> figures) {
        double javaBytes = 0;
        double deviceBytes = 0;
        for (Shape shape : List.of(Shape.of(2, 2048, 7, 7), Shape.of(128, 128), Shape.of(1, 3, 256, 256))) {
            for (Layout layout : layouts(shape)) {
                try (Device device = open();
                        Loop loop = new Loop(device, shape, layout)) {
                    loop.steps(12_000);
                    int steps = 1000;
                    long deviceBefore = loop.backend.allocatedBytes();
                    long before = THREADS.getCurrentThreadAllocatedBytes();
                    loop.steps(steps);
                    javaBytes =
                            Math.max(javaBytes, (THREADS.getCurrentThreadAllocatedBytes() - before) / (double) steps);
                    deviceBytes =
                            Math.max(deviceBytes, (loop.backend.allocatedBytes() - deviceBefore) / (double) steps);
                }
            }
        }
        // What the measuring itself allocates comes to less than half a byte a step.
        figures.add(figure("Java memory allocated in a steady training step", "%.0f bytes", javaBytes, "none", 0.5));
        figures.add(figure("device memory allocated in a steady training step", "%.0f bytes", deviceBytes, "none", 0));
    }

    private void temporaryMemory(List<Shape> shapes, List<Figure> figures) {
        double worst = 0;
        String words = "none";
        for (Shape shape : shapes) {
            for (Layout layout : layouts(shape)) {
                try (Device device = open();
                        Loop loop = new Loop(device, shape, layout)) {
                    long before = loop.backend.allocatedBytes();
                    loop.steps(2);
                    double bytes = loop.backend.allocatedBytes() - before;
                    double share = bytes / (shape.elements() * Float.BYTES);
                    double ofAllowed = Math.min(share / 0.01, bytes / MEGABYTE);
                    if (ofAllowed > worst) {
                        worst = ofAllowed;
                        words = String.format(
                                Locale.ROOT,
                                "at most %.3f MB, %.2f%% of the tensor, at %s %s",
                                bytes / MEGABYTE,
                                share * 100,
                                shape,
                                layout);
                    }
                }
            }
        }
        figures.add(new Figure(
                "temporary device memory of a training step", words, "1% of the tensor or 1 MB", worst <= 1));
    }

    private interface Calls {
        void make(int count);
    }

    /** Of calls on a small tensor; its size does not matter. */
    private void hostTime(List<Figure> figures) {
        Shape shape = Shape.of(2, 16, 4, 4);
        try (BareQueue bare = new BareQueue(candidate);
                Device device = bare.device();
                Loop loop = new Loop(device, shape, Layout.CHANNELS_FIRST)) {
            Calls forward = count -> {
                for (int i = 0; i < count; i++) {
                    loop.forward();
                }
            };
            Calls backward = count -> {
                loop.layer.retainForward();
                for (int i = 0; i < count; i++) {
                    loop.backward();
                }
            };
            loop.steps(10_000);
            figures.add(hostTime("training forward", forward, loop, bare));
            figures.add(hostTime("training backward", backward, loop, bare));
            loop.layer.eval();
            loop.steps(5_000);
            figures.add(hostTime("inference", forward, loop, bare));
        }
    }

    private static Figure hostTime(String what, Calls calls, Loop loop, BareQueue bare) {
        long before = launches(loop.backend.launches());
        calls.make(1);
        int launches = (int) (launches(loop.backend.launches()) - before);
        int rounds = 1001;
        double[] call = new double[rounds];
        double[] enqueue = new double[rounds];
        double[] withArguments = new double[rounds];
        for (int round = -rounds; round < rounds; round++) { // the first half to warm up
            int at = Math.floorMod(round, rounds);
            call[at] = microseconds(calls, bare);
            enqueue[at] = microseconds(count -> bare.launch(count * launches, false), bare);
            withArguments[at] = microseconds(count -> bare.launch(count * launches, true), bare);
        }
        double own = Timing.median(call);
        double bareEnqueues = Timing.median(enqueue);
        double above = own - bareEnqueues;
        return new Figure(
                "host time of a call above the enqueues, " + what,
                String.format(
                        Locale.ROOT,
                        "%.1f µs (a call %.1f µs, bare enqueues (%d) %.1f µs, or %6$.1f µs with %5$d arguments set before each)",
                        above,
                        own,
                        launches,
                        bareEnqueues,
                        BareQueue.BUFFERS + BareQueue.NUMBERS,
                        Timing.median(withArguments)),
                "10 µs",
                above <= 10);
    }

    /** Of one call, when some are made one after another and the device does not begin before the last. */
    private static double microseconds(Calls calls, BareQueue queue) {
        queue.hold();
        long start = System.nanoTime();
        calls.make(QUEUED);
        double microseconds = (System.nanoTime() - start) * 1e-3 / QUEUED;
        queue.release();
        return microseconds;
    }

    private static long launches(Map<String, Long> byKernel) {
        return byKernel.values().stream().mapToLong(Long::longValue).sum();
    }

    private Device open() {
        return Device.open(candidate.index());
    }

    private static List<Layout> layouts(Shape shape) {
        return shape.rank() == 2 ? List.of(Layout.CHANNELS_FIRST) : List.of(Layout.values());
    }

    private static Figure figure(String what, String format, double value, String target, double most) {
        return new Figure(what, String.format(Locale.ROOT, format, value), target, value <= most);
    }
}
