package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.share;

import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;
import org.clnorm.RunningAverage;

/** Test data whose mean is not that of training. */
final class ShiftExperiment implements Experiment {
    private static final double[] SHIFTS = {-2, -1, 0, 1, 2, 4};
    private static final double[] BRIGHTER = {0, 0.1, 0.2, 0.3, 0.5, 0.75};
    private static final int CHANNELS = 8;
    private static final int ROWS = 4096;
    private static final int STEPS = 100;

    @Override
    public String name() {
        return "shift";
    }

    @Override
    public String title() {
        return "Shift between training and test";
    }

    @Override
    public String claim() {
        return "Where the test data's mean differs from that of training, the output's mean is"
                + " γ(m_test − m)/σ + β in the place of β, and predictions suffer; statistics of the test batch mend it.";
    }

    @Override
    public String source() {
        return "The definition with running statistics, Ioffe and Szegedy, 2015, alg. 2; the remedy: Schneider et al.,"
                + " “Improving Robustness Against Common Corruptions by Covariate Shift Adaptation”, 2020";
    }

    @Override
    public String method(Lab lab) {
        return "First, 8 channels with random m, σ, γ and β, cumulative running statistics of 20 batches of " + ROWS
                + ", then test batches with the mean moved; shown is (output's mean − β)/γ. Second, the digits:"
                + " 196 – 64 – 64 – 10 units, " + lab.steps(STEPS) + " steps of 100 at rate 0.1, and all pixels of"
                + " the test digits made brighter. “Adapted” normalizes with the test batch's own statistics.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes channels = lab.trials(1, (seed, i) -> channels(lab, seed));
        Outcomes digits = lab.trials(2, (seed, i) -> digits(lab, i == 0 ? Norming.BATCH : Norming.NONE, seed));
        int n = BRIGHTER.length;
        return new Finding(
                List.of(
                        Plot.of(
                                "Mean of the output",
                                even("shift of the test mean, in σ"),
                                even("(mean of y − β) / γ"),
                                channels.along("measured", SHIFTS, 0, 0),
                                Series.exact("(m_test − m)/σ", SHIFTS, SHIFTS)),
                        Plot.of(
                                "Test accuracy of brighter digits",
                                even("added to each pixel (black 0, white 1)"),
                                share("share recognized"),
                                digits.along("batch normalization", BRIGHTER, 0, 0),
                                digits.along("adapted", BRIGHTER, 0, n),
                                digits.along("none", BRIGHTER, 1, 0))),
                List.of(
                        Check.below(
                                "the formula predicts the output's mean",
                                "largest error over shifts and channels, in γ",
                                channels.estimate(seed -> seed[0][SHIFTS.length]),
                                0.1),
                        Check.above(
                                "predictions suffer from half a white more",
                                "loss of accuracy at +0.5",
                                digits.estimate(seed -> seed[0][0] - seed[0][n - 2]),
                                0.05),
                        Check.above(
                                "they suffer more than without normalization",
                                "loss of accuracy with less that without",
                                digits.estimate(seed -> seed[0][0] - seed[0][n - 2] - seed[1][0] + seed[1][n - 2]),
                                0),
                        Check.below(
                                "the test batch's statistics mend it",
                                "loss of accuracy that is left at +0.5",
                                digits.estimate(seed -> seed[0][0] - seed[0][2 * n - 2]),
                                0.02)));
    }

    /** For each shift the mean over channels; last the largest error. */
    private static double[] channels(Lab lab, long seed) {
        Random random = new Random(seed);
        float[] mean = Noise.gaussian(CHANNELS, 0, 3, random);
        float[] affine = new float[2 * CHANNELS];
        float[] deviation = new float[CHANNELS];
        for (int c = 0; c < CHANNELS; c++) {
            deviation[c] = (float) Math.exp(random.nextGaussian());
            affine[c] = (float) (0.5 + random.nextDouble());
            affine[CHANNELS + c] = (float) random.nextGaussian();
        }
        double[] seen = new double[SHIFTS.length + 1];
        BatchNorm.Builder builder = BatchNorm.builder(CHANNELS).runningAverage(RunningAverage.cumulative());
        try (NormStage norm = Norming.of(lab.device(), builder, CHANNELS)) {
            norm.write(affine, 0);
            for (int batch = 0; batch < 20; batch++) {
                norm.forward(rows(mean, deviation, 0, random), Mode.TRAIN);
            }
            for (int s = 0; s < SHIFTS.length; s++) {
                float[] y = norm.forward(rows(mean, deviation, SHIFTS[s], random), Mode.EVAL);
                for (int c = 0; c < CHANNELS; c++) {
                    double sum = 0;
                    for (int row = 0; row < ROWS; row++) {
                        sum += y[row * CHANNELS + c];
                    }
                    double moved = (sum / ROWS - affine[CHANNELS + c]) / affine[c];
                    seen[s] += moved / CHANNELS;
                    seen[SHIFTS.length] = Math.max(seen[SHIFTS.length], Math.abs(moved - SHIFTS[s]));
                }
            }
        }
        return seen;
    }

    private static float[] rows(float[] mean, float[] deviation, double shift, Random random) {
        float[] x = Noise.gaussian(ROWS * CHANNELS, 0, 1, random);
        for (int i = 0; i < x.length; i++) {
            int c = i % CHANNELS;
            x[i] = (float) (mean[c] + deviation[c] * (x[i] + shift));
        }
        return x;
    }

    /** Accuracy by brightness with running statistics, then with those of the test batch. */
    private static double[] digits(Lab lab, Norming norming, long seed) {
        double[] seen = new double[2 * BRIGHTER.length];
        try (Net net =
                new Net.Plan(64, 2, norming).build(lab.device(), lab.train().pixels(), seed)) {
            new Drill(100, 0.1, lab.steps(STEPS)).run(net, lab.train(), seed);
            for (int i = 0; i < BRIGHTER.length; i++) {
                float[] images = lab.test().images().clone();
                for (int p = 0; p < images.length; p++) {
                    images[p] += (float) BRIGHTER[i];
                }
                seen[i] = net.accuracy(lab.test().with(images), Mode.EVAL);
                seen[BRIGHTER.length + i] = net.accuracy(lab.test().with(images), Mode.ADAPTED);
            }
        }
        return seen;
    }
}
