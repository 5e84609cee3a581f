package org.clnorm.tune;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Operand;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.bench.Operands;
import org.clnorm.plan.Pass;

/**
 * The tensors of a rung, in as many sets as exceed the caches, so that every call reads from memory what it would there.
 * No pass has running statistics: what is timed is not to leave a trace in anybody's.
 */
final class Rotation implements AutoCloseable {
    private static final int MOST_SETS = 64;
    private static final int TENSORS = 4;

    private record Tensors(Operand x, Operand y, Operand dy, Operand dx) {}

    private final Backend owner;
    private final Rung rung;
    private final int channels;
    private final Operands operands;
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
        operands = new Operands(owner, elements);
        gamma = operands.filled(channels, 1);
        beta = operands.filled(channels, 0.1f);
        mean = operands.filled(channels, 0);
        variance = operands.filled(channels, 1);
        dgamma = operands.filled(channels, 0);
        dbeta = operands.filled(channels, 0);
        long count = Math.max(2, Math.min(MOST_SETS, bytes / (TENSORS * Float.BYTES * elements)));
        for (int set = 0; set < count; set++) {
            sets.add(new Tensors(
                    operands.normal(elements),
                    operands.filled(elements, 0),
                    operands.normal(elements),
                    operands.filled(elements, 0)));
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

    @Override
    public void close() {
        operands.close();
    }
}
