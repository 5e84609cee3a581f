package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.util.stream.IntStream;
import org.clnorm.Device;
import org.junit.jupiter.api.Test;

final class NetworkTest {
    private static final Sgd STILL = new Sgd(0);
    private static final int BATCH = 50;

    private static Digits.Batch batch() throws IOException {
        return Digits.bundled().batch(IntStream.range(0, BATCH).toArray(), 0, BATCH);
    }

    @Test
    void plainAndNormalized_sameSeed_startFromTheSameWeights() {
        try (Device device = Device.cpuReference();
                Network plain = Network.plain(784, 10, 4);
                Network normalized = Network.normalized(Norm.BATCH, 784, 10, 4, device, BATCH)) {
            assertThat(plain.hidden.weights)
                    .as("else the comparison would be of the weights")
                    .isEqualTo(normalized.hidden.weights);
            assertThat(plain.output.weights).isEqualTo(normalized.output.weights);
        }
    }

    @Test
    void train_plain_gradientsAreThoseOfTheLoss() throws IOException {
        try (Network network = Network.plain(784, 10, 4)) {
            assertGradients(network);
        }
    }

    @Test
    void train_normalized_gradientsAreThoseOfTheLoss() throws IOException {
        try (Device device = Device.open();
                Network network = Network.normalized(Norm.BATCH, 784, 10, 4, device, BATCH)) {
            assertGradients(network);
        }
    }

    private static void assertGradients(Network network) throws IOException {
        network.train(batch(), STILL);
        assertSlope(network, network.hidden.weights, network.hidden.weightGradient.clone());
        assertSlope(network, network.output.weights, network.output.weightGradient.clone());
        assertSlope(network, network.output.bias, network.output.biasGradient.clone());
    }

    /** Along the gradient g, the loss must grow by |g|² per unit. */
    private static void assertSlope(Network network, float[] weights, float[] gradient) throws IOException {
        double square = 0;
        for (float g : gradient) {
            square += (double) g * g;
        }
        float step = (float) (1e-3 / Math.sqrt(square));
        float[] old = weights.clone();
        new Sgd(-step).step(weights, gradient);
        double up = network.train(batch(), STILL);
        System.arraycopy(old, 0, weights, 0, old.length);
        new Sgd(step).step(weights, gradient);
        double down = network.train(batch(), STILL);
        System.arraycopy(old, 0, weights, 0, old.length);
        assertThat((up - down) / (2 * step) / square)
                .as("the chain of backward passes ends in the gradient of the loss")
                .isCloseTo(1, within(5e-3));
    }

    @Test
    void train_normalized_firstBiasIsIdle() throws IOException {
        try (Device device = Device.open();
                Network network = Network.normalized(Norm.BATCH, 784, 10, 4, device, BATCH)) {
            network.train(batch(), STILL);
            for (float gradient : network.hidden.biasGradient) {
                assertThat(gradient)
                        .as("the mean takes the bias away again, and with it the gradient")
                        .isCloseTo(0, within(1e-6f));
            }
        }
    }

    @Test
    void recognized_nanOutputs_countAsWrong() throws IOException {
        try (Network network = Network.plain(784, 10, 4)) {
            network.output.bias[3] = Float.NaN;
            assertThat(network.recognized(batch())).isZero();
        }
    }

    @Test
    void recognized_biasTowardsOneDigit_countsThatDigit() throws IOException {
        try (Network network = Network.plain(784, 10, 4)) {
            network.output.bias[3] = 1e6f;
            long threes =
                    IntStream.of(batch().labels()).filter(label -> label == 3).count();
            assertThat(threes).isPositive();
            assertThat(network.recognized(batch())).isEqualTo((int) threes);
        }
    }
}
