package org.clnorm;

import java.util.Objects;

/**
 * A normalization of tensors of shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) that has a γ and a β for each
 * channel. A call may bring its own γ and β, for each sample and channel, in their place.
 */
public abstract sealed class ChannelNormalizer extends Normalizer permits RunningNormalizer, GroupNorm {
    private final int channels;
    // Of the last calls: a steady step has the same ones again, and allocates nothing.
    private Besides.Forward lastForward;
    private Besides.Backward lastBackward;

    ChannelNormalizer(Device device, Options options, int channels, String what) {
        super(device, options, Shape.of(channels), what);
        this.channels = channels;
    }

    private Besides.Forward besides(SampleAffine affine) {
        Besides.Forward last = lastForward;
        if (last == null || last.affine() != affine) {
            last = new Besides.Forward(affine, null, null);
            lastForward = last;
        }
        return last;
    }

    /** Refuses γ and β per sample where the layer is not made for them. */
    void checkConditional() {}

    /**
     * Normalizes x with a γ and a β per sample in the place of the layer's γ and β, adds the residual and applies the
     * activation. Neither γ nor β of the layer is used, also where {@code affine} has only one of the two.
     *
     * @param x the tensor to normalize, of shape (N, C, spatial...)
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual. {@link Normalizer} says when it
     *     may be x
     * @param affine γ and β, of shape (N, C) each, float32, either of which may be null in it; their elements may be
     *     changed as soon as this returns. y may not share memory with them.
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, and for an x with too few values for statistics of
     *     its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException for a layer with virtual batches or renormalization, in
     *     {@linkplain BatchNorm#evalAdapted evaluation that adapts}, and when the layer is closed or in the middle of
     *     another call
     */
    public final void forward(Tensor x, Tensor residual, Tensor y, SampleAffine affine) {
        Objects.requireNonNull(affine, "affine");
        checkOpen();
        checkConditional();
        calls().forward(x, residual, y, besides(affine));
    }

    /**
     * Makes a forward pass with a γ and a β per sample, as {@link #forward(Tensor, Tensor, Tensor, SampleAffine)} does,
     * to go back through it later, whatever other passes come in between.
     *
     * @param x the tensor to normalize, of shape (N, C, spatial...)
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @param affine γ and β, of shape (N, C) each, float32, either of which may be null in it; their elements may be
     *     changed as soon as this returns. y may not share memory with them.
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, and for an x with too few values for statistics of
     *     its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException for a layer with virtual batches or renormalization, in
     *     {@linkplain BatchNorm#evalAdapted evaluation that adapts}, and when the layer is closed or in the middle of
     *     another call
     */
    public final ForwardPass record(Tensor x, Tensor residual, Tensor y, SampleAffine affine) {
        Objects.requireNonNull(affine, "affine");
        checkOpen();
        checkConditional();
        return calls().record(x, residual, y, besides(affine), true);
    }

    /**
     * Goes back through the last forward pass, which had a γ and a β per sample, writing their gradients and those by x
     * and by the residual; the gradients of the layer's γ and β stay as they are. After such a pass, the methods
     * without {@code gradients} give only dx and dresidual.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is;
     *     null when it is not wanted
     * @param gradients where the gradients by γ and β go, or are added to where the layer accumulates: of shape (N, C)
     *     each, float32, sharing no memory with another tensor of the call; null in it for one that is not wanted
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, and for a gradient of what the pass did not have: a
     *     residual, a γ per sample or a β per sample
     * @throws IllegalStateException without a forward pass, when it was gone back through already, when a tensor that
     *     must be unchanged was written or closed since, and when the layer is closed or in the middle of another call
     */
    public final void backward(Tensor dy, Tensor dx, Tensor dresidual, SampleAffine gradients) {
        Objects.requireNonNull(gradients, "gradients");
        Besides.Backward last = lastBackward;
        if (last == null || last.gradients() != gradients) {
            last = new Besides.Backward(gradients, null, null);
            lastBackward = last;
        }
        calls().backward(null, dy, dx, dresidual, last);
    }

    /**
     * Says which steps of the next forward passes take part, until it is said anew. Batch statistics, those of several parts,
     * population statistics and gradients are of the valid steps alone. Where samples have statistics of their own, a
     * sample with fewer than 2 valid steps has y = β there (before residual and activation), and no gradient by x.
     *
     * @param mask of a tensor's samples and spatial positions, on the layer's device; null for all
     * @throws IllegalArgumentException for a mask on another device
     * @throws IllegalStateException for a layer with virtual batches, and when the mask or the layer is closed, or the
     *     layer is in the middle of another call
     */
    public final void mask(Mask mask) {
        checkOpen();
        if (mask != null) {
            checkMaskable();
        }
        calls().mask(mask);
    }

    /** Refuses masks where the layer is not made for them. */
    void checkMaskable() {}

    /** How many channels the layer has, C. */
    public final int channels() {
        return channels;
    }

    @Override
    final void checkShape(Tensor x) {
        int rank = x.shape().rank();
        if (rank < 2 || rank > 5 || x.shape().channels() != channels) {
            throw new IllegalArgumentException(
                    "x must have shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) with C = " + channels
                            + ", but given was " + x.shape()
                            + (x.layout() == Layout.CHANNELS_FIRST
                                            && rank > 2
                                            && x.shape().dimension(rank - 1) == channels
                                    ? ": Device.rows makes a tensor whose last dimension is that of C"
                                    : ""));
        }
    }
}
