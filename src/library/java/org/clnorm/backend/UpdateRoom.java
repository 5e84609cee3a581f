package org.clnorm.backend;

/**
 * What an optimizer keeps, float32.
 *
 * @param first the first moments of all tensors' elements, or null
 * @param second the second moments of all tensors' elements, or null
 * @param norm at the start of its memory, two numbers: the norm of all gradients and what they are multiplied by for it; null where no norm is taken
 */
public record UpdateRoom(Operand first, Operand second, Operand norm) {}
