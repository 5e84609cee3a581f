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
 * No call has running statistics: what is to be timed is not to leave a trace in anybody's.
 */
final class Rotation implements AutoCloseable {
    private static final int MOST_SETS = 64;
    private static final int TENSORS = 4;
    private static final int RANDOM_ELEMENTS = 1 << 20;

    private record Calls(ForwardTraining forward, ForwardInference inference, Backward backward) {}

    private final Backend owner;
    private final List<Memory> live = new ArrayList<>();
    private final List<Calls> sets = new ArrayList<>();
    private final SavedStatistics saved;
    private int next;

    /** @param bytes that all sets are to take together, at least */
    Rotation(Backend owner, Rung rung, long bytes) {
        this.owner = owner;
        long elements = rung.shape().elements();
        int channels = (int) rung.shape().channels();
        saved = owner.newSavedStatistics(channels);
        float[] random = new float[(int) Math.min(elements, RANDOM_ELEMENTS)];
        Random source = new Random(1);
        for (int i = 0; i < random.length; i++) {
            random[i] = (float) source.nextGaussian();
        }
        Operand gamma = filled(channels, 1);
        Operand beta = filled(channels, 0.1f);
        Operand mean = filled(channels, 0);
        Operand variance = filled(channels, 1);
        Operand dgamma = filled(channels, 0);
        Operand dbeta = filled(channels, 0);
        long count = Math.max(2, Math.min(MOST_SETS, bytes / Math.max(1, TENSORS * Float.BYTES * elements)));
        for (int set = 0; set < count; set++) {
            Operand x = written(elements, random);
            Operand dy = written(elements, random);
            Operand y = filled(elements, 0);
            Operand dx = filled(elements, 0);
            sets.add(new Calls(
                    new ForwardTraining(
                            rung.shape(),
                            rung.layout(),
                            x,
                            null,
                            y,
                            Activation.NONE,
                            gamma,
                            beta,
                            1e-5,
                            saved,
                            null,
                            NonFinitePolicy.PROPAGATE),
                    new ForwardInference(
                            rung.shape(),
                            rung.layout(),
                            x,
                            null,
                            y,
                            Activation.NONE,
                            gamma,
                            beta,
                            1e-5,
                            mean,
                            variance,
                            saved),
                    new Backward(
                            rung.shape(),
                            rung.layout(),
                            false,
                            dy,
                            x,
                            null,
                            Activation.NONE,
                            saved,
                            dx,
                            null,
                            dgamma,
                            dbeta,
                            false)));
        }
        // So that backward passes have statistics of this data, whoever makes them.
        owner.forward(sets.get(0).forward);
    }

    /** Makes a call on the next set. */
    void call(Backend backend, Pass pass) {
        Calls calls = sets.get(next);
        next = (next + 1) % sets.size();
        switch (pass) {
            case FORWARD -> backend.forward(calls.forward);
            case INFERENCE -> backend.forward(calls.inference);
            case BACKWARD -> backend.backward(calls.backward);
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
        saved.close();
    }
}
