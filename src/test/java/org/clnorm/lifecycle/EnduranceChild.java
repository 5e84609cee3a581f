package org.clnorm.lifecycle;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.ForwardPass;
import org.clnorm.Layout;
import org.clnorm.Optimizer;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.optim.Sgd;

/**
 * A program that trains for many steps with all that comes and goes in a program: tensors, recorded passes, layers, moments and
 * states. It ends with 0 if the memory of the process has not grown between the first fifth of the steps and the last.
 * Its argument is the number of steps.
 */
final class EnduranceChild {
    /** What machine code and the C library's pools move by. */
    private static final long MOST_GROWTH = 8 << 20;

    private static final Shape SHAPE = Shape.of(4, 16, 8, 8);

    private EnduranceChild() {}

    public static void main(String[] args) throws IOException {
        int steps = Integer.parseInt(args[0]);
        long before = 0;
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
                if (step == steps / 5) {
                    before = bytes(device);
                }
            }
            long after = bytes(device);
            System.out.printf(
                    Locale.ROOT,
                    "%d steps in %.1f s: %.1f MB after a fifth of them, %.1f MB at the end%n",
                    steps,
                    (System.nanoTime() - begin) / 1e9,
                    before / 1e6,
                    after / 1e6);
            System.exit(after - before <= MOST_GROWTH ? 0 : 1);
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

    /** What the process has of the machine's memory, when all is done and collected. */
    private static long bytes(Device device) throws IOException {
        device.finish();
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmRSS:"))
                .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElseThrow();
    }
}
