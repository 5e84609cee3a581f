package org.clnorm;

import java.util.Objects;

/**
 * A forward pass of a layer that was {@linkplain Normalizer#record(Tensor, Tensor) recorded}, to go back through it later,
 * whatever other passes come in between:
 *
 * <pre>{@code
 * try (ForwardPass first = norm.record(x1, y1);
 *         ForwardPass second = norm.record(x2, y2)) {
 *     ...
 *     second.backward(dy2, dx2);
 *     first.backward(dy1, dx1);
 * }
 * }</pre>
 *
 * <p>It has statistics of its own, which are the layer's again, for a pass to come, when it is closed; one that is not
 * closed keeps them as long as there is the layer. Gradients of γ and β are set by each backward pass, or added to by a
 * layer that accumulates them. What {@link Normalizer} says of arguments, threads and of what must stay unchanged until
 * the backward pass holds here too.
 */
public final class ForwardPass implements AutoCloseable {
    private final Normalizer layer;
    /** Null once it is closed. */
    private ForwardState state;

    ForwardPass(Normalizer layer, ForwardState state) {
        this.layer = layer;
        this.state = state;
    }

    /**
     * Its gradients: sets (or adds to) those of γ and β, except of one that is frozen, and returns that of x.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return dx, of the same shape and layout; the caller closes it
     * @throws IllegalStateException when it was gone back through already, unless it is {@linkplain #retain retained}, when
     *     x was written since, and when this or the layer is closed
     */
    public Tensor backward(Tensor dy) {
        return layer.goBack(this, dy);
    }

    /** Writes the gradient of x into dx, which may be dy; see {@link #backward(Tensor)}. */
    public void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Writes the gradients of x and of the residual; see {@link #backward(Tensor)}.
     *
     * @param dresidual of dy's shape and layout, or null when it is not wanted
     */
    public void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        layer.goBack(this, dy, dx, dresidual, null, null);
    }

    /**
     * The same of a forward pass with a scale and a shift per sample, with their gradients.
     *
     * @param dresidual of dy's shape and layout, or null when it is not wanted
     * @param gradients set (or added to, where the layer accumulates): of shape (N, C), each apart from all else
     */
    public void backward(Tensor dy, Tensor dx, Tensor dresidual, SampleAffine gradients) {
        layer.goBack(this, dy, dx, dresidual, Objects.requireNonNull(gradients, "gradients"), null);
    }

    /**
     * What the backward pass adds up over this part of a batch; see {@link BatchNorm#gradientSums}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     */
    public GradientSums gradientSums(Tensor dy) {
        return layer.sumGradients(this, dy);
    }

    /**
     * The backward pass of a part of a batch; see {@link BatchNorm#backwardCombined}.
     *
     * @param dy the same as in the {@link #gradientSums} before, unchanged
     * @param dresidual of dy's shape and layout, or null when it is not wanted
     * @param all the {@link #gradientSums} of all parts, {@linkplain GradientSums#combine combined}
     */
    public void backwardCombined(Tensor dy, Tensor dx, Tensor dresidual, GradientSums all) {
        layer.goBack(this, dy, dx, dresidual, null, Objects.requireNonNull(all, "all"));
    }

    /**
     * Lets it be gone back through as often as is wanted. The same dy gives the same dx, and the gradients of γ and β once
     * more: a layer that accumulates adds them each time.
     *
     * @return this
     */
    public ForwardPass retain() {
        layer.alone(() -> state().isRetained = true);
        return this;
    }

    /**
     * The mean that it used, of each channel or row; as long as this is open.
     *
     * @throws IllegalStateException when that is not shown: of groups of channels, of single samples and of virtual batches
     */
    public Tensor savedMean() {
        return layer.answer(() -> Room.shown(state()).mean());
    }

    /** 1/√(variance + ε) as it used it; see {@link #savedMean}. */
    public Tensor savedInverseStandardDeviation() {
        return layer.answer(() -> Room.shown(state()).invstd());
    }

    /** What it left; for one who is in the layer. */
    ForwardState state() {
        if (state == null) {
            throw new IllegalStateException("This forward pass of " + layer + " is closed");
        }
        return state;
    }

    /** It is closed from now on; what it had left, or null when it was closed before. */
    ForwardState end() {
        ForwardState last = state;
        state = null;
        return last;
    }

    /** Gives its statistics back to the layer. Closing twice is harmless, and so is closing it after the layer. */
    @Override
    public void close() {
        if (layer.isOpen()) {
            layer.giveBack(this);
        }
    }

    /** Whose it is. */
    @Override
    public String toString() {
        return "forward pass of " + layer;
    }
}
