package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;
import static org.clnorm.study.Plot.share;

import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import org.clnorm.BatchNorm;
import org.clnorm.RenormalizationSchedule;
import org.clnorm.RunningAverage;
import org.clnorm.example.Norm;

/** Small batches. */
final class BatchesExperiment implements Experiment {
    private static final double[] SIZES = {2, 4, 8, 16, 32, 64, 128};
    private static final int TWO = 0;
    private static final int FOUR = 1;
    private static final int MIDDLE = 4;
    private static final int SAMPLES = 3072;
    private static final double RATE_PER_SAMPLE = 0.003;

    @Override
    public String name() {
        return "batches";
    }

    @Override
    public String title() {
        return "Small batches, and what is made for them";
    }

    @Override
    public String claim() {
        return "Batch normalization gets worse as batches get small; group normalization does not depend on the batch, and"
                + " batch renormalization mends most of it.";
    }

    @Override
    public String source() {
        return "Wu and He, “Group Normalization”, 2018, figure 1; Ioffe, “Batch Renormalization”, 2017, §4.3";
    }

    @Override
    public String method(Lab lab) {
        int samples = lab.effort().part(SAMPLES, 256);
        return "196 – 64 – 64 – 10 units, " + samples
                + " digits seen whatever the batch, at a rate proportional to it, "
                + Estimate.number(RATE_PER_SAMPLE)
                + " a sample: batches of 128 take 0.384, in few steps. Groups: 8 of 8 units."
                + " Renormalization: the bounds of r and d go to 3 and 5 from a twentieth to a fifth of the steps, and"
                + " running averages take in 5 % of each batch, for them and for batch normalization alike. “With test statistics”"
                + " evaluates batch normalization with the statistics of the whole test set.";
    }

    @Override
    public Finding run(Lab lab) {
        int n = SIZES.length;
        Outcomes outcomes = lab.trials(3 * n, (seed, i) -> {
            int batch = (int) SIZES[i % n];
            int steps = Math.max(2, lab.effort().part(SAMPLES, 256) / batch);
            try (Net net = new Net.Plan(64, 2, norming(i / n, steps))
                    .build(lab.device(), lab.train().pixels(), seed)) {
                new Drill(batch, RATE_PER_SAMPLE * batch, steps).run(net, lab.train(), seed);
                return new double[] {net.accuracy(lab.test(), Mode.EVAL), net.accuracy(lab.test(), Mode.ADAPTED)};
            }
        });
        return new Finding(
                List.of(Plot.of(
                        "Test accuracy after as many digits",
                        logarithmic("samples in a batch"),
                        share("share recognized"),
                        outcomes.series("batch normalization", SIZES, 0, 0),
                        outcomes.series("with test statistics", SIZES, 0, 1),
                        outcomes.series("group normalization", SIZES, n, 0),
                        outcomes.series("batch renormalization", SIZES, 2 * n, 0))),
                List.of(
                        Check.above(
                                "batch normalization loses over 2 points from batches of 32 to batches of 2",
                                "accuracy with 32 less accuracy with 2",
                                outcomes.estimate(seed -> seed[MIDDLE][0] - seed[TWO][0]),
                                0.02),
                        Check.above(
                                "it is not the running statistics alone, since with those of the test set it loses over 2"
                                        + " points, too",
                                "accuracy with 32 less accuracy with 2",
                                outcomes.estimate(seed -> seed[MIDDLE][1] - seed[TWO][1]),
                                0.02),
                        Check.below(
                                "group normalization loses less than 2 points",
                                "accuracy with 32 less accuracy with 2",
                                outcomes.estimate(seed -> seed[n + MIDDLE][0] - seed[n + TWO][0]),
                                0.02),
                        Check.below(
                                "over all batches, at their rates, group normalization varies by less than 5 points",
                                "highest accuracy less lowest",
                                outcomes.estimate(seed -> spread(seed, n)),
                                0.05),
                        Check.above(
                                "with batches of 2 group normalization is ahead",
                                "its accuracy less that of batch normalization",
                                outcomes.estimate(seed -> seed[n + TWO][0] - seed[TWO][0]),
                                0),
                        Check.above(
                                "with batches of 4 renormalization is ahead",
                                "its accuracy less that of batch normalization",
                                outcomes.estimate(seed -> seed[2 * n + FOUR][0] - seed[FOUR][0]),
                                0),
                        Check.above(
                                "with batches of 2 renormalization regains over half of what batch normalization loses",
                                "share of the loss from 32 to 2 that it regains",
                                outcomes.estimate(seed ->
                                        (seed[2 * n + TWO][0] - seed[TWO][0]) / (seed[MIDDLE][0] - seed[TWO][0])),
                                0.5),
                        Check.above(
                                "with batches of 2 renormalization is ahead",
                                "its accuracy less that of batch normalization",
                                outcomes.estimate(seed -> seed[2 * n + TWO][0] - seed[TWO][0]),
                                0)));
    }

    private static double spread(double[][] seed, int from) {
        DoubleSummaryStatistics all = Arrays.stream(seed)
                .skip(from)
                .limit(SIZES.length)
                .mapToDouble(measures -> measures[0])
                .summaryStatistics();
        return all.getMax() - all.getMin();
    }

    private static Norming norming(int kind, int steps) {
        return switch (kind) {
            case 0 -> (device, units) -> Norming.of(device, slow(units), units);
            case 1 -> Norming.of(Norm.GROUP);
            default ->
                (device, units) -> Norming.of(
                        device,
                        slow(units).renormalization(RenormalizationSchedule.linear(3, 5, steps / 20, steps / 5)),
                        units);
        };
    }

    private static BatchNorm.Builder slow(int units) {
        return BatchNorm.builder(units).runningAverage(RunningAverage.biasCorrectedExponential(0.05));
    }
}
