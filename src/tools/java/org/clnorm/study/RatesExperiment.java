package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.logarithmic;
import static org.clnorm.study.Plot.share;

import java.util.List;

/** Speed, and the tolerance of large learning rates. */
final class RatesExperiment implements Experiment {
    private static final double[] RATES = {0.01, 0.03, 0.1, 0.3, 1, 3, 10};
    private static final int SMALL = 1;
    private static final int STEPS = 150;
    private static final double LEARNED = 0.8;
    private static final double LOSS = 0.6;

    @Override
    public String name() {
        return "rates";
    }

    @Override
    public String title() {
        return "Speed, and large learning rates";
    }

    @Override
    public String claim() {
        return "A network with batch normalization learns in fewer steps, and bears learning rates that are many times"
                + " larger.";
    }

    @Override
    public String source() {
        return "Ioffe and Szegedy, “Batch Normalization: Accelerating Deep Network Training by Reducing Internal"
                + " Covariate Shift”, 2015, §4.2";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 64 – 64 – 64 – 10 units with ReLU, with and without, from the same weights, batches of 100, "
                + lab.steps(STEPS) + " steps at each rate. A rate is usable where " + (int) (100 * LEARNED)
                + " % of the test digits are recognized in the end; one at which the loss is no number any more counts"
                + " as none recognized. Steps are counted until a running mean of the loss is below " + LOSS
                + "; where it never is, as one more than there were.";
    }

    @Override
    public Finding run(Lab lab) {
        int steps = lab.steps(STEPS);
        Outcomes outcomes = lab.trials(2 * RATES.length, (seed, i) -> {
            Norming norming = i < RATES.length ? Norming.BATCH : Norming.NONE;
            try (Net net =
                    new Net.Plan(64, 3, norming).build(lab.device(), lab.train().pixels(), seed)) {
                List<Double> losses = new Drill(100, RATES[i % RATES.length], steps).run(net, lab.train(), seed);
                return new double[] {
                    net.accuracy(lab.test(), Mode.EVAL), Drill.firstBelow(LOSS, losses, steps + 1.0), last(losses)
                };
            }
        });
        int n = RATES.length;
        Plot accuracy = Plot.of(
                "Test accuracy after the training",
                logarithmic("learning rate"),
                share("share recognized"),
                outcomes.series("batch normalization", RATES, 0, 0),
                outcomes.series("none", RATES, n, 0));
        Plot speed = Plot.of(
                "Steps until the loss is below " + LOSS,
                logarithmic("learning rate"),
                even("steps"),
                outcomes.series("batch normalization", RATES, 0, 1),
                outcomes.series("none", RATES, n, 1));
        return new Finding(
                List.of(accuracy, speed),
                List.of(
                        Check.ratioAbove(
                                "the largest usable rate is over 3 times that without",
                                "rate over rate",
                                outcomes.bySeed(seed -> usable(seed, 0) / usable(seed, n)),
                                3),
                        Check.ratioAbove(
                                "at the same small rate, " + RATES[SMALL] + ", it is farther after the same steps",
                                "loss without over loss with",
                                outcomes.bySeed(seed -> seed[n + SMALL][2] / seed[SMALL][2]),
                                1),
                        Check.ratioAbove(
                                "with each at its own best rate it takes fewer steps",
                                "steps without over steps with",
                                outcomes.bySeed(seed -> fewest(seed, n) / fewest(seed, 0)),
                                1)));
    }

    /** The mean loss of the last tenth of the steps; of none, that of guessing. */
    private static double last(List<Double> losses) {
        return losses.stream()
                .skip(losses.size() - (losses.size() + 9) / 10)
                .mapToDouble(Double::doubleValue)
                .average()
                .orElse(Math.log(Net.CLASSES));
    }

    /** The largest usable rate, or the smallest of all where none is. */
    private static double usable(double[][] seed, int from) {
        double largest = RATES[0];
        for (int i = 0; i < RATES.length; i++) {
            largest = seed[from + i][0] >= LEARNED ? RATES[i] : largest;
        }
        return largest;
    }

    private static double fewest(double[][] seed, int from) {
        double fewest = Double.POSITIVE_INFINITY;
        for (int i = 0; i < RATES.length; i++) {
            fewest = Math.min(fewest, seed[from + i][1]);
        }
        return fewest;
    }
}
