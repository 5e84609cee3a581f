package org.clnorm.study;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.clnorm.Device;
import org.junit.jupiter.api.Test;

/** What experiments compute, against values that are known. */
final class FormulasTest {
    private static final int CHANNELS = 5;

    private static float[] correlated(int rows) {
        float[] x = Noise.gaussian(rows * CHANNELS, 2, 1, new Random(1));
        for (int i = 1; i < x.length; i++) {
            x[i] += i % CHANNELS == 0 ? 0 : 0.7f * x[i - 1];
        }
        return x;
    }

    @Test
    void powerIteration_symmetricMatrix_findsTheEigenvalueOfTheLargestMagnitude() {
        // The eigenvectors (1, 1) and (1, −1) of ((−2, −3), (−3, −2)) have the eigenvalues −5 and 1.
        double found = PowerIteration.largest(
                v -> new float[] {-2 * v[0] - 3 * v[1], -3 * v[0] - 2 * v[1], 4 * v[2]}, 3, 100, new Random(1));

        assertThat(found).isCloseTo(-5, within(1e-5));
    }

    @Test
    void powerIteration_zeros_isZero() {
        assertThat(PowerIteration.largest(v -> new float[v.length], 3, 10, new Random(1)))
                .isZero();
    }

    @Test
    void powerIteration_hessianOfSoftmaxRegression_isTheKnownOne() {
        // One input of 2, zero weights: the Hessian is (x², x; x, 1) ⊗ (diag(p) − ppᵀ), p = 1/10 each, so 5 · 0.1.
        DenseStage dense = new DenseStage(1, Net.CLASSES, 0, true, new Random(1));
        try (Net net = new Net(List.of(dense))) {
            Samples one = new Samples(1, new float[] {2}, new int[] {3});
            float[] before = net.parameters();

            assertThat(PowerIteration.ofHessian(net, one, 50, new Random(1))).isCloseTo(0.5, within(1e-3));
            assertThat(net.parameters()).as("as before").isEqualTo(before);
        }
    }

    @Test
    void whitening_correlatedRows_haveTheIdentityForACovariance() {
        float[] x = correlated(400);
        float[] y = Whitening.of(x, CHANNELS, 0).apply(x);

        double[] mean = Whitening.mean(y, CHANNELS);
        double[] covariance = Whitening.covariance(y, mean);
        for (int i = 0; i < CHANNELS; i++) {
            assertThat(mean[i]).isCloseTo(0, within(1e-5));
            for (int j = 0; j < CHANNELS; j++) {
                assertThat(covariance[i * CHANNELS + j]).isCloseTo(i == j ? 1 : 0, within(1e-4));
            }
        }
        assertThat(Whitening.correlation(x, CHANNELS)).isGreaterThan(0.1);
        assertThat(Whitening.correlation(y, CHANNELS)).isLessThan(1e-4);
    }

    @Test
    void inverseRoot_diagonalOverFiveDecades_isThatOfEachEntry() {
        double[] root = Whitening.inverseRoot(new double[] {4, 0, 0, 0, 1e-4, 0, 0, 0, 9}, 3);

        assertThat(root).containsExactly(new double[] {0.5, 0, 0, 0, 100, 0, 0, 0, 1.0 / 3}, within(1e-6));
    }

    @Test
    void inverseRoot_ofASymmetricMatrix_isSymmetricAndInvertsIt() {
        double[] a = {2, 1, 1, 3};
        double[] root = Whitening.inverseRoot(a, 2);

        assertThat(root[1]).as("ZCA's root is the symmetric one").isCloseTo(root[2], within(1e-12));
        assertThat(Whitening.product(root, Whitening.product(a, root, 2), 2))
                .containsExactly(new double[] {1, 0, 0, 1}, within(1e-9));
    }

    @Test
    void bias_runningMeanFromZero_isTheShareOfTheFormula() {
        assertThat(BiasExperiment.share(0.1, 1)).isCloseTo(0.1, within(1e-12));
        assertThat(BiasExperiment.share(0.1, 2)).isCloseTo(0.19, within(1e-12));
        assertThat(BiasExperiment.share(0.5, 10)).isCloseTo(1 - 1 / 1024.0, within(1e-12));
    }

    @Test
    void sigmoid_slopes_areFourteenTimesApart() {
        assertThat(SigmoidExperiment.slope(0)).isEqualTo(0.25);
        assertThat(SigmoidExperiment.slope(4)).isCloseTo(0.0176627, within(1e-7));
        assertThat(SigmoidExperiment.slope(-4)).isCloseTo(0.0176627, within(1e-7));
    }

