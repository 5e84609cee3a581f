package org.clnorm;

import java.util.Objects;

/**
 * A normalization of tensors of shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) that has a γ and a β for each
 * channel. A call may bring its own, for each sample and channel, in their place.
 */
public abstract sealed class ChannelNormalizer extends Normalizer permits RunningNormalizer, GroupNorm {
    private final int channels;

    ChannelNormalizer(Device device, Options options, int channels, String what) {
        super(device, options, Shape.of(channels), what);
        this.channels = channels;
    }

    /** Refuses γ and β per sample where the layer is not made for them. */
    void checkConditional() {}

    /**
     * Normalizes x with a scale and a shift per sample in the place of the layer's γ and β, adds the residual, applies the
     * activation. Neither γ nor β is used, also where {@code affine} has only one of the two.
     *
     * @param residual of x's shape and layout, or null for none
     * @param affine of shape (N, C); it may be changed as soon as this returns. y may not share memory with it.
     * @throws IllegalStateException for a layer with virtual batches or renormalization
     */
    public final void forward(Tensor x, Tensor residual, Tensor y, SampleAffine affine) {
        Objects.requireNonNull(affine, "affine");
        checkOpen();
        checkConditional();
        normalize(x, residual, y, affine, null);
    }

    /**
     * The same, to go back through it later, whatever other passes come in between.
     *
     * @param residual of x's shape and layout, or null for none
     * @param affine of shape (N, C); it may be changed as soon as this returns
     * @return what it left; to be closed
     * @throws IllegalStateException for a layer with virtual batches or renormalization
     */
    public final ForwardPass record(Tensor x, Tensor residual, Tensor y, SampleAffine affine) {
        Objects.requireNonNull(affine, "affine");
        checkOpen();
        checkConditional();
        return keep(x, residual, y, affine, null, true);
    }

    /**
     * The gradients of the last forward pass, which had a scale and a shift per sample; those of the layer's γ and β stay
     * as they are. The methods without {@code gradients} give only dx and dresidual then.
     *
     * @param dresidual of dy's shape and layout, or null when it is not wanted
     * @param gradients set (or added to, where the layer accumulates): of shape (N, C), each apart from all else
     */
    public final void backward(Tensor dy, Tensor dx, Tensor dresidual, SampleAffine gradients) {
        Objects.requireNonNull(gradients, "gradients");
        goBack(null, dy, dx, dresidual, gradients, null);
    }

    /** C. */
    final int channels() {
        return channels;
    }

    @Override
    final void checkShape(Tensor x) {
        int rank = x.shape().rank();
        if (rank < 2 || rank > 5 || x.shape().channels() != channels) {
            throw new IllegalArgumentException(
                    "x must have shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) with C = " + channels
                            + ", but given was " + x.shape());
        }
    }
}
