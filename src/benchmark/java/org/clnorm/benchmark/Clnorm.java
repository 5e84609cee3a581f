package org.clnorm.benchmark;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
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
import org.clnorm.backend.RunningUpdate;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.opencl.OpenClBackend;

/** This project, on an OpenCL device. */
final class Clnorm implements Peer {
    private final OpenClBackend backend;
    private final int queued;
    private final List<Calls> made = new ArrayList<>();

    /** @param queued calls that are enqueued before one wait */
    Clnorm(OpenClBackend backend, int queued) {
        this.backend = backend;
        this.queued = queued;
    }

    @Override
    public String name() {
        return queued == 1 ? "clnorm" : "clnorm, " + queued + " queued";
    }

    @Override
    public boolean supports(Task task) {
        // Larger tensors take so long that a wait costs nothing beside.
        boolean small = task.shape().elements() <= 1 << 18;
        return task.form() != Form.BLOCKED
                && task.norm().layouts(task.shape()).contains(task.form().layout())
                && (queued == 1 || small);
    }

    @Override
    public Call prepare(Task task, Sets sets) {
        Calls calls = new Calls(task, sets);
        made.add(calls);
        return calls;
    }

    @Override
    public void close() {
        made.forEach(Calls::close);
    }

    /** A task's calls, one for each set of tensors; nothing is made for a call. */
    private final class Calls implements Call {
        private final Task task;
        private final Sets sets;
        private final Normalization normalization;
        /** γ, β and what else all sets have in common. */
        private final Operands vectors = new Operands();

        private final Operands[] operands;
        private final PreparedPass pass;
        private final Coefficients coefficients;

        Calls(Task task, Sets sets) {
            this.task = task;
            this.sets = sets;
            Norm norm = task.norm();
            normalization = norm.normalization(task.shape());
            if (norm.hasScale()) {
                vectors.put(Role.GAMMA, vector(task.gamma())).put(Role.DGAMMA, vector(task.gamma()));
            }
            if (norm.hasShift()) {
                vectors.put(Role.BETA, vector(task.beta())).put(Role.DBETA, vector(task.beta()));
            }
            if (norm.hasRunning()) {
                vectors.put(Role.RUNNING_MEAN, vector(task.runningMean()))
                        .put(Role.RUNNING_VARIANCE, vector(task.runningVariance()))
                        .put(Role.ABSORBED, vector(new float[task.channels()]));
            }
            operands = new Operands[sets.count()];
            for (int set = 0; set < operands.length; set++) {
                operands[set] = operands(task.direction(), set);
            }
            pass = backend.prepare(spec(task.direction(), operands[0].types()));
            coefficients = backend.newCoefficients(
                    normalization, task.shape(), task.form().layout());
            if (task.direction() == Direction.BACKWARD) {
                Operands forward = operands(Direction.FORWARD, 0); // all sets go by the statistics of the first
                backend.run(spec(Direction.FORWARD, forward.types()), forward, coefficients);
            }
        }

        private Operands operands(Direction direction, int set) {
            Arena arena = sets.arena();
            Operands of = new Operands().put(Role.X, arena.deviceInput(sets.x(set)));
            if (direction == Direction.BACKWARD) {
                if (normalization.grouping().affineByElement()) {
                    of.put(Role.GAMMA, vectors.get(Role.GAMMA)).put(Role.BETA, vectors.get(Role.BETA));
                }
                if (task.residual()) {
                    of.put(Role.Y, arena.deviceInput(sets.formerY(set)))
                            .put(Role.DRESIDUAL, arena.deviceOutput(sets.dresidual(set)));
                }
                return of.put(Role.DY, arena.deviceInput(sets.dy(set)))
                        .put(Role.DX, arena.deviceOutput(sets.dx(set)))
                        .put(Role.DGAMMA, vectors.get(Role.DGAMMA))
                        .put(Role.DBETA, vectors.get(Role.DBETA));
            }
            if (task.residual() && task.direction() != Direction.BACKWARD) {
                of.put(Role.RESIDUAL, arena.deviceInput(sets.residual(set)));
            }
            of.put(Role.Y, arena.deviceOutput(sets.y(set)))
                    .put(Role.GAMMA, vectors.get(Role.GAMMA))
                    .put(Role.BETA, vectors.get(Role.BETA));
            Operand mean = vectors.get(Role.RUNNING_MEAN);
            Operand variance = vectors.get(Role.RUNNING_VARIANCE);
            return direction == Direction.INFERENCE
                    ? of.put(Role.MEAN, mean).put(Role.VARIANCE, variance)
                    : of.put(Role.RUNNING_MEAN, mean)
                            .put(Role.RUNNING_VARIANCE, variance)
                            .put(Role.ABSORBED, vectors.get(Role.ABSORBED));
        }

        private PassSpec spec(Direction direction, OperandTypes types) {
            Shape shape = task.shape();
            Layout layout = task.form().layout();
            Activation activation = task.relu() ? Activation.RELU : Activation.NONE;
            return switch (direction) {
                case FORWARD ->
                    new ForwardTraining(
                            normalization,
                            shape,
                            layout,
                            types,
                            activation,
                            Task.EPSILON,
                            task.norm().hasRunning()
                                    ? new RunningUpdate(
                                            RunningAverage.exponential(Task.MOMENTUM), RunningVariance.UNBIASED)
                                    : null,
                            NonFinitePolicy.PROPAGATE);
                case INFERENCE -> new ForwardInference(normalization, shape, layout, types, activation, Task.EPSILON);
                case BACKWARD ->
                    new Backward(normalization, shape, layout, types, false, activation, Task.EPSILON, false);
            };
        }

        @Override
        public void run(int set) {
            pass.run(operands[set], coefficients);
            backend.finish();
        }

        @Override
        public void run(int first, int times, Sets all) {
            for (int i = 0; i < times; i++) {
                pass.run(operands[(first + i) % operands.length], coefficients);
                if ((i + 1) % queued == 0) {
                    backend.finish();
                }
            }
            backend.finish();
        }

        @Override
        public float[] result() {
            run(0);
            float[] result = new float[sets.elements()];
            backend.read(sets.arena().deviceOutput(sets.y(0)), FloatBuffer.wrap(result));
            return result;
        }

        void close() {
            pass.close();
            coefficients.close();
        }
    }

    private Operand vector(float[] values) {
        Operand operand = new Operand(backend.allocate(values.length), 0);
        backend.write(operand, FloatBuffer.wrap(values));
        return operand;
    }
}
