package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;

/**
 * Batch normalization's forward pass with moments that the host has: those of a batch of which x is a part, given by
 * {@link Coefficients#writeMoments}. The formula is {@link ForwardTraining}'s, with their mean and their M2 / count. It
 * leaves what a {@link BackwardCombined} needs, or a {@link Backward} with frozen statistics.
 *
 * <p>Operands: x and y, which may be x where no backward pass is to come; a residual or none, which y may be; γ and β of
 * each channel or none for 1 and 0; the running statistics, where they are updated, as by one batch of all values.
 *
 * @param shape may be empty, and then only the statistics are seen to
 * @param running how the running statistics are updated, or null for not at all
 * @param policy as far as the running statistics go; who asks for this has looked for what is not finite
 */
public record ForwardCombined(
        Shape shape,
        Layout layout,
        OperandTypes operands,
        Activation activation,
        double epsilon,
        RunningUpdate running,
        NonFinitePolicy policy)
        implements PassSpec {
    /** Checks that nothing is missing. */
    public ForwardCombined {
        RunningUpdate.check(running, operands);
    }
}
