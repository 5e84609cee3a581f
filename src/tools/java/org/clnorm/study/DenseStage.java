package org.clnorm.study;

import java.util.Random;
import org.clnorm.example.Dense;

/** A dense layer. */
final class DenseStage implements Stage {
    private final Dense dense;
    private final boolean first;
    private float[] x;

    /**
     * A layer with He's initial weights times a factor.
     *
     * @param first whether nobody asks for the gradient of its input
     */
    DenseStage(int inputs, int outputs, double factor, boolean first, Random random) {
        dense = Dense.he(inputs, outputs, random);
        this.first = first;
        for (int i = 0; i < dense.weights.length; i++) {
            dense.weights[i] *= (float) factor;
        }
    }

    /** The layer's own array. */
    float[] weights() {
        return dense.weights;
    }

    float[] weightGradient() {
        return dense.weightGradient;
    }

    @Override
    public float[] forward(float[] input, Mode mode) {
        x = input;
        return dense.forward(input);
    }

    /** An empty array in the first layer. */
    @Override
    public float[] backward(float[] dy) {
        dense.gradients(x, dy);
        return first ? new float[0] : dense.inputGradient(dy);
    }

    @Override
    public int size() {
        return dense.weights.length + dense.bias.length;
    }

    @Override
    public void read(float[] to, int at) {
        System.arraycopy(dense.weights, 0, to, at, dense.weights.length);
        System.arraycopy(dense.bias, 0, to, at + dense.weights.length, dense.bias.length);
    }

    @Override
    public void write(float[] from, int at) {
        System.arraycopy(from, at, dense.weights, 0, dense.weights.length);
        System.arraycopy(from, at + dense.weights.length, dense.bias, 0, dense.bias.length);
    }

    @Override
    public void gradient(float[] to, int at) {
        System.arraycopy(dense.weightGradient, 0, to, at, dense.weights.length);
        System.arraycopy(dense.biasGradient, 0, to, at + dense.weights.length, dense.bias.length);
    }
}
