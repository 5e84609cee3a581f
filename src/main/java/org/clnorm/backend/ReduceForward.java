package org.clnorm.backend;

import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * The first step alone of batch normalization's forward pass: the moments of x, for the host.
 *
 * @param shape of x: (N, C, spatial...), not empty
 * @param room whose content is of no use afterwards; not that of a forward pass that waits for its backward pass
 */
public record ReduceForward(Shape shape, Layout layout, Operand x, SavedStatistics room) {}
