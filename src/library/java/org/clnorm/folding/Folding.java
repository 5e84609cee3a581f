package org.clnorm.folding;

import java.util.Arrays;
import java.util.Objects;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Parameter;
import org.clnorm.Tensor;

/**
 * A batch normalization in evaluation mode is y = scale·x + shift for each channel, with
 *
 * <pre>scale = γ/√(running variance + ε),   shift = β − running mean·scale</pre>
 *
 * and so can become part of a linear or convolution layer before or after it (Jacob et al., 2018, §3.2). γ may be 0 or
 * negative. An activation that is fused with the normalization is not folded: it stays, after what is folded.
 *
 * <p>All is computed in double and rounded to float32 once. What that rounding costs is reported as an <i>error</i>:
 * the largest |folded − unfolded| over a number of probes, divided by the largest |unfolded|, both in double
 * arithmetic, so that it is of the rounded parameters alone. It is about 6e-8·|mean|/σ where the mean is many standard
 * deviations; infinity or NaN says that a folded parameter does not fit float32. Unless probes are given, they are made
 * from the running statistics: what is normalized lies at mean + k·σ, for k from −3 to 3 and σ = √(running variance +
 * ε).
 *
 * <p>Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR
 * 2018.
 */
public final class Folding {
    private static final int FARTHEST_PROBE = 3;

    /**
     * A normalization as y = scale·x + shift.
     *
     * @param scale one number for each channel
     * @param shift one number for each channel
     * @param error the relative error of rounding, 0 or more; see {@link Folding}
     */
    public record ScaleShift(float[] scale, float[] shift, double error) {
        /** Checks that nothing is null. */
        public ScaleShift {
            Objects.requireNonNull(scale, "scale");
            Objects.requireNonNull(shift, "shift");
        }

        /** How many channels there are, and the error. */
        @Override
        public String toString() {
            return "scale and shift of " + scale.length + " channels, error " + error;
        }
    }

    /**
     * A layer with the normalization in it.
     *
     * @param layer of the same shape as before; it has a bias in any case
     * @param error the relative error of rounding, 0 or more; see {@link Folding}
     */
    public record Folded(Weights layer, double error) {
        /** Checks that the layer is not null. */
        public Folded {
            Objects.requireNonNull(layer, "layer");
        }
    }

    /** What a convolution puts around its input. */
    public enum Padding {
        /** Nothing: the output is smaller than the input, unless the kernel is of size 1. Linear layers have none. */
        NONE,
        /** Zeros. */
        ZEROS
    }

    private final double[] gamma;
    private final double[] beta;
    private final double[] mean;
    /** √(running variance + ε). */
    private final double[] deviation;

    private final Activation activation;

    private Folding(
            float[] gamma,
            float[] beta,
            float[] runningMean,
            float[] runningVariance,
            double epsilon,
            Activation activation) {
        int channels = Objects.requireNonNull(runningMean, "runningMean").length;
        if (channels == 0) {
            throw new IllegalArgumentException("runningMean must have one element or more, but given was none");
        }
        if (!(epsilon >= 0 && epsilon <= Float.MAX_VALUE)) {
            throw new IllegalArgumentException("epsilon must be finite and at least 0, but given was " + epsilon);
        }
        this.gamma = checked("gamma", gamma, channels, 1);
        this.beta = checked("beta", beta, channels, 0);
        this.mean = checked("runningMean", runningMean, channels, 0);
        double[] variance =
                checked("runningVariance", Objects.requireNonNull(runningVariance, "runningVariance"), channels, 0);
        for (int c = 0; c < channels; c++) {
            if (!(variance[c] >= 0 && variance[c] + epsilon > 0)) {
                throw new IllegalArgumentException(
                        "runningVariance must be 0 or more, and above 0 with epsilon, but given were " + variance[c]
                                + " for channel " + c + " and an epsilon of " + epsilon);
            }
        }
        this.deviation =
                Arrays.stream(variance).map(v -> Math.sqrt(v + epsilon)).toArray();
        this.activation = activation;
    }

    private static double[] checked(String name, float[] given, int channels, double absent) {
        double[] values = new double[channels];
        Arrays.fill(values, absent);
        if (given == null) {
            return values;
        }
        if (given.length != channels) {
            throw new IllegalArgumentException(
                    name + " must have runningMean's " + channels + " elements, but given were " + given.length);
        }
        for (int c = 0; c < channels; c++) {
            values[c] = given[c];
            if (!Double.isFinite(values[c])) {
                throw new IllegalArgumentException(
                        name + " must be finite, but given was " + values[c] + " for channel " + c);
            }
        }
        return values;
    }

