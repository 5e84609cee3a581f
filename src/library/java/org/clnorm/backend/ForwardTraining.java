package org.clnorm.backend;

import java.util.Objects;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;

/**
 * A forward pass that normalizes with the statistics of x itself: y = act((x − mean)·γ/√(variance + ε) + β + residual)
 * for centred statistics, and without the mean for others. Of batch renormalization, which has running statistics,
 * y = act(((x − mean)/√(variance + ε)·r + d)·γ + β + residual), with r = √(variance + ε)/√(running variance + ε) and
 * d = (mean − running mean)/√(running variance + ε), both within their bounds and from the running statistics as they
 * were before this pass.
 *
 * <p>Rows may be made first: with an addend, x is written as addend + residual, rounded to its type, and then normalized;
 * there is no residual after that. x may be the addend or the residual then.
 *
 * <p>Operands: x and y, which may be x; a residual or none, which y may be; an addend or none; γ and β, as the
 * normalization says, or none for 1 and 0; the running statistics, where they are updated. Samples at the end whose
 * statistics are {@linkplain Grouping#givenSamples given} are normalized as by a {@link ForwardInference}: by the running
 * statistics as they are after this pass, where it updates them, else by the mean and the variance of each channel, which
 * are operands then.
 *
 * @param normalization what is normalized together, and how
 * @param running how the running statistics are updated, or null for not at all. Virtual batches enter one after the
 *     other, without those whose statistics are given; of a channel of its own in each sample, the average over the
 *     samples enters, of the mean and of the estimate of the variance
 */
public record ForwardTraining(
        Normalization normalization,
        Shape shape,
        Layout layout,
        OperandTypes operands,
        Activation activation,
        double epsilon,
        RunningUpdate running,
        NonFinitePolicy policy)
        implements PassSpec {
    /** Checks that nothing is missing. */
    public ForwardTraining {
        RunningUpdate.check(running, operands);
        Objects.requireNonNull(normalization, "normalization");
        Objects.requireNonNull(policy, "policy");
        boolean rows = normalization.grouping() instanceof Grouping.Rows && operands.has(Role.RESIDUAL);
        if (operands.has(Role.ADDEND) && !rows) {
            throw new IllegalArgumentException("An addend is of rows that a residual is added to, but the pass is of "
                    + normalization + " with " + operands);
        }
        if (operands.has(Role.VALID) && normalization.grouping() instanceof Grouping.Positions) {
            throw new IllegalArgumentException(
                    "Positions are normalized without a mask, but the operands are " + operands);
        }
        long given = normalization.grouping().givenSamples(shape);
        if (given > 0 && (given == shape.batch() || normalization.perSample())) {
            throw new IllegalArgumentException(
                    "A pass by statistics that are given to its last samples has others before"
                            + " them, and gamma and beta for all samples, but it is " + normalization + " of " + shape);
        }
        if (given > 0 && running == null && !(operands.has(Role.MEAN) && operands.has(Role.VARIANCE))) {
            throw new IllegalArgumentException("The statistics of the last samples are given, so that the mean and the"
                    + " variance are operands where they are not the updated ones, but the operands are " + operands);
        }
    }
}
