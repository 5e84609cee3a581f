package org.clnorm.mpi;

import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.clnorm.BatchNorm;
import org.clnorm.DataType;
import org.clnorm.ForwardPass;
import org.clnorm.Tensor;
import org.clnorm.mpi.DataParallel.Call;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/**
 * Batch normalization by the statistics of the parts of all ranks, as of one batch. Parts may be of any numbers of samples, none
 * among them, and each have a {@link BatchNorm#mask mask} of their own. The running statistics take in the whole batch, with its
 * count in the unbiased variance, and are the same on all ranks, bit for bit: ranks combine what they get in the order of ranks,
 * whatever came first. The gradients of γ and β are of this rank's part; {@link DataParallel#gradientsOf} adds up those of all.
 *
 * <p>A pass costs one message, of 2·C + 5 numbers of 8 bytes a rank for C channels: in a forward pass the mean and the sum of
 * squares of each channel, in a backward pass the two sums of each. It waits for the device, and for the other ranks. In
 * evaluation mode there are no messages; a layer without running statistics evaluates by this rank's part.
 *
 * <p>A {@link DataParallel} makes it of a {@link BatchNorm}, which stays the caller's: its parameters, state and mode are set and
 * read there.
 */
public final class SyncBatchNorm {
    private final DataParallel ranks;
    private final int member;
    private final BatchNorm layer;
    // By the type of the elements.
    private final Map<DataType, Call> forward = new EnumMap<>(DataType.class);
    private final Map<DataType, Call> forwardAdding = new EnumMap<>(DataType.class);
    private final Map<DataType, Call> backward = new EnumMap<>(DataType.class);
    private boolean hasAgreed;
    /** Whether the last forward pass was by the statistics of all. */
    private boolean isCombined;

    SyncBatchNorm(DataParallel ranks, int member, BatchNorm layer) {
        this.ranks = ranks;
        this.member = member;
        this.layer = layer;
    }

    /** The layer that it was made of. */
    public BatchNorm layer() {
        return layer;
    }

    /**
     * Normalizes x into y, without a residual; see {@link #forward(Tensor, Tensor, Tensor)}.
     *
     * @param x this rank's part of the batch, of shape (N, C, spatial...); N may be 0
     * @param y where the output goes, of x's shape and layout
     * @throws IllegalArgumentException for what a forward pass of the layer refuses, and for a batch of one value per channel
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException when the layer or the group is closed
     */
    public void forward(Tensor x, Tensor y) {
        forward(x, null, y);
    }

    /**
     * Normalizes x by the moments of all ranks' parts, adds the residual and applies the activation, into y. All ranks must make
     * this call. One that fails before its message lets the others fail too.
     *
     * @param x this rank's part of the batch, of shape (N, C, spatial...); N may be 0
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @throws IllegalArgumentException for what a forward pass of the layer refuses, and for a batch of one value per channel
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws org.clnorm.NonFiniteException on every rank, under {@link org.clnorm.NonFinitePolicy#THROW}, when a moment of the
     *     whole batch is not finite
     * @throws IllegalStateException when the layer or the group is closed
     */
    public void forward(Tensor x, Tensor residual, Tensor y) {
        beginForward(x, residual, y).finish();
    }

    /**
     * Begins a {@link #forward(Tensor, Tensor, Tensor)}: this rank's moments are computed while its thread goes on, to enqueue what
     * needs nothing of this layer. {@link SyncStep#finish} is the rest of it. What the layer refuses is thrown there, so that the
     * other ranks learn of it.
     *
     * @param x this rank's part of the batch, of shape (N, C, spatial...); N may be 0; it is not to be written before the end
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @return the pass that has begun, which is to be finished before the layer's next one
     */
    public SyncStep beginForward(Tensor x, Tensor residual, Tensor y) {
        Objects.requireNonNull(x, "x");
        Objects.requireNonNull(y, "y");
        if (!layer.isTraining()) {
            return new SyncStep(ranks, this, () -> {
                layer.forward(x, residual, y);
                isCombined = false;
            });
        }
        return beginForward(x, residual, all -> {
            layer.forwardCombined(x, residual, y, all);
            isCombined = true;
        });
    }

    /**
     * Makes a forward pass to go back through it later, without a residual; see {@link #record(Tensor, Tensor, Tensor)}.
     *
     * @param x this rank's part of the batch, of shape (N, C, spatial...); N may be 0
     * @param y where the output goes, of x's shape and layout
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for what a forward pass of the layer refuses, and for a batch of one value per channel
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException when the layer or the group is closed
     */
    public SyncForwardPass record(Tensor x, Tensor y) {
        return record(x, null, y);
    }

