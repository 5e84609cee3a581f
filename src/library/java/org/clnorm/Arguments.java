package org.clnorm;

import static org.clnorm.TensorChecks.like;
import static org.clnorm.TensorChecks.noOverlap;
import static org.clnorm.TensorChecks.onDevice;

import java.util.EnumSet;
import java.util.Set;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.Role;

/**
 * The tensors of a call by role, and the rules that they are held to, one for each role of a call. Every call puts
 * something or null in each of its roles.
 */
final class Arguments {
    /** The rules of a forward pass. */
    static final Rule[] FORWARD = {
        input(Role.X, "x"),
        input(Role.RESIDUAL, "residual").like(Role.X, "x"),
        input(Role.GAMMA, "gamma").perSample(),
        input(Role.BETA, "beta").perSample(),
        output(Role.Y, "y").like(Role.X, "x").mayBe(Role.RESIDUAL)
    };

    /** The rules of a forward pass by given statistics, or in place: there is nothing in x that would be read again. */
    static final Rule[] FORWARD_OVER_X = {
        input(Role.X, "x"),
        input(Role.RESIDUAL, "residual").like(Role.X, "x"),
        input(Role.GAMMA, "gamma").perSample(),
        input(Role.BETA, "beta").perSample(),
        output(Role.Y, "y").like(Role.X, "x").mayBe(Role.X, Role.RESIDUAL)
    };

    /** The rules of a forward pass that adds first; x is the sum then. */
    static final Rule[] FORWARD_ADDED = {
        input(Role.ADDEND, "x"),
        input(Role.RESIDUAL, "residual").like(Role.ADDEND, "x"),
        output(Role.X, "sum").like(Role.ADDEND, "x").mayBe(Role.ADDEND, Role.RESIDUAL),
        output(Role.Y, "y").like(Role.ADDEND, "x").mayBe(Role.ADDEND, Role.RESIDUAL)
    };

    /** The rules of a backward pass, and of the sums of one. */
    static final Rule[] BACKWARD = {
        input(Role.X, "x"),
        input(Role.Y, "y"),
        input(Role.DY, "dy").like(Role.X, "x"),
        input(Role.PAST, "past").like(Role.X, "x"),
        output(Role.DX, "dx").like(Role.DY, "dy").mayBe(Role.DY, Role.PAST),
        output(Role.DRESIDUAL, "dresidual").like(Role.DY, "dy").mayBe(Role.DY),
        output(Role.DGAMMA, "gradient of gamma").perSample(),
        output(Role.DBETA, "gradient of beta").perSample()
    };

    /**
     * What a tensor in a role must be, if there is one.
     *
     * @param isOutput whether the pass writes it. Outputs share no memory with inputs nor with outputs before them
     * @param like the role whose tensor's shape and layout it has; null where it is of shape (N, C), or where it is
     *     checked by whoever knows its shape
     * @param likeName what that is called
     * @param mayBe the roles of tensors whose place it may take
     */
    record Rule(
            Role role,
            String name,
            boolean isOutput,
            Role like,
            String likeName,
            boolean isPerSample,
            Set<Role> mayBe) {

        private Rule like(Role other, String otherName) {
            return new Rule(role, name, isOutput, other, otherName, false, mayBe);
        }

        private Rule perSample() {
            return new Rule(role, name, isOutput, null, null, true, mayBe);
        }

        private Rule mayBe(Role first, Role... more) {
            return new Rule(role, name, isOutput, like, likeName, isPerSample, EnumSet.of(first, more));
        }
    }

    private final Tensor[] byRole = new Tensor[Role.values().length];

    private static Rule input(Role role, String name) {
        return new Rule(role, name, false, null, null, false, EnumSet.noneOf(Role.class));
    }

    private static Rule output(Role role, String name) {
        return new Rule(role, name, true, null, null, false, EnumSet.noneOf(Role.class));
    }

    /** @param tensor or null for none */
    Arguments put(Role role, Tensor tensor) {
        if (byRole[role.ordinal()] != tensor) {
            byRole[role.ordinal()] = tensor;
        }
        return this;
    }

    Tensor get(Role role) {
        return byRole[role.ordinal()];
    }

    /** The memory in a role, or null. */
    Operand operand(Role role) {
        Tensor tensor = get(role);
        return tensor == null ? null : tensor.operand();
    }

    /**
     * Refuses what breaks a rule.
     *
     * @param accumulates whether gradients of γ and β per sample are read too
     * @param own what the layer owns, which no output may overwrite
     */
    void check(Rule[] rules, boolean accumulates, Belongings own) {
        for (int i = 0; i < rules.length; i++) {
            Rule rule = rules[i];
            Tensor tensor = get(rule.role);
            if (tensor == null) {
                continue;
            }
            if (rule.like != null) {
                like(rule.name, tensor, rule.likeName, get(rule.like));
            } else if (rule.isPerSample) {
                checkPerSample(rule.name, tensor, get(Role.X));
            }
            tensor.check(rule.name, rule.isOutput ? Memory.Access.OUTPUT : Memory.Access.INPUT);
            if (rule.isOutput) {
                if (accumulates && rule.isPerSample) {
                    tensor.check(rule.name, Memory.Access.INPUT);
                }
                for (int j = 0; j < rules.length; j++) {
                    Rule other = rules[j];
                    Tensor its = get(other.role);
                    if (its != null && (j < i || !other.isOutput)) {
                        noOverlap(rule.name, tensor, other.name, its, rule.mayBe.contains(other.role));
                    }
                }
                own.refuse(rule.name, tensor);
            }
        }
    }

    private static void checkPerSample(String name, Tensor tensor, Tensor x) {
        onDevice(name, tensor, x.device());
        Shape shape = tensor.shape();
        if (shape.rank() != 2
                || shape.batch() != x.shape().batch()
                || shape.channels() != x.shape().channels()) {
            throw new IllegalArgumentException(name + " must have shape (N, C) = "
                    + Shape.of(x.shape().batch(), x.shape().channels()) + ", but given was " + shape);
        }
        if (tensor.type() != DataType.FLOAT32) {
            throw new IllegalArgumentException(name + " must be float32, but given was " + tensor.type());
        }
    }

    /** Makes them a pass's operands, those of absent ones none. */
    void putTo(Operands operands, Rule[] rules) {
        for (int i = 0; i < rules.length; i++) {
            operands.put(rules[i].role, operand(rules[i].role));
        }
    }

    /** Tells those who watch them that the outputs are written. */
    void touchOutputs(Rule[] rules) {
        for (int i = 0; i < rules.length; i++) {
            Tensor tensor = get(rules[i].role);
            if (tensor != null && rules[i].isOutput) {
                tensor.touch();
            }
        }
    }
}
