package org.clnorm.bench;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.bench.Tensors.Role;

/** A backend's calls of a workload, one for each set of tensors. A call is below a layer's checks of its arguments. */
public final class Calls implements AutoCloseable {
    private static final double EPSILON = 1e-5;

    private final Backend backend;
    private final Workload workload;
    private final Normalization normalization;
    private final Activation activation;
    private final Tensors tensors;
    private final RunningStatistics running;
    private final SavedStatistics saved;
    private final List<Runnable> calls = new ArrayList<>();

    /** Calls a backend on memory of its own or of a sibling's. Before backward passes there is a forward pass of each set. */
    public Calls(Backend backend, Workload workload, Tensors tensors) {
        this.backend = backend;
        this.workload = workload;
        this.normalization = workload.norm().normalization(workload.shape());
        this.activation = workload.fusion() == Workload.Fusion.NONE ? Activation.NONE : Activation.RELU;
        this.tensors = tensors;
        this.running = !workload.norm().hasRunning()
                ? null
                : new RunningStatistics(
                        tensors.get(Role.RUNNING_MEAN, 0),
                        tensors.get(Role.RUNNING_VARIANCE, 0),
                        tensors.get(Role.RUNNING_COUNT, 0),
                        RunningAverage.exponential(0.1),
                        RunningVariance.UNBIASED);
        this.saved = backend.newSavedStatistics(normalization, workload.shape(), workload.layout());
        for (int set = 0; set < tensors.sets(); set++) {
            calls.add(call(set));
        }
    }

    private Runnable call(int set) {
        return switch (workload.direction()) {
            case FORWARD -> {
                ForwardTraining forward = forward(set);
                yield () -> backend.forward(forward);
            }
            case INFERENCE -> {
                ForwardInference inference = inference(set);
                yield () -> backend.forward(inference);
            }
            case BACKWARD -> {
                backend.forward(forward(set));
                Backward backward = backward(set);
                yield () -> backend.backward(backward);
            }
        };
    }

    private ForwardTraining forward(int set) {
        return new ForwardTraining(
                normalization,
                workload.shape(),
                workload.layout(),
                tensors.get(Role.X, set),
                tensors.get(Role.RESIDUAL, set),
                tensors.get(Role.Y, set),
                activation,
                tensors.get(Role.GAMMA, set),
                tensors.get(Role.BETA, set),
                EPSILON,
                saved,
                running,
                NonFinitePolicy.PROPAGATE);
    }

    private ForwardInference inference(int set) {
        return new ForwardInference(
                normalization,
                workload.shape(),
                workload.layout(),
                tensors.get(Role.X, set),
                tensors.get(Role.RESIDUAL, set),
                tensors.get(Role.Y, set),
                activation,
                tensors.get(Role.GAMMA, set),
                tensors.get(Role.BETA, set),
                EPSILON,
                running.mean(),
                running.variance(),
                saved);
    }

    private Backward backward(int set) {
        // The residual has done its work; its memory serves as the residual's gradient.
        Operand residual = tensors.get(Role.RESIDUAL, set);
        return new Backward(
                normalization,
                workload.shape(),
                workload.layout(),
                false,
                tensors.get(Role.DY, set),
                tensors.get(Role.X, set),
                residual == null ? null : tensors.get(Role.Y, set),
                activation,
                saved,
                tensors.get(Role.DX, set),
                residual,
                tensors.get(Role.DGAMMA, set),
                tensors.get(Role.DBETA, set),
                false);
    }

    /** The next call; they take turns with the sets. */
    public void make(int i) {
        calls.get(i % calls.size()).run();
    }

    @Override
    public void close() {
        saved.close();
    }
}
