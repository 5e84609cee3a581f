package org.clnorm.study;

import java.util.Random;
import java.util.function.UnaryOperator;

/** The eigenvalue of the largest magnitude of a symmetric matrix that is known by its products with vectors. */
final class PowerIteration {
    /** Differences of float gradients need a step that is far above their rounding. */
    private static final double STEP = 0.02;

    private PowerIteration() {}

    /**
     * Rayleigh's quotient after so many products, from a random start.
     *
     * @param times the matrix times a vector
     */
    static double largest(UnaryOperator<float[]> times, int size, int products, Random random) {
        float[] v = Noise.gaussian(size, 0, 1, random);
        double quotient = 0;
        for (int i = 0; i < products; i++) {
            v = Vectors.times(1 / Vectors.length(v), v);
            float[] next = times.apply(v);
            quotient = Vectors.dot(v, next);
            if (Vectors.length(next) == 0) {
                return 0; // a matrix of zeros, as far as can be seen
            }
            v = next;
        }
        return quotient;
    }

    /**
     * The same of the Hessian of a network's loss, by central differences of its gradient. The network's parameters
     * are as before afterwards.
     */
    static double ofHessian(Net net, Samples batch, int products, Random random) {
        float[] at = net.parameters();
        double largest = largest(
                v -> {
                    float[] ahead = gradient(net, Vectors.plus(at, STEP, v), batch);
                    float[] behind = gradient(net, Vectors.plus(at, -STEP, v), batch);
                    return Vectors.times(1 / (2 * STEP), Vectors.plus(ahead, -1, behind));
                },
                at.length,
                products,
                random);
        net.setParameters(at);
        return largest;
    }

    private static float[] gradient(Net net, float[] at, Samples batch) {
        net.setParameters(at);
        net.loss(batch);
        return net.gradient();
    }
}
