package org.clnorm.reference;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Arrays;
import org.clnorm.Activation;
import org.clnorm.ChannelMoments;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.GradientSums;
import org.clnorm.Layout;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Moments;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization.Statistics;

/**
 * The device for people without OpenCL: float32 memory on the heap, work done by {@link ReferenceNormalization} in double and
 * rounded once to float32. A pass reads all its operands before it writes any, so that every operand may share memory
 * with every other. All is done when a call returns; calls exclude each other.
 */
public final class ReferenceBackend implements Backend {
    /** The longest array that every common virtual machine can make. */
    private static final long MAX_ELEMENTS = Integer.MAX_VALUE - 8;

    private boolean closed;

    /** A device of its own; its memory cannot be used with another. */
    public ReferenceBackend() {}

    @Override
    public DeviceInfo info() {
        return new DeviceInfo(
                DeviceInfo.Kind.REFERENCE,
                "clnorm",
                "CPU reference",
                "Java " + Runtime.version(),
                Math.min(MAX_ELEMENTS * Float.BYTES, Runtime.getRuntime().maxMemory()),
                "reference");
    }

    @Override
    public synchronized Memory allocate(long elements, DataType type) {
        checkOpen();
        if (elements < 0 || elements > MAX_ELEMENTS) {
            throw new IllegalArgumentException("The CPU reference holds 0 to " + MAX_ELEMENTS
                    + " elements in one piece, but asked for were " + elements);
        }
        return new HeapMemory(this, (int) elements);
    }

    /** {@inheritDoc} The position of {@code from} stays where it is. */
    @Override
    public synchronized void write(Operand to, FloatBuffer from) {
        FloatBuffer source = from.duplicate();
        Slice slice = slice(to, source.remaining());
        source.get(slice.array, slice.offset, slice.count);
    }

    /** {@inheritDoc} The position of {@code to} stays where it is. */
    @Override
    public synchronized void read(Operand from, FloatBuffer to) {
        FloatBuffer target = to.duplicate();
        Slice slice = slice(from, target.remaining());
        target.put(slice.array, slice.offset, slice.count);
    }

    /** {@inheritDoc} Elements are kept as the float32 values that they stand for. */
    @Override
    public synchronized void write(Operand to, ShortBuffer from) {
        Slice slice = slice(to, from.remaining());
        to.type().half().decode(from, FloatBuffer.wrap(slice.array, slice.offset, slice.count));
    }

    @Override
    public synchronized void read(Operand from, ShortBuffer to) {
        Slice slice = slice(from, to.remaining());
        from.type().half().encode(FloatBuffer.wrap(slice.array, slice.offset, slice.count), to);
    }

    @Override
    public synchronized void fill(Operand to, long count, float given) {
        float value = to.type().round(given);
        Slice slice = slice(to, count);
        Arrays.fill(slice.array, slice.offset, slice.offset + slice.count, value);
    }

    @Override
    public synchronized void copy(Operand from, Operand to, long count) {
        Slice source = slice(from, count);
        Slice target = slice(to, count);
        System.arraycopy(source.array, source.offset, target.array, target.offset, source.count);
    }

    @Override
    public synchronized void finish() {
        checkOpen();
    }

    @Override
    public synchronized SavedStatistics newSavedStatistics(int groups) {
        checkOpen();
        return new DoubleStatistics(this, groups);
    }

    @Override
    public SavedStatistics newSavedStatistics(Normalization normalization, Shape shape, Layout layout) {
        return newSavedStatistics(Math.toIntExact(normalization.grouping().groups(shape, layout)));
    }

