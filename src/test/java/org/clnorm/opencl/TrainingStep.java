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
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;

/** A training step of a layer with everything, on data of its own. */
final class TrainingStep implements AutoCloseable {
    private final Backend backend;
    private final Shape shape;
    private final Layout layout;
    private final SavedStatistics saved;
    private final List<Memory> outputs = new ArrayList<>();
    private final List<Memory> inputs = new ArrayList<>();

    TrainingStep(Backend backend, Shape shape, Layout layout, long seed) {
        this.backend = backend;
        this.shape = shape;
        this.layout = layout;
        this.saved = backend.newSavedStatistics((int) shape.channels());
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
        backend.forward(new ForwardTraining(
                shape,
                layout,
                input(0),
                input(1),
                output(0),
                Activation.RELU,
                input(3),
                input(4),
                1e-5,
                saved,
                new RunningStatistics(
                        output(3), output(4), output(5), RunningAverage.exponential(0.5), RunningVariance.UNBIASED),
                NonFinitePolicy.PROPAGATE));
        backend.backward(new Backward(
                shape,
                layout,
                false,
                input(2),
                input(0),
                output(0),
                Activation.RELU,
                saved,
                output(1),
                output(2),
                output(6),
                output(7),
                false));
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
        inputs.forEach(Memory::close);
        outputs.forEach(Memory::close);
        saved.close();
    }
}
