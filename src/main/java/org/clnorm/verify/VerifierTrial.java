package org.clnorm.verify;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.clnorm.ChannelMoments;
import org.clnorm.DataType;
import org.clnorm.GradientSums;
import org.clnorm.NonFiniteException;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Operand;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.verify.VerifierCase.InPlace;

/** A case, run once on a backend: a copy of x, the forward pass, then the backward pass on what that left. */
final class VerifierTrial implements AutoCloseable {
    /**
     * What came of a pass.
     *
     * @param arrays its outputs by the names that case files use
     * @param kernels the kernels that it launched
     * @param problems what was written that should not have been, or the reverse, by array
     * @param refused what it was refused with, or null
     */
    record Outcome(
            Map<String, float[]> arrays,
            Set<String> kernels,
            Map<String, String> problems,
            NonFiniteException refused) {}

    /** Arrays of x's shape, which the case has a type for. */
    private static final Set<String> TENSORS = Set.of("x", "residual", "y", "grad_y", "grad_x", "grad_residual");

    private final Backend backend;
    private final Supplier<Map<String, Long>> launches;
    private final VerifierCase c;
    private final VerifierInputs inputs;
    private final SavedStatistics saved;
    private final List<GuardedArray> live = new ArrayList<>();

    private VerifierTrial(
            Backend backend, Supplier<Map<String, Long>> launches, VerifierCase c, VerifierInputs inputs) {
        this.backend = backend;
        this.launches = launches;
        this.c = c;
        this.inputs = inputs;
        this.saved = c.isPlain()
                ? backend.newSavedStatistics(c.channels())
                : backend.newSavedStatistics(c.normalization(), c.shape(), c.layout());
    }

    /** The outcomes of the copy, of the forward pass and, unless that was refused, of the backward pass. */
    static List<Outcome> run(
            Backend backend, Supplier<Map<String, Long>> launches, VerifierCase c, VerifierInputs inputs) {
        try (VerifierTrial trial = new VerifierTrial(backend, launches, c, inputs)) {
            Outcome copy = trial.outcome(false, trial::copy);
            List<Outcome> outcomes = new ArrayList<>(List.of(copy));
            outcomes.addAll(trial.passes());
            return outcomes;
        }
    }

    /** The outcomes of the forward pass and, unless that was refused, of the backward pass. */
    static List<Outcome> runPasses(Backend backend, VerifierCase c, VerifierInputs inputs) {
        try (VerifierTrial trial = new VerifierTrial(backend, Map::of, c, inputs)) {
            return trial.passes();
        }
    }

    private List<Outcome> passes() {
        Map<String, Operand> left = new HashMap<>();
        Outcome forward = outcome(true, () -> forward(left));
        return forward.refused == null ? List.of(forward, outcome(false, () -> backward(left))) : List.of(forward);
    }

    private Outcome outcome(boolean isForward, Runnable pass) {
        Map<String, Long> before = launches.get();
        NonFiniteException refused = null;
        try {
            pass.run();
        } catch (NonFiniteException e) {
            refused = e;
        }
        Map<String, float[]> arrays = new LinkedHashMap<>();
        Map<String, String> problems = new LinkedHashMap<>();
        for (GuardedArray array : live) {
            boolean output = array.isOutput();
            array.settle(refused == null).ifPresent(problem -> problems.put(array.name(), problem));
            if (output) {
                arrays.put(array.name(), array.values());
            }
        }
        if (isForward && c.shownGroups() > 0) {
            arrays.put("save_mean", read(saved.mean()));
            arrays.put("save_invstd", read(saved.inverseStandardDeviation()));
        }
        Set<String> kernels = new TreeSet<>();
        launches.get().forEach((kernel, count) -> {
            if (!count.equals(before.get(kernel))) {
                kernels.add(kernel);
            }
        });
        return new Outcome(arrays, kernels, problems, refused);
    }

    private void copy() {
        GuardedArray from = GuardedArray.input(
                backend, "x", DataType.FLOAT32, shift(c.placement().alignedInputs), inputs.x(), true);
        Operand x = keep(from);
        int shift = shift(c.placement().alignedOutputs);
        Operand y = keep(GuardedArray.output(backend, "y", DataType.FLOAT32, shift, c.elements()));
        backend.copy(x, y, c.elements());
    }

