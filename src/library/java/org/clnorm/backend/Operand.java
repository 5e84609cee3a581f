package org.clnorm.backend;

import org.clnorm.DataType;

/**
 * Where a tensor lies: elements {@code offset}, {@code offset + 1}, ... of {@code memory}.
 *
 * @param memory memory of the backend that is called, allocated for elements of that type
 * @param offset in elements
 * @param type of an element; float32 of all that is not x, y, the residual or one of their gradients
 */
public record Operand(Memory memory, long offset, DataType type) {
    /** Of float32 elements. */
    public Operand(Memory memory, long offset) {
        this(memory, offset, DataType.FLOAT32);
    }

    /** The same without so many elements at the beginning. */
    public Operand after(long elements) {
        return elements == 0 ? this : new Operand(memory, offset + elements, type);
    }
}
