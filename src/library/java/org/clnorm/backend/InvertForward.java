package org.clnorm.backend;

import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * What comes after a {@link ForwardTraining} of channels over the whole batch whose y took x's place: of what that pass
 * left, it makes what a {@link Backward} needs that has y for x. The statistics that are shown stay as they are. It is done
 * once, however often is gone back. It has no operands.
 *
 * @param shape not empty
 */
public record InvertForward(Shape shape, Layout layout, OperandTypes operands) implements PassSpec {}
