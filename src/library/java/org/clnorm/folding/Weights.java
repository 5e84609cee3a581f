package org.clnorm.folding;

import java.util.Arrays;
import java.util.Objects;

/**
 * The parameters of a linear or convolution layer, y = W·x + bias. The arrays are the caller's: neither copied nor
 * written.
 *
 * @param weight the weights in row-major order
 * @param shape the dimensions of the weight: (out, in) or (out, in/groups, k...); for a transposed convolution (in,
 *     out/groups, k...)
 * @param bias one number for each output; null for none
 * @param transposed whether the layer is a transposed convolution
 */
public record Weights(float[] weight, long[] shape, float[] bias, boolean transposed) {
    /**
     * Checks that the arrays fit each other.
     *
     * @throws IllegalArgumentException when they do not
     */
    public Weights {
        Objects.requireNonNull(weight, "weight");
        Objects.requireNonNull(shape, "shape");
        if (shape.length < 2 || Arrays.stream(shape).anyMatch(d -> d < 1)) {
            throw new IllegalArgumentException(
                    "A weight's shape has two dimensions or more, each at least 1, but given was "
                            + Arrays.toString(shape));
        }
        if (!holds(shape, weight.length)) {
            throw new IllegalArgumentException("weight must have the elements of shape " + Arrays.toString(shape)
                    + ", but given were " + weight.length);
        }
        if (bias != null && (transposed ? bias.length % shape[1] != 0 : bias.length != shape[0])) {
            throw new IllegalArgumentException("bias must have one element for each output of a weight of shape "
                    + Arrays.toString(shape) + ", but given were " + bias.length);
        }
    }

    /**
     * The parameters of a linear layer or a convolution.
     *
     * @param weight the weights in row-major order
     * @param shape the dimensions of the weight, (out, in) or (out, in/groups, k...)
     * @param bias one number for each output; null for none
     * @throws IllegalArgumentException when the arrays do not fit each other
     */
    public static Weights of(float[] weight, long[] shape, float[] bias) {
        return new Weights(weight, shape, bias, false);
    }

    /**
     * The parameters of a transposed convolution.
     *
     * @param weight the weights in row-major order
     * @param shape the dimensions of the weight, (in, out/groups, k...)
     * @param bias one number for each output; null for none
     * @throws IllegalArgumentException when the arrays do not fit each other
     */
    public static Weights ofTransposed(float[] weight, long[] shape, float[] bias) {
        return new Weights(weight, shape, bias, true);
    }

    /** Parameters of the same shape in the place of these, with a bias. */
    Weights with(float[] otherWeight, float[] otherBias) {
        return new Weights(otherWeight, shape.clone(), otherBias, transposed);
    }

    double biasOf(int output) {
        return bias == null ? 0 : bias[output];
    }

    /** The product of the dimensions after the first two. */
    int taps() {
        return (int) (weight.length / shape[0] / shape[1]);
    }

    private static boolean holds(long[] shape, int elements) {
        long left = elements;
        for (long dimension : shape) {
            if (left % dimension != 0) {
                return false;
            }
            left /= dimension;
        }
        return left == 1;
    }

    @Override
    public String toString() {
        return (transposed ? "transposed weights " : "weights ")
                + Arrays.toString(shape)
                + (bias == null ? " without bias" : " with bias");
    }
}
