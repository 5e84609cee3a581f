package org.clnorm;

import java.util.Objects;

/**
 * What the layers that normalize rows with a γ of each element of a row have in common: they can make the sum that they
 * normalize. In a pre-norm transformer,
 *
 * <pre>sum = x + residual, y = act(γ·norm(sum) + β)</pre>
 *
 * where x is what the last block gave, and sum the stream that goes on past this layer and its block. One pass reads x
 * and the residual and writes the sum and y. Going back, {@link #backwardAdding} adds the gradient that came past; what
 * it gives is the gradient by x and by the residual alike.
 */
public abstract sealed class RowNormalizer extends Normalizer permits LayerNorm, RmsNorm {
    RowNormalizer(Device device, Options options, Shape affine, String what) {
        super(device, options, affine, what);
    }

    /**
     * Adds the residual to x, and normalizes the sum. A backward pass needs the sum to be unchanged, and x and the residual
     * no more; its dx is the gradient by the sum.
     *
     * @param x the tensor to add to, of a shape that the layer is for
     * @param residual the tensor to add, of x's shape and layout
     * @param sum where x + residual goes, rounded to its type, which is what is normalized; of x's shape and layout; it
     *     may be x or the residual
     * @param y where the output goes, of x's shape and layout; it may be x or the residual, where the sum is not
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors
     *     that share memory where it is not allowed, and for channels-first tensors of a layer of
     *     {@link LayerNorm#overChannels} that have several positions
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void forwardAdding(Tensor x, Tensor residual, Tensor sum, Tensor y) {
        calls().forward(x, checked(residual), y, besides(sum));
    }

    /**
     * Makes such a pass, to be gone back through after other forward passes; see {@link #forwardAdding} and
     * {@link #record(Tensor, Tensor)}.
     *
     * @param x the tensor to add to, of a shape that the layer is for
     * @param residual the tensor to add, of x's shape and layout
     * @param sum where x + residual goes, rounded to its type, which is what is normalized; of x's shape and layout; it
     *     may be x or the residual
     * @param y where the output goes, of x's shape and layout; it may be x or the residual, where the sum is not
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors
     *     that share memory where it is not allowed, and where {@link #forwardAdding} refuses them
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final ForwardPass recordAdding(Tensor x, Tensor residual, Tensor sum, Tensor y) {
        return calls().record(x, checked(residual), y, besides(sum), true);
    }

    /**
     * Says which rows of the next forward passes take part, until it is said anew. A row that does not is not looked at; its
     * y and dx are as the mask has them, and it is in no gradient. A sum that is normalized is made of all rows. A layer
     * of {@link LayerNorm#overChannels} refuses to go over channels-first tensors of several positions then.
     *
     * @param mask of as many steps in all as a tensor has rows, on the layer's device; null for all
     * @throws IllegalArgumentException for a mask on another device
     * @throws IllegalStateException when the mask or the layer is closed, or the layer in the middle of another call
     */
    public final void mask(Mask mask) {
        calls().mask(mask);
    }

    private static Tensor checked(Tensor residual) {
        return Objects.requireNonNull(residual, "residual");
    }

    private static Besides.Forward besides(Tensor sum) {
        return new Besides.Forward(null, null, Objects.requireNonNull(sum, "sum"));
    }
}
