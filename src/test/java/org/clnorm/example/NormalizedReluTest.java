package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.clnorm.Device;
import org.clnorm.diagnostics.Diagnoser;
import org.junit.jupiter.api.Test;

final class NormalizedReluTest {
    private static final int BATCH = 8;
    private static final int CHANNELS = 3;

    private final float[] x = gaussian(new Random(1), 2);
    private final float[] dy = gaussian(new Random(2), 0);

    private static float[] gaussian(Random random, double mean) {
        float[] values = new float[BATCH * CHANNELS];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (mean + random.nextGaussian());
        }
        return values;
    }

    private double mean(int channel) {
        double sum = 0;
        for (int row = 0; row < BATCH; row++) {
            sum += x[row * CHANNELS + channel];
        }
        return sum / BATCH;
    }

    /** The biased variance. */
    private double variance(int channel) {
        double sum = 0;
        for (int row = 0; row < BATCH; row++) {
            sum += Math.pow(x[row * CHANNELS + channel] - mean(channel), 2);
        }
        return sum / BATCH;
    }

    private double normalized(int i) {
        int channel = i % CHANNELS;
        return (x[i] - mean(channel)) / Math.sqrt(variance(channel) + 1e-5);
    }

    @Test
    void step_afterBackward_movesGammaAndBetaDownTheirGradients() {
        double[] gamma = {1, 1, 1};
        double[] beta = {0, 0, 0};
        for (int i = 0; i < x.length; i++) {
            if (normalized(i) > 0) {
                gamma[i % CHANNELS] -= 0.1f * dy[i] * normalized(i);
                beta[i % CHANNELS] -= 0.1f * dy[i];
            }
        }
        try (Device device = Device.open();
                NormalizedRelu layer = new NormalizedRelu(Norm.BATCH, device, BATCH, CHANNELS, Diagnoser.off())) {
            layer.forward(x);
            layer.backward(dy);
            layer.step(new Sgd(0.1f));
            float[] y = layer.forward(x);
            for (int i = 0; i < y.length; i++) {
                double expected = Math.max(0, gamma[i % CHANNELS] * normalized(i) + beta[i % CHANNELS]);
                assertThat((double) y[i])
                        .as("without its γ and β the layer would train too, and no curve would tell")
                        .isCloseTo(expected, within(1e-5));
            }
        }
    }

    @Test
    void infer_afterOneBatch_usesTheRunningStatistics() {
        try (Device device = Device.open();
                NormalizedRelu layer = new NormalizedRelu(Norm.BATCH, device, BATCH, CHANNELS, Diagnoser.off())) {
            layer.forward(x);
            float[] one = {3, 2, -1};
            float[] y = layer.infer(one);
            for (int channel = 0; channel < CHANNELS; channel++) {
                double runningMean = 0.1 * mean(channel);
                double runningVariance = 0.9 + 0.1 * variance(channel) * BATCH / (BATCH - 1);
                double expected = Math.max(0, (one[channel] - runningMean) / Math.sqrt(runningVariance + 1e-5));
                assertThat((double) y[channel])
                        .as("one digit has no batch to be normalized with")
                        .isCloseTo(expected, within(1e-5));
            }
        }
    }
}
