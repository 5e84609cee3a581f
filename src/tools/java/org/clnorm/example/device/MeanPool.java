package org.clnorm.example.device;

import org.clnorm.Tensor;

/** The mean over an image's positions, or a sequence's: (N, positions, C) in memory becomes (N, C). */
public final class MeanPool extends Plain {
    private final int batch;
    private final int positions;
    private final int channels;
    private final Tensor y;
    private final Tensor dx;

    /** @param dimensions those of x, of which the batch comes first in memory and the channels last */
    public MeanPool(Queue queue, int batch, int channels, long... dimensions) {
        super(queue);
        this.batch = batch;
        this.channels = channels;
        this.y = queue.tensor(batch, channels);
        this.dx = queue.tensor(dimensions);
        this.positions = (int) (dx.shape().elements() / batch / channels);
    }

    @Override
    public Tensor forward(Tensor x) {
        queue.common().run("mean_pool", (long) batch * channels, x, y, positions, channels);
        return y;
    }

    @Override
    public Tensor backward(Tensor dy) {
        queue.common().run("mean_pool_backward", (long) batch * positions * channels, dy, dx, positions, channels);
        return dx;
    }
}
