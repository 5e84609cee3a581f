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
 * <p>Where γ differs within a group (rows with γ by element, groups of several channels), γ·dy' takes the place of dy'
 * in the two sums that dx has, over the group, and dγ and dβ are sums over all elements that have the same γ. Statistics
 * without a mean have no term in dβ; that of {@code LENGTH} has Σ dy'·x̂ without the division by m, and none where the
 * length was below ε. Of batch renormalization, r and d count as constants: dx has γ·r for γ, and dγ = Σ dy'·(x̂·r + d).
 *
 * @param normalization that of the forward pass
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
        Normalization normalization,
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
        boolean accumulate) {
    /** Of batch normalization. */
    public Backward(
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
            boolean accumulate) {
        this(
                Normalization.BATCH,
                shape,
                layout,
                frozen,
                dy,
                x,
                y,
                activation,
                saved,
                dx,
                dresidual,
                dgamma,
                dbeta,
                accumulate);
    }
}
