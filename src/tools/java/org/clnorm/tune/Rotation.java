package org.clnorm.tune;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;
import org.clnorm.bench.TimedOperands;
import org.clnorm.plan.Pass;

/**
 * The tensors of a rung, in as many sets as exceed the caches, so that every call reads from memory what it would there.
 * No pass has running statistics: what is timed is not to leave a trace in anybody's.
 */
final class Rotation implements AutoCloseable {
    private static final int MOST_SETS = 64;
    private static final int TENSORS = 4;
    private static final double EPSILON = 1e-5;

    private record Tensors(Operand x, Operand y, Operand dy, Operand dx) {}

    private final Backend owner;
    private final Rung rung;
    private final int channels;
    private final TimedOperands operands;
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
        operands = new TimedOperands(owner, elements);
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
        private final List<Operands> calls = new ArrayList<>();
        private final PreparedPass prepared;
        private final Coefficients coefficients;

        Calls(Backend backend, Pass pass) {
            for (Tensors set : sets) {
                calls.add(operands(pass, set));
            }
            prepared = backend.prepare(spec(pass, calls.get(0).types()));
            coefficients = backend.newCoefficients(channels);
            if (pass == Pass.BACKWARD) {
                Operands forward = operands(Pass.FORWARD, sets.get(0));
                backend.run(spec(Pass.FORWARD, forward.types()), forward, coefficients);
            }
        }

        private Operands operands(Pass pass, Tensors set) {
            Operands operands = new Operands().put(Role.X, set.x);
            return switch (pass) {
                case FORWARD ->
                    operands.put(Role.Y, set.y).put(Role.GAMMA, gamma).put(Role.BETA, beta);
                case INFERENCE ->
                    operands.put(Role.Y, set.y)
                            .put(Role.GAMMA, gamma)
                            .put(Role.BETA, beta)
                            .put(Role.MEAN, mean)
                            .put(Role.VARIANCE, variance);
                case BACKWARD ->
                    operands.put(Role.DY, set.dy)
                            .put(Role.DX, set.dx)
                            .put(Role.DGAMMA, dgamma)
                            .put(Role.DBETA, dbeta);
            };
        }

        private PassSpec spec(Pass pass, OperandTypes types) {
            return switch (pass) {
                case FORWARD ->
                    new ForwardTraining(
                            Normalization.BATCH,
                            rung.shape(),
                            rung.layout(),
                            types,
                            Activation.NONE,
                            EPSILON,
                            null,
                            NonFinitePolicy.PROPAGATE);
                case INFERENCE ->
                    new ForwardInference(
                            Normalization.BATCH, rung.shape(), rung.layout(), types, Activation.NONE, EPSILON);
                case BACKWARD ->
                    new Backward(
                            Normalization.BATCH,
                            rung.shape(),
                            rung.layout(),
                            types,
                            false,
                            Activation.NONE,
                            EPSILON,
                            false);
            };
        }

        /** The call on the set that was not used for longest, by whomever. */
        void next() {
            prepared.run(calls.get(next), coefficients);
            next = (next + 1) % calls.size();
        }

        @Override
        public void close() {
            owner.finish();
            prepared.close();
            coefficients.close();
        }
    }

    @Override
    public void close() {
        operands.close();
    }
}
