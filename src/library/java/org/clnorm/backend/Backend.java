package org.clnorm.backend;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.List;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * A device as the layers see it. Calls may return before the work is done; they take effect in the order in which they
 * were made, and only {@link #read} and {@link #finish} wait. Any number of threads may call.
 */
public interface Backend extends AutoCloseable {
    /** Who does the work. */
    DeviceInfo info();

    /** New memory for float32 elements, its content undefined. Zero elements are allowed. */
    default Memory allocate(long elements) {
        return allocate(elements, DataType.FLOAT32);
    }

    /** The same for elements of any type. */
    Memory allocate(long elements, DataType type);

    /** Copies what remains of {@code from} into memory. {@code from} may be changed as soon as this returns. */
    void write(Operand to, FloatBuffer from);

    /** Fills what remains of {@code to} from memory; waits. */
    void read(Operand from, FloatBuffer to);

    /** {@link #write(Operand, FloatBuffer)} of the bits of 16-bit elements. */
    void write(Operand to, ShortBuffer from);

    /** {@link #read(Operand, FloatBuffer)} of the bits of 16-bit elements. */
    void read(Operand from, ShortBuffer to);

    /** Sets {@code count} elements. */
    void fill(Operand to, long count, float value);

    /** Copies {@code count} elements of the same type; the two may not overlap. */
    void copy(Operand from, Operand to, long count);

    /** Waits for all that was asked for. */
    void finish();

    /** Room for what batch normalization's forward pass over so many channels leaves to its backward pass. */
    Coefficients newCoefficients(int channels);

    /** The same for any normalization of tensors of one shape and layout. */
    Coefficients newCoefficients(Normalization normalization, Shape shape, Layout layout);

    /** Makes ready for a pass: what of it does not depend on the memory that it is done on. */
    PreparedPass prepare(PassSpec pass);

    /**
     * Makes ready to update tensors by their gradients.
     *
     * @param tensors those that are updated together; none of them shares memory with another, or with the room
     * @param room what is kept between steps; the moments must be 0 before the first
     */
    PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room);

    /** Does a pass once. */
    default void run(PassSpec pass, Operands operands, Coefficients coefficients) {
        try (PreparedPass prepared = prepare(pass)) {
            prepared.run(operands, coefficients);
        }
    }

    @Override
    void close();
}
