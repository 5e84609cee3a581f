package org.clnorm;

import java.nio.FloatBuffer;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;

/**
 * Float32 elements on a {@link Device}, with a {@link Shape} and a {@link Layout}. Arrays given and taken are in memory
 * order: for shape (N, C, H, W), index ((n·C + c)·H + h)·W + w channels-first and ((n·H + h)·W + w)·C + c channels-last.
 *
 * <p>A tensor is used in the order of the calls made on its device. Two slices of one tensor may be used by two threads;
 * one element by two threads at a time may not, as with any array.
 */
public final class Tensor implements AutoCloseable {
    private final Device device;
    private final Shape shape;
    private final Layout layout;
    private final Operand operand;
    /** The tensor that owns the memory; this one, unless it is a slice. */
    private final Tensor owner;

    private final Lease lease;
    /** Of the owner: who wants to know of writes to which part. The array is replaced, never written. */
    private final AtomicReference<Watch[]> watches = new AtomicReference<>(new Watch[0]);

    private Tensor(Device device, Shape shape, Layout layout, Memory memory, long offset) {
        this.device = device;
        this.shape = shape;
        this.layout = layout;
        this.operand = new Operand(memory, offset);
        this.owner = this;
        this.lease = Lease.of(this, "tensor " + shape, device.lease(), memory::close);
    }

    private Tensor(Tensor owner, Shape shape, Layout layout, Operand operand) {
        this.device = owner.device;
        this.shape = shape;
        this.layout = layout;
        this.operand = operand;
        this.owner = owner;
        this.lease = owner.lease;
    }

    /** A tensor that owns {@code memory}. */
    static Tensor owning(Device device, Shape shape, Layout layout, Memory memory, long offset) {
        return new Tensor(device, shape, layout, memory, offset);
    }

    /** A tensor over memory that is closed with {@code owner}. */
    static Tensor over(Tensor owner, Operand operand, Shape shape) {
        return new Tensor(owner, shape, Layout.CHANNELS_FIRST, operand);
    }

    /** The device it is on. */
    public Device device() {
        return device;
    }

    /** Its logical dimensions. */
    public Shape shape() {
        return shape;
    }

    /** How its elements lie in memory. */
    public Layout layout() {
        return layout;
    }

    /**
     * Copies all elements from an array, which may be changed at once.
     *
     * @throws IllegalArgumentException when the lengths differ
     */
    public void upload(float[] from) {
        upload(FloatBuffer.wrap(Objects.requireNonNull(from, "from")));
    }

    /**
     * Copies all elements from what remains of a buffer, direct or not; its position stays. The buffer may be changed
     * at once.
     *
     * @throws IllegalArgumentException when the lengths differ
     */
    public void upload(FloatBuffer from) {
        Objects.requireNonNull(from, "from");
        checkLength("from", from.remaining());
        backend().write(operand, from.duplicate());
        touch();
    }

    /** All elements, as a new array. Waits for the work asked for so far. */
    public float[] download() {
        float[] to = new float[Math.toIntExact(shape.elements())];
        download(to);
        return to;
    }

    /**
     * Copies all elements to an array. Waits for the work asked for so far.
     *
     * @throws IllegalArgumentException when the lengths differ
     */
    public void download(float[] to) {
        download(FloatBuffer.wrap(Objects.requireNonNull(to, "to")));
    }

    /**
     * Copies all elements to what remains of a buffer, direct or not; its position stays. Waits for the work asked for
     * so far.
     *
     * @throws IllegalArgumentException when the lengths differ
     */
    public void download(FloatBuffer to) {
        Objects.requireNonNull(to, "to");
        checkLength("to", to.remaining());
        if (to.isReadOnly()) {
            throw new IllegalArgumentException("to must be writable, but given was a read-only buffer");
        }
        backend().read(operand, to.duplicate());
    }

    /** Sets every element. */
    public void fill(float value) {
        backend().fill(operand, shape.elements(), value);
        touch();
    }

    /**
     * A part of this tensor's memory under a shape of its own. It shares the elements, and is closed with this tensor
     * (closing the slice does nothing).
     *
     * @param offset the first element, counted from this tensor's first
     * @throws IllegalArgumentException when it does not lie within this tensor
     */
    public Tensor slice(long offset, Shape shape, Layout layout) {
        lease.check();
        if (offset < 0 || offset > this.shape.elements() || shape.elements() > this.shape.elements() - offset) {
            throw new IllegalArgumentException("A slice must lie within the tensor's " + this.shape.elements()
                    + " elements, but given were offset " + offset + " and shape " + shape);
        }
        return new Tensor(
                owner,
                shape,
                Objects.requireNonNull(layout, "layout"),
                new Operand(operand.memory(), operand.offset() + offset));
    }

    /** Whether it, or the tensor it is a slice of, was closed. */
    public boolean isClosed() {
        return !lease.isOpen() || device.isClosed();
    }

    /** Gives the memory back. Closing twice is harmless, and closing a slice does nothing. */
    @Override
    public void close() {
        if (owner == this) {
            lease.close();
        }
    }

    /** Where it lies, once it is sure that it may be used. */
    Operand operand() {
        backend();
        return operand;
    }

    /** Tells whether a tensor's elements were written, through it or through any slice that shares some of them. */
    final class Watch {
        private volatile boolean written;

        /** Whether they were, since the watch began. */
        boolean written() {
            return written;
        }

        /** Begins it anew. */
        void begin() {
            written = false;
        }

        /** Ends it. */
        void end() {
            owner.watches.updateAndGet(
                    all -> Stream.of(all).filter(watch -> watch != this).toArray(Watch[]::new));
        }

        private boolean sees(Tensor tensor) {
            return tensor.overlaps(Tensor.this);
        }
    }

    /** A watch over this tensor's elements from now on. */
    Watch watch() {
        Watch watch = new Watch();
        owner.watches.updateAndGet(
                all -> Stream.concat(Stream.of(all), Stream.of(watch)).toArray(Watch[]::new));
        return watch;
    }

    /** To be called by whoever writes the elements. */
    void touch() {
        for (Watch watch : owner.watches.get()) {
            if (watch.sees(this)) {
                watch.written = true;
            }
        }
    }

    boolean isSamePlaceAs(Tensor other) {
        return operand.equals(other.operand) && shape.elements() == other.shape.elements();
    }

    boolean overlaps(Tensor other) {
        return operand.memory().equals(other.operand.memory())
                && operand.offset() < other.operand.offset() + other.shape.elements()
                && other.operand.offset() < operand.offset() + shape.elements();
    }

    private Backend backend() {
        lease.check();
        return device.backend();
    }

    private void checkLength(String argument, int given) {
        if (given != shape.elements()) {
            throw new IllegalArgumentException(argument + " must have the tensor's " + shape.elements()
                    + " elements, shape " + shape + ", but given were " + given);
        }
    }

    @Override
    public String toString() {
        return "Tensor" + shape + " " + layout + " on " + device.info().name();
    }
}
