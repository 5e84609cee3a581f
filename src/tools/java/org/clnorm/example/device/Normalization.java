package org.clnorm.example.device;

import java.util.List;
import org.clnorm.BatchNorm;
import org.clnorm.Normalizer;
import org.clnorm.RowNormalizer;
import org.clnorm.Tensor;
import org.clnorm.mpi.SyncBatchNorm;
import org.clnorm.state.StateDict;

/**
 * A layer of clnorm as a part of a network: this class is all that the networks here need of the library. With an activation,
 * or a residual, it does in one pass over memory what would be two or three.
 */
public final class Normalization implements Part {
    private final Queue queue;
    private final Normalizer layer;
    /** The layer by the statistics of all ranks' parts of a batch; null where it trains alone, or its statistics are of samples. */
    private final SyncBatchNorm ofAll;

    private final Tensor y;
    private final Tensor dx;
    /** Null where nothing is added to what is normalized. */
    private final Tensor dresidual;
    /** Null where x is normalized as it is. */
    private final Tensor sum;

    private Normalization(Queue queue, Normalizer layer, boolean residual, boolean ofSum, long... dimensions) {
        this.queue = queue;
        this.layer = queue.keep(layer);
        this.ofAll = layer instanceof BatchNorm batch
                ? queue.ranks().map(ranks -> ranks.synchronize(batch)).orElse(null)
                : null;
        this.y = queue.tensor(dimensions);
        this.dx = queue.tensor(dimensions);
        this.dresidual = residual ? queue.tensor(dimensions) : null;
        this.sum = ofSum ? queue.tensor(dimensions) : null;
    }

    /**
     * Of x alone.
     *
     * @param layer a layer on the queue's device, which is closed with the queue
     * @param dimensions those of x, and of y
     */
    public static Normalization of(Queue queue, Normalizer layer, long... dimensions) {
        return new Normalization(queue, layer, false, false, dimensions);
    }

    /** Of x, with something added before the activation: {@link #forward(Tensor, Tensor)} is to be called. */
    public static Normalization withResidual(Queue queue, Normalizer layer, long... dimensions) {
        return new Normalization(queue, layer, true, false, dimensions);
    }

    /** Of the sum of two tensors: {@link #forwardAdding} is to be called. */
    public static Normalization ofSum(Queue queue, RowNormalizer layer, long... dimensions) {
        return new Normalization(queue, layer, false, true, dimensions);
    }

    @Override
    public Tensor forward(Tensor x) {
        return forward(x, null);
    }

    /** y of x and of what is added before the activation. */
    public Tensor forward(Tensor x, Tensor residual) {
        queue.normalization().time(() -> {
            if (ofAll == null) {
                layer.forward(x, residual, y);
            } else {
                ofAll.forward(x, residual, y);
            }
        });
        return y;
    }

    /** y of the sum of x and what is added to it, which {@link #sum} has then. */
    public Tensor forwardAdding(Tensor x, Tensor residual) {
        queue.normalization().time(() -> ((RowNormalizer) layer).forwardAdding(x, residual, sum, y));
        return y;
    }

    /** What the last {@link #forwardAdding} normalized; overwritten by the next. */
    public Tensor sum() {
        return sum;
    }

    /** The gradient by what was normalized, where that is used past this layer too. */
    public Tensor backwardAdding(Tensor dy, Tensor past) {
        queue.normalization().time(() -> layer.backwardAdding(dy, past, dx, null));
        return dx;
    }

    @Override
    public Tensor backward(Tensor dy) {
        queue.normalization().time(() -> {
            if (ofAll == null) {
                layer.backward(dy, dx, dresidual);
            } else {
                ofAll.backward(dy, dx, dresidual);
            }
        });
        return dx;
    }

    /** The gradient by what was added, as the last backward pass has left it. */
    public Tensor residualGradient() {
        return dresidual;
    }

    @Override
    public List<Weight> weights() {
        return layer.parameters().stream().map(Weight::of).toList();
    }

    @Override
    public StateDict state() {
        return layer.stateDict();
    }

    @Override
    public void load(StateDict state) {
        layer.loadState(state);
    }

    @Override
    public void training(boolean on) {
        if (on) {
            layer.train();
        } else {
            layer.eval();
        }
    }
}
