package org.clnorm.lifecycle;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/**
 * A program of its own, since what it tries could end the process: kernels are built while threads compute in Java, and
 * are stopped at a safepoint fifty times a second. After that integers are divided by zero. It ends with 0 when all is well.
 */
final class BusyChild {
    private static final int BUSY = 2;
    private static final int DIVISIONS = 100;

    private static volatile long sink;

    private BusyChild() {}

    public static void main(String[] args) throws InterruptedException {
        for (int thread = 0; thread < BUSY; thread++) {
            start(() -> sink = compute(10_000_000));
        }
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        start(() -> {
            threads.dumpAllThreads(false, false);
            try {
                Thread.sleep(20);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });
        Thread.sleep(300); // until the loops are compiled
        try (Device device = Device.builder().kernelCache(false).open();
                BatchNorm norm = BatchNorm.builder(16).build(device);
                Tensor x = device.tensor(Shape.of(4, 16, 10, 10), Layout.CHANNELS_FIRST)) {
            Tensor y = norm.forward(x);
            norm.backward(y).download();
        }
        int thrown = 0;
        for (int i = 0; i < DIVISIONS; i++) {
            try {
                sink = divide(i, 0);
            } catch (ArithmeticException e) {
                thrown++;
            }
        }
        System.out.println(thrown + " of " + DIVISIONS + " divisions by zero threw");
        System.exit(thrown == DIVISIONS ? 0 : 1);
    }

    private static void start(Runnable once) {
        Thread thread = new Thread(() -> {
            while (true) {
                once.run();
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private static long compute(long n) {
        long value = n;
        for (long i = 0; i < n; i++) {
            value ^= value << 13;
            value ^= value >>> 7;
            value ^= value << 17;
        }
        return value;
    }

    private static int divide(int a, int b) {
        return a / b;
    }
}
