package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.logarithmic;

import java.util.List;
import java.util.stream.DoubleStream;

/** Loss and gradient along the gradient's direction. */
final class SmoothnessExperiment implements Experiment {
    private static final int LOOKS = 6;
    private static final int STEPS = 60;
    private static final int DISTANCES = 6;
    private static final double FARTHEST = 0.6;
    private static final double RATE = 0.1;

    @Override
    public String name() {
        return "smoothness";
    }

    @Override
    public String title() {
        return "Smoothness along the gradient";
    }

    @Override
    public String claim() {
        return "Batch normalization works since it makes the landscape smoother: along the gradient, loss and gradient"
                + " change less.";
    }

    @Override
    public String source() {
        return "Santurkar et al., “How Does Batch Normalization Help Optimization?”, 2018, §3.1, figure 4";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 64 – 64 – 64 – 10 units, training at rate " + RATE
                + " with batches of 100. At times it stops, goes"
                + " from where it is against the gradient of a batch of 256 by " + DISTANCES + " steps of up to "
                + FARTHEST + " times the gradient, and back. Range of loss: the largest less the smallest on the way."
                + " Change of gradient: the largest ‖g − g₀‖, also as a share of ‖g₀‖, since a scale is no shape.";
    }

    @Override
    public Finding run(Lab lab) {
        Looks looks = Looks.of(lab, LOOKS, STEPS);
        double[] xs = looks.xs();
        Samples probe = lab.train().head(256);
        Outcomes outcomes = lab.trials(2, (seed, i) -> {
            Norming norming = i == 0 ? Norming.BATCH : Norming.NONE;
            double[] seen = new double[3 * LOOKS];
            try (Net net =
                    new Net.Plan(64, 3, norming).build(lab.device(), lab.train().pixels(), seed)) {
                new Drill(100, RATE, looks.steps())
                        .run(net, lab.train(), seed, looks.make(at -> look(net, probe, seen, at)));
            }
            return seen;
        });
        return new Finding(
                List.of(
                        plot("Range of the loss", "loss (log scale)", outcomes, xs, 0),
                        plot("Change of the gradient", "‖g − g₀‖ (log scale)", outcomes, xs, LOOKS),
                        plot("Change of the gradient, relative", "‖g − g₀‖ / ‖g₀‖", outcomes, xs, 2 * LOOKS)),
                List.of(
                        check(
                                "along the gradient the loss changes less with it",
                                "range without over range with",
                                outcomes,
                                0),
                        Check.ratioAbove(
                                "the loss changes less with it from the first step on",
                                "range without over range with, before the first step",
                                outcomes.bySeed(seed -> seed[1][0] / seed[0][0]),
                                1),
                        check("the gradient changes less with it", "change without over change with", outcomes, LOOKS),
                        check(
                                "the gradient changes less relative to its own length",
                                "relative change without over that with",
                                outcomes,
                                2 * LOOKS)));
    }

    private static Plot plot(String title, String y, Outcomes outcomes, double[] xs, int from) {
        return Plot.of(
                title,
                even("training steps before"),
                logarithmic(y),
                outcomes.along("batch normalization", xs, 0, from),
                outcomes.along("none", xs, 1, from));
    }

    /** By the mean over the looks of the logarithm, lest one of them count for all. */
    private static Check check(String part, String measure, Outcomes outcomes, int from) {
        return Check.ratioAbove(
                part,
                measure + ", over all looks",
                outcomes.bySeed(seed -> Math.exp(logarithms(seed[1], from) - logarithms(seed[0], from))),
                1);
    }

    private static double logarithms(double[] measures, int from) {
        return DoubleStream.of(measures)
                .skip(from)
                .limit(LOOKS)
                .map(measure -> Math.log(Math.max(measure, 1e-12)))
                .average()
                .orElseThrow();
    }

    private static void look(Net net, Samples probe, double[] seen, int at) {
        float[] here = net.parameters();
        double low = net.loss(probe);
        double high = low;
        float[] gradient = net.gradient();
        for (int i = 1; i <= DISTANCES; i++) {
            net.setParameters(Vectors.plus(here, -FARTHEST * i / DISTANCES, gradient));
            double loss = net.loss(probe);
            low = Math.min(low, loss);
            high = Math.max(high, loss);
            seen[LOOKS + at] = Math.max(seen[LOOKS + at], Vectors.distance(net.gradient(), gradient));
        }
        seen[at] = high - low;
        seen[2 * LOOKS + at] = seen[LOOKS + at] / Vectors.length(gradient);
        net.setParameters(here);
    }
}