    @Override
    public synchronized void forward(ForwardTraining pass) {
        long elements = pass.shape().elements();
        DoubleStatistics saved = statistics(pass.saved());
        ReferenceNormalization normalization =
                new ReferenceNormalization(pass.normalization(), pass.shape(), pass.layout());
        double[] x = load(pass.x(), elements);
        double[] gamma = load(pass.gamma(), normalization.affineElements());
        double[] beta = load(pass.beta(), normalization.affineElements());
        Running running = pass.running() == null ? null : load(pass.running(), pass.shape());
        Statistics statistics = normalization.statistics(x, pass.epsilon(), running);
        double[] y =
                normalization.normalize(x, load(pass.residual(), elements), pass.activation(), gamma, beta, statistics);
        normalization.checkFinite(pass.policy(), statistics);
        if (running != null) {
            RunningStatistics to = pass.running();
            Running updated =
                    normalization.updateRunning(running, statistics, to.average(), to.estimate(), pass.policy());
            store(updated, to);
        }
        saved.set(statistics, gamma, beta);
        store(y, pass.y());
    }

    @Override
    public synchronized void forward(ForwardInference pass) {
        long elements = pass.shape().elements();
        long channels = pass.shape().channels();
        DoubleStatistics saved = statistics(pass.saved());
        ReferenceNormalization normalization =
                ReferenceNormalization.ofGivenStatistics(pass.normalization(), pass.shape(), pass.layout());
        double[] gamma = load(pass.gamma(), normalization.affineElements());
        double[] beta = load(pass.beta(), normalization.affineElements());
        Statistics statistics = normalization.given(
                load(pass.mean(), channels),
                ReferenceBatchNorm.inverseStandardDeviation(load(pass.variance(), channels), pass.epsilon()));
        double[] y = normalization.normalize(
                load(pass.x(), elements), load(pass.residual(), elements), pass.activation(), gamma, beta, statistics);
        saved.set(statistics, gamma, beta);
        store(y, pass.y());
    }

    @Override
    public synchronized void backward(Backward pass) {
        long elements = pass.shape().elements();
        DoubleStatistics saved = statistics(pass.saved());
        saved.checkFilled();
        ReferenceNormalization normalization = pass.frozen()
                ? ReferenceNormalization.ofGivenStatistics(pass.normalization(), pass.shape(), pass.layout())
                : new ReferenceNormalization(pass.normalization(), pass.shape(), pass.layout());
        double[] x = load(pass.x(), elements);
        double[] y = load(pass.y(), elements);
        if (y == null && pass.activation() != Activation.NONE) {
            y = normalization.normalize(x, null, pass.activation(), saved.gamma, saved.beta, saved.statistics);
        }
        Gradients gradients = normalization.backward(
                load(pass.dy(), elements), x, y, pass.activation(), saved.gamma, saved.statistics);
        double[] dgamma = accumulated(pass.accumulate(), gradients.dgamma(), pass.dgamma());
        double[] dbeta = accumulated(pass.accumulate(), gradients.dbeta(), pass.dbeta());
        store(gradients.dx(), pass.dx());
        store(gradients.dresidual(), pass.dresidual());
        store(dgamma, pass.dgamma());
        store(dbeta, pass.dbeta());
    }

    @Override
    public synchronized ChannelMoments moments(ReduceForward pass) {
        Moments moments = ReferenceBatchNorm.moments(
                pass.shape(), pass.layout(), load(pass.x(), pass.shape().elements()));
        long count = pass.shape().batch() * pass.shape().spatial();
        double[] squares = Arrays.stream(moments.variance()).map(v -> v * count).toArray();
        return new ChannelMoments(count, moments.mean(), squares);
    }

    @Override
    public synchronized void forward(ForwardCombined pass) {
        long elements = pass.shape().elements();
        long channels = pass.shape().channels();
        ChannelMoments moments = pass.moments();
        double[] mean = moments.mean();
        double[] variance = moments.variance(RunningVariance.BIASED);
        DoubleStatistics saved = statistics(pass.saved());
        ReferenceNormalization normalization =
                new ReferenceNormalization(Normalization.BATCH, pass.shape(), pass.layout());
        double[] gamma = load(pass.gamma(), channels);
        double[] beta = load(pass.beta(), channels);
        Statistics statistics =
                normalization.given(mean, ReferenceBatchNorm.inverseStandardDeviation(variance, pass.epsilon()));
        double[] y = normalization.normalize(
                load(pass.x(), elements), load(pass.residual(), elements), pass.activation(), gamma, beta, statistics);
        if (pass.running() != null) {
            RunningStatistics to = pass.running();
            Running updated = ReferenceBatchNorm.updateRunning(
                    load(to, pass.shape()),
                    mean,
                    variance,
                    moments.count(),
                    to.average(),
                    to.estimate(),
                    pass.policy());
            store(updated, to);
        }
        saved.set(statistics, gamma, beta);
        store(y, pass.y());
    }

