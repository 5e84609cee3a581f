package org.clnorm.backend;

import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The first step alone of batch normalization's forward pass: the moments of x, which {@link Coefficients#readMoments}
 * has afterwards. Nothing else of the coefficients is of any use then, so they are not to be those of a forward pass that
 * waits for its backward pass. Its one operand is x.
 *
 * @param shape not empty
 */
public record ReduceForward(Shape shape, Layout layout, OperandTypes operands) implements PassSpec {}
