package org.clnorm.lifecycle;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.ForwardPass;
import org.clnorm.Layout;
import org.clnorm.Optimizer;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.faults.FaultLayer;
import org.clnorm.optim.Sgd;

/**
 * A program that trains for many steps with all that comes and goes in a program: tensors, recorded passes, layers, moments and
 * states. It ends with 0 if neither the memory of the process nor the heap has grown between the first fifth of the steps and
 * the last, and if the OpenCL objects, which the {@link FaultLayer} counts that it runs under, are as many after the last step as
 * after the first 1,000. Its argument is the number of steps.
 */
final class EnduranceChild {
    /** What machine code and the C library's pools move by. */
    private static final long MOST_GROWTH = 8 << 20;

    /** What the JVM's own objects move by: a map that it made larger, say. */
    private static final long MOST_HEAP_GROWTH = 512 << 10;

    /** When all is there that a program has in the long run. */
    private static final int WARM = 1_000;

    private static final Shape SHAPE = Shape.of(4, 16, 8, 8);

    private EnduranceChild() {}

    public static void main(String[] args) throws IOException {
        int steps = Integer.parseInt(args[0]);
        FaultLayer objects = FaultLayer.open();
        long before = 0;
        long heapBefore = 0;
        Map<String, Long> objectsBefore = Map.of();
        float[] values = new float[(int) SHAPE.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) Math.sin(i);
        }
        long begin = System.nanoTime();
        try (Device device = Device.open();
                BatchNorm norm = BatchNorm.builder(16).build(device);
                Optimizer optimizer =
                        Optimizer.builder(Sgd.rate(1e-3)).add(norm).build(device);
                Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            for (int step = 0; step < steps; step++) {
                step(device, norm, optimizer, values, y, dx, step);
                if (step == WARM) {
                    settle(device);
                    objectsBefore = objects.references();
                }
                if (step == steps / 5) {
                    settle(device);
                    before = bytes();
                    heapBefore = heap();
                }
            }
            settle(device);
            long after = bytes();
            long heap = heap();
            System.out.printf(
                    Locale.ROOT,
                    "%d steps in %.1f s: %.1f MB after a fifth of them, %.1f MB at the end;"
                            + " %.3f and %.3f MB of them Java's heap; OpenCL objects %s after %d steps, %s at the end%n",
                    steps,
                    (System.nanoTime() - begin) / 1e9,
                    before / 1e6,
                    after / 1e6,
                    heapBefore / 1e6,
                    heap / 1e6,
                    objectsBefore,
                    WARM,
                    objects.references());
            boolean grew = after - before > MOST_GROWTH
                    || heap - heapBefore > MOST_HEAP_GROWTH
                    || objectsBefore.isEmpty()
                    || !objects.becomes(objectsBefore);
            System.exit(grew ? 1 : 0);
        }
    }

    private static void step(
            Device device, BatchNorm norm, Optimizer optimizer, float[] values, Tensor y, Tensor dx, int step) {
        try (Tensor x = device.upload(values, SHAPE, Layout.CHANNELS_FIRST)) {
            norm.forward(x, y);
            norm.backward(y, dx);
            optimizer.step();
            if (step % 8 == 0) {
                try (ForwardPass pass = norm.record(x, y)) {
                    pass.backward(y, dx);
                }
                if (norm.startMoments(x).get().channels() != 16) {
                    throw new AssertionError("There are moments of 16 channels");
                }
            }
            if (step % 64 == 0) {
                try (BatchNorm other = BatchNorm.builder(16).build(device);
                        Tensor its = other.forward(x)) {
                    other.loadState(norm.stateDict());
                    its.download();
                }
            }
        }
    }

    /** Has all done and collected; of uploads, one has not been looked after yet, and that is then always so. */
    private static void settle(Device device) {
        device.finish();
        device.vector(1).close();
        device.finish();
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
    }

    private static long heap() {
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    /** What the process has of the machine's memory. */
    private static long bytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmRSS:"))
                .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElseThrow();
    }
}
