package org.clnorm.mpi;

import org.clnorm.ForwardPass;
import org.clnorm.Tensor;

/**
 * A forward pass of a {@link SyncBatchNorm} that was {@linkplain SyncBatchNorm#record(Tensor, Tensor, Tensor) recorded}, to go back
 * through it later, whatever other passes of the layer come in between: for a layer that a network has in two places, or micro
 * batches. All ranks go back through theirs in the same order.
 */
public final class SyncForwardPass implements AutoCloseable {
    private final SyncBatchNorm of;
    private final ForwardPass pass;
    private final boolean isCombined;

    SyncForwardPass(SyncBatchNorm of, ForwardPass pass, boolean isCombined) {
        this.of = of;
        this.pass = pass;
        this.isCombined = isCombined;
    }

    /** This rank's part of it, with the saved mean and inverse standard deviation; it is closed with this. */
    public ForwardPass pass() {
        return pass;
    }

    /**
     * Goes back through this pass, without the gradient by a residual; see {@link #backward(Tensor, Tensor, Tensor)}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy
     * @throws IllegalArgumentException for what {@link ForwardPass#backwardCombined} refuses
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException when this pass is closed, and for what {@link ForwardPass#backwardCombined} refuses
     */
    public void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Goes back through this pass by the sums of all ranks; see {@link SyncBatchNorm#backward(Tensor, Tensor, Tensor)}. All ranks
     * must make this call.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is; null when
     *     it is not wanted
     * @throws IllegalArgumentException for what {@link ForwardPass#backwardCombined} refuses
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException when this pass is closed, and for what {@link ForwardPass#backwardCombined} refuses
     */
    public void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        beginBackward(dy, dx, dresidual).finish();
    }

    /**
     * Begins to go back through this pass; see {@link SyncBatchNorm#beginBackward}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes; null when it is not wanted
     * @return the pass that has begun, which is to be finished before this is closed
     */
    public SyncStep beginBackward(Tensor dy, Tensor dx, Tensor dresidual) {
        return of.beginBackward(pass, isCombined, dy, dx, dresidual);
    }

    /** Gives what the pass has left back to the layer. Closing twice is harmless. */
    @Override
    public void close() {
        pass.close();
    }

    /** Names the layer that the pass is of. */
    @Override
    public String toString() {
        return "forward pass of " + of;
    }
}
