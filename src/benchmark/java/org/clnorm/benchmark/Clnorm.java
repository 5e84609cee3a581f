package org.clnorm.benchmark;

import java.nio.FloatBuffer;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.opencl.OpenClBackend;

/** This project, on an OpenCL device. */
final class Clnorm implements Peer {
    private final OpenClBackend backend;
    private final int queued;

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
        int count = sets.count();
        Runnable[] calls = new Runnable[count];
        Norm norm = task.norm();
        Operand gamma = norm.hasScale() ? vector(task.gamma()) : null;
        Operand beta = norm.hasShift() ? vector(task.beta()) : null;
        Operand dgamma = norm.hasScale() ? vector(task.gamma()) : null;
        Operand dbeta = norm.hasShift() ? vector(task.beta()) : null;
        RunningStatistics running = !norm.hasRunning()
                ? null
                : new RunningStatistics(
                        vector(task.runningMean()),
                        vector(task.runningVariance()),
                        vector(new float[task.channels()]),
                        RunningAverage.exponential(Task.MOMENTUM),
                        RunningVariance.UNBIASED);
        SavedStatistics saved = backend.newSavedStatistics(
                norm.normalization(task.shape()), task.shape(), task.form().layout());
        Activation activation = task.relu() ? Activation.RELU : Activation.NONE;
        for (int set = 0; set < count; set++) {
            calls[set] = call(task, sets, set, activation, gamma, beta, dgamma, dbeta, running, saved);
        }
        return new Call() {
            @Override
            public void run(int set) {
                calls[set].run();
                backend.finish();
            }

            @Override
            public void run(int first, int times, Sets all) {
                for (int i = 0; i < times; i++) {
                    calls[(first + i) % calls.length].run();
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
        };
    }

    private Runnable call(
            Task task,
            Sets sets,
            int set,
            Activation activation,
            Operand gamma,
            Operand beta,
            Operand dgamma,
            Operand dbeta,
            RunningStatistics running,
            SavedStatistics saved) {
        Arena arena = sets.arena();
        Normalization normalization = task.norm().normalization(task.shape());
        Operand x = arena.deviceInput(sets.x(set));
        boolean backward = task.direction() == Direction.BACKWARD;
        Operand residual = task.residual() ? arena.deviceInput(sets.residual(set)) : null;
        ForwardTraining forward = new ForwardTraining(
                normalization,
                task.shape(),
                task.form().layout(),
                x,
                backward ? null : residual,
                arena.deviceOutput(sets.y(set)),
                activation,
                gamma,
                beta,
                Task.EPSILON,
                saved,
                running,
                NonFinitePolicy.PROPAGATE);
        return switch (task.direction()) {
            case FORWARD -> () -> backend.forward(forward);
            case INFERENCE -> {
                ForwardInference inference = new ForwardInference(
                        normalization,
                        task.shape(),
                        task.form().layout(),
                        x,
                        residual,
                        forward.y(),
                        activation,
                        gamma,
                        beta,
                        Task.EPSILON,
                        running.mean(),
                        running.variance(),
                        saved);
                yield () -> backend.forward(inference);
            }
            case BACKWARD -> {
                if (set == 0) {
                    backend.forward(forward); // all sets go by the statistics of the first
                }
                Backward pass = new Backward(
                        normalization,
                        task.shape(),
                        task.form().layout(),
                        false,
                        arena.deviceInput(sets.dy(set)),
                        x,
                        task.residual() ? arena.deviceInput(sets.formerY(set)) : null,
                        activation,
                        saved,
                        arena.deviceOutput(sets.dx(set)),
                        task.residual() ? arena.deviceOutput(sets.dresidual(set)) : null,
                        dgamma,
                        dbeta,
                        false);
                yield () -> backend.backward(pass);
            }
        };
    }

    private Operand vector(float[] values) {
        Operand operand = new Operand(backend.allocate(values.length), 0);
        backend.write(operand, FloatBuffer.wrap(values));
        return operand;
    }
}
