package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;

/** The gradient through a sigmoid whose input has its mean moved from 4 to 0. */
final class SigmoidExperiment implements Experiment {
    private static final double[] DEVIATIONS = {0.1, 0.25, 0.5, 1, 1.5, 2, 3};
    private static final int NARROW = 0;
    private static final int HALF = 2;
    private static final int ONE = 3;
    private static final int ROWS = 4096;
    private static final double MEAN = 4;

    @Override
    public String name() {
        return "sigmoid";
    }

    @Override
    public String title() {
        return "The gradient through a sigmoid";
    }

    @Override
    public String claim() {
        return "A sigmoid whose inputs lie around 4 is saturated; with their mean moved to 0 by normalization, the"
                + " gradient that comes through is over 10 times as large.";
    }

    @Override
    public String source() {
        return "Ioffe and Szegedy, 2015, §1, on saturated nonlinearities; s′(x) = s(x)(1 − s(x)) is 0.0177 at 4 and"
                + " 0.25 at 0, so that the told factor is 14.2 at a point";
    }

    @Override
    public String method(Lab lab) {
        return ROWS + " inputs of mean 4 in each of 8 channels, and random gradients at the sigmoid's output. “Mean"
                + " moved” is batch normalization with γ the inputs' own deviation and β 0, so that nothing but the"
                + " mean changes; “normalized” has γ 1. The gain is the mean magnitude of the gradient by x, back"
                + " through the normalization too, over that without one.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes outcomes = lab.trials(DEVIATIONS.length, (seed, i) -> {
            int channels = 8;
            Random random = new Random(seed);
            float[] x = Noise.gaussian(ROWS * channels, MEAN, DEVIATIONS[i], random);
            float[] dy = Noise.gaussian(x.length, 0, 1, random);
            double plain = magnitude(through(x, dy));
            double[] gains = new double[2];
            for (int kind = 0; kind < 2; kind++) {
                try (NormStage norm = Norming.of(lab.device(), BatchNorm.builder(channels), channels)) {
                    float[] parameters = new float[2 * channels];
                    Arrays.fill(parameters, 0, channels, kind == 0 ? (float) DEVIATIONS[i] : 1);
                    norm.write(parameters, 0);
                    gains[kind] = magnitude(norm.backward(through(norm.forward(x, Mode.TRAIN), dy))) / plain;
                }
            }
            return gains;
        });
        Plot plot = Plot.of(
                "How many times larger the gradient is",
                logarithmic("standard deviation of the inputs"),
                logarithmic("gain"),
                outcomes.series("mean moved", DEVIATIONS, 0, 0),
                outcomes.series("normalized", DEVIATIONS, 0, 1),
                Series.exact("told: 10", DEVIATIONS, new double[] {10, 10, 10, 10, 10, 10, 10}));
        return new Finding(
                List.of(plot),
                List.of(
                        gain(
                                "with the mean moved the gain is over 10 for inputs of deviation 0.1",
                                outcomes,
                                NARROW,
                                0),
                        gain("it is over 10 for inputs of deviation 0.5", outcomes, HALF, 0),
                        gain("it is over 10 for inputs of deviation 1", outcomes, ONE, 0),
                        gain(
                                "with the whole normalization it is over 10 for inputs of deviation 1",
                                outcomes,
                                ONE,
                                1)));
    }

    private static Check gain(String part, Outcomes outcomes, int setting, int measure) {
        return Check.above(part, "gain", outcomes.at(setting, measure), 10);
    }

    /** The gradient dy, back through the sigmoid of x. */
    private static float[] through(float[] x, float[] dy) {
        float[] dx = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            dx[i] = (float) (dy[i] * slope(x[i]));
        }
        return dx;
    }

    /** The derivative of the sigmoid. */
    static double slope(double x) {
        double s = 1 / (1 + Math.exp(-x));
        return s * (1 - s);
    }

    private static double magnitude(float[] values) {
        double sum = 0;
        for (float value : values) {
            sum += Math.abs(value);
        }
        return sum / values.length;
    }
}
