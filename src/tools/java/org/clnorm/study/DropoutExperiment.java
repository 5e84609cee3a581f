package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.share;

import java.util.List;
import org.clnorm.BatchNorm;

/** Dropout before or after the normalization. */
final class DropoutExperiment implements Experiment {
    private static final double[] SHARES = {0, 0.25, 0.5, 0.75};
    private static final int HALF = 2;
    private static final int STEPS = 200;
    private static final double RATE = 0.2;

    @Override
    public String name() {
        return "dropout";
    }

    @Override
    public String title() {
        return "Dropout before or after";
    }

    @Override
    public String claim() {
        return "Dropout before a batch normalization makes its inputs vary more in training than in the test, so that the"
                + " running variance is too large and accuracy falls; after the last normalization it does no harm.";
    }

    @Override
    public String source() {
        return "Li et al., “Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift”, 2019";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 64 – 64 – 10 units, " + lab.steps(STEPS) + " steps of batches of 100 at rate " + RATE
                + ". The dropout is between each dense layer and its normalization, after each ReLU, or after the last"
                + " ReLU only. The variance shift is that of the last normalization: the variance of its inputs for the"
                + " training digits without dropout, over its running variance, in the mean over units.";
    }

    @Override
    public Finding run(Lab lab) {
        Net.Place[] places = Net.Place.values();
        int n = SHARES.length;
        Outcomes outcomes = lab.trials(n * places.length, (seed, i) -> {
            Net.Plan plan = new Net.Plan(64, 2, Norming.BATCH).dropout(SHARES[i % n], places[i / n]);
            try (Net net = plan.build(lab.device(), lab.train().pixels(), seed)) {
                new Drill(100, RATE, lab.steps(STEPS)).run(net, lab.train(), seed);
                return new double[] {net.accuracy(lab.test(), Mode.EVAL), shift(net, lab.train())};
            }
        });
        return new Finding(
                List.of(
                        plot("Variance of the test over the running variance", even("ratio"), outcomes, 1),
                        plot("Test accuracy", share("share recognized"), outcomes, 0)),
                List.of(
                        Check.below(
                                "half the units dropped before it shift a normalization's variance by over a tenth",
                                "variance in the test over that in training",
                                outcomes.at(HALF, 1),
                                0.9),
                        Check.below(
                                "dropout after the last normalization shifts nothing",
                                "distance of that ratio from 1",
                                outcomes.estimate(seed -> Math.abs(seed[2 * n + HALF][1] - 1)),
                                0.1),
                        Check.above(
                                "dropout after each ReLU shifts the next normalization all the same",
                                "1 less that ratio",
                                outcomes.estimate(seed -> 1 - seed[n + HALF][1]),
                                0.1),
                        Check.above(
                                "half the units are better dropped after the last normalization than before each",
                                "accuracy less accuracy",
                                outcomes.estimate(seed -> seed[2 * n + HALF][0] - seed[HALF][0]),
                                0),
                        Check.above(
                                "dropped after the last they cost less than a point beside no dropout",
                                "accuracy with less accuracy without",
                                outcomes.estimate(seed -> seed[2 * n + HALF][0] - seed[2 * n][0]),
                                -0.01)));
    }

    private static Plot plot(String title, Plot.Quantity y, Outcomes outcomes, int measure) {
        int n = SHARES.length;
        return Plot.of(
                title,
                even("share of units dropped"),
                y,
                outcomes.series("before each", SHARES, 0, measure),
                outcomes.series("after each ReLU", SHARES, n, measure),
                outcomes.series("after the last", SHARES, 2 * n, measure));
    }

    /** The moments that the last normalization would see without dropout, against the running ones. */
    private static double shift(Net net, Samples samples) {
        List<NormStage> norms = net.stages(NormStage.class);
        BatchNorm last = (BatchNorm) norms.get(norms.size() - 1).norm();
        float[] running = last.runningVariance().orElseThrow().download();
        net.forward(samples.images(), Mode.EVAL);
        double[] seen = norms.get(norms.size() - 1).inputVariances();
        double sum = 0;
        for (int c = 0; c < running.length; c++) {
            sum += seen[c] / Math.max(running[c], 1e-6) / running.length;
        }
        return sum;
    }
}
