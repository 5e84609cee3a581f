package org.clnorm.backend;

/**
 * Where a tensor lies: elements {@code offset}, {@code offset + 1}, ... of {@code memory}.
 *
 * @param memory memory of the backend that is called
 * @param offset in elements
 */
public record Operand(Memory memory, long offset) {}
