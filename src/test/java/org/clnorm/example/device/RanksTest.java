package org.clnorm.example.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.clnorm.TestDevice;
import org.clnorm.example.Digits;
import org.clnorm.example.conv.ConvNetwork;
import org.clnorm.mpi.DataParallel;
import org.clnorm.mpi.Group;
import org.clnorm.mpi.Groups;
import org.junit.jupiter.api.Test;

/** Ranks that train the example's network together, against one that has the whole batch. */
final class RanksTest {
    private static final int BATCH = 20;
    private static final int STEPS = 10;
    private static final double RATE = 1e-5;

    /**
     * What a rank finds.
     *
     * @param gradients those of the first step, one weight's after the other's
     * @param losses of the first steps
     */
    private record Found(List<float[]> gradients, List<Double> losses, List<float[]> state) {}

    private static Found train(DataParallel ranks) throws Exception {
        try (Queue queue = Queue.on(TestDevice.AUTO.device(), ranks)) {
            Digits.Split digits = Digits.bundled().range(0, 500).split();
            Plan plan = new Plan(BATCH, 1, 0.01, 3);
            Part network = ConvNetwork.build(queue, plan.part(queue.size()), 28, 10, new Random(1));
            Trainer trainer = new Trainer(queue, network, digits, 10, plan);
            int[] order = IntStream.range(0, digits.train().size()).toArray();
            List<float[]> gradients = new ArrayList<>();
            List<Double> losses = new ArrayList<>();
            for (int step = 0; step < STEPS; step++) {
                trainer.step(order, step * BATCH, RATE);
                if (step == 0) {
                    network.weights().forEach(weight -> gradients.add(queue.download(weight.gradient())));
                }
                losses.add(trainer.lossOf(1));
            }
            List<float[]> state = network.weights().stream()
                    .map(weight -> queue.download(weight.value()))
                    .toList();
            return new Found(gradients, losses, state);
        }
    }

    private static List<Found> together(int size) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(size);
        try {
            List<Callable<Found>> work = new ArrayList<>();
            for (Group group : Groups.local(size, Duration.ofMinutes(2))) {
                work.add(() -> {
                    try (DataParallel ranks = new DataParallel(group)) {
                        return train(ranks);
                    }
                });
            }
            List<Found> found = new ArrayList<>();
            for (Future<Found> each : threads.invokeAll(work)) {
                found.add(each.get());
            }
            return found;
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void steps_ofTwoRanks_areThoseOfTheWholeBatch() throws Exception {
        Found whole = train(null);
        List<Found> ranks = together(2);

        double largest = 0;
        for (float[] gradient : whole.gradients) {
            for (float value : gradient) {
                largest = Math.max(largest, Math.abs(value));
            }
        }
        for (int weight = 0; weight < whole.gradients.size(); weight++) {
            float[] expected = whole.gradients.get(weight);
            float[] found = ranks.get(0).gradients.get(weight);
            for (int i = 0; i < expected.length; i++) {
                assertThat((double) found[i])
                        .as("element %d of the gradient of weight %d", i, weight)
                        .isCloseTo(expected[i], within(1e-6 * largest));
            }
        }
        for (int step = 0; step < STEPS; step++) {
            assertThat(ranks.get(0).losses.get(step))
                    .as("the loss of step %d; later ones move by the order of summation", step)
                    .isCloseTo(whole.losses.get(step), within(1e-5));
        }
        for (int weight = 0; weight < whole.state.size(); weight++) {
            assertThat(ranks.get(1).state.get(weight))
                    .as("weight %d of both ranks, bit for bit", weight)
                    .isEqualTo(ranks.get(0).state.get(weight));
        }
    }

    @Test
    void part_ofABatchThatDoesNotDivide_isRefused() {
        assertThatThrownBy(() -> new Plan(50, 1, 0.01, 3).part(3))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("A batch of 50 cannot be cut into equal parts for 3 ranks");
    }
}
