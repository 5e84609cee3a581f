package org.clnorm.verify;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.NonFiniteException;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.InvertForward;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.replicas.GradientSums;
import org.clnorm.verify.VerifierCase.InPlace;

/**
 * A case, run once on a backend: a copy of x, the forward pass, then the backward pass on what that left, and an optimizer's
 * step.
 */
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
    private static final Set<String> TENSORS =
            Set.of("x", "residual", "sum", "y", "grad_y", "grad_sum", "grad_x", "grad_residual");

    private final Backend backend;
    private final Supplier<Map<String, Long>> launches;
    private final VerifierCase c;
    private final VerifierInputs inputs;
    private final Coefficients coefficients;
    /** Those of the forward pass, some of which its backward pass takes too. */
    private final Operands forward = new Operands();

    private final List<GuardedArray> live = new ArrayList<>();

    private VerifierTrial(
            Backend backend, Supplier<Map<String, Long>> launches, VerifierCase c, VerifierInputs inputs) {
        this.backend = backend;
        this.launches = launches;
        this.c = c;
        this.inputs = inputs;
        this.coefficients = c.isPlain()
                ? backend.newCoefficients(c.channels())
                : backend.newCoefficients(c.normalization(), c.shape(), c.layout());
    }

    /**
     * The outcomes of the copy, of the forward pass, unless that was refused of the backward pass, and of an optimizer's
     * step.
     */
    static List<Outcome> run(
            Backend backend, Supplier<Map<String, Long>> launches, VerifierCase c, VerifierInputs inputs) {
        try (VerifierTrial trial = new VerifierTrial(backend, launches, c, inputs)) {
            Outcome copy = trial.outcome(false, trial::copy);
            List<Outcome> outcomes = new ArrayList<>(List.of(copy));
            outcomes.addAll(trial.passes());
            outcomes.add(trial.outcome(false, () -> new VerifierUpdate(c, inputs).run(backend, trial::updated)));
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
        Outcome first = outcome(true, this::forward);
        return first.refused == null ? List.of(first, outcome(false, this::backward)) : List.of(first);
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
            arrays.put("save_mean", read(coefficients.mean()));
            arrays.put("save_invstd", read(coefficients.inverseStandardDeviation()));
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

    private void forward() {
        InPlace inPlace = c.inPlace();
        boolean onResidual = inPlace.yIsResidual && c.fusion().residual;
        if (c.fusion().addsBefore()) {
            forwardAdding(inPlace, onResidual);
        } else {
            Operand y = inPlace.yIsX
                    ? updated("y", inputs.x())
                    : onResidual ? updated("y", inputs.residual()) : tensor("y");
            forward.put(Role.Y, y)
                    .put(Role.X, inPlace.yIsX ? y : input("x", VerifierInputs.hidden(c, inputs.x())))
                    .put(
                            Role.RESIDUAL,
                            !c.fusion().residual ? null : onResidual ? y : input("residual", inputs.residual()));
        }
        forward.put(Role.GAMMA, c.affine().gamma ? input("weight", inputs.gamma()) : null)
                .put(Role.BETA, c.affine().beta ? input("bias", inputs.beta()) : null);
        if (c.shownGroups() > 0) {
            backend.fill(coefficients.mean(), c.shownGroups(), Float.NaN);
            backend.fill(coefficients.inverseStandardDeviation(), c.shownGroups(), Float.NaN);
        }
        if (c.takesStatistics()) {
            forward.put(Role.MEAN, input("running_mean", inputs.runningMean()))
                    .put(Role.VARIANCE, input("running_var", inputs.runningVariance()));
        } else if (c.updatesRunning()) {
            forward.put(Role.RUNNING_MEAN, updated("running_mean", inputs.runningMean()))
                    .put(Role.RUNNING_VARIANCE, updated("running_var", inputs.runningVariance()))
                    .put(Role.ABSORBED, updated("absorbed", inputs.absorbed()));
        }
        if (c.fusion().isMasked()) {
            Operand counts = input("counts", VerifierInputs.counts(c));
            int at = c.countsBySample() ? 0 : (int) c.shape().batch();
            forward.put(Role.VALID, input("valid", VerifierInputs.states(c)))
                    .put(
                            Role.COUNTS,
                            c.normalization().grouping() instanceof Grouping.Rows
                                    ? null
                                    : new Operand(counts.memory(), counts.offset() + at));
        }
        if (c.isCombined()) {
            combineMoments();
        }
        backend.run(forwardSpec(), forward, coefficients);
    }

    /** The tensors of a pass that adds the residual first: the sum is what is in place then. */
    private void forwardAdding(InPlace inPlace, boolean onResidual) {
        Operand sum = inPlace.yIsX
                ? updated("sum", inputs.x())
                : onResidual ? updated("sum", inputs.residual()) : output("sum", c.elements());
        forward.put(Role.X, sum)
                .put(Role.ADDEND, inPlace.yIsX ? sum : input("x", inputs.x()))
                .put(Role.RESIDUAL, onResidual ? sum : input("residual", inputs.residual()))
                .put(Role.Y, output("y", c.elements()));
    }

    private PassSpec forwardSpec() {
        Activation activation = c.fusion().activation;
        if (!c.mode().training) {
            return new ForwardInference(
                    c.normalization(), c.shape(), c.layout(), forward.types(), activation, c.epsilon());
        }
        RunningUpdate running = c.updatesRunning() ? new RunningUpdate(c.average(), c.estimate()) : null;
        return c.isCombined()
                ? new ForwardCombined(
                        c.shape(), c.layout(), forward.types(), activation, c.epsilon(), running, c.policy())
                : new ForwardTraining(
                        c.normalization(),
                        c.shape(),
                        c.layout(),
                        forward.types(),
                        activation,
                        c.epsilon(),
                        running,
                        c.policy());
    }

    /** The first step by way of the host, as of a batch that this is all of. */
    private void combineMoments() {
        Operands x = new Operands().put(Role.X, forward.get(Role.X)).put(Role.VALID, forward.get(Role.VALID));
        try (Coefficients room = backend.newCoefficients(c.channels())) {
            backend.run(new ReduceForward(c.shape(), c.layout(), x.types()), x, room);
            // Without running statistics there may be one value, which has no unbiased variance.
            coefficients.writeMoments(
                    room.readMoments(valuesPerChannel()).get(),
                    c.updatesRunning() ? c.estimate() : RunningVariance.BIASED);
        }
    }

    private void backward() {
        InPlace inPlace = c.inPlace();
        if (inPlace == InPlace.Y_IS_X_FOR_GOOD) {
            Operands none = new Operands();
            backend.run(new InvertForward(c.shape(), c.layout(), none.types()), none, coefficients);
        }
        boolean wantsResidual = c.fusion().residualGradient;
        boolean onDy = inPlace.dresidualIsDy && wantsResidual;
        Operand dx = inPlace.dxIsDy ? updated("grad_x", inputs.dy()) : tensor("grad_x");
        Operand dresidual =
                !wantsResidual ? null : onDy ? updated("grad_residual", inputs.dy()) : tensor("grad_residual");
        Operands operands = new Operands()
                .put(
                        Role.DY,
                        inPlace.dxIsDy ? dx : onDy ? dresidual : input("grad_y", VerifierInputs.hidden(c, inputs.dy())))
                .put(
                        Role.X,
                        inPlace.yIsX
                                        && inPlace != InPlace.Y_IS_X_FOR_GOOD
                                        && !c.fusion().addsBefore()
                                ? input("x", inputs.x())
                                : forward.get(Role.X))
                .put(
                        Role.Y,
                        c.fusion().givesY
                                ? forward.get(Role.Y)
                                : c.fusion().givesResidual() ? forward.get(Role.RESIDUAL) : null);
        operands.put(Role.VALID, forward.get(Role.VALID));
        if (c.isCombined()) {
            combineSums(operands);
        }
        operands.put(Role.COUNTS, forward.get(Role.COUNTS));
        operands.put(Role.PAST, c.fusion().hasPast() ? input("grad_sum", inputs.past()) : null)
                .put(Role.DX, dx)
                .put(Role.DRESIDUAL, dresidual)
                .put(Role.DGAMMA, c.affine().gamma ? gradient("grad_weight", inputs.dgamma()) : null)
                .put(Role.DBETA, c.affine().beta ? gradient("grad_bias", inputs.dbeta()) : null);
        if (c.normalization().grouping().affineByElement()) {
            operands.put(Role.GAMMA, forward.get(Role.GAMMA)).put(Role.BETA, forward.get(Role.BETA));
        }
        PassSpec spec = backwardSpec(operands.types());
        backend.run(spec, operands, coefficients);
        boolean leavesItsInputs = !inPlace.dxIsDy && !onDy && !c.mode().accumulates && !c.isCombined();
        if (leavesItsInputs && !c.isPlain()) {
            // What a pass has left of parts of sums, in the coefficients, is nothing to the next one.
            backend.run(spec, operands, coefficients);
        }
    }

    private PassSpec backwardSpec(OperandTypes types) {
        Activation activation = c.fusion().activation;
        boolean accumulates = c.mode().accumulates;
        return c.isCombined()
                ? new BackwardCombined(c.shape(), c.layout(), types, activation, c.epsilon(), accumulates)
                : new Backward(
                        c.normalization(),
                        c.shape(),
                        c.layout(),
                        types,
                        !c.mode().training,
                        activation,
                        c.epsilon(),
                        accumulates,
                        c.inPlace() == InPlace.Y_IS_X_FOR_GOOD);
    }

    /** The first step by way of the host, as of a batch that this is all of. */
    private void combineSums(Operands read) {
        ReduceBackward reduce = new ReduceBackward(c.shape(), c.layout(), read.types(), c.fusion().activation);
        backend.run(reduce, read, coefficients);
        GradientSums sums = coefficients.readSums(valuesPerChannel()).get();
        coefficients.writeSums(sums, sums);
    }

    private long valuesPerChannel() {
        return c.fusion().isMasked()
                ? (long) VerifierInputs.counts(c)[(int) c.shape().batch()]
                : c.valuesPerChannel();
    }

    /** An output of x's shape; where a mask leaves some of it as it is, there is something. */
    private Operand tensor(String name) {
        return c.fusion().isMasked() ? updated(name, inputs.there()) : output(name, c.elements());
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
        return name.equals("valid") ? DataType.FLOAT16 : TENSORS.contains(name) ? c.type() : DataType.FLOAT32;
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
        coefficients.close();
    }
}