    @Test
    void jacobian_rows_passNeitherMeanNorScale() {
        float[] normalized = {-1.2f, 0.4f, 1.4f, -0.6f}; // of mean 0 and, nearly, of variance 1
        for (int i = 0; i < 4; i++) {
            int row = i;
            assertThat(IntStream.range(0, 4)
                            .mapToDouble(j -> JacobianExperiment.entry(normalized, row, j))
                            .sum())
                    .as("all inputs moved alike")
                    .isCloseTo(0, within(1e-6));
        }
        assertThat(JacobianExperiment.entry(normalized, 0, 0)).isCloseTo(1 - 0.25 - 0.36, within(1e-6));
    }

    @Test
    void filters_oneOfOnes_sumAndPool() {
        float[] ones = new float[9];
        Arrays.fill(ones, 1);
        Filters filters = new Filters(4, 1, ones);
        float[] image = new float[16];
        image[0] = 1;
        image[15] = -1;

        float[] maps = filters.apply(image);

        assertThat(filters.mapSide()).isEqualTo(2);
        assertThat(maps).containsExactly(1, 0, 0, -1);
        assertThat(Filters.reluAndPool(maps, 2, 2)).containsExactly(0.25f);
    }

    @Test
    void firstBelow_runningMean_isCountedFromOne() {
        assertThat(Drill.firstBelow(1, List.of(0.5, 2.0), 9)).isEqualTo(1);
        assertThat(Drill.firstBelow(1, List.of(2.0, 0.0, 0.0, 0.0, 0.0), 9))
                .as("2, 1.6, 1.28, 1.02, 0.82")
                .isEqualTo(5);
        assertThat(Drill.firstBelow(1, List.of(2.0), 9)).isEqualTo(9);
        assertThat(Drill.firstBelow(1, List.of(), 9)).isEqualTo(9);
    }

    @Test
    void sortedButFor_share_isAlwaysAPermutation() {
        Samples samples = new Samples(1, new float[8], new int[] {3, 1, 2, 0, 3, 1, 2, 0});

        assertThat(ShuffleExperiment.sortedButFor(0, samples, new Random(1)))
                .as("sorted by label, equal ones as they were")
                .containsExactly(3, 7, 1, 5, 2, 6, 0, 4);
        for (double mixed : new double[] {0, 0.5, 1}) {
            assertThat(ShuffleExperiment.sortedButFor(mixed, samples, new Random(2)))
                    .containsExactlyInAnyOrder(0, 1, 2, 3, 4, 5, 6, 7);
        }
    }

    /** The loss along the gradient, by a difference, with normalization, dropout's absence and softplus between. */
    @Test
    void gradient_ofANormalizedNetwork_isThatOfTheLoss() {
        Random random = new Random(1);
        Samples batch = new Samples(6, Noise.gaussian(8 * 6, 0, 1, random), new int[] {0, 1, 2, 3, 4, 5, 6, 7});
        try (Device device = Device.cpuReference();
                Net net = new Net.Plan(5, 2, Norming.BATCH).withSoftplus().build(device, 6, 1)) {
            net.loss(batch);
            float[] at = net.parameters();
            float[] gradient = net.gradient();
            double step = 1e-3 / Vectors.length(gradient);

            net.setParameters(Vectors.plus(at, step, gradient));
            double ahead = net.loss(batch);
            net.setParameters(Vectors.plus(at, -step, gradient));
            double behind = net.loss(batch);

            assertThat((ahead - behind) / (2 * step))
                    .isCloseTo(Vectors.dot(gradient, gradient), within(1e-3 * Vectors.dot(gradient, gradient)));
        }
    }

    @Test
    void dropout_inTraining_keepsTheMeanAndTheGradientsMask() {
        DropoutStage dropout = new DropoutStage(0.5, new Random(1));
        float[] ones = new float[10_000];
        Arrays.fill(ones, 1);

        float[] y = dropout.forward(ones, Mode.TRAIN);

        assertThat(Vectors.moments(y)[0]).isCloseTo(1, within(0.05));
        assertThat(y).containsOnly(0, 2);
        assertThat(dropout.backward(ones)).isEqualTo(y);
        assertThat(dropout.forward(ones, Mode.EVAL)).isEqualTo(ones);
    }
}
