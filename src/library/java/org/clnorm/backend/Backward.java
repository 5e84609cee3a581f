package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The backward pass of either forward pass. With dy' = dy by the activation's derivative (all of dy without an
 * activation, or where the pre-activation was positive with ReLU), x̂ = (x − mean)·invstd and m values per channel:
 *
 * <ul>
 *   <li>dβ = Σ dy', dγ = Σ dy'·x̂, dresidual = dy'
 *   <li>dx = γ·invstd·(dy' − dβ/m − x̂·dγ/m) when the statistics were the batch's own,
 *   <li>dx = γ·invstd·dy' when they were given: all (frozen), or those of the last samples.
 * </ul>
 *
 * <p>Where γ differs within a group (rows with γ by element, groups of several channels), γ·dy' takes the place of dy'
 * in the two sums that dx has, over the group, and dγ and dβ are sums over all elements that have the same γ. Statistics
 * without a mean have no term in dβ; that of {@code LENGTH} has Σ dy'·x̂ without the division by m, and none where the
 * length was below ε. Of batch renormalization, r and d count as constants: dx has γ·r for γ, and dγ = Σ dy'·(x̂·r + d).
 *
 * <p>Operands: dy and x; the forward pass's y, when it had a residual and an activation whose derivative y
 * tells (it cannot be had from x then; without a residual it is had from y too, if y is given), and of other activations
 * with a residual that residual in y's place; γ and β as they were in the forward pass, where they go by the element of a row (others are in the
 * coefficients); what came past the normalization, which is added to dx, or none; dx, which may be dy or that; dresidual or none, which may be dy, but not dx; dγ and dβ, each or none where it is
 * not wanted.
 *
 * @param normalization that of the forward pass
 * @param frozen whether the statistics were given to the forward pass
 * @param epsilon that of the forward pass
 * @param accumulate whether dγ and dβ are added to what is there
 * @param inPlace whether y took x's place in the forward pass, and an {@link InvertForward} came after it: the operand x is
 *     that y then, there is no operand y, and the activation is none or a leaky ReLU
 */
public record Backward(
        Normalization normalization,
        Shape shape,
        Layout layout,
        OperandTypes operands,
        boolean frozen,
        Activation activation,
        double epsilon,
        boolean accumulate,
        boolean inPlace)
        implements PassSpec {
    /** Of a forward pass that left x as it was. */
    public Backward(
            Normalization normalization,
            Shape shape,
            Layout layout,
            OperandTypes operands,
            boolean frozen,
            Activation activation,
            double epsilon,
            boolean accumulate) {
        this(normalization, shape, layout, operands, frozen, activation, epsilon, accumulate, false);
    }
}
