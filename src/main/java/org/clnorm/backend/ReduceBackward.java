package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The first step alone of the backward pass of a {@link ForwardCombined}: Σdy' and Σdy'·(x − mean), for the host.
 *
 * @param shape not empty
 * @param y the forward pass's output; needed, and not null, when there was a residual and an activation
 * @param saved what the forward pass left
 */
public record ReduceBackward(
        Shape shape, Layout layout, Operand dy, Operand x, Operand y, Activation activation, SavedStatistics saved) {}
