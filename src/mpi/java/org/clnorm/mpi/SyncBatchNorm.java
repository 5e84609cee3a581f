package org.clnorm.mpi;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import org.clnorm.BatchNorm;
import org.clnorm.DataType;
import org.clnorm.Tensor;
import org.clnorm.mpi.DataParallel.Call;
import org.clnorm.mpi.DataParallel.Gathered;
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
    /** Whether it is known that all ranks have the same layer here. */
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
        if (!layer.isTraining()) {
            layer.forward(x, residual, y);
            isCombined = false;
            return;
        }
        Objects.requireNonNull(x, "x");
        Gathered moments = gather(call(residual == null ? forward : forwardAdding, x), () -> layer.moments(x)
                .toArray());
        List<ChannelMoments> parts = new ArrayList<>();
        for (int r = 0; r < ranks.group().size(); r++) {
            parts.add(ChannelMoments.of(moments.of(r)));
        }
        layer.forwardCombined(x, residual, y, ChannelMoments.combine(parts));
        isCombined = true;
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
        if (!isCombined) {
            layer.backward(dy, dx, dresidual);
            return;
        }
        Objects.requireNonNull(dy, "dy");
        Gathered sums = gather(call(backward, dy), () -> layer.gradientSums(dy).toArray());
        List<GradientSums> parts = new ArrayList<>();
        for (int r = 0; r < ranks.group().size(); r++) {
            parts.add(GradientSums.of(sums.of(r)));
        }
        layer.backwardCombined(dy, dx, dresidual, GradientSums.combine(parts));
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

    /** Exchanges this rank's numbers, or the word that there are none. */
    private Gathered gather(Call call, Supplier<double[]> numbers) {
        double[] own;
        try {
            own = numbers.get();
        } catch (RuntimeException e) {
            ranks.tell(call, hasAgreed ? 1 + 2 * layer.channels() : 0, e);
            throw e;
        }
        if (!hasAgreed) {
            ranks.agree(call);
            hasAgreed = true;
        }
        return ranks.gather(call, own);
    }

    /** The number among what the group's ranks have asked for, and the layer. */
    @Override
    public String toString() {
        return "layer " + member + ", batch normalization of " + layer.channels() + " channels";
    }
}
