package org.clnorm.example;

import java.util.List;
import java.util.Random;
import org.clnorm.Device;
import org.clnorm.diagnostics.Diagnoser;
import org.clnorm.diagnostics.Diagnostics;

/**
 * Pixels → dense 128 → ReLU → dense → softmax cross entropy, with or without a normalization before the ReLU.
 *
 * <p>Two networks of the same seed start from the same weights. Both have biases in both dense layers, so that they
 * differ in the normalization only; with batch normalization the first bias is idle, since it goes into the mean that is
 * subtracted: its gradient is 0 but for rounding, and β does its work.
 */
final class Network implements AutoCloseable {
    static final int HIDDEN = 128;

    private final int classes;
    final Dense hidden;
    private final Nonlinearity nonlinearity;
    final Dense output;
    private long nonlinearityNanos;

    private Network(int pixels, int classes, long seed, Nonlinearity nonlinearity) {
        Random random = new Random(seed);
        this.classes = classes;
        this.hidden = Dense.he(pixels, HIDDEN, random);
        this.nonlinearity = nonlinearity;
        this.output = Dense.he(HIDDEN, classes, random);
    }

    static Network plain(int pixels, int classes, long seed) {
        return new Network(pixels, classes, seed, new Relu());
    }

    static Network normalized(Norm norm, int pixels, int classes, long seed, Device device, int batch) {
        return normalized(norm, pixels, classes, seed, device, batch, Diagnoser.off());
    }

    static Network normalized(
            Norm norm, int pixels, int classes, long seed, Device device, int batch, Diagnoser diagnoser) {
        return new Network(pixels, classes, seed, new NormalizedRelu(norm, device, batch, HIDDEN, diagnoser));
    }

    /** One step of training; gives the mean loss of the batch before it. */
    double train(Digits.Batch batch, Sgd sgd) {
        float[] h = hidden.forward(batch.images());
        long start = System.nanoTime();
        float[] a = nonlinearity.forward(h);
        nonlinearityNanos += System.nanoTime() - start;
        Loss loss = Loss.softmaxCrossEntropy(output.forward(a), batch.labels());

        output.gradients(a, loss.gradient());
        float[] da = output.inputGradient(loss.gradient());
        start = System.nanoTime();
        float[] dh = nonlinearity.backward(da);
        nonlinearity.step(sgd);
        nonlinearityNanos += System.nanoTime() - start;
        hidden.gradients(batch.images(), dh);

        output.step(sgd);
        hidden.step(sgd);
        return loss.mean();
    }

    /** How many of the batch it recognizes. A digit for which an output is NaN is not recognized. */
    int recognized(Digits.Batch batch) {
        float[] logits = output.forward(nonlinearity.infer(hidden.forward(batch.images())));
        int count = 0;
        for (int row = 0; row < batch.labels().length; row++) {
            float own = logits[row * classes + batch.labels()[row]];
            boolean largest = true;
            for (int k = 0; k < classes; k++) {
                largest &= k == batch.labels()[row] || own > logits[row * classes + k];
            }
            count += largest ? 1 : 0;
        }
        return count;
    }

    /** Time spent so far between the dense layers in training, with the transfers to the device and back. */
    long nonlinearityNanos() {
        return nonlinearityNanos;
    }

    /** What was seen of the normalization in training, if there is one and that was asked for. */
    List<Diagnostics> diagnostics() {
        return nonlinearity.diagnostics();
    }

    @Override
    public void close() {
        nonlinearity.close();
    }
}
