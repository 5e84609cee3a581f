package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;
import static org.clnorm.study.Plot.share;

import java.util.List;

/** Dependence on the initial weights. */
final class WeightsExperiment implements Experiment {
    private static final double[] FACTORS = {0.01, 0.1, 0.3, 1, 3, 10, 100};
    private static final int FROM = 1;
    private static final int TO = 5;
    private static final int STEPS = 100;
    private static final double RATE = 0.1;

    @Override
    public String name() {
        return "weights";
    }

    @Override
    public String title() {
        return "Dependence on the initial weights";
    }

    @Override
    public String claim() {
        return "With batch normalization it hardly matters how large the initial weights are.";
    }

    @Override
    public String source() {
        return "Ioffe and Szegedy, 2015, §3.3; the initial weights that are scaled here: He et al., “Delving Deep into"
                + " Rectifiers”, 2015, eq. 10";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 64 – 64 – 64 – 10 units with ReLU, He's weights of the hidden layers times a factor, batches of"
                + " 100, " + lab.steps(STEPS) + " steps at rate " + RATE + ". The spread is the best accuracy less the"
                + " worst, over factors from " + FACTORS[FROM] + " to " + (int) FACTORS[TO] + " and over all.";
    }

    @Override
    public Finding run(Lab lab) {
        int n = FACTORS.length;
        Outcomes outcomes = lab.trials(2 * n, (seed, i) -> {
            Norming norming = i < n ? Norming.BATCH : Norming.NONE;
            Net.Plan plan = new Net.Plan(64, 3, norming).factor(FACTORS[i % n]);
            try (Net net = plan.build(lab.device(), lab.train().pixels(), seed)) {
                new Drill(100, RATE, lab.steps(STEPS)).run(net, lab.train(), seed);
                return new double[] {net.accuracy(lab.test(), Mode.EVAL)};
            }
        });
        Plot plot = Plot.of(
                "Test accuracy after the training",
                logarithmic("factor of He's initial weights"),
                share("share recognized"),
                outcomes.series("batch normalization", FACTORS, 0, 0),
                outcomes.series("none", FACTORS, n, 0));
        return new Finding(
                List.of(plot),
                List.of(
                        Check.above(
                                "from a tenth to ten times the weights it matters less with it",
                                "spread of accuracy without less spread with",
                                outcomes.estimate(seed -> spread(seed, n + FROM, n + TO) - spread(seed, FROM, TO)),
                                0),
                        Check.below(
                                "from a tenth to ten times the weights it hardly matters",
                                "spread of accuracy with it",
                                outcomes.estimate(seed -> spread(seed, FROM, TO)),
                                0.1),
                        Check.below(
                                "from a hundredth to a hundred times the weights it hardly matters",
                                "spread of accuracy with it",
                                outcomes.estimate(seed -> spread(seed, 0, n - 1)),
                                0.1)));
    }

    private static double spread(double[][] seed, int from, int to) {
        double low = Double.POSITIVE_INFINITY;
        double high = Double.NEGATIVE_INFINITY;
        for (int i = from; i <= to; i++) {
            low = Math.min(low, seed[i][0]);
            high = Math.max(high, seed[i][0]);
        }
        return high - low;
    }
}
