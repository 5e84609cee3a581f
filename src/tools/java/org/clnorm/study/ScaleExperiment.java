package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;

import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;

/** Weights times a factor. */
final class ScaleExperiment implements Experiment {
    private static final double[] FACTORS = {1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000};
    private static final int TENTH = 3;
    private static final int ONE = 4;
    private static final int INPUTS = 64;
    private static final int UNITS = 32;
    private static final int ROWS = 128;
    /** The rounding of float32, taken for no change: a logarithm has no 0. */
    private static final double ROUNDING = 6e-8;

    @Override
    public String name() {
        return "scale";
    }

    @Override
    public String title() {
        return "Scale invariance";
    }

    @Override
    public String claim() {
        return "Weights times a compute the same before a batch normalization, and their gradient is that of the weights"
                + " divided by a: larger weights learn more slowly, of themselves.";
    }

    @Override
    public String source() {
        return "Ioffe and Szegedy, 2015, §3.3: BN((aW)u) = BN(Wu), ∂BN((aW)u)/∂(aW) = (1/a)·∂BN(Wu)/∂W";
    }

    @Override
    public String method(Lab lab) {
        return "A dense layer of " + INPUTS + " to " + UNITS
                + " units with He's weights times a, batch normalization with"
                + " the default ε = 1e-5, " + ROWS
                + " normal inputs, random gradients at the output. Shown are relative"
                + " differences, ‖difference‖/‖value at a = 1‖, of the output and of a times the gradient.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes outcomes = lab.trials(1, (seed, i) -> differences(lab, seed));
        int n = FACTORS.length;
        return new Finding(
                List.of(Plot.of(
                        "How far output and gradient are from the scaled ones at a = 1",
                        logarithmic("a"),
                        logarithmic("relative difference (log scale)"),
                        outcomes.along("output", FACTORS, 0, 0),
                        outcomes.along("a · gradient", FACTORS, 0, n))),
                List.of(
                        Check.below(
                                "from a tenth to a thousand times the weights the output is the same to a thousandth",
                                "largest relative difference",
                                outcomes.estimate(seed -> largest(seed[0], TENTH, n)),
                                1e-3),
                        Check.below(
                                "there the gradient goes with 1/a to a thousandth",
                                "largest relative difference",
                                outcomes.estimate(seed -> largest(seed[0], n + TENTH, 2 * n)),
                                1e-3),
                        Check.below(
                                "the output is the same down to a ten-thousandth of the weights, where ε is not small beside the variance",
                                "largest relative difference",
                                outcomes.estimate(seed -> largest(seed[0], 0, n)),
                                1e-3)));
    }

    private static double largest(double[] measures, int from, int to) {
        double largest = 0;
        for (int i = from; i < to; i++) {
            largest = Math.max(largest, measures[i]);
        }
        return largest;
    }

    private static double[] differences(Lab lab, long seed) {
        float[][] outputs = new float[FACTORS.length][];
        float[][] gradients = new float[FACTORS.length][];
        for (int i = 0; i < FACTORS.length; i++) {
            Random random = new Random(seed); // the same weights, inputs and gradients each time
            DenseStage dense = new DenseStage(INPUTS, UNITS, FACTORS[i], true, random);
            try (NormStage norm = Norming.of(lab.device(), BatchNorm.builder(UNITS), UNITS)) {
                float[] x = Noise.gaussian(ROWS * INPUTS, 0, 1, random);
                outputs[i] = norm.forward(dense.forward(x, Mode.TRAIN), Mode.TRAIN);
                dense.backward(norm.backward(Noise.gaussian(ROWS * UNITS, 0, 1, random)));
                gradients[i] = Vectors.times(FACTORS[i], dense.weightGradient());
            }
        }
        double[] seen = new double[2 * FACTORS.length];
        for (int i = 0; i < FACTORS.length; i++) {
            seen[i] = relative(outputs[i], outputs[ONE]);
            seen[FACTORS.length + i] = relative(gradients[i], gradients[ONE]);
        }
        return seen;
    }

    private static double relative(float[] value, float[] expected) {
        return Math.max(ROUNDING, Vectors.distance(value, expected) / Vectors.length(expected));
    }
}