    /**
     * The folding of a normalization with these parameters, each array with one element for each channel, and without
     * an activation.
     *
     * @param gamma γ; null for 1
     * @param beta β; null for 0
     * @param runningMean the running mean
     * @param runningVariance the running variance, 0 or more, and above 0 with ε
     * @param epsilon ε, finite and at least 0
     * @throws IllegalArgumentException for arrays of no or different lengths, numbers that are not finite, an ε below
     *     0, or a variance that is not above 0 with ε
     */
    public static Folding of(
            float[] gamma, float[] beta, float[] runningMean, float[] runningVariance, double epsilon) {
        return new Folding(gamma, beta, runningMean, runningVariance, epsilon, Activation.NONE);
    }

    /**
     * The folding of a layer with its parameters and running statistics as they are now, in whichever mode it is. Waits
     * for the device.
     *
     * @param layer a layer with running statistics
     * @throws IllegalArgumentException for a layer without running statistics, numbers that are not finite, or a
     *     variance that is not above 0 with ε
     * @throws IllegalStateException when the layer is closed
     */
    public static Folding of(BatchNorm layer) {
        Objects.requireNonNull(layer, "layer");
        Tensor mean = layer.runningMean()
                .orElseThrow(() -> new IllegalArgumentException(
                        "Folding needs running statistics, but the layer keeps none (RunningAverage.none()): what it"
                                + " subtracts differs from batch to batch"));
        return new Folding(
                layer.gamma().map(Parameter::value).map(Tensor::download).orElse(null),
                layer.beta().map(Parameter::value).map(Tensor::download).orElse(null),
                mean.download(),
                layer.runningVariance().orElseThrow().download(),
                layer.epsilon(),
                layer.activation());
    }

    /** How many channels are normalized, C. */
    public int channels() {
        return mean.length;
    }

    /** The activation that is to be applied after what is folded: the normalization's own, if it has one. */
    public Activation activation() {
        return activation;
    }

    /** The normalization by itself: y = scale·x + shift. */
    public ScaleShift scaleShift() {
        float[] scale = new float[channels()];
        float[] shift = new float[channels()];
        Worst worst = new Worst();
        for (int c = 0; c < channels(); c++) {
            scale[c] = (float) scale(c);
            shift[c] = (float) normalized(0, c);
            for (int k = -FARTHEST_PROBE; k <= FARTHEST_PROBE; k++) {
                double x = mean[c] + k * deviation[c];
                worst.add(scale[c] * x + shift[c], normalized(x, c));
            }
        }
        return new ScaleShift(scale, shift, worst.relative());
    }

    /**
     * Folds the normalization into the layer whose output is normalized: weight' = weight·scale for each output, bias'
     * = (bias − running mean)·scale + β. Padding, stride, dilation and groups are as before. An output's probes are the
     * smallest inputs (in the Euclidean norm) at which it is mean + k·σ before the normalization.
     *
     * @param layer a layer with C outputs: linear, or a convolution, transposed or not
     * @throws IllegalArgumentException for another number of outputs
     */
    public Folded intoPreceding(Weights layer) {
        Objects.requireNonNull(layer, "layer");
        Rows rows = outputs(layer);
        Weights folded = scaledOutputs(layer, rows);
        double[] square = new double[channels()];
        for (int c = 0; c < channels(); c++) {
            for (int i = 0; i < rows.length(); i++) {
                double w = layer.weight()[rows.index(c, i)];
                square[c] += w * w;
            }
        }
        Worst worst = new Worst();
        for (int k = -FARTHEST_PROBE; k <= FARTHEST_PROBE; k++) {
            double distance = k;
            probePreceding(layer, folded, rows, worst, (c, i) -> {
                double wanted = mean[c] + distance * deviation[c] - layer.biasOf(c);
                return square[c] == 0 ? 0 : wanted / square[c] * layer.weight()[rows.index(c, i)];
            });
        }
        return new Folded(folded, worst.relative());
    }

