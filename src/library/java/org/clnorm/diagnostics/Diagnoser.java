package org.clnorm.diagnostics;

import java.util.Objects;
import java.util.Optional;
import org.clnorm.BatchNorm;
import org.clnorm.Layout;
import org.clnorm.Parameter;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks into one layer in training every so many steps:
 *
 * <pre>{@code
 * Diagnoser diagnoser = Diagnoser.every(100).named("block 3");
 * ...
 * norm.forward(x, y);
 * diagnoser.observe(norm, y).ifPresent(...);
 * }</pre>
 *
 * <p>A step that is looked into waits for the device, downloads y, the parameters and the statistics, and counts on the
 * host. It logs a line, at INFO or, where something is dead or not finite, at WARN. The steps between cost a counter,
 * and those of one that is off not even that. A diagnoser is used by one thread at a time.
 */
public final class Diagnoser {
    private static final Logger log = LoggerFactory.getLogger(Diagnoser.class);

    private static final double SMALL_GAMMA = 0.01;

    private final long interval;
    private final String name;
    private final double smallGamma;
    private long step;

    private Diagnoser(long interval, String name, double smallGamma) {
        this.interval = interval;
        this.name = name;
        this.smallGamma = smallGamma;
    }

    /** A diagnoser that never looks. */
    public static Diagnoser off() {
        return every(0);
    }

    /**
     * A diagnoser that looks at every so many steps, the first time after as many.
     *
     * @param steps how many forward passes there are from one look to the next, at least 1; 0 for none ever
     * @throws IllegalArgumentException for a negative number
     */
    public static Diagnoser every(long steps) {
        if (steps < 0) {
            throw new IllegalArgumentException(
                    "The steps between two diagnoses must be 0, for none, or more, but given was " + steps);
        }
        return new Diagnoser(steps, "batch normalization", SMALL_GAMMA);
    }

    /**
     * A new diagnoser with the same settings, whose layer has a name in the log. Its steps are counted from 0.
     *
     * @param name the layer's name, for people
     */
    public Diagnoser named(String name) {
        return new Diagnoser(interval, Objects.requireNonNull(name, "name"), smallGamma);
    }

    /**
     * A new diagnoser with the same settings, for which a |γ| below a bound is small; 0.01 unless said. Its steps are
     * counted from 0.
     *
     * @param smallGamma the bound, at least 0
     * @throws IllegalArgumentException for a negative number or NaN
     */
    public Diagnoser smallGamma(double smallGamma) {
        if (!(smallGamma >= 0)) {
            throw new IllegalArgumentException("smallGamma must be at least 0, but given was " + smallGamma);
        }
        return new Diagnoser(interval, name, smallGamma);
    }

    /** Whether the diagnoser ever looks. */
    public boolean isOn() {
        return interval > 0;
    }

    /**
     * Counts a step, and looks into the layer when it is time; to be called after each forward pass in training.
     *
     * @param layer the layer whose forward pass it was
     * @param y what the pass wrote, of shape (N, C, spatial...); where a ReLU of one's own comes after it, that ReLU's
     *     output
     * @return what there was to see, in those steps in which it looks
     * @throws IllegalStateException for a layer in evaluation mode, one whose last pass had several virtual batches, or
     *     one that is closed, in those steps
     * @throws IllegalArgumentException for a y with another number of channels, in those steps
     */
    public Optional<Diagnostics> observe(BatchNorm layer, Tensor y) {
        if (interval == 0 || ++step % interval != 0) {
            return Optional.empty();
        }
        Objects.requireNonNull(layer, "layer");
        Objects.requireNonNull(y, "y");
        Diagnostics diagnostics = diagnostics(layer, y);
        if (diagnostics.isHealthy()) {
            log.info("{}", diagnostics);
        } else {
            log.warn("{}", diagnostics);
        }
        return Optional.of(diagnostics);
    }

    private Diagnostics diagnostics(BatchNorm layer, Tensor y) {
        if (!layer.isTraining()) {
            throw new IllegalStateException(
                    "Diagnostics are of a forward pass in training, but the layer is in" + " evaluation mode");
        }
        int channels = (int) layer.savedMean().shape().elements();
        if (y.shape().rank() < 2 || y.shape().channels() != channels) {
            throw new IllegalArgumentException(
                    "y must have the layer's " + channels + " channels, but given was " + y.shape());
        }
        float[] mean = layer.savedMean().download();
        float[] invstd = layer.savedInverseStandardDeviation().download();
        float[] runningMean = downloaded(layer.runningMean());
        float[] runningVariance = downloaded(layer.runningVariance());
        float[] gamma = downloaded(layer.gamma().map(Parameter::value));
        float[] beta = downloaded(layer.beta().map(Parameter::value));

        double[] meanDistance = new double[runningMean.length];
        double[] deviationLogRatio = new double[runningMean.length];
        for (int c = 0; c < runningMean.length; c++) {
            double deviation = Math.sqrt(runningVariance[c] + layer.epsilon());
            meanDistance[c] = finite(Math.abs((double) mean[c] - runningMean[c]) / deviation);
            deviationLogRatio[c] = finite(-Math.log(invstd[c] * deviation));
        }
        Counts counts = new Counts(channels);
        counts.add(y.download(), y.shape(), y.layout());
        return new Diagnostics(
                name,
                step,
                meanDistance,
                deviationLogRatio,
                counts.zeroShare(y.shape()),
                counts.nonFinite,
                widened(gamma),
                smallGamma,
                nonFinite(gamma) + nonFinite(beta),
                nonFinite(runningMean) + nonFinite(runningVariance));
    }

    /** The numbers of zeros and of what is not finite, by channel. */
    private static final class Counts {
        private final long[] zeros;
        private final long[] nonFinite;

        Counts(int channels) {
            zeros = new long[channels];
            nonFinite = new long[channels];
        }

        void add(float[] values, Shape shape, Layout layout) {
            int channels = zeros.length;
            // Elements of one channel side by side: a plane, or one.
            int run = layout == Layout.CHANNELS_LAST ? 1 : (int) shape.spatial();
            int channel = 0;
            for (int first = 0; first < values.length; first += run) {
                for (int i = first; i < first + run; i++) {
                    zeros[channel] += values[i] == 0 ? 1 : 0;
                    nonFinite[channel] += Float.isFinite(values[i]) ? 0 : 1;
                }
                channel = channel + 1 == channels ? 0 : channel + 1;
            }
        }

        double[] zeroShare(Shape shape) {
            double[] shares = new double[zeros.length];
            for (int c = 0; c < shares.length; c++) {
                shares[c] = zeros[c] == 0 ? 0 : (double) zeros[c] / (shape.batch() * shape.spatial());
            }
            return shares;
        }
    }

    private static float[] downloaded(Optional<Tensor> tensor) {
        return tensor.map(Tensor::download).orElse(new float[0]);
    }

    private static double finite(double value) {
        return Double.isFinite(value) ? value : Double.NaN;
    }

    private static int nonFinite(float[] values) {
        int count = 0;
        for (float value : values) {
            count += Float.isFinite(value) ? 0 : 1;
        }
        return count;
    }

    private static double[] widened(float[] values) {
        double[] wide = new double[values.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }

    /** The diagnoser's name and when it looks. */
    @Override
    public String toString() {
        return "diagnoser of " + name + (isOn() ? ", every " + interval + " steps" : ", off");
    }
}
