package org.clnorm.tune;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.opencl.Pass;

/**
 * The tensors of a rung, in as many sets as exceed the caches, so that every call reads from memory what it would there.
 * No pass has running statistics: what is timed is not to leave a trace in anybody's.
 */
final class Rotation implements AutoCloseable {
    private static final int MOST_SETS = 64;
    private static final int TENSORS = 4;
    private static final int RANDOM_ELEMENTS = 1 << 20;

    private record Tensors(Operand x, Operand y, Operand dy, Operand dx) {}

    private final Backend owner;
    private final Rung rung;
    private final int channels;
    private final List<Memory> live = new ArrayList<>();
    private final List<Tensors> sets = new ArrayList<>();
    private final Operand gamma;
    private final Operand beta;
    private final Operand mean;
    private final Operand variance;
    private final Operand dgamma;
    private final Operand dbeta;
    private int next;

    /** @param bytes that all sets are to take together */
    Rotation(Backend owner, Rung rung, long bytes) {
        this.owner = owner;
        this.rung = rung;
        this.channels = (int) rung.shape().channels();
        long elements = rung.shape().elements();
        float[] random = new float[(int) Math.min(elements, RANDOM_ELEMENTS)];
        Random source = new Random(1);
        for (int i = 0; i < random.length; i++) {
            random[i] = (float) source.nextGaussian();
        }
        gamma = filled(channels, 1);
        beta = filled(channels, 0.1f);
        mean = filled(channels, 0);
        variance = filled(channels, 1);
        dgamma = filled(channels, 0);
        dbeta = filled(channels, 0);
        long count = Math.max(2, Math.min(MOST_SETS, bytes / (TENSORS * Float.BYTES * elements)));
        for (int set = 0; set < count; set++) {
            sets.add(new Tensors(
                    written(elements, random), filled(elements, 0), written(elements, random), filled(elements, 0)));
        }
    }

    /** A backend's calls of a pass, one for each set of tensors. */
    final class Calls implements AutoCloseable {
        private final SavedStatistics saved;
        private final List<Runnable> calls = new ArrayList<>();

        Calls(Backend backend, Pass pass) {
            saved = backend.newSavedStatistics(channels);
            for (Tensors set : sets) {
                calls.add(call(backend, pass, set));
            }
            if (pass == Pass.BACKWARD) {
                backend.forward(forward(sets.get(0)));
            }
        }

        private Runnable call(Backend backend, Pass pass, Tensors set) {
            return switch (pass) {
                case FORWARD -> {
                    ForwardTraining forward = forward(set);
                    yield () -> backend.forward(forward);
                }
                case INFERENCE -> {
                    ForwardInference inference = inference(set);
                    yield () -> backend.forward(inference);
                }
                case BACKWARD -> {
                    Backward backward = backward(set);
                    yield () -> backend.backward(backward);
                }
            };
        }

        private ForwardTraining forward(Tensors set) {
            return new ForwardTraining(
                    rung.shape(),
                    rung.layout(),
                    set.x,
                    null,
                    set.y,
                    Activation.NONE,
                    gamma,
                    beta,
                    1e-5,
                    saved,
                    null,
                    NonFinitePolicy.PROPAGATE);
        }

        private ForwardInference inference(Tensors set) {
            return new ForwardInference(
                    rung.shape(),
                    rung.layout(),
                    set.x,
                    null,
                    set.y,
                    Activation.NONE,
                    gamma,
                    beta,
                    1e-5,
                    mean,
                    variance,
                    saved);
        }

        private Backward backward(Tensors set) {
            return new Backward(
                    rung.shape(),
                    rung.layout(),
                    false,
                    set.dy,
                    set.x,
                    null,
                    Activation.NONE,
                    saved,
                    set.dx,
                    null,
                    dgamma,
                    dbeta,
                    false);
        }

        /** The call on the set that was not used for longest, by whomever. */
        void next() {
            calls.get(next).run();
            next = (next + 1) % calls.size();
        }

        @Override
        public void close() {
            owner.finish();
            saved.close();
        }
    }

    private Operand allocated(long elements) {
        Memory memory = owner.allocate(elements);
        live.add(memory);
        return new Operand(memory, 0);
    }

    private Operand filled(long elements, float value) {
        Operand operand = allocated(elements);
        owner.fill(operand, elements, value);
        return operand;
    }

    private Operand written(long elements, float[] values) {
        Operand operand = allocated(elements);
        for (long at = 0; at < elements; at += values.length) {
            int count = (int) Math.min(values.length, elements - at);
            owner.write(new Operand(operand.memory(), at), FloatBuffer.wrap(values, 0, count));
        }
        return operand;
    }

    @Override
    public void close() {
        owner.finish();
        live.forEach(Memory::close);
    }
}
