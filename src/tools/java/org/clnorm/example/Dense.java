package org.clnorm.example;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * A dense layer, y = x·W + b, in plain Java.
 *
 * <p>W is (inputs, outputs), so that the innermost loop of every pass runs along a row of it and the compiler turns it
 * into vector instructions. Work is divided among threads by rows of the result, so the sums, and with them the bits,
 * do not depend on the number of threads.
 */
public final class Dense {
    private static final int INPUTS_PER_BLOCK = 16;

    private final int inputs;
    private final int outputs;
    /** W, of shape (inputs, outputs): the layer's own array, to be read and changed. */
    public final float[] weights;

    /** b, of shape (outputs): the layer's own array. */
    public final float[] bias;

    /** The gradient of the weights, as {@link #gradients} set it. */
    public final float[] weightGradient;

    /** The gradient of the bias, as {@link #gradients} set it. */
    public final float[] biasGradient;

    private Dense(int inputs, int outputs) {
        this.inputs = inputs;
        this.outputs = outputs;
        weights = new float[inputs * outputs];
        bias = new float[outputs];
        weightGradient = new float[inputs * outputs];
        biasGradient = new float[outputs];
    }

    /** He et al. (2015), eq. 10: weights from N(0, 2/inputs), for layers around a ReLU. */
    public static Dense he(int inputs, int outputs, Random random) {
        Dense dense = new Dense(inputs, outputs);
        double deviation = Math.sqrt(2.0 / inputs);
        for (int i = 0; i < dense.weights.length; i++) {
            dense.weights[i] = (float) (deviation * random.nextGaussian());
        }
        return dense;
    }

    /** y (batch, outputs) of x (batch, inputs). */
    public float[] forward(float[] x) {
        int batch = x.length / inputs;
        float[] y = new float[batch * outputs];
        IntStream.range(0, batch).parallel().forEach(row -> {
            System.arraycopy(bias, 0, y, row * outputs, outputs);
            for (int i = 0; i < inputs; i++) {
                addScaled(x[row * inputs + i], weights, i * outputs, y, row * outputs);
            }
        });
        return y;
    }

    /** Sets the gradients of weights and bias from the forward pass's x and the loss's gradient dy (batch, outputs). */
    public void gradients(float[] x, float[] dy) {
        int batch = dy.length / outputs;
        int blocks = (inputs + INPUTS_PER_BLOCK - 1) / INPUTS_PER_BLOCK;
        IntStream.range(0, blocks).parallel().forEach(block -> {
            int from = block * INPUTS_PER_BLOCK;
            int to = Math.min(inputs, from + INPUTS_PER_BLOCK);
            Arrays.fill(weightGradient, from * outputs, to * outputs, 0);
            for (int row = 0; row < batch; row++) {
                for (int i = from; i < to; i++) {
                    addScaled(x[row * inputs + i], dy, row * outputs, weightGradient, i * outputs);
                }
            }
        });
        Arrays.fill(biasGradient, 0);
        for (int row = 0; row < batch; row++) {
            addScaled(1, dy, row * outputs, biasGradient, 0);
        }
    }

    /** dx (batch, inputs) of dy (batch, outputs). */
    public float[] inputGradient(float[] dy) {
        int batch = dy.length / outputs;
        float[] dx = new float[batch * inputs];
        IntStream.range(0, batch).parallel().forEach(row -> {
            for (int i = 0; i < inputs; i++) {
                float sum = 0;
                for (int j = 0; j < outputs; j++) {
                    sum += dy[row * outputs + j] * weights[i * outputs + j];
                }
                dx[row * inputs + i] = sum;
            }
        });
        return dx;
    }

    void step(Sgd sgd) {
        sgd.step(weights, weightGradient);
        sgd.step(bias, biasGradient);
    }

    /** Adds {@code factor} times one row to another. Four pixels of five are black: they are passed over. */
    private void addScaled(float factor, float[] from, int fromStart, float[] to, int toStart) {
        if (factor != 0) {
            for (int j = 0; j < outputs; j++) {
                to[toStart + j] += factor * from[fromStart + j];
            }
        }
    }
}
