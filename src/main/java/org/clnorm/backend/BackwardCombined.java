package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.GradientSums;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The backward pass of a {@link ForwardCombined}, with sums that the host has:
 *
 * <ul>
 *   <li>dx = γ·invstd·(dy' − Σdy'/m − (x − mean)·invstd²·Σdy'·(x − mean)/m), the sums and m being those of all parts,
 *   <li>dγ = Σdy'·(x − mean)·invstd and dβ = Σdy', the sums being those of this part.
 * </ul>
 *
 * @param shape not empty
 * @param y the forward pass's output; needed, and not null, when there was a residual and an activation
 * @param saved what the forward pass left
 * @param own the sums of this part, as {@link ReduceBackward} gave them
 * @param all those of all parts
 * @param dx written; may be dy
 * @param dresidual written, or null; may be dy, but not dx
 * @param dgamma written, or null when not wanted
 * @param dbeta written, or null when not wanted
 * @param accumulate whether dγ and dβ are added to what is there
 */
public record BackwardCombined(
        Shape shape,
        Layout layout,
        Operand dy,
        Operand x,
        Operand y,
        Activation activation,
        SavedStatistics saved,
        GradientSums own,
        GradientSums all,
        Operand dx,
        Operand dresidual,
        Operand dgamma,
        Operand dbeta,
        boolean accumulate) {}
