package org.clnorm.backend;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import org.clnorm.ChannelMoments;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.GradientSums;
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
    SavedStatistics newSavedStatistics(int channels);

    /** The same for any normalization of tensors of one shape and layout. */
    SavedStatistics newSavedStatistics(Normalization normalization, Shape shape, Layout layout);

    /**
     * A forward pass with the batch's own statistics.
     *
     * @throws org.clnorm.NonFiniteException under that policy, before any running statistics changed
     */
    void forward(ForwardTraining pass);

    /** A forward pass with given statistics. */
    void forward(ForwardInference pass);

    /** A backward pass. */
    void backward(Backward pass);

    /** The moments of x; waits. */
    ChannelMoments moments(ReduceForward pass);

    /** A forward pass with moments that were combined from several parts of a batch. */
    void forward(ForwardCombined pass);

    /** The sums of a backward pass; waits. */
    GradientSums gradientSums(ReduceBackward pass);

    /** A backward pass with sums that were combined from several parts of a batch. */
    void backward(BackwardCombined pass);

    @Override
    void close();
}
