package org.clnorm.study;

import static org.clnorm.study.Plot.even;

import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;
import org.clnorm.RunningAverage;

/** The bias of a running average that starts at zero. */
final class BiasExperiment implements Experiment {
    private static final double WEIGHT = 0.1;
    private static final double MEAN = 3;
    private static final int BATCH = 64;
    private static final int CHANNELS = 32;
    private static final double[] BATCHES = {1, 2, 3, 5, 8, 12, 20, 30, 45, 60};
    private static final int EARLY = 3;

    @Override
    public String name() {
        return "bias";
    }

    @Override
    public String title() {
        return "The running average starts at zero";
    }

    @Override
    public String claim() {
        return "After t batches of mean m the running mean, which starts at 0, is m(1 − (1 − w)ᵗ), too small; divided by"
                + " 1 − (1 − w)ᵗ it is right from the first batch on.";
    }

    @Override
    public String source() {
        return "The correction: Kingma and Ba, “Adam: A Method for Stochastic Optimization”, 2015, §3";
    }

    @Override
    public String method(Lab lab) {
        return "Batches of " + BATCH + " normal numbers of mean 3 and deviation 1 in " + CHANNELS + " channels, w = "
                + WEIGHT + ". One layer has the plain exponential average, the other the bias-corrected one. Shown is"
                + " the mean of the running means over the channels, divided by m.";
    }

    @Override
    public Finding run(Lab lab) {
        int n = BATCHES.length;
        Outcomes outcomes = lab.trials(2, (seed, i) -> {
            RunningAverage average =
                    i == 0 ? RunningAverage.exponential(WEIGHT) : RunningAverage.biasCorrectedExponential(WEIGHT);
            Random random = new Random(seed);
            double[] seen = new double[n];
            try (NormStage norm =
                    Norming.of(lab.device(), BatchNorm.builder(CHANNELS).runningAverage(average), CHANNELS)) {
                for (int t = 1, next = 0; next < n; t++) {
                    norm.forward(Noise.gaussian(BATCH * CHANNELS, MEAN, 1, random), Mode.TRAIN);
                    if (t == (int) BATCHES[next]) {
                        float[] running = ((BatchNorm) norm.norm())
                                .runningMean()
                                .orElseThrow()
                                .download();
                        seen[next++] = Vectors.moments(running)[0] / MEAN;
                    }
                }
            }
            return seen;
        });
        double[] formula = new double[n];
        for (int i = 0; i < n; i++) {
            formula[i] = share(WEIGHT, (int) BATCHES[i]);
        }
        return new Finding(
                List.of(Plot.of(
                        "Running mean over the true mean",
                        even("batches"),
                        even("share of m"),
                        outcomes.along("exponential", BATCHES, 0, 0),
                        outcomes.along("bias-corrected", BATCHES, 1, 0),
                        Series.exact("1 − (1 − w)ᵗ", BATCHES, formula))),
                List.of(
                        Check.below(
                                "the plain average follows the formula",
                                "largest distance from it, as a share of m",
                                outcomes.estimate(seed -> farthest(seed[0], formula)),
                                0.02),
                        Check.below(
                                "after 5 batches the plain average is under half of m",
                                "its share of m",
                                outcomes.at(0, EARLY),
                                0.5),
                        Check.below(
                                "the corrected average is right from the first batch on",
                                "largest distance from m, as a share of m",
                                outcomes.estimate(seed -> farthest(seed[1], null)),
                                0.02)));
    }

    /** 1 − (1 − w)ᵗ: which share of the mean an average from zero has after t batches. */
    static double share(double weight, int batches) {
        return 1 - Math.pow(1 - weight, batches);
    }

    /** From what was expected; null for 1. */
    private static double farthest(double[] seen, double[] expected) {
        double farthest = 0;
        for (int i = 0; i < seen.length; i++) {
            farthest = Math.max(farthest, Math.abs(seen[i] - (expected == null ? 1 : expected[i])));
        }
        return farthest;
    }
}
