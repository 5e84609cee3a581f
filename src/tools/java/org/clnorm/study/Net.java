package org.clnorm.study;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.clnorm.Device;
import org.clnorm.example.Loss;

/** A small network: stages one after the other, then softmax cross entropy over ten classes. */
final class Net implements AutoCloseable {
    static final int CLASSES = 10;

    private final List<Stage> stages;

    Net(List<Stage> stages) {
        this.stages = stages;
    }

    /** Where a network has its dropout. */
    enum Place {
        /** Between each hidden dense layer and its normalization. */
        BEFORE,
        /** After each ReLU. */
        AFTER,
        /** After the last ReLU only. */
        LAST
    }

    /**
     * How to build one: pixels → (dense → normalization → ReLU)… → dense.
     *
     * @param hidden units of each hidden layer
     * @param layers how many hidden layers
     * @param norming the normalization
     * @param factor what He's initial weights of the hidden layers are multiplied with
     * @param dropout the share of units, 0 for none
     * @param place where the dropout is
     * @param smooth whether softplus takes the place of ReLU
     */
    record Plan(int hidden, int layers, Norming norming, double factor, double dropout, Place place, boolean smooth) {
        Plan(int hidden, int layers, Norming norming) {
            this(hidden, layers, norming, 1, 0, Place.LAST, false);
        }

        Plan factor(double times) {
            return new Plan(hidden, layers, norming, times, dropout, place, smooth);
        }

        Plan dropout(double share, Place where) {
            return new Plan(hidden, layers, norming, factor, share, where, smooth);
        }

        Plan withSoftplus() {
            return new Plan(hidden, layers, norming, factor, dropout, place, true);
        }

        Net build(Device device, int pixels, long seed) {
            Random weights = new Random(seed);
            Random drops = new Random(seed + 1_000_000);
            List<Stage> stages = new ArrayList<>();
            for (int layer = 1; layer <= layers; layer++) {
                stages.add(new DenseStage(layer == 1 ? pixels : hidden, hidden, factor, layer == 1, weights));
                if (dropout > 0 && place == Place.BEFORE) {
                    stages.add(new DropoutStage(dropout, drops));
                }
                Stage norm = norming.stage(device, hidden);
                if (norm != null) {
                    stages.add(norm);
                }
                stages.add(smooth ? new SoftplusStage() : new ReluStage(hidden));
                if (dropout > 0 && (place == Place.AFTER || (place == Place.LAST && layer == layers))) {
                    stages.add(new DropoutStage(dropout, drops));
                }
            }
            stages.add(new DenseStage(hidden, CLASSES, 1, false, weights));
            return new Net(stages);
        }
    }

    /** Its stages of a kind, first to last. */
    <T extends Stage> List<T> stages(Class<T> kind) {
        return stages.stream().filter(kind::isInstance).map(kind::cast).toList();
    }

    float[] forward(float[] x, Mode mode) {
        float[] y = x;
        for (Stage stage : stages) {
            y = stage.forward(y, mode);
        }
        return y;
    }

    /** The loss of a batch in training, with all gradients set. */
    double loss(Samples batch) {
        Loss loss = Loss.softmaxCrossEntropy(forward(batch.images(), Mode.TRAIN), batch.labels());
        float[] dy = loss.gradient();
        for (int i = stages.size() - 1; i >= 0; i--) {
            dy = stages.get(i).backward(dy);
        }
        return loss.mean();
    }

    /** A step down the gradients. */
    void step(double rate) {
        float[] at = parameters();
        float[] gradient = gradient();
        for (int i = 0; i < at.length; i++) {
            at[i] -= (float) (rate * gradient[i]);
        }
        setParameters(at);
    }

    float[] parameters() {
        float[] all = new float[stages.stream().mapToInt(Stage::size).sum()];
        int at = 0;
        for (Stage stage : stages) {
            stage.read(all, at);
            at += stage.size();
        }
        return all;
    }

    void setParameters(float[] all) {
        int at = 0;
        for (Stage stage : stages) {
            stage.write(all, at);
            at += stage.size();
        }
    }

    /** The gradients of the last {@link #loss}, in the order of the parameters. */
    float[] gradient() {
        float[] all = new float[stages.stream().mapToInt(Stage::size).sum()];
        int at = 0;
        for (Stage stage : stages) {
            stage.gradient(all, at);
            at += stage.size();
        }
        return all;
    }

    /** The share of samples that it recognizes. One for which an output is NaN is not recognized. */
    double accuracy(Samples samples, Mode mode) {
        float[] logits = forward(samples.images(), mode);
        int count = 0;
        for (int row = 0; row < samples.size(); row++) {
            float own = logits[row * CLASSES + samples.labels()[row]];
            boolean largest = true;
            for (int k = 0; k < CLASSES; k++) {
                largest &= k == samples.labels()[row] || own > logits[row * CLASSES + k];
            }
            count += largest ? 1 : 0;
        }
        return (double) count / samples.size();
    }

    @Override
    public void close() {
        stages.forEach(Stage::close);
    }
}
