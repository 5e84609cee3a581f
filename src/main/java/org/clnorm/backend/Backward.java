package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The backward pass of either forward pass. With dy' = dy where the pre-activation was positive (all of dy without an
 * activation), x̂ = (x − mean)·invstd and m values per channel:
 *
 * <ul>
 *   <li>dβ = Σ dy', dγ = Σ dy'·x̂, dresidual = dy'
 *   <li>dx = γ·invstd·(dy' − dβ/m − x̂·dγ/m) when the statistics were the batch's own,
 *   <li>dx = γ·invstd·dy' when they were given (frozen).
 * </ul>
 *
 * @param frozen whether the forward pass was a {@link ForwardInference}
 * @param y the forward pass's output; needed, and not null, when there was a residual and an activation: only then can
 *     the mask not be had from x
 * @param saved what the forward pass left
 * @param dx written; may be dy
 * @param dresidual written, or null; may be dy, but not dx
 * @param dgamma written, or null when not wanted
 * @param dbeta written, or null when not wanted
 * @param accumulate whether dγ and dβ are added to what is there
 */
public record Backward(
        Shape shape,
        Layout layout,
        boolean frozen,
        Operand dy,
        Operand x,
        Operand y,
        Activation activation,
        SavedStatistics saved,
        Operand dx,
        Operand dresidual,
        Operand dgamma,
        Operand dbeta,
        boolean accumulate) {}
