package org.clnorm.backend;

/**
 * A tensor that an optimizer updates. Its moments lie at its place among all that are updated together, one after the
 * other.
 *
 * @param value float32
 * @param gradient float32, as many elements
 * @param elements of each
 * @param decays whether weight decay is for it
 */
public record Updated(Operand value, Operand gradient, long elements, boolean decays) {}
