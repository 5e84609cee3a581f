package org.clnorm.reference;

import java.nio.FloatBuffer;
import java.util.Arrays;
import org.clnorm.Activation;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;

/**
 * The device for people without OpenCL: float32 memory on the heap, work done by {@link ReferenceBatchNorm} in double and
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
    public synchronized Memory allocate(long elements) {
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

    @Override
    public synchronized void fill(Operand to, long count, float value) {
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
        Shape shape = pass.shape();
        DoubleStatistics saved = statistics(pass.saved());
        double[] gamma = loadPerChannel(pass.gamma(), shape);
        double[] beta = loadPerChannel(pass.beta(), shape);
        ReferenceBatchNorm.Forward result = ReferenceBatchNorm.forwardTraining(
                shape,
                pass.layout(),
                load(pass.x(), shape.elements()),
                load(pass.residual(), shape.elements()),
                pass.activation(),
                gamma,
                beta,
                pass.epsilon());
        ReferenceBatchNorm.Moments moments = new ReferenceBatchNorm.Moments(result.mean(), result.variance());
        ReferenceBatchNorm.checkFinite(pass.policy(), moments);
        if (pass.running() != null) {
            updateRunning(pass, pass.running(), moments);
        }
        saved.set(result.mean(), result.inverseStandardDeviation(), gamma, beta);
        store(result.y(), pass.y());
    }

    private void updateRunning(ForwardTraining pass, RunningStatistics to, ReferenceBatchNorm.Moments moments) {
        ReferenceBatchNorm.Running running = ReferenceBatchNorm.updateRunning(
                new ReferenceBatchNorm.Running(
                        loadPerChannel(to.mean(), pass.shape()),
                        loadPerChannel(to.variance(), pass.shape()),
                        loadPerChannel(to.absorbed(), pass.shape())),
                moments.mean(),
                moments.variance(),
                pass.shape().batch() * pass.shape().spatial(),
                to.average(),
                to.estimate(),
                pass.policy());
        store(running.mean(), to.mean());
        store(running.variance(), to.variance());
        store(running.absorbed(), to.absorbed());
    }

    @Override
    public synchronized void forward(ForwardInference pass) {
        Shape shape = pass.shape();
        DoubleStatistics saved = statistics(pass.saved());
        double[] gamma = loadPerChannel(pass.gamma(), shape);
        double[] beta = loadPerChannel(pass.beta(), shape);
        double[] mean = loadPerChannel(pass.mean(), shape);
        double[] invstd =
                ReferenceBatchNorm.inverseStandardDeviation(loadPerChannel(pass.variance(), shape), pass.epsilon());
        double[] y = ReferenceBatchNorm.normalize(
                shape,
                pass.layout(),
                load(pass.x(), shape.elements()),
                load(pass.residual(), shape.elements()),
                pass.activation(),
                gamma,
                beta,
                mean,
                invstd);
        saved.set(mean, invstd, gamma, beta);
        store(y, pass.y());
    }

    @Override
    public synchronized void backward(Backward pass) {
        Shape shape = pass.shape();
        DoubleStatistics saved = statistics(pass.saved());
        saved.checkFilled();
        double[] x = load(pass.x(), shape.elements());
        ReferenceBatchNorm.Gradients gradients = ReferenceBatchNorm.backward(
                shape,
                pass.layout(),
                pass.frozen(),
                load(pass.dy(), shape.elements()),
                x,
                output(pass, x, saved),
                pass.activation(),
                saved.gamma,
                saved.mean,
                saved.inverseStandardDeviation);
        double[] dgamma = accumulated(pass, gradients.dgamma(), pass.dgamma());
        double[] dbeta = accumulated(pass, gradients.dbeta(), pass.dbeta());
        store(gradients.dx(), pass.dx());
        store(gradients.dresidual(), pass.dresidual());
        store(dgamma, pass.dgamma());
        store(dbeta, pass.dbeta());
    }

    /** The forward pass's output, made again where it was not given; null where no activation asks for it. */
    private double[] output(Backward pass, double[] x, DoubleStatistics saved) {
        if (pass.activation() == Activation.NONE) {
            return null;
        }
        if (pass.y() != null) {
            return load(pass.y(), pass.shape().elements());
        }
        return ReferenceBatchNorm.normalize(
                pass.shape(),
                pass.layout(),
                x,
                null,
                pass.activation(),
                saved.gamma,
                saved.beta,
                saved.mean,
                saved.inverseStandardDeviation);
    }

    private double[] accumulated(Backward pass, double[] gradient, Operand to) {
        if (!pass.accumulate() || to == null) {
            return gradient;
        }
        double[] sum = loadPerChannel(to, pass.shape());
        Arrays.setAll(sum, c -> sum[c] + gradient[c]);
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

    private double[] loadPerChannel(Operand from, Shape shape) {
        return load(from, shape.channels());
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
            slice.array[slice.offset + i] = (float) values[i];
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
        private volatile float[] array;

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

        @Override
        public void close() {
            array = null;
        }
    }

    /** Keeps γ and β too, so that the backward pass finds the very pre-activations of the forward pass. */
    private static final class DoubleStatistics implements SavedStatistics {
        private final ReferenceBackend owner;
        private final int groups;
        private final Operand roundedMean;
        private final Operand roundedInverseStandardDeviation;
        private double[] mean;
        private double[] inverseStandardDeviation;
        private double[] gamma;
        private double[] beta;

        DoubleStatistics(ReferenceBackend owner, int groups) {
            this.owner = owner;
            this.groups = groups;
            roundedMean = new Operand(owner.allocate(groups), 0);
            roundedInverseStandardDeviation = new Operand(owner.allocate(groups), 0);
        }

        void set(double[] mean, double[] inverseStandardDeviation, double[] gamma, double[] beta) {
            owner.store(mean, roundedMean);
            owner.store(inverseStandardDeviation, roundedInverseStandardDeviation);
            this.mean = mean;
            this.inverseStandardDeviation = inverseStandardDeviation;
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
            if (mean == null) {
                throw new IllegalStateException("The saved statistics are those of no forward pass, or are closed");
            }
        }

        @Override
        public void close() {
            synchronized (owner) {
                roundedMean.memory().close();
                roundedInverseStandardDeviation.memory().close();
                mean = null;
            }
        }
    }
}
