package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.DataType;
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

/**
 * A training pass whose last samples are normalized by given statistics, or its backward pass: a pass over the samples before
 * them, and then one of evaluation over them.
 */
final class SplitPass implements PreparedPass {
    private static final Role[] ROLES = Role.values();

    /**
     * A pass over some of the samples, which follow each other in memory in both layouts.
     *
     * @param start the first of their elements
     */
    record Part(PassSpec spec, long start) {
        /** What it works on of what the whole pass does. */
        Operands of(Operands whole) {
            Operands operands = new Operands();
            for (Role role : ROLES) {
                operands.put(role, spec.operands().has(role) ? of(whole, role) : null);
            }
            return operands;
        }

        private Operand of(Operands whole, Role role) {
            Operand operand = whole.get(role);
            if (operand == null) { // of MEAN or VARIANCE
                return whole.get(role == Role.MEAN ? Role.RUNNING_MEAN : Role.RUNNING_VARIANCE);
            }
            return role.isElementwise() ? operand.after(start) : operand;
        }
    }

    private final PassSpec whole;
    private final List<Part> parts;
    private final List<PreparedPass> prepared = new ArrayList<>();

    /** @param parts two */
    SplitPass(OpenClBackend backend, PassSpec whole, List<Part> parts) {
        this.whole = whole;
        this.parts = parts;
        try {
            parts.forEach(part -> prepared.add(backend.prepare(part.spec())));
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** What a pass is made of, in order; itself alone where no statistics are given to its last samples. */
    static List<Part> parts(PassSpec pass) {
        long batch = pass.shape().batch();
        if (pass instanceof ForwardTraining training) {
            long given = training.normalization().grouping().givenSamples(pass.shape());
            if (given > 0) {
                ForwardTraining own = own(training, batch - given);
                return List.of(
                        new Part(own, 0),
                        new Part(given(training, given), own.shape().elements()));
            }
        }
        if (pass instanceof Backward backward && !backward.frozen()) {
            long given = backward.normalization().grouping().givenSamples(pass.shape());
            if (given > 0) {
                Backward own = gradient(backward, batch - given, false);
                return List.of(
                        new Part(own, 0),
                        new Part(gradient(backward, given, true), own.shape().elements()));
            }
        }
        return List.of(new Part(pass, 0));
    }

    /** A shape like another with so many samples. */
    static Shape samples(Shape like, long samples) {
        long[] dimensions = like.toArray();
        dimensions[0] = samples;
        return Shape.of(dimensions);
    }

    private static ForwardTraining own(ForwardTraining pass, long samples) {
        return new ForwardTraining(
                pass.normalization(),
                samples(pass.shape(), samples),
                pass.layout(),
                pass.operands().with(Role.MEAN, null).with(Role.VARIANCE, null),
                pass.activation(),
                pass.epsilon(),
                pass.running(),
                pass.policy());
    }

    private static ForwardInference given(ForwardTraining pass, long samples) {
        OperandTypes operands = pass.operands()
                .with(Role.MEAN, DataType.FLOAT32)
                .with(Role.VARIANCE, DataType.FLOAT32)
                .with(Role.RUNNING_MEAN, null)
                .with(Role.RUNNING_VARIANCE, null)
                .with(Role.ABSORBED, null);
        return new ForwardInference(
                Normalization.BATCH,
                samples(pass.shape(), samples),
                pass.layout(),
                operands,
                pass.activation(),
                pass.epsilon());
    }

    /** The gradients of γ and β are sums over both parts: the second one adds its own. */
    private static Backward gradient(Backward pass, long samples, boolean given) {
        return new Backward(
                given ? Normalization.BATCH : pass.normalization(),
                samples(pass.shape(), samples),
                pass.layout(),
                pass.operands(),
                given,
                pass.activation(),
                pass.epsilon(),
                given || pass.accumulate());
    }

    @Override
    public void run(Operands operands, Coefficients coefficients) {
        operands.checkAre(whole.operands());
        Operands first = parts.get(0).of(operands);
        try {
            prepared.get(0).run(first, coefficients);
        } finally {
            operands.absorbed(first.areAbsorbed());
        }
        prepared.get(1).run(parts.get(1).of(operands), ((OpenClCoefficients) coefficients).rest());
    }

    @Override
    public void close() {
        prepared.forEach(PreparedPass::close);
    }
}
