package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Test;

final class DenseTest {
    private static final int BATCH = 5;
    private static final int INPUTS = 37; // two whole blocks of the gradient's loop and a part
    private static final int OUTPUTS = 7;
    private static final float STEP = 0.5f; // the layer is linear: any step gives the exact difference

    private final Random random = new Random(3);
    private final Dense dense = Dense.he(INPUTS, OUTPUTS, random);
    private final float[] x = gaussian(BATCH * INPUTS);
    private final float[] dy = gaussian(BATCH * OUTPUTS);

    private float[] gaussian(int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
            values[i] = i % 3 == 0 ? 0 : (float) random.nextGaussian(); // zeros are passed over
        }
        return values;
    }

    /** Σ y·dy, whose gradient with respect to y is dy. */
    private double objective() {
        float[] y = dense.forward(x);
        double sum = 0;
        for (int i = 0; i < y.length; i++) {
            sum += (double) y[i] * dy[i];
        }
        return sum;
    }

    private double difference(float[] values, int i) {
        float old = values[i];
        values[i] = old + STEP;
        double up = objective();
        values[i] = old - STEP;
        double down = objective();
        values[i] = old;
        return (up - down) / (2 * STEP);
    }

    private void assertGradient(float[] gradient, float[] values, String of) {
        assertThat(gradient).hasSameSizeAs(values);
        for (int i = 0; i < values.length; i++) {
            assertThat((double) gradient[i])
                    .as("gradient of %s %d: a wrong one would still train, only worse", of, i)
                    .isCloseTo(difference(values, i), within(1e-4));
        }
    }

    @Test
    void forward_handWorked() {
        Dense small = Dense.he(2, 3, random);
        System.arraycopy(new float[] {1, 2, 3, 4, 5, 6}, 0, small.weights, 0, 6);
        System.arraycopy(new float[] {0.5f, 0, -1}, 0, small.bias, 0, 3);
        assertThat(small.forward(new float[] {1, 10, 0, -1}))
                .as("x·W + b with W of shape (inputs, outputs)")
                .containsExactly(41.5f, 52, 62, -3.5f, -5, -7);
    }

    @Test
    void gradients_finiteDifferences() {
        dense.gradients(x, dy);
        assertGradient(dense.weightGradient, dense.weights, "weight");
        assertGradient(dense.biasGradient, dense.bias, "bias");
    }

    @Test
    void gradients_secondCall_overwrites() {
        dense.gradients(x, dy);
        float[] first = dense.weightGradient.clone();
        dense.gradients(x, dy);
        assertThat(dense.weightGradient)
                .as("and the same bits, whichever thread did which rows")
                .isEqualTo(first);
    }

    @Test
    void inputGradient_finiteDifferences() {
        assertGradient(dense.inputGradient(dy), x, "input");
    }

    @Test
    void he_deviationIsRootOfTwoByInputs() {
        float[] weights = Dense.he(784, 128, new Random(1)).weights;
        double square = DoubleStream.iterate(0, i -> i < weights.length, i -> i + 1)
                .map(i -> weights[(int) i] * weights[(int) i])
                .average()
                .orElseThrow();
        assertThat(square).isCloseTo(2.0 / 784, within(2.0 / 784 * 0.02));
    }
}
