package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.logarithmic;

import java.util.List;
import java.util.Random;

/** The largest curvature. */
final class HessianExperiment implements Experiment {
    private static final int LOOKS = 5;
    private static final int STEPS = 80;
    private static final int PRODUCTS = 30;
    private static final double RATE = 0.1;

    @Override
    public String name() {
        return "hessian";
    }

    @Override
    public String title() {
        return "The Hessian's largest eigenvalue";
    }

    @Override
    public String claim() {
        return "With batch normalization the loss is less curved: the largest eigenvalue of its Hessian, which bounds the"
                + " rate of gradient descent to 2/λ, is smaller.";
    }

    @Override
    public String source() {
        return "Santurkar et al., 2018, §4; Ghorbani, Krishnan and Xiao, “An Investigation into Neural Net Optimization"
                + " via Hessian Eigenvalue Density”, 2019";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 64 – 64 – 64 – 10 units with softplus, since differences of gradients across a ReLU's kinks depend"
                + " on the step, training at rate " + RATE + " with batches of 100; of the loss of 256 digits, by "
                + lab.effort().part(PRODUCTS, 5) + " steps of power iteration with central differences of the gradient."
                + " It is the eigenvalue of the largest magnitude. Of a normalized layer, weights that are a times as"
                + " large have a curvature 1/a² as large and compute the same, so that its curvature alone is no"
                + " property of what is computed.";
    }

    @Override
    public Finding run(Lab lab) {
        Looks looks = Looks.of(lab, LOOKS, STEPS);
        double[] xs = looks.xs();
        Samples probe = lab.train().head(256);
        Outcomes outcomes = lab.trials(2, (seed, i) -> {
            Norming norming = i == 0 ? Norming.BATCH : Norming.NONE;
            double[] seen = new double[LOOKS];
            try (Net net = new Net.Plan(64, 3, norming)
                    .withSoftplus()
                    .build(lab.device(), lab.train().pixels(), seed)) {
                new Drill(100, RATE, looks.steps())
                        .run(
                                net,
                                lab.train(),
                                seed,
                                looks.make(look -> seen[look] = Math.abs(PowerIteration.ofHessian(
                                        net,
                                        probe,
                                        lab.effort().part(PRODUCTS, 5),
                                        new Random(seed + look * looks.every())))));
            }
            return seen;
        });
        return new Finding(
                List.of(Plot.of(
                        "The largest eigenvalue of the Hessian, by magnitude",
                        even("training steps before"),
                        logarithmic("λ (log scale)"),
                        outcomes.along("batch normalization", xs, 0, 0),
                        outcomes.along("none", xs, 1, 0))),
                List.of(
                        check(
                                "the largest eigenvalue is smaller with it at the start",
                                "the one without, over the one with",
                                outcomes,
                                0),
                        check(
                                "the largest eigenvalue is smaller with it in the end",
                                "the one without, over the one with",
                                outcomes,
                                LOOKS - 1),
                        Check.ratioBelow(
                                "the largest eigenvalue grows less with it",
                                "growth with, over growth without",
                                outcomes.bySeed(seed -> growth(seed[0]) / growth(seed[1])),
                                1)));
    }

    private static Check check(String part, String measure, Outcomes outcomes, int look) {
        return Check.ratioAbove(part, measure, outcomes.bySeed(seed -> seed[1][look] / seed[0][look]), 1);
    }

    private static double growth(double[] looks) {
        return looks[LOOKS - 1] / looks[0];
    }
}
