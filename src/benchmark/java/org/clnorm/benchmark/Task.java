package org.clnorm.benchmark;

import org.clnorm.Shape;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;

/** What a peer is asked to do. */
record Task(Norm norm, Shape shape, Form form, Direction direction, Fusion fusion) {
    static final double EPSILON = 1e-5;
    static final double MOMENTUM = 0.1;

    int channels() {
        return (int) shape.channels();
    }

    int batch() {
        return (int) shape.batch();
    }

    int spatial() {
        return (int) shape.spatial();
    }

    boolean relu() {
        return fusion != Fusion.NONE;
    }

    boolean residual() {
        return fusion == Fusion.ADD_RELU;
    }

    /** How many γ and β there are: one for each channel, which is an element of a row, or for each row of weights. */
    private int affine() {
        return norm == Norm.WEIGHT ? batch() : channels();
    }

    /** γ. */
    float[] gamma() {
        float[] gamma = new float[affine()];
        for (int c = 0; c < gamma.length; c++) {
            gamma[c] = 0.5f + c % 7 * 0.25f;
        }
        return gamma;
    }

    /** β. */
    float[] beta() {
        float[] beta = new float[affine()];
        for (int c = 0; c < beta.length; c++) {
            beta[c] = c % 5 * 0.2f - 0.4f;
        }
        return beta;
    }

    /** The running mean that inference uses. */
    float[] runningMean() {
        float[] mean = new float[channels()];
        for (int c = 0; c < mean.length; c++) {
            mean[c] = c % 3 * 0.1f;
        }
        return mean;
    }

    /** The running variance that inference uses. */
    float[] runningVariance() {
        float[] variance = new float[channels()];
        for (int c = 0; c < variance.length; c++) {
            variance[c] = 1 + c % 4 * 0.5f;
        }
        return variance;
    }
}
