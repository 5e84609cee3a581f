package org.clnorm.lifecycle;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.OpenClInterop;
import org.clnorm.Optimizer;
import org.clnorm.Parameter;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.optim.Adam;

/**
 * A program of its own, since what it tries could end the process: closes something while twelve threads use it, or lets
 * them share a layer. It prints which exceptions there were, and ends with 0 when they are all of the documented kind.
 */
final class ClosingChild {
    /** What happens while the threads are at work. */
    enum Mode {
        DEVICE,
        TENSOR,
        LAYER,
        /** Nothing, but that all use one layer. */
        SHARED,
        /** What the layers own is closed, again and again. */
        OWNED,
        /** The device, whose saved states and snapshots are being made. */
        STATE,
        /** The parameters of an optimizer that all use, and then it. */
        OPTIMIZER
    }

    private static final Shape SHAPE = Shape.of(4, 3, 5);
    private static final int THREADS = 12;

    private final Map<String, Integer> seen = new TreeMap<>();

    private ClosingChild() {}

    public static void main(String[] args) throws InterruptedException {
        Mode mode = Mode.valueOf(args[0]);
        try (Device device = Device.open()) { // kernels are made before there are other threads
            step(BatchNorm.builder(3).build(device), tensor(device));
            if (mode == Mode.OPTIMIZER) {
                optimizer(device, BatchNorm.builder(3).build(device), tensor(device))
                        .step();
            }
        }
        ClosingChild child = new ClosingChild();
        for (int round = 0; round < 5; round++) {
            child.round(mode, 10 + 20 * round);
        }
        System.out.println("seen|" + mode + "|" + child.seen);
        boolean documented = List.of(IllegalStateException.class.getName()).containsAll(child.seen.keySet());
        boolean closes = mode != Mode.OWNED && mode != Mode.SHARED;
        System.exit(documented && (!closes || !child.seen.isEmpty()) ? 0 : 1);
    }

    private static Tensor tensor(Device device) {
        return device.upload(new float[60], SHAPE, Layout.CHANNELS_FIRST);
    }

    private static void step(BatchNorm norm, Tensor x) {
        try (Tensor y = norm.forward(x);
                Tensor dx = norm.backward(x)) {
            dx.download();
        }
    }

    private static Optimizer optimizer(Device device, BatchNorm shared, Tensor input) {
        return Optimizer.builder(Adam.rate(0.1))
                .add(shared)
                .add("input", input, tensor(device))
                .clipNorm(1)
                .build(device);
    }

    /** Many threads may be in each other's way here, which the exception says. */
    private static void step(Optimizer optimizer) {
        boolean closed = optimizer.isClosed();
        try {
            optimizer.step();
            optimizer.gradientNorm();
            optimizer.loadState(optimizer.stateDict());
        } catch (IllegalStateException e) {
            if (closed || !e.getMessage().contains("in the middle of another call")) {
                throw e;
            }
        }
    }

    private void round(Mode mode, int millis) throws InterruptedException {
        Device device = Device.open();
        BatchNorm shared = BatchNorm.builder(3).build(device);
        Tensor input = tensor(device);
        Optimizer optimizer = optimizer(device, shared, input);
        AtomicBoolean stop = new AtomicBoolean();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            threads.add(new Thread(() -> {
                try {
                    work(mode, device, shared, input, optimizer, stop);
                } catch (Throwable e) { // whatever it is, it is to be known
                    synchronized (seen) {
                        seen.merge(e.getClass().getName(), 1, Integer::sum);
                    }
                }
            }));
        }
        threads.forEach(Thread::start);
        Thread.sleep(millis);
        switch (mode) {
            case DEVICE, STATE -> device.close();
            case TENSOR -> input.close();
            case LAYER -> shared.close();
            case OPTIMIZER -> {
                input.close();
                shared.close();
                optimizer.close();
            }
            case SHARED, OWNED -> {}
        }
        Thread.sleep(10);
        stop.set(true);
        for (Thread thread : threads) {
            thread.join(30_000);
            if (thread.isAlive()) {
                System.out.println("hangs|" + Arrays.toString(thread.getStackTrace()));
                System.exit(3);
            }
        }
        device.close();
    }

    private static void work(
            Mode mode, Device device, BatchNorm shared, Tensor input, Optimizer optimizer, AtomicBoolean stop) {
        BatchNorm norm = mode == Mode.LAYER || mode == Mode.SHARED
                ? shared
                : BatchNorm.builder(3).build(device);
        while (!stop.get()) {
            switch (mode) {
                case TENSOR -> step(norm, input);
                case STATE -> {
                    norm.loadState(norm.stateDict());
                    norm.snapshotRunning().close();
                    norm.moments(input);
                }
                case OPTIMIZER -> step(optimizer);
                case OWNED -> {
                    closeOwned(norm);
                    step(norm, input);
                }
                default -> {
                    try (Tensor x = tensor(device)) {
                        step(norm, x);
                    }
                }
            }
        }
    }

    private static void closeOwned(BatchNorm norm) {
        for (Parameter parameter : norm.parameters()) {
            parameter.value().close();
            parameter.gradient().close();
        }
        norm.runningMean().orElseThrow().close();
        norm.runningVariance().orElseThrow().close();
        norm.savedMean().close();
        OpenClInterop.buffer(norm.savedMean()); // is there still
    }
}
