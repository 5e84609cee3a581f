package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;
import static org.clnorm.study.Plot.share;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;

/** The noise of batch statistics as regularization. */
final class NoiseExperiment implements Experiment {
    private static final double[] SIZES = {4, 8, 16, 32, 64, 128};
    private static final int GENTLE = 2;
    private static final int WHOLE = 5;
    private static final int STEPS = 200;
    private static final double RATE = 0.3;
    private static final int TRAIN = 256;
    private static final int DRAWS = 200;

    @Override
    public String name() {
        return "noise";
    }

    @Override
    public String title() {
        return "Noise as regularization";
    }

    @Override
    public String claim() {
        return "The statistics of small batches are noisy, and the noise regularizes: smaller normalization batches"
                + " generalize better.";
    }

    @Override
    public String source() {
        return "Ioffe and Szegedy, 2015, §3.4; ghost batches: Hoffer, Hubara and Soudry, “Train Longer, Generalize"
                + " Better”, 2017; Luo et al., “Towards Understanding Regularization in Batch Normalization”, 2019";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 128 – 128 – 10 units on " + Math.min(TRAIN, lab.train().size())
                + " training digits, few enough to"
                + " learn by heart, " + lab.steps(STEPS) + " steps of batches of 128 at rate " + RATE + ". Only the"
                + " normalization batch changes, by ghost batches; gradients are of all 128. The gap is the accuracy in"
                + " training less that of the test. The noise: the standard deviation of one sample's normalized output"
                + " over " + DRAWS + " random companies.";
    }

    @Override
    public Finding run(Lab lab) {
        Samples few = lab.train().head(TRAIN);
        Outcomes outcomes = lab.trials(SIZES.length, (seed, i) -> {
            Norming norming = Norming.ghost((int) SIZES[i]);
            try (Net net = new Net.Plan(128, 2, norming).build(lab.device(), few.pixels(), seed)) {
                new Drill(128, RATE, lab.steps(STEPS)).run(net, few, seed);
                double test = net.accuracy(lab.test(), Mode.EVAL);
                return new double[] {test, net.accuracy(few, Mode.EVAL) - test, noise(lab, (int) SIZES[i], seed)};
            }
        });
        double scale = outcomes.at(WHOLE, 2).mean() * Math.sqrt(SIZES[WHOLE]);
        double[] law = new double[SIZES.length];
        for (int i = 0; i < law.length; i++) {
            law[i] = scale / Math.sqrt(SIZES[i]);
        }
        return new Finding(
                List.of(
                        Plot.of(
                                "Test accuracy after learning by heart",
                                logarithmic("samples that share statistics"),
                                share("share"),
                                outcomes.series("test accuracy", SIZES, 0, 0)),
                        Plot.of(
                                "Noise of one sample's output",
                                logarithmic("samples that share statistics"),
                                logarithmic("standard deviation (log scale)"),
                                outcomes.series("measured", SIZES, 0, 2),
                                Series.exact("∝ 1/√n", SIZES, law))),
                List.of(
                        Check.ratioAbove(
                                "a quarter of the samples has about twice the noise",
                                "noise with 16 over noise with 64",
                                outcomes.bySeed(seed -> seed[GENTLE][2] / seed[GENTLE + 2][2]),
                                1.7),
                        Check.above(
                                "ghost batches of 16 do better in the test than the whole batch of 128",
                                "accuracy less accuracy",
                                outcomes.estimate(seed -> seed[GENTLE][0] - seed[WHOLE][0]),
                                0),
                        Check.above(
                                "ghost batches of 4 do better in the test, too",
                                "accuracy less that with 128",
                                outcomes.estimate(seed -> seed[0][0] - seed[WHOLE][0]),
                                0),
                        Check.below(
                                "with 16 the gap from training to test is smaller",
                                "gap less that with 128",
                                outcomes.estimate(seed -> seed[GENTLE][1] - seed[WHOLE][1]),
                                0)));
    }

    /** How much the output of a sample at +1 moves with the company that it is normalized in. */
    private static double noise(Lab lab, int size, long seed) {
        // Each channel is a draw of its own.
        try (NormStage norm = Norming.of(lab.device(), BatchNorm.builder(DRAWS), DRAWS)) {
            float[] x = Noise.gaussian(size * DRAWS, 0, 1, new Random(seed));
            Arrays.fill(x, 0, DRAWS, 1);
            float[] first = Arrays.copyOf(norm.forward(x, Mode.TRAIN), DRAWS);
            return Vectors.moments(first)[1];
        }
    }
}