    /**
     * Makes a forward pass as {@link #forward(Tensor, Tensor, Tensor)} does, to go back through it later. All ranks must make this
     * call.
     *
     * @param x this rank's part of the batch, of shape (N, C, spatial...); N may be 0
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for what a forward pass of the layer refuses, and for a batch of one value per channel
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws org.clnorm.NonFiniteException on every rank, under {@link org.clnorm.NonFinitePolicy#THROW}, when a moment of the
     *     whole batch is not finite
     * @throws IllegalStateException when the layer or the group is closed
     */
    public SyncForwardPass record(Tensor x, Tensor residual, Tensor y) {
        Objects.requireNonNull(x, "x");
        Objects.requireNonNull(y, "y");
        if (!layer.isTraining()) {
            return new SyncForwardPass(this, layer.record(x, residual, y), false);
        }
        ForwardPass[] made = new ForwardPass[1];
        beginForward(x, residual, all -> made[0] = layer.recordCombined(x, residual, y, all))
                .finish();
        return new SyncForwardPass(this, made[0], true);
    }

    private SyncStep beginForward(Tensor x, Tensor residual, Consumer<ChannelMoments> rest) {
        return new SyncStep(
                ranks,
                this,
                call(residual == null ? forward : forwardAdding, x),
                () -> {
                    Supplier<ChannelMoments> own = layer.startMoments(x);
                    return () -> own.get().toArray();
                },
                parts -> rest.accept(ChannelMoments.combine(
                        parts.stream().map(ChannelMoments::of).toList())));
    }

    /**
     * Goes back through the last forward pass, writing the gradient by x; see {@link #backward(Tensor, Tensor, Tensor)}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy
     * @throws IllegalArgumentException for what a backward pass of the layer refuses
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException for what a backward pass of the layer refuses, and when the layer or the group is closed
     */
    public void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Goes back through the last forward pass by the sums of all ranks, and sets the gradients of γ and β, or adds to them, by this
     * rank's part. All ranks must make this call. One that fails before its message lets the others fail too.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is; null when
     *     it is not wanted
     * @throws IllegalArgumentException for what a backward pass of the layer refuses
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException for what a backward pass of the layer refuses, and when the layer or the group is closed
     */
    public void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        beginBackward(dy, dx, dresidual).finish();
    }

    /**
     * Begins a {@link #backward(Tensor, Tensor, Tensor)}: this rank's sums are computed while its thread goes on, to enqueue what
     * needs nothing of this layer, such as the gradients of the weights of the layer after it. {@link SyncStep#finish} is the rest
     * of it.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout; it is not to be written before the end
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is; null when
     *     it is not wanted
     * @return the pass that has begun, which is to be finished before the layer's next one
     */
    public SyncStep beginBackward(Tensor dy, Tensor dx, Tensor dresidual) {
        return beginBackward(null, isCombined, dy, dx, dresidual);
    }

    /** @param through the pass to go back through; null for the last one that was not recorded */
    SyncStep beginBackward(ForwardPass through, boolean combined, Tensor dy, Tensor dx, Tensor dresidual) {
        Objects.requireNonNull(dy, "dy");
        Objects.requireNonNull(dx, "dx");
        if (!combined) {
            return new SyncStep(ranks, this, () -> {
                if (through == null) {
                    layer.backward(dy, dx, dresidual);
                } else {
                    through.backward(dy, dx, dresidual);
                }
            });
        }
        return new SyncStep(
                ranks,
                this,
                call(backward, dy),
                () -> {
                    Supplier<GradientSums> own =
                            through == null ? layer.startGradientSums(dy) : through.startGradientSums(dy);
                    return () -> own.get().toArray();
                },
                parts -> {
                    GradientSums all = GradientSums.combine(
                            parts.stream().map(GradientSums::of).toList());
                    if (through == null) {
                        layer.backwardCombined(dy, dx, dresidual, all);
                    } else {
                        through.backwardCombined(dy, dx, dresidual, all);
                    }
                });
    }

    private Call call(Map<DataType, Call> known, Tensor of) {
        return known.computeIfAbsent(of.type(), type -> {
            boolean back = known == backward;
            String settings = layer.settings()
                    + (back ? ", dy " : ", x ")
                    + type
                    + (known == forwardAdding ? ", a residual" : "");
            return new Call(member, back ? 1 : 0, (back ? "backward" : "forward") + " of " + this, settings);
        });
    }

    /** Whether it is known that all ranks have the same layer here. */
    boolean hasAgreed() {
        return hasAgreed;
    }

    void agreed() {
        hasAgreed = true;
    }

    /** The number among what the group's ranks have asked for, and the layer. */
    @Override
    public String toString() {
        return "layer " + member + ", batch normalization of " + layer.channels() + " channels";
    }
}
