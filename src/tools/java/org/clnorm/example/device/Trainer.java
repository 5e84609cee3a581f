package org.clnorm.example.device;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.clnorm.Optimizer;
import org.clnorm.Tensor;
import org.clnorm.example.Digits;
import org.clnorm.mpi.GradientSum;
import org.clnorm.state.StateDict;

/**
 * The loop over epochs and batches. Where several ranks train together, each goes over its part of every batch, of as many
 * digits, and all go over the digits to test with.
 */
public final class Trainer {
    /**
     * What an epoch came to.
     *
     * @param number 1 for the first
     * @param loss the mean loss in training
     * @param right how many of the digits to test with were recognized
     * @param seconds how long the training took, without the test
     * @param normalizationSeconds how long of it the device was busy with normalization
     */
    public record Epoch(int number, double loss, int right, double seconds, double normalizationSeconds) {}

    private final Queue queue;
    private final Part network;
    private final Optimizer optimizer;
    private final Digits.Split digits;
    private final Plan plan;
    private final Tensor images;
    private final SoftmaxLoss loss;
    private final Pace pace;
    /** This rank's part of a batch. */
    private final int part;
    /** All gradients, averaged over the ranks; null where it trains alone. */
    private final GradientSum gradients;
    /** The loss, likewise. */
    private final Tensor score;

    private final GradientSum scores;

    /**
     * @param network from images of shape (batch, 1, size, size) to logits
     * @param digits to train and to test with
     * @param classes how many there are
     */
    public Trainer(Queue queue, Part network, Digits.Split digits, int classes, Plan plan) {
        this.queue = queue;
        this.network = network;
        this.digits = digits;
        this.plan = plan;
        int size = (int) Math.sqrt(digits.train().pixels());
        this.part = plan.part(queue.size());
        this.images = queue.tensor(part, 1, size, size);
        this.pace = new Pace(queue);
        this.loss = new SoftmaxLoss(queue, part, classes);
        Optimizer.Builder builder = Optimizer.builder(plan.rule());
        for (Weight weight : network.weights()) {
            builder.add(weight.name(), weight.value(), weight.gradient(), weight.decays());
        }
        this.optimizer = queue.keep(builder.build(queue.device()));
        this.gradients = queue.ranks()
                .map(ranks -> ranks.gradientsIn(
                        network.weights().stream().map(Weight::gradient).toList()))
                .orElse(null);
        this.score = queue.tensor(1);
        this.scores =
                queue.ranks().map(ranks -> ranks.gradientsIn(List.of(score))).orElse(null);
    }

    /** What makes the steps, which has a state of its own. */
    public Optimizer optimizer() {
        return optimizer;
    }

    /** How many steps an epoch has. What is left of the digits after the last whole batch is left out, of every epoch others. */
    public int steps() {
        return digits.train().size() / plan.batch();
    }

    /**
     * Takes one batch forward and back, and then makes the network what it was before: so kernels are compiled when the first
     * epoch begins. Once on a machine that takes a while; later runs find most of it in the driver's cache.
     *
     * @return how many seconds it took
     */
    public double prepare() {
        long start = System.nanoTime();
        StateDict before = network.state();
        network.backward(loss.of(network.forward(images)));
        loss.read(part);
        network.load(before);
        return (System.nanoTime() - start) / 1e9;
    }

    /**
     * Trains for an epoch, then tests.
     *
     * @param number 1 for the first
     * @param afterEachStep called as the steps go by
     */
    public Epoch epoch(int number, Runnable afterEachStep) {
        int[] order = order(number);
        queue.normalization().nanos(); // what went before is not this epoch's
        long start = System.nanoTime();
        for (int step = 0; step < steps(); step++) {
            step(order, step * plan.batch(), plan.rateAfter(number - 1 + (double) step / steps()));
            pace.step();
            afterEachStep.run();
        }
        pace.rest();
        double meanLoss = lossOf(steps());
        double seconds = (System.nanoTime() - start) / 1e9;
        double normalization = queue.normalization().nanos() / 1e9;
        return new Epoch(number, meanLoss, recognized(), seconds, normalization);
    }

    /** The mean loss of so many steps, of all ranks, and begins anew. */
    double lossOf(int steps) {
        double own = loss.read(steps * part).loss();
        if (scores == null) {
            return own;
        }
        queue.upload(score, new float[] {(float) own});
        scores.average();
        return queue.download(score)[0];
    }

    /** One step: pixels and labels go to the device, and nothing comes back. */
    void step(int[] order, int from, double rate) {
        upload(digits.train(), order, from + queue.rank() * part);
        network.backward(loss.of(network.forward(images)));
        if (gradients != null) {
            gradients.average(); // each rank's loss is the mean over its part
        }
        optimizer.rate(rate);
        optimizer.step();
    }

    private void upload(Digits of, int[] order, int from) {
        int to = Math.min(order.length, from + part);
        Digits.Batch batch = of.batch(order, from, to);
        float[] pixels = new float[part * of.pixels()];
        System.arraycopy(batch.images(), 0, pixels, 0, batch.images().length);
        float[] labels = new float[part];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = i < batch.labels().length ? batch.labels()[i] : -1; // of the last batch of a test
        }
        queue.upload(images, pixels);
        queue.upload(loss.labels(), labels);
    }

    /** The same for a number and a seed, whatever went before. */
    private int[] order(int epoch) {
        List<Integer> order = new ArrayList<>(
                IntStream.range(0, digits.train().size()).boxed().toList());
        Collections.shuffle(order, new Random(new SplittableRandom(31 * plan.seed() + epoch).nextLong()));
        return order.stream().mapToInt(Integer::intValue).toArray();
    }

    private int recognized() {
        int[] all = IntStream.range(0, digits.test().size()).toArray();
        network.training(false);
        for (int from = 0; from < all.length; from += part) {
            upload(digits.test(), all, from);
            loss.of(network.forward(images));
        }
        network.training(true);
        return loss.read(all.length).right();
    }
}
