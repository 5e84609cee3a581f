package org.clnorm.example.device;

import org.clnorm.Tensor;

/**
 * Softmax cross entropy, averaged over a batch. What it comes to stays on the device, row by row, and is read once for many
 * batches: a loop that asks for the loss at every step waits for the device at every step.
 */
public final class SoftmaxLoss {
    /**
     * What so many rows came to.
     *
     * @param loss the mean loss
     * @param right how many of them had the largest logit at their label
     */
    public record Score(double loss, int right) {}

    private final Queue queue;
    private final int batch;
    private final int classes;
    private final Tensor labels;
    private final Tensor losses;
    private final Tensor hits;
    private final Tensor dlogits;

    /** For logits of shape (batch, classes). */
    public SoftmaxLoss(Queue queue, int batch, int classes) {
        this.queue = queue;
        this.batch = batch;
        this.classes = classes;
        this.labels = queue.tensor(batch);
        this.losses = queue.tensor(batch);
        this.hits = queue.tensor(batch);
        this.dlogits = queue.tensor(batch, classes);
    }

    /** Where a batch's labels go; −1 is a row that does not count. */
    public Tensor labels() {
        return labels;
    }

    /** Adds the loss of the logits to what is kept, and returns its gradient by them. */
    public Tensor of(Tensor logits) {
        queue.common().run("softmax_loss", batch, logits, labels, losses, hits, dlogits, classes);
        return dlogits;
    }

    /** Reads what was kept over so many rows, and begins anew. */
    public Score read(int rows) {
        double loss = sum(queue.download(losses));
        int right = (int) Math.round(sum(queue.download(hits)));
        losses.fill(0);
        hits.fill(0);
        return new Score(loss / rows, right);
    }

    private static double sum(float[] values) {
        double sum = 0;
        for (float value : values) {
            sum += value;
        }
        return sum;
    }
}
