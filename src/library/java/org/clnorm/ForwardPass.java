package org.clnorm;

import java.util.Objects;
import java.util.function.Supplier;
import org.clnorm.replicas.GradientSums;

/**
 * A forward pass of a layer that was {@linkplain Normalizer#record(Tensor, Tensor) recorded}, to go back through it
 * later, whatever other passes come in between:
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
 * <p>A pass has statistics of its own, which are the layer's again, for a pass to come, when it is closed; one that is
 * not closed keeps them as long as there is the layer. Gradients of γ and β are set by each backward pass, or added to
 * by a layer that accumulates them. What {@link Normalizer} says of arguments, threads and of what must stay unchanged
 * until the backward pass holds here too.
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
     * Goes back through this pass: sets the gradients of γ and β (or adds to them, where the layer accumulates), except
     * of one that is frozen, and returns the gradient by x.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return dx, of dy's shape and layout and of x's type; the caller closes it
     * @throws IllegalArgumentException for a dy of another shape or layout than x's or on another device
     * @throws IllegalStateException when the pass was gone back through already, unless it is
     *     {@linkplain #retain retained}; when a tensor that must be unchanged was written or closed since; when the
     *     pass is a {@link BatchNorm#recordCombined}; when this pass or the layer is closed, or the layer is in the
     *     middle of another call
     */
    public Tensor backward(Tensor dy) {
        return layer.calls().backward(this, dy);
    }

    /**
     * Goes back through this pass, writing the gradient by x; see {@link #backward(Tensor)}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, and for tensors
     *     that share memory where {@link Normalizer} does not allow it
     * @throws IllegalStateException when the pass was gone back through already, unless it is
     *     {@linkplain #retain retained}; when a tensor that must be unchanged was written or closed since; when the
     *     pass is a {@link BatchNorm#recordCombined}; when this pass or the layer is closed, or the layer is in the
     *     middle of another call
     */
    public void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Goes back through this pass, writing the gradients by x and by the residual; see {@link #backward(Tensor)}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is;
     *     null when it is not wanted
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, and for a dresidual when the pass had no residual
     * @throws IllegalStateException when the pass was gone back through already, unless it is
     *     {@linkplain #retain retained}; when a tensor that must be unchanged was written or closed since; when the
     *     pass is a {@link BatchNorm#recordCombined}; when this pass or the layer is closed, or the layer is in the
     *     middle of another call
     */
    public void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        layer.calls().backward(this, dy, dx, dresidual, Besides.Backward.NOTHING);
    }

    /**
     * Goes back through this pass, which had a γ and a β per sample, writing their gradients and those by x and by the
     * residual; the gradients of the layer's γ and β stay as they are.
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
     * @throws IllegalStateException when the pass was gone back through already, unless it is
     *     {@linkplain #retain retained}; when a tensor that must be unchanged was written or closed since; when the
     *     pass is a {@link BatchNorm#recordCombined}; when this pass or the layer is closed, or the layer is in the
     *     middle of another call
     */
    public void backward(Tensor dy, Tensor dx, Tensor dresidual, SampleAffine gradients) {
        Objects.requireNonNull(gradients, "gradients");
        layer.calls().backward(this, dy, dx, dresidual, new Besides.Backward(gradients, null, null));
    }

    /**
     * Goes back through this pass and adds what came past the layer; see
     * {@link Normalizer#backwardAdding}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param past the gradient of the loss by what was normalized, by all else that is computed from it; of dy's shape
     *     and layout
     * @param dx where the sum of that and the gradient through this pass goes, of dy's shape and layout; it may be
     *     past, or dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is;
     *     null when it is not wanted, or there was no residual after the normalization
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where it is not allowed, and for a dresidual when the pass had no residual
     * @throws IllegalStateException when the pass was gone back through already, unless it is
     *     {@linkplain #retain retained}; when a tensor that must be unchanged was written or closed since; when the
     *     pass was a {@link BatchNorm#recordCombined}; when this pass or the layer is closed, or the layer is in the
     *     middle of another call
     */
    public void backwardAdding(Tensor dy, Tensor past, Tensor dx, Tensor dresidual) {
        Objects.requireNonNull(past, "past");
        layer.calls().backward(this, dy, dx, dresidual, new Besides.Backward(null, null, past));
    }

    /**
     * The sums of the backward pass over this part of a batch; see {@link BatchNorm#gradientSums}. Waits for the
     * device.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return the sums of this part alone, 0 for an empty one
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device
     * @throws IllegalStateException when the pass is no {@link BatchNorm#recordCombined}; when a tensor that must be
     *     unchanged was written or closed since; when this pass or the layer is closed, or the layer is in the middle
     *     of another call
     */
    public GradientSums gradientSums(Tensor dy) {
        return startGradientSums(dy).get();
    }

    /**
     * Begins to take the sums of the backward pass over this part of a batch, without a wait for the device; see
     * {@link BatchNorm#startGradientSums}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return what waits for the sums; it throws an IllegalStateException once the device is closed
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device
     * @throws IllegalStateException as {@link #gradientSums} does
     */
    public Supplier<GradientSums> startGradientSums(Tensor dy) {
        return layer.calls().sums(this, dy);
    }

    /**
     * Goes back through this part of a batch, by the sums over all parts; see {@link BatchNorm#backwardCombined}.
     *
     * @param dy the same tensor as in the {@link #gradientSums} before, unchanged
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is;
     *     null when it is not wanted
     * @param all the {@link #gradientSums} of all parts, {@linkplain GradientSums#combine combined}
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, for a dresidual when the pass had no residual, and
     *     for sums of other counts than the forward pass's moments
     * @throws IllegalStateException when the pass was gone back through already, unless it is
     *     {@linkplain #retain retained}; when a tensor that must be unchanged was written or closed since; when the
     *     pass is no {@link BatchNorm#recordCombined} or had no {@link #gradientSums} of this dy; when this pass or the
     *     layer is closed, or the layer is in the middle of another call
     */
    public void backwardCombined(Tensor dy, Tensor dx, Tensor dresidual, GradientSums all) {
        Objects.requireNonNull(all, "all");
        layer.calls().backward(this, dy, dx, dresidual, new Besides.Backward(null, all, null));
    }

    /**
     * Lets this pass be gone back through as often as is wanted. The same dy gives the same dx, and the gradients of γ
     * and β once more: a layer that accumulates adds them each time.
     *
     * @return this
     * @throws IllegalStateException when this pass or the layer is closed, or the layer is in the middle of another
     *     call
     */
    public ForwardPass retain() {
        layer.calls().retain(this);
        return this;
    }

    /**
     * The saved mean: the one that this pass used, of shape (C) for batch normalization and (rows) where rows are
     * normalized, there 0 where the layer subtracts none. It is the layer's own tensor, which holds that mean as long
     * as this pass is open. An empty batch has none.
     *
     * @throws IllegalStateException when it is not shown, which is so for groups of channels, single samples and
     *     several virtual batches; when this pass or the layer is closed, or the layer is in the middle of another call
     */
    public Tensor savedMean() {
        return layer.answer(() -> Room.shownOf(state()).mean());
    }

    /**
     * The saved inverse standard deviation, 1/√(variance + ε) as this pass used it, of the shape of {@link #savedMean}
     * and holding as long. Of a layer that divides by something else, it is the inverse of that.
     *
     * @throws IllegalStateException in the cases of {@link #savedMean}
     */
    public Tensor savedInverseStandardDeviation() {
        return layer.answer(() -> Room.shownOf(state()).invstd());
    }

    /**
     * The bytes that this pass did without, because in training y took x's place: those of a y beside x; else 0.
     *
     * @throws IllegalStateException when this pass or the layer is closed, or the layer is in the middle of another call
     */
    public long bytesSaved() {
        return layer.answer(() -> state().bytesSaved());
    }

    /** What the pass left for its backward pass; for a caller that is in the layer. */
    ForwardState state() {
        if (state == null) {
            throw new IllegalStateException("This forward pass of " + layer + " is closed");
        }
        return state;
    }

    /** Closes the pass. Returns what it had left, or null when it was closed before. */
    ForwardState end() {
        ForwardState last = state;
        state = null;
        return last;
    }

    /** Gives the statistics back to the layer. Closing twice is harmless, and so is closing a pass after its layer. */
    @Override
    public void close() {
        if (layer.isOpen()) {
            layer.calls().end(this);
        }
    }

    /** Names the layer that the pass is of. */
    @Override
    public String toString() {
        return "forward pass of " + layer;
    }
}
