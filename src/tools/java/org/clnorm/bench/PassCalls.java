package org.clnorm.bench;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.InvertForward;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.bench.Tensors.Part;
import org.clnorm.bench.Workload.Direction;

/** Those of a pass, which is prepared once; each set has its operands. */
final class PassCalls implements Calls {
    private static final double EPSILON = 1e-5;
    private static final Operands NONE = new Operands();

    private final Workload workload;
    private final Normalization normalization;
    private final Tensors tensors;
    private final List<Operands> sets = new ArrayList<>();
    private final PreparedPass pass;
    /** What a forward pass in place is followed by; null after others. */
    private final PreparedPass inversion;

    private final Coefficients coefficients;

    /** Before backward passes there is a forward pass of each set. */
    PassCalls(Backend backend, Workload workload, Tensors tensors) {
        this.workload = workload;
        this.normalization = workload.norm().normalization(workload.shape());
        this.tensors = tensors;
        for (int set = 0; set < tensors.sets(); set++) {
            sets.add(operands(workload.direction(), set));
        }
        this.pass = backend.prepare(spec(workload.direction(), sets.get(0).types()));
        this.inversion = workload.fusion().inPlace() && workload.direction() != Direction.INFERENCE
                ? backend.prepare(new InvertForward(workload.shape(), workload.layout(), NONE.types()))
                : null;
        this.coefficients = backend.newCoefficients(normalization, workload.shape(), workload.layout());
        if (workload.direction() == Direction.BACKWARD) {
            restartRunning(backend);
            OperandTypes types = operands(Direction.FORWARD, 0).types();
            try (PreparedPass forward = backend.prepare(spec(Direction.FORWARD, types))) {
                for (int set = 0; set < tensors.sets(); set++) {
                    forward.run(operands(Direction.FORWARD, set), coefficients);
                    invert();
                }
            }
        }
    }

    private void invert() {
        if (inversion != null) {
            inversion.run(NONE, coefficients);
        }
    }

    /**
     * Makes running statistics what they were at first: batch renormalization goes by them, and a build that is compared
     * with another on the same tensors is to find what the other found.
     */
    private void restartRunning(Backend backend) {
        long channels = workload.shape().channels();
        if (workload.norm().hasRunning()) {
            backend.fill(tensors.get(Part.RUNNING_MEAN, 0), channels, 0);
            backend.fill(tensors.get(Part.RUNNING_VARIANCE, 0), channels, 1);
            backend.fill(tensors.get(Part.RUNNING_COUNT, 0), channels, 0);
        }
    }

    private Operands operands(Direction direction, int set) {
        Operand y = tensors.get(workload.fusion().inPlace() ? Part.X : Part.Y, set);
        // By the backward pass the residual has done its work; its memory serves as the residual's gradient.
        Operand residual = tensors.get(Part.RESIDUAL, set);
        Operands operands = new Operands().put(Role.X, tensors.get(Part.X, set));
        if (direction != Direction.BACKWARD || byElement()) {
            operands.put(Role.GAMMA, tensors.get(Part.GAMMA, set)).put(Role.BETA, tensors.get(Part.BETA, set));
        }
        operands.put(Role.VALID, tensors.get(Part.VALID, set));
        operands.put(Role.COUNTS, byElement() ? null : tensors.get(Part.VALID_COUNTS, set));
        boolean before = workload.fusion().addsBefore();
        boolean sums = before && workload.direction() == Direction.FORWARD;
        if (sums) {
            operands.put(Role.ADDEND, tensors.get(Part.X, set)).put(Role.X, tensors.get(Part.SUM, set));
        }
        return switch (direction) {
            case FORWARD ->
                operands.put(Role.RESIDUAL, before && !sums ? null : residual)
                        .put(Role.Y, y)
                        .put(Role.RUNNING_MEAN, tensors.get(Part.RUNNING_MEAN, set))
                        .put(Role.RUNNING_VARIANCE, tensors.get(Part.RUNNING_VARIANCE, set))
                        .put(Role.ABSORBED, tensors.get(Part.RUNNING_COUNT, set));
            case INFERENCE ->
                operands.put(Role.RESIDUAL, residual)
                        .put(Role.Y, y)
                        .put(Role.MEAN, tensors.get(Part.RUNNING_MEAN, set))
                        .put(Role.VARIANCE, tensors.get(Part.RUNNING_VARIANCE, set));
            case BACKWARD ->
                operands.put(Role.Y, residual == null || before ? null : byResidual() ? residual : y)
                        .put(Role.PAST, before ? residual : null)
                        .put(Role.DY, tensors.get(Part.DY, set))
                        .put(Role.DX, tensors.get(Part.DX, set))
                        .put(Role.DRESIDUAL, residual == null || before ? null : byResidual() ? y : residual)
                        .put(Role.DGAMMA, tensors.get(Part.DGAMMA, set))
                        .put(Role.DBETA, tensors.get(Part.DBETA, set));
        };
    }

    /** Whether it is the residual that tells the activation's derivative, so that y has done its work. */
    private boolean byResidual() {
        return !workload.fusion().activation().kind().isByOutput();
    }

    /** Whether a backward pass takes γ and β too. */
    private boolean byElement() {
        return normalization.grouping().affineByElement();
    }

    private PassSpec spec(Direction direction, OperandTypes types) {
        Activation activation = workload.fusion().activation();
        return switch (direction) {
            case FORWARD ->
                new ForwardTraining(
                        normalization,
                        workload.shape(),
                        workload.layout(),
                        types,
                        activation,
                        EPSILON,
                        workload.norm().hasRunning()
                                ? new RunningUpdate(RunningAverage.exponential(0.1), RunningVariance.UNBIASED)
                                : null,
                        NonFinitePolicy.PROPAGATE);
            case INFERENCE ->
                new ForwardInference(normalization, workload.shape(), workload.layout(), types, activation, EPSILON);
            case BACKWARD ->
                new Backward(
                        normalization,
                        workload.shape(),
                        workload.layout(),
                        types,
                        false,
                        activation,
                        EPSILON,
                        false,
                        workload.fusion().inPlace());
        };
    }

    @Override
    public void make(int i) {
        pass.run(sets.get(i % sets.size()), coefficients);
        if (workload.direction() == Direction.FORWARD) {
            invert();
        }
    }

    @Override
    public void close() {
        pass.close();
        if (inversion != null) {
            inversion.close();
        }
        coefficients.close();
    }
}