    private void forward(Map<String, Operand> left) {
        InPlace inPlace = c.inPlace();
        boolean onResidual = inPlace.yIsResidual && c.fusion().residual;
        Operand y = inPlace.yIsX
                ? updated("y", inputs.x())
                : onResidual ? updated("y", inputs.residual()) : output("y", c.elements());
        Operand x = inPlace.yIsX ? y : input("x", inputs.x());
        Operand residual = !c.fusion().residual ? null : onResidual ? y : input("residual", inputs.residual());
        Operand gamma = c.affine().gamma ? input("weight", inputs.gamma()) : null;
        Operand beta = c.affine().beta ? input("bias", inputs.beta()) : null;
        if (c.shownGroups() > 0) {
            backend.fill(saved.mean(), c.shownGroups(), Float.NaN);
            backend.fill(saved.inverseStandardDeviation(), c.shownGroups(), Float.NaN);
        }
        left.put("y", y);
        left.put("x", x);
        if (c.mode().training) {
            RunningStatistics running = c.updatesRunning()
                    ? new RunningStatistics(
                            updated("running_mean", inputs.runningMean()),
                            updated("running_var", inputs.runningVariance()),
                            updated("absorbed", inputs.absorbed()),
                            c.average(),
                            c.estimate())
                    : null;
            if (c.isCombined()) {
                forwardCombined(x, residual, y, gamma, beta, running);
                return;
            }
            backend.forward(new ForwardTraining(
                    c.normalization(),
                    c.shape(),
                    c.layout(),
                    x,
                    residual,
                    y,
                    c.fusion().activation,
                    gamma,
                    beta,
                    c.epsilon(),
                    saved,
                    running,
                    c.policy()));
        } else {
            backend.forward(new ForwardInference(
                    c.normalization(),
                    c.shape(),
                    c.layout(),
                    x,
                    residual,
                    y,
                    c.fusion().activation,
                    gamma,
                    beta,
                    c.epsilon(),
                    input("running_mean", inputs.runningMean()),
                    input("running_var", inputs.runningVariance()),
                    saved));
        }
    }

    private void backward(Map<String, Operand> left) {
        InPlace inPlace = c.inPlace();
        boolean wantsResidual = c.fusion().residualGradient;
        boolean onDy = inPlace.dresidualIsDy && wantsResidual;
        Operand dx = inPlace.dxIsDy ? updated("grad_x", inputs.dy()) : output("grad_x", c.elements());
        Operand dresidual = !wantsResidual
                ? null
                : onDy ? updated("grad_residual", inputs.dy()) : output("grad_residual", c.elements());
        Operand dy = inPlace.dxIsDy ? dx : onDy ? dresidual : input("grad_y", inputs.dy());
        Operand x = inPlace.yIsX ? input("x", inputs.x()) : left.get("x");
        Operand y = c.fusion().givesY ? left.get("y") : null;
        Operand dgamma = c.affine().gamma ? gradient("grad_weight", inputs.dgamma()) : null;
        Operand dbeta = c.affine().beta ? gradient("grad_bias", inputs.dbeta()) : null;
        if (c.isCombined()) {
            backwardCombined(dy, x, y, dx, dresidual, dgamma, dbeta);
            return;
        }
        backend.backward(new Backward(
                c.normalization(),
                c.shape(),
                c.layout(),
                !c.mode().training,
                dy,
                x,
                y,
                c.fusion().activation,
                saved,
                dx,
                dresidual,
                dgamma,
                dbeta,
                c.mode().accumulates));
    }

    /** The forward pass by way of the host, as of a batch that this is all of. */
    private void forwardCombined(
            Operand x, Operand residual, Operand y, Operand gamma, Operand beta, RunningStatistics running) {
        ChannelMoments moments;
        try (SavedStatistics room = backend.newSavedStatistics(c.channels())) {
            moments = backend.moments(new ReduceForward(c.shape(), c.layout(), x, room));
        }
        backend.forward(new ForwardCombined(
                c.shape(),
                c.layout(),
                x,
                residual,
                y,
                c.fusion().activation,
                gamma,
                beta,
                c.epsilon(),
                moments,
                saved,
                running,
                c.policy()));
    }

    private void backwardCombined(
            Operand dy, Operand x, Operand y, Operand dx, Operand dresidual, Operand dgamma, Operand dbeta) {
        GradientSums sums =
                backend.gradientSums(new ReduceBackward(c.shape(), c.layout(), dy, x, y, c.fusion().activation, saved));
        backend.backward(new BackwardCombined(
                c.shape(),
                c.layout(),
                dy,
                x,
                y,
                c.fusion().activation,
                saved,
                sums,
                sums,
                dx,
                dresidual,
                dgamma,
                dbeta,
                c.mode().accumulates));
    }

    private Operand gradient(String name, float[] there) {
        return c.mode().accumulates ? updated(name, there) : output(name, c.affineElements());
    }

    private Operand input(String name, float[] values) {
        boolean last = c.placement().alignedOutputs;
        return keep(GuardedArray.input(backend, name, typeOf(name), shift(c.placement().alignedInputs), values, last));
    }

    private Operand updated(String name, float[] values) {
        return keep(GuardedArray.updated(backend, name, typeOf(name), shift(c.placement().alignedOutputs), values));
    }

    private Operand output(String name, int count) {
        return keep(GuardedArray.output(backend, name, typeOf(name), shift(c.placement().alignedOutputs), count));
    }

    private DataType typeOf(String name) {
        return TENSORS.contains(name) ? c.type() : DataType.FLOAT32;
    }

    private int shift(boolean aligned) {
        return aligned ? 0 : 2 * live.size() + 1;
    }

    private Operand keep(GuardedArray array) {
        live.add(array);
        return array.operand();
    }

    private float[] read(Operand from) {
        FloatBuffer values = FloatBuffer.allocate(c.shownGroups());
        backend.read(from, values);
        return values.array();
    }

    @Override
    public void close() {
        live.forEach(GuardedArray::close);
        saved.close();
    }
}
