package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.clnorm.Activation;
import org.clnorm.Batch;
import org.clnorm.BatchNorm;
import org.clnorm.Layout;
import org.clnorm.OnEveryDevice;
import org.clnorm.Shape;
import org.clnorm.Step;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;

/** One device, many threads, a layer to each: every one gets the bits that it would get alone. */
final class ThreadsTest {
    private static final int THREADS = 8;
    private static final int STEPS = 10;

    /** A training of a few steps, different for each number: in shape, layout, activation and values. */
    private static List<Step> train(TestDevice on, int number) {
        int channels = 3 + number;
        Layout layout = Layout.values()[number % 2];
        Shape shape = Shape.of(2 + number % 3, channels, 5 + 7 * number, 11);
        try (BatchNorm norm = BatchNorm.builder(channels)
                .activation(Activation.values()[number / 2 % 2])
                .accumulateGradients(true)
                .build(on.device())) {
            List<Step> steps = new ArrayList<>();
            for (int i = 0; i < STEPS; i++) {
                Batch x = Batch.random(shape, layout, 100L * number + i);
                Batch dy = Batch.gradient(shape, layout, 100L * number + i + 50);
                steps.add(Step.of(norm, x, number % 3 == 0 ? dy : null, dy));
            }
            return steps;
        }
    }

    private static <T> List<T> together(List<Callable<T>> work) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(work.size());
        try {
            CountDownLatch start = new CountDownLatch(work.size());
            List<Future<T>> running = new ArrayList<>();
            for (Callable<T> one : work) {
                running.add(pool.submit(() -> {
                    start.countDown();
                    start.await();
                    return one.call();
                }));
            }
            List<T> results = new ArrayList<>();
            for (Future<T> one : running) {
                results.add(one.get(60, TimeUnit.SECONDS));
            }
            return results;
        } finally {
            pool.shutdownNow();
        }
    }

    @OnEveryDevice
    void layers_onThreadsOfTheirOwn_giveTheBitsOfOneThread(TestDevice on) throws Exception {
        List<List<Step>> alone = new ArrayList<>();
        List<Callable<List<Step>>> work = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            int number = i;
            alone.add(train(on, number));
            work.add(() -> train(on, number));
        }
        List<List<Step>> together = together(work);
        for (int i = 0; i < THREADS; i++) {
            for (int step = 0; step < STEPS; step++) {
                together.get(i).get(step).assertSameBits(alone.get(i).get(step), "thread " + i + ", step " + step);
            }
        }
    }

    @OnEveryDevice
    void tensors_onThreadsOfTheirOwn_keepTheirValues(TestDevice on) throws Exception {
        List<Callable<Integer>> work = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            int number = i;
            work.add(() -> {
                int wrong = 0;
                for (int round = 0; round < 40; round++) {
                    float[] values = new float[1 + (number * 977 + round * 131) % 5000];
                    Arrays.fill(values, number * 1000 + round);
                    try (Tensor tensor = on.device().upload(values, Shape.of(values.length), Layout.CHANNELS_FIRST)) {
                        Arrays.fill(values, -1);
                        for (float got : tensor.download()) {
                            wrong += got == number * 1000 + round ? 0 : 1;
                        }
                    }
                }
                return wrong;
            });
        }
        assertThat(together(work)).as("elements of another thread's upload").containsOnly(0);
    }

    @OnEveryDevice
    void slices_ofOneTensor_areEachForAThread(TestDevice on) throws Exception {
        Shape shape = Shape.of(2, 3, 37);
        int n = (int) shape.elements();
        try (Tensor inputs = on.device().tensor(Shape.of((long) THREADS * n), Layout.CHANNELS_FIRST);
                Tensor outputs = on.device().tensor(Shape.of((long) THREADS * n), Layout.CHANNELS_FIRST)) {
            List<Callable<float[]>> work = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                int number = i;
                work.add(() -> {
                    Tensor x = inputs.slice((long) number * n, shape, Layout.CHANNELS_FIRST);
                    Tensor y = outputs.slice((long) number * n, shape, Layout.CHANNELS_FIRST);
                    x.upload(Batch.random(shape, Layout.CHANNELS_FIRST, number).values());
                    try (BatchNorm norm = BatchNorm.builder(3).build(on.device())) {
                        norm.forward(x, y);
                        return y.download();
                    }
                });
            }
            List<float[]> results = together(work);
            for (int i = 0; i < THREADS; i++) {
                Batch x = Batch.random(shape, Layout.CHANNELS_FIRST, i);
                try (BatchNorm norm = BatchNorm.builder(3).build(on.device())) {
                    assertThat(results.get(i))
                            .isEqualTo(Step.of(norm, x, null, x).y());
                }
            }
        }
    }
}
