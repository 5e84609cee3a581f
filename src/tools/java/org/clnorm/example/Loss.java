package org.clnorm.example;

/**
 * Softmax cross entropy: the mean over the batch of −ln softmax(logits)[label].
 *
 * @param mean the loss; NaN or infinite when the network has diverged
 * @param gradient of {@code mean} with respect to the logits, (batch, classes)
 */
public record Loss(double mean, float[] gradient) {
    /**
     * The loss of logits, and its gradient by them.
     *
     * @param logits (labels.length, classes)
     * @param labels the class that each row is of
     */
    public static Loss softmaxCrossEntropy(float[] logits, int[] labels) {
        int batch = labels.length;
        int classes = logits.length / batch;
        float[] gradient = new float[logits.length];
        double sum = 0;
        for (int row = 0; row < batch; row++) {
            int start = row * classes;
            // Without the largest logit in front, exp would overflow.
            double largest = Double.NEGATIVE_INFINITY;
            for (int k = 0; k < classes; k++) {
                largest = Math.max(largest, logits[start + k]);
            }
            double total = 0;
            for (int k = 0; k < classes; k++) {
                total += Math.exp(logits[start + k] - largest);
            }
            for (int k = 0; k < classes; k++) {
                double probability = Math.exp(logits[start + k] - largest) / total;
                gradient[start + k] = (float) ((probability - (k == labels[row] ? 1 : 0)) / batch);
            }
            sum += Math.log(total) + largest - logits[start + labels[row]];
        }
        return new Loss(sum / batch, gradient);
    }
}
