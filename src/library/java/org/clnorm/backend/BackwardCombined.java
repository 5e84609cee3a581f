package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The backward pass of a {@link ForwardCombined}, with sums that the host has and gives by {@link
 * Coefficients#writeSums}:
 *
 * <ul>
 *   <li>dx = γ·invstd·(dy' − Σdy'/m − (x − mean)·invstd²·Σdy'·(x − mean)/m), the sums and m being those of all parts,
 *   <li>dγ = Σdy'·(x − mean)·invstd and dβ = Σdy', the sums being those of this part.
 * </ul>
 *
 * <p>Operands: those of a {@link Backward} of channels.
 *
 * @param shape not empty
 * @param epsilon that of the forward pass
 * @param accumulate whether dγ and dβ are added to what is there
 */
public record BackwardCombined(
        Shape shape, Layout layout, OperandTypes operands, Activation activation, double epsilon, boolean accumulate)
        implements PassSpec {}