    /**
     * Folds the normalization into the layer whose output is normalized, as {@link #intoPreceding(Weights)} does, with
     * the caller's probes.
     *
     * @param layer a layer with C outputs: linear, or a convolution, transposed or not
     * @param probes inputs of the layer, one after another, each of the (in/groups, k...) elements that one output is
     *     made from; every output gets each
     * @throws IllegalArgumentException for another number of outputs, no probes, or a part of one
     */
    public Folded intoPreceding(Weights layer, float[] probes) {
        Objects.requireNonNull(layer, "layer");
        Rows rows = outputs(layer);
        checkProbes(probes, rows.length());
        Weights folded = scaledOutputs(layer, rows);
        Worst worst = new Worst();
        for (int probe = 0; probe < probes.length; probe += rows.length()) {
            int first = probe;
            probePreceding(layer, folded, rows, worst, (c, i) -> probes[first + i]);
        }
        return new Folded(folded, worst.relative());
    }

    /**
     * Folds the normalization into the layer that takes what is normalized: weight' = weight·scale for each input,
     * bias' = bias + Σ weight·shift. Stride, dilation and groups are as before. In a probe all inputs lie k standard
     * deviations from their means.
     *
     * @param layer a linear layer of C inputs or a convolution of C channels. A linear layer of C·S inputs, after
     *     channels-first planes of S elements were flattened, is given with the shape (out, C, S)
     * @param padding the layer's, which must be none: zeros around y stand for x = −shift/scale there, but around the
     *     folded layer's input for x = 0, so that the border of its output would differ
     * @throws IllegalArgumentException for padding, another number of inputs, a transposed convolution (the outputs at
     *     whose border miss some weights, and so a part of the shift), or an activation in between
     */
    public Folded intoFollowing(Weights layer, Padding padding) {
        Objects.requireNonNull(layer, "layer");
        Rows rows = inputs(layer, padding);
        Weights folded = scaledInputs(layer, rows);
        Worst worst = new Worst();
        for (int k = -FARTHEST_PROBE; k <= FARTHEST_PROBE; k++) {
            double distance = k;
            probeFollowing(layer, folded, rows, worst, (o, i) -> {
                int c = rows.channel(o, i);
                return mean[c] + distance * deviation[c];
            });
        }
        return new Folded(folded, worst.relative());
    }

    /**
     * Folds the normalization into the layer that takes what is normalized, as {@link #intoFollowing(Weights, Padding)}
     * does, with the caller's probes.
     *
     * @param layer a linear layer of C inputs or a convolution of C channels. A linear layer of C·S inputs, after
     *     channels-first planes of S elements were flattened, is given with the shape (out, C, S)
     * @param padding the layer's, which must be none
     * @param probes inputs of the normalization, one after another, each of the (C, k...) elements that one position of
     *     the layer's output is made from
     * @throws IllegalArgumentException as {@link #intoFollowing(Weights, Padding)}, and for no probes or a part of one
     */
    public Folded intoFollowing(Weights layer, Padding padding, float[] probes) {
        Objects.requireNonNull(layer, "layer");
        Rows rows = inputs(layer, padding);
        int taps = layer.taps();
        checkProbes(probes, channels() * taps);
        Weights folded = scaledInputs(layer, rows);
        Worst worst = new Worst();
        for (int probe = 0; probe < probes.length; probe += channels() * taps) {
            int first = probe;
            probeFollowing(layer, folded, rows, worst, (o, i) -> probes[first + rows.channel(o, i) * taps + i % taps]);
        }
        return new Folded(folded, worst.relative());
    }

    private double scale(int channel) {
        return gamma[channel] / deviation[channel];
    }

    /** The normalized x, y. At x = 0 it is the shift. */
    private double normalized(double x, int channel) {
        return (x - mean[channel]) * scale(channel) + beta[channel];
    }

    private Weights scaledOutputs(Weights layer, Rows rows) {
        float[] weight = new float[layer.weight().length];
        float[] bias = new float[channels()];
        for (int c = 0; c < channels(); c++) {
            for (int i = 0; i < rows.length(); i++) {
                int index = rows.index(c, i);
                weight[index] = (float) (layer.weight()[index] * scale(c));
            }
            bias[c] = (float) normalized(layer.biasOf(c), c);
        }
        return layer.with(weight, bias);
    }

    private Weights scaledInputs(Weights layer, Rows rows) {
        float[] weight = new float[layer.weight().length];
        float[] bias = new float[rows.count()];
        for (int o = 0; o < rows.count(); o++) {
            double sum = layer.biasOf(o);
            for (int i = 0; i < rows.length(); i++) {
                int index = rows.index(o, i);
                int c = rows.channel(o, i);
                weight[index] = (float) (layer.weight()[index] * scale(c));
                sum += layer.weight()[index] * normalized(0, c);
            }
            bias[o] = (float) sum;
        }
        return layer.with(weight, bias);
    }

