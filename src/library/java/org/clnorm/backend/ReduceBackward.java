package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The first step alone of the backward pass of a {@link ForwardCombined}: Σdy' and Σdy'·(x − mean), which {@link
 * Coefficients#readSums} has afterwards.
 *
 * <p>Operands: dy and x; and the forward pass's y, when it had a residual and an activation.
 *
 * @param shape not empty
 */
public record ReduceBackward(Shape shape, Layout layout, OperandTypes operands, Activation activation)
        implements PassSpec {}