    @Override
    public synchronized GradientSums gradientSums(ReduceBackward pass) {
        DoubleStatistics saved = statistics(pass.saved());
        saved.checkFilled();
        ReferenceNormalization normalization =
                new ReferenceNormalization(Normalization.BATCH, pass.shape(), pass.layout());
        double[] x = load(pass.x(), pass.shape().elements());
        double[] masked = masked(normalization, pass.dy(), x, pass.y(), pass.activation(), saved);
        double[] dy = new double[normalization.groups()];
        double[] dyx = new double[normalization.groups()];
        for (int i = 0; i < x.length; i++) {
            int c = normalization.groupOf(i);
            dy[c] += masked[i];
            dyx[c] += masked[i] * (x[i] - saved.statistics.mean()[c]);
        }
        return new GradientSums(pass.shape().batch() * pass.shape().spatial(), dy, dyx);
    }

    @Override
    public synchronized void backward(BackwardCombined pass) {
        DoubleStatistics saved = statistics(pass.saved());
        saved.checkFilled();
        ReferenceNormalization normalization =
                new ReferenceNormalization(Normalization.BATCH, pass.shape(), pass.layout());
        double[] x = load(pass.x(), pass.shape().elements());
        double[] masked = masked(normalization, pass.dy(), x, pass.y(), pass.activation(), saved);
        double[] mean = saved.statistics.mean();
        double[] invstd = saved.statistics.inverseStandardDeviation();
        double m = pass.all().count();
        double[] sum = pass.all().dy();
        double[] product = pass.all().dyx();
        double[] dx = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            int c = normalization.groupOf(i);
            double normalized = (x[i] - mean[c]) * invstd[c];
            double scale = saved.gamma == null ? invstd[c] : saved.gamma[c] * invstd[c];
            dx[i] = scale * (masked[i] - sum[c] / m - normalized * (product[c] * invstd[c]) / m);
        }
        double[] ownProduct = pass.own().dyx();
        Arrays.setAll(ownProduct, c -> ownProduct[c] * invstd[c]);
        double[] dgamma = accumulated(pass.accumulate(), ownProduct, pass.dgamma());
        double[] dbeta = accumulated(pass.accumulate(), pass.own().dy(), pass.dbeta());
        store(dx, pass.dx());
        store(masked, pass.dresidual());
        store(dgamma, pass.dgamma());
        store(dbeta, pass.dbeta());
    }

    /** dy where the activation let its input through, else 0. */
    private double[] masked(
            ReferenceNormalization normalization,
            Operand dy,
            double[] x,
            Operand y,
            Activation activation,
            DoubleStatistics saved) {
        double[] masked = load(dy, x.length);
        if (activation != Activation.NONE) {
            double[] output = y != null
                    ? load(y, x.length)
                    : normalization.normalize(x, null, activation, saved.gamma, saved.beta, saved.statistics);
            Arrays.setAll(masked, i -> output[i] <= 0 ? 0 : masked[i]);
        }
        return masked;
    }

    private double[] accumulated(boolean accumulate, double[] gradient, Operand to) {
        if (!accumulate || to == null) {
            return gradient;
        }
        double[] sum = load(to, gradient.length);
        Arrays.setAll(sum, i -> sum[i] + gradient[i]);
        return sum;
    }

    /** Harmless when done twice. */
    @Override
    public synchronized void close() {
        closed = true;
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("The CPU reference device is closed");
        }
    }

    private Running load(RunningStatistics from, Shape shape) {
        return new Running(
                load(from.mean(), shape.channels()),
                load(from.variance(), shape.channels()),
                load(from.absorbed(), shape.channels()));
    }

    private void store(Running values, RunningStatistics to) {
        store(values.mean(), to.mean());
        store(values.variance(), to.variance());
        store(values.absorbed(), to.absorbed());
    }

    /** Null for null: an operand that was not given. */
    private double[] load(Operand from, long count) {
        if (from == null) {
            return null;
        }
        Slice slice = slice(from, count);
        double[] values = new double[slice.count];
        for (int i = 0; i < values.length; i++) {
            values[i] = slice.array[slice.offset + i];
        }
        return values;
    }

    /** Does nothing for null: an operand that was not asked for. */
    private void store(double[] values, Operand to) {
        if (to == null) {
            return;
        }
        Slice slice = slice(to, values.length);
        for (int i = 0; i < values.length; i++) {
            slice.array[slice.offset + i] = to.type().round((float) values[i]);
        }
    }

    private record Slice(float[] array, int offset, int count) {}

    private Slice slice(Operand operand, long count) {
        checkOpen();
        if (!(operand.memory() instanceof HeapMemory memory) || memory.owner != this) {
            throw new IllegalArgumentException(
                    "The memory must be this CPU reference device's, but given was " + operand.memory());
        }
        float[] array = memory.array();
        if (operand.offset() < 0 || count < 0 || operand.offset() > array.length - count) {
            throw new IllegalArgumentException("Elements " + operand.offset() + " to " + (operand.offset() + count)
                    + " (exclusive) were asked for, but the memory holds " + array.length);
        }
        return new Slice(array, (int) operand.offset(), (int) count);
    }

    private DoubleStatistics statistics(SavedStatistics saved) {
        checkOpen();
        if (!(saved instanceof DoubleStatistics statistics) || statistics.owner != this) {
            throw new IllegalArgumentException(
                    "The saved statistics must be this CPU reference device's, but given was " + saved);
        }
        return statistics;
    }

    private static final class HeapMemory implements Memory {
        private final ReferenceBackend owner;
        private final int elements;
        private float[] array;

        HeapMemory(ReferenceBackend owner, int elements) {
            this.owner = owner;
            this.elements = elements;
            array = new float[elements];
        }

        float[] array() {
            float[] open = array;
            if (open == null) {
                throw new IllegalStateException("The memory of " + elements + " elements is closed");
            }
            return open;
        }

        @Override
        public long elements() {
            return elements;
        }

        /** {@inheritDoc} It waits for a call that is using it. */
        @Override
        public void close() {
            synchronized (owner) {
                array = null;
            }
        }
    }

    /** Keeps γ and β too, so that the backward pass finds the very pre-activations of the forward pass. */
    private static final class DoubleStatistics implements SavedStatistics {
        private final ReferenceBackend owner;
        private final int groups;
        private final Operand roundedMean;
        private final Operand roundedInverseStandardDeviation;
        private Statistics statistics;
        private double[] gamma;
        private double[] beta;

        DoubleStatistics(ReferenceBackend owner, int groups) {
            this.owner = owner;
            this.groups = groups;
            roundedMean = new Operand(owner.allocate(groups), 0);
            roundedInverseStandardDeviation = new Operand(owner.allocate(groups), 0);
        }

        /** Given statistics are per channel, and an empty batch may have no room for those. */
        void set(Statistics statistics, double[] gamma, double[] beta) {
            if (statistics.mean().length <= groups) {
                owner.store(statistics.mean(), roundedMean);
                owner.store(statistics.inverseStandardDeviation(), roundedInverseStandardDeviation);
            }
            this.statistics = statistics;
            this.gamma = gamma;
            this.beta = beta;
        }

        @Override
        public int groups() {
            return groups;
        }

        @Override
        public Operand mean() {
            return roundedMean;
        }

        @Override
        public Operand inverseStandardDeviation() {
            return roundedInverseStandardDeviation;
        }

        void checkFilled() {
            if (statistics == null) {
                throw new IllegalStateException("The saved statistics are those of no forward pass, or are closed");
            }
        }

        @Override
        public void close() {
            synchronized (owner) {
                roundedMean.memory().close();
                roundedInverseStandardDeviation.memory().close();
                statistics = null;
            }
        }
    }
}
