package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.logarithmic;

import java.util.List;
import java.util.function.IntConsumer;

/** What weight decay does where the size of weights does not matter. */
final class DecayExperiment implements Experiment {
    private static final int STEPS = 300;
    private static final int LOOKS = 6;
    private static final double RATE = 0.3;
    private static final double DECAY = 0.01;

    /** What is done to the weights before a normalization. */
    private enum Treatment {
        /** Nothing but the gradient's step. */
        NONE("no decay"),
        /** They shrink by a factor of 1 − rate · decay in each step. */
        DECAY("decay"),
        /** The rate grows in the place of that. */
        RATE("growing rate");

        private final String words;

        Treatment(String words) {
            this.words = words;
        }
    }

    @Override
    public String name() {
        return "decay";
    }

    @Override
    public String title() {
        return "Weight decay and the effective rate";
    }

    @Override
    public String claim() {
        return "Before a normalization, weight decay does not make the function simpler, since the size of weights does not"
                + " matter; it keeps the effective rate η/‖W‖² up, and a learning rate that grows would do the same.";
    }

    @Override
    public String source() {
        return "van Laarhoven, “L2 Regularization versus Batch and Weight Normalization”, 2017; the growing rate: Li and"
                + " Arora, “An Exponential Learning Rate Schedule for Deep Learning”, 2020: with α = 1 − ηλ, decay is the"
                + " same as the rate η/α^(2t + 1) in step t, counted from 0";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 64 – 10 units, " + lab.steps(STEPS) + " steps of batches of 100 at rate " + RATE
                + ". Only W, the weights before the normalization, have a decay of " + DECAY
                + ", none, or a growing rate in its place.";
    }

    @Override
    public Finding run(Lab lab) {
        Looks looks = Looks.of(lab, LOOKS, STEPS);
        double[] xs = looks.xs();
        Treatment[] treatments = Treatment.values();
        Outcomes outcomes = lab.trials(treatments.length, (seed, i) -> train(lab, treatments[i], looks, seed));
        Series[] rates = new Series[treatments.length];
        Series[] losses = new Series[treatments.length];
        for (int i = 0; i < treatments.length; i++) {
            rates[i] = outcomes.along(treatments[i].words, xs, i, 0);
            losses[i] = outcomes.along(treatments[i].words, xs, i, LOOKS);
        }
        int end = LOOKS - 1;
        int accuracy = 2 * LOOKS;
        return new Finding(
                List.of(
                        Plot.of(
                                "Effective rate: the rate of W over ‖W‖²",
                                even("steps"),
                                logarithmic("η/‖W‖² (log scale)"),
                                rates),
                        Plot.of("Loss of the training batch", even("steps"), logarithmic("loss (log scale)"), losses)),
                List.of(
                        Check.ratioBelow(
                                "without decay the effective rate falls",
                                "in the end, over that at the start",
                                outcomes.bySeed(seed -> seed[0][end] / seed[0][0]),
                                1),
                        Check.ratioAbove(
                                "decay keeps the effective rate up",
                                "in the end, over that without decay",
                                outcomes.bySeed(seed -> seed[1][end] / seed[0][end]),
                                1.2),
                        Check.below(
                                "a growing rate goes the very same way",
                                "largest difference of the loss at the looks",
                                outcomes.estimate(seed -> farthest(seed[1], seed[2])),
                                0.01),
                        Check.below(
                                "a growing rate ends at the same test accuracy",
                                "difference from that with decay",
                                outcomes.estimate(seed -> Math.abs(seed[1][accuracy] - seed[2][accuracy])),
                                0.01),
                        Check.below(
                                "decay changes the test accuracy by less than a point",
                                "difference from that without decay",
                                outcomes.estimate(seed -> Math.abs(seed[1][accuracy] - seed[0][accuracy])),
                                0.01)));
    }

    private static double farthest(double[] a, double[] b) {
        double farthest = 0;
        for (int i = LOOKS; i < 2 * LOOKS; i++) {
            farthest = Math.max(farthest, Math.abs(a[i] - b[i]));
        }
        return farthest;
    }

    /** The effective rates, then the losses, then the test accuracy. */
    private static double[] train(Lab lab, Treatment treatment, Looks looks, long seed) {
        double[] seen = new double[2 * LOOKS + 1];
        double kept = 1 - RATE * DECAY;
        try (Net net = new Net.Plan(64, 1, Norming.BATCH)
                .build(lab.device(), lab.train().pixels(), seed)) {
            DenseStage dense = net.stages(DenseStage.class).get(0);
            double[] rate = {RATE};
            IntConsumer rates =
                    looks.make(look -> seen[look] = rate[0] / Vectors.dot(dense.weights(), dense.weights()));
            List<Double> losses = new Drill(100, RATE, looks.steps()).run(net, lab.train(), seed, new IntConsumer() {
                private float[] before = dense.weights().clone();

                @Override
                public void accept(int step) {
                    if (step > 0) {
                        correct(step - 1);
                    }
                    rates.accept(step);
                    before = dense.weights().clone();
                }

                /** From the plain step that was made to the treatment's. */
                private void correct(int step) {
                    float[] weights = dense.weights();
                    float[] gradient = dense.weightGradient();
                    rate[0] = treatment == Treatment.RATE ? RATE / Math.pow(kept, 2 * step + 1) : RATE;
                    for (int i = 0; i < weights.length; i++) {
                        double shrunk = treatment == Treatment.DECAY ? kept * before[i] : before[i];
                        weights[i] = (float) (shrunk - rate[0] * gradient[i]);
                    }
                }
            });
            for (int look = 0; look < LOOKS; look++) {
                int step = Math.min(look * looks.every(), losses.size() - 1);
                seen[LOOKS + look] = losses.get(step);
            }
            seen[2 * LOOKS] = net.accuracy(lab.test(), Mode.EVAL);
        }
        return seen;
    }
}