    /** What output {@code o} gets for its weight {@code i}. */
    private interface Input {
        double at(int o, int i);
    }

    private void probePreceding(Weights layer, Weights folded, Rows rows, Worst worst, Input input) {
        for (int c = 0; c < rows.count(); c++) {
            double before = layer.biasOf(c);
            double after = folded.biasOf(c);
            for (int i = 0; i < rows.length(); i++) {
                int index = rows.index(c, i);
                double x = input.at(c, i);
                before += layer.weight()[index] * x;
                after += folded.weight()[index] * x;
            }
            worst.add(after, normalized(before, c));
        }
    }

    private void probeFollowing(Weights layer, Weights folded, Rows rows, Worst worst, Input input) {
        for (int o = 0; o < rows.count(); o++) {
            double before = layer.biasOf(o);
            double after = folded.biasOf(o);
            for (int i = 0; i < rows.length(); i++) {
                int index = rows.index(o, i);
                double x = input.at(o, i);
                before += layer.weight()[index] * normalized(x, rows.channel(o, i));
                after += folded.weight()[index] * x;
            }
            worst.add(after, before);
        }
    }

    /** The rows of a layer before the normalization, each of which makes one channel of what is normalized. */
    private Rows outputs(Weights layer) {
        long[] shape = layer.shape();
        if (!layer.transposed()) {
            if (shape[0] != channels()) {
                throw new IllegalArgumentException("The layer before a normalization of " + channels()
                        + " channels must have as many outputs, but given were " + layer);
            }
            return Rows.of(layer, 1);
        }
        long groups = channels() / shape[1];
        if (channels() % shape[1] != 0 || shape[0] % groups != 0) {
            throw new IllegalArgumentException("The transposed convolution before a normalization of " + channels()
                    + " channels must have the shape (in, " + channels()
                    + "/groups, k...) with groups that divide in, but given were " + layer);
        }
        if (layer.bias() != null && layer.bias().length != channels()) {
            throw new IllegalArgumentException("The bias of the layer before a normalization of " + channels()
                    + " channels must have as many elements, but given were " + layer.bias().length);
        }
        return Rows.ofTransposed(layer, (int) groups);
    }

    /** The rows of a layer after the normalization, each of which makes one of its outputs. */
    private Rows inputs(Weights layer, Padding padding) {
        if (Objects.requireNonNull(padding, "padding") != Padding.NONE) {
            throw new IllegalArgumentException("The convolution after a normalization cannot take it in when it pads"
                    + " with zeros: they are put around y, where they stand for x = -shift/scale and not for x = 0,"
                    + " so that the border of the output would differ");
        }
        if (activation != Activation.NONE) {
            throw new IllegalArgumentException("The layer after a normalization cannot take it in when there is an"
                    + " activation in between, but the normalization's own is " + activation);
        }
        if (layer.transposed()) {
            throw new IllegalArgumentException("A transposed convolution cannot take in the normalization before it:"
                    + " the outputs at its border miss some weights, and so a part of the shift; given were " + layer);
        }
        long[] shape = layer.shape();
        long groups = channels() / shape[1];
        if (channels() % shape[1] != 0 || shape[0] % groups != 0) {
            throw new IllegalArgumentException("The layer after a normalization of " + channels()
                    + " channels must have the shape (out, " + channels()
                    + "/groups, k...) with groups that divide out, but given were " + layer);
        }
        return Rows.of(layer, (int) groups);
    }

    private static void checkProbes(float[] probes, int length) {
        if (Objects.requireNonNull(probes, "probes").length == 0 || probes.length % length != 0) {
            throw new IllegalArgumentException("probes must be one or more of " + length
                    + " elements each, but given were " + probes.length + " elements");
        }
    }

    /** The largest difference so far, and the largest magnitude. */
    private static final class Worst {
        private double difference;
        private double magnitude;

        void add(double folded, double unfolded) {
            difference = Math.max(difference, Math.abs(folded - unfolded)); // NaN stays
            magnitude = Math.max(magnitude, Math.abs(unfolded));
        }

        double relative() {
            return difference == 0 ? 0 : difference / magnitude;
        }
    }

    /** How many channels are normalized, and with which activation. */
    @Override
    public String toString() {
        return "folding of a batch normalization of " + channels() + " channels, activation " + activation();
    }
}
