package org.clnorm.opencl;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;

/** A training step of a layer with everything, on data of its own. */
final class TrainingStep implements AutoCloseable {
    private final Backend backend;
    private final Shape shape;
    private final Layout layout;
    private final Coefficients coefficients;
    private final List<Memory> outputs = new ArrayList<>();
    private final List<Memory> inputs = new ArrayList<>();
    private final Operands forward;
    private final Operands backward;
    /** The two passes, once it was enqueued. */
    private final List<PreparedPass> passes = new ArrayList<>();

    TrainingStep(Backend backend, Shape shape, Layout layout, long seed) {
        this.backend = backend;
        this.shape = shape;
        this.layout = layout;
        this.coefficients = backend.newCoefficients((int) shape.channels());
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < 3; i++) {
            inputs.add(filled(shape.elements(), random));
        }
        for (int i = 0; i < 2; i++) {
            inputs.add(filled(shape.channels(), random));
        }
        for (int i = 0; i < 3; i++) {
            outputs.add(backend.allocate(shape.elements()));
        }
        for (int i = 0; i < 5; i++) {
            outputs.add(backend.allocate(shape.channels()));
        }
        forward = new Operands()
                .put(Role.X, input(0))
                .put(Role.RESIDUAL, input(1))
                .put(Role.Y, output(0))
                .put(Role.GAMMA, input(3))
                .put(Role.BETA, input(4))
                .put(Role.RUNNING_MEAN, output(3))
                .put(Role.RUNNING_VARIANCE, output(4))
                .put(Role.ABSORBED, output(5));
        backward = new Operands()
                .put(Role.DY, input(2))
                .put(Role.X, input(0))
                .put(Role.Y, output(0))
                .put(Role.DX, output(1))
                .put(Role.DRESIDUAL, output(2))
                .put(Role.DGAMMA, output(6))
                .put(Role.DBETA, output(7));
    }

    private Memory filled(long elements, SplittableRandom random) {
        float[] values = new float[(int) elements];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (3 + random.nextGaussian());
        }
        Memory memory = backend.allocate(elements);
        backend.write(new Operand(memory, 0), FloatBuffer.wrap(values));
        return memory;
    }

    /** Enqueues it; the running statistics start anew. */
    void enqueue() {
        for (int i = 3; i < 6; i++) {
            backend.fill(output(i), shape.channels(), 0);
        }
        if (passes.isEmpty()) { // and not before: steps of several threads are to be prepared at the same time, too
            passes.add(backend.prepare(new ForwardTraining(
                    Normalization.BATCH,
                    shape,
                    layout,
                    forward.types(),
                    Activation.RELU,
                    1e-5,
                    new RunningUpdate(RunningAverage.exponential(0.5), RunningVariance.UNBIASED),
                    NonFinitePolicy.PROPAGATE)));
            passes.add(backend.prepare(new Backward(
                    Normalization.BATCH, shape, layout, backward.types(), false, Activation.RELU, 1e-5, false)));
        }
        passes.get(0).run(forward, coefficients);
        passes.get(1).run(backward, coefficients);
    }

    /** All outputs: y, dx, dresidual, running mean, variance and count, dγ, dβ. */
    List<float[]> read() {
        return outputs.stream()
                .map(memory -> {
                    FloatBuffer values = FloatBuffer.allocate((int) memory.elements());
                    backend.read(new Operand(memory, 0), values);
                    return values.array();
                })
                .toList();
    }

    /** A number for all bits of all outputs. */
    int bits() {
        return Arrays.deepHashCode(read().toArray());
    }

    private Operand input(int i) {
        return new Operand(inputs.get(i), 0);
    }

    private Operand output(int i) {
        return new Operand(outputs.get(i), 0);
    }

    @Override
    public void close() {
        passes.forEach(PreparedPass::close);
        inputs.forEach(Memory::close);
        outputs.forEach(Memory::close);
        coefficients.close();
    }
}
