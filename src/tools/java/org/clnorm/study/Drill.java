package org.clnorm.study;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/**
 * A training by plain stochastic gradient descent.
 *
 * @param batch samples in a step
 * @param rate the learning rate
 * @param steps how many
 */
record Drill(int batch, double rate, int steps) {
    /** How much of the mean loss of steps is the last one's. */
    private static final double SMOOTHING = 0.2;

    /** Trains, in an order that the seed says, and gives the loss of each step; it ends early at one that is no number. */
    List<Double> run(Net net, Samples samples, long seed) {
        return run(net, samples, seed, step -> {});
    }

    /** @param before what to do before each step, counted from 0, and after the last one */
    List<Double> run(Net net, Samples samples, long seed, IntConsumer before) {
        Random shuffle = new Random(~seed);
        List<Double> losses = new ArrayList<>();
        int[] order = {};
        int next = 0;
        for (int step = 0; step < steps; step++) {
            before.accept(step);
            if (next + batch > order.length) {
                order = shuffled(samples.size(), shuffle);
                next = 0;
            }
            double loss = net.loss(samples.rows(order, next, next + batch));
            next += batch;
            if (!Double.isFinite(loss)) {
                return losses;
            }
            net.step(rate);
            losses.add(loss);
        }
        before.accept(steps);
        return losses;
    }

    static int[] shuffled(int size, Random random) {
        List<Integer> order = new ArrayList<>(IntStream.range(0, size).boxed().toList());
        Collections.shuffle(order, random);
        return order.stream().mapToInt(Integer::intValue).toArray();
    }

    /** The first step, from 1, after which the running mean of the loss was below a bound; {@code never} without one. */
    static double firstBelow(double bound, List<Double> losses, double never) {
        double mean = Double.NaN;
        for (int i = 0; i < losses.size(); i++) {
            mean = i == 0 ? losses.get(0) : mean + SMOOTHING * (losses.get(i) - mean);
            if (mean < bound) {
                return i + 1;
            }
        }
        return never;
    }
}
