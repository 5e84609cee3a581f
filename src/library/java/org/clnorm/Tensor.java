package org.clnorm;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;

/**
 * Elements on a {@link Device}, with a {@link Shape}, a {@link Layout} and a {@link DataType}. Arrays given and taken are in memory
 * order: for shape (N, C, H, W), index ((n·C + c)·H + h)·W + w channels-first and ((n·H + h)·W + w)·C + c channels-last.
 *
 * <p>A tensor is used in the order of the calls made on its device. Two slices of one tensor may be used by two threads;
 * one element by two threads at a time may not, as with any array. Any thread may close it: calls that came before are
 * waited for, and those that come later throw {@link IllegalStateException}.
 */
public final class Tensor implements AutoCloseable {
    private static final AtomicReferenceArray<Watch> NO_WATCHES = new AtomicReferenceArray<>(0);

    private final Device device;
    private final Shape shape;
    private final Layout layout;
    private final Operand operand;
    /** The tensor whose elements it shares; this one, unless it is a slice. */
    private final Tensor whole;

    private final Lease lease;
    /** Whether the lease is its own, to be closed with it. */
    private final boolean isOwner;

    /** What it is to a layer that owns it; null for others. */
    private final String name;

    /** Of the whole: who wants to know of writes to which part; null where there is room. Changed under its lock. */
    private volatile AtomicReferenceArray<Watch> watches = NO_WATCHES;

    private Tensor(Device device, Shape shape, Layout layout, Operand operand, boolean isOurs) {
        this.device = device;
        this.shape = shape;
        this.layout = layout;
        this.operand = operand;
        this.whole = this;
        this.lease = device.lease().of(this, "tensor " + shape, isOurs, operand.memory()::close);
        this.isOwner = true;
        this.name = null;
    }

    private Tensor(Device device, Shape shape, Layout layout, Operand operand, Tensor whole, Lease lease, String name) {
        this.device = device;
        this.shape = shape;
        this.layout = layout;
        this.operand = operand;
        this.whole = whole == null ? this : whole;
        this.lease = lease;
        this.isOwner = false;
        this.name = name;
    }

    /** A tensor over memory that goes with it. */
    static Tensor owning(Device device, Shape shape, Layout layout, Operand operand) {
        return new Tensor(device, shape, layout, operand, true);
    }

    /** A tensor over memory that is somebody else's, and that it is no loss to drop. */
    static Tensor borrowing(Device device, Shape shape, Layout layout, Operand operand) {
        return new Tensor(device, shape, layout, operand, false);
    }

    /** A tensor of that name over memory that somebody else closes, by its lease. */
    static Tensor lent(String name, Device device, Shape shape, Operand operand, Lease lease) {
        return new Tensor(device, shape, Layout.CHANNELS_FIRST, operand, null, lease, name);
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

    /** How its elements are stored. */
    public DataType type() {
        return operand.type();
    }

    /**
     * Copies all elements from an array, which may be changed at once; 16-bit elements are rounded to nearest even.
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
        check("The tensor", Memory.Access.UPLOAD);
        if (type() == DataType.FLOAT32) {
            backend().write(operand, from.duplicate());
        } else {
            ShortBuffer bits = ShortBuffer.allocate(from.remaining());
            type().half().encode(from, bits);
            backend().write(operand, bits);
        }
        touch();
    }

    /**
     * Copies all elements from the bits of 16-bit elements of this tensor's type.
     *
     * @throws IllegalArgumentException when the lengths differ, or the type is float32
     */
    public void upload(short[] from) {
        Objects.requireNonNull(from, "from");
        checkBits();
        checkLength("from", from.length);
        check("The tensor", Memory.Access.UPLOAD);
        backend().write(operand, ShortBuffer.wrap(from));
        touch();
    }

    /**
     * All elements, as the bits of this tensor's 16-bit type. Waits for the work asked for so far.
     *
     * @throws IllegalArgumentException when the type is float32
     */
    public short[] downloadBits() {
        checkBits();
        check("The tensor", Memory.Access.DOWNLOAD);
        short[] to = new short[Math.toIntExact(shape.elements())];
        backend().read(operand, ShortBuffer.wrap(to));
        return to;
    }

    private void checkBits() {
        if (type() == DataType.FLOAT32) {
            throw new IllegalArgumentException(
                    "Bits go to and from tensors of 16-bit elements, but this is of float32");
        }
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
        check("The tensor", Memory.Access.DOWNLOAD);
        if (type() == DataType.FLOAT32) {
            backend().read(operand, to.duplicate());
        } else {
            ShortBuffer bits = ShortBuffer.allocate(to.remaining());
            backend().read(operand, bits);
            type().half().decode(bits, to);
        }
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
        Objects.requireNonNull(shape, "shape");
        lease.check();
        if (offset < 0 || offset > this.shape.elements() || shape.elements() > this.shape.elements() - offset) {
            throw new IllegalArgumentException("A slice must lie within the tensor's " + this.shape.elements()
                    + " elements, but given were offset " + offset + " and shape " + shape);
        }
        return new Tensor(
                device,
                shape,
                Objects.requireNonNull(layout, "layout"),
                new Operand(operand.memory(), operand.offset() + offset, operand.type()),
                whole,
                lease,
                null);
    }

    /** Whether it, or what it belongs to, was closed: the tensor that it is a slice of, the layer or the device. */
    public boolean isClosed() {
        return !lease.isOpen() || device.isClosed();
    }

    /**
     * Gives the memory back, once the calls that use it are over. Closing twice is harmless, and so is closing what is
     * closed with something else: nothing happens to a slice, or to what a layer owns, such as a running mean.
     */
    @Override
    public void close() {
        if (isOwner) {
            lease.close();
        }
    }

    /** Where it lies, once it is sure that it may be used. */
    Operand operand() {
        backend();
        return operand;
    }

    /** From now on a watch is told of writes. */
    void add(Watch watch) {
        synchronized (whole) {
            AtomicReferenceArray<Watch> all = whole.watches;
            int free = 0;
            while (free < all.length() && all.get(free) != null) {
                free++;
            }
            if (free == all.length()) {
                AtomicReferenceArray<Watch> more = new AtomicReferenceArray<>(Math.max(2, 2 * free));
                for (int i = 0; i < free; i++) {
                    more.set(i, all.get(i));
                }
                whole.watches = more;
                all = more;
            }
            all.set(free, watch);
        }
    }

    /** From now on it is not. */
    void remove(Watch watch) {
        synchronized (whole) {
            AtomicReferenceArray<Watch> all = whole.watches;
            for (int i = 0; i < all.length(); i++) {
                if (all.get(i) == watch) {
                    all.set(i, null);
                }
            }
        }
    }

    /** To be called by whoever writes the elements. */
    void touch() {
        AtomicReferenceArray<Watch> all = whole.watches;
        for (int i = 0; i < all.length(); i++) {
            Watch watch = all.get(i);
            if (watch != null) {
                watch.see(this);
            }
        }
    }

    boolean isSamePlaceAs(Tensor other) {
        return operand.equals(other.operand) && shape.elements() == other.shape.elements();
    }

    boolean overlaps(Tensor other) {
        return operand.memory()
                .overlaps(firstByte(), endByte(), other.operand.memory(), other.firstByte(), other.endByte());
    }

    private long firstByte() {
        return operand.offset() * type().bytes();
    }

    private long endByte() {
        return firstByte() + shape.elements() * type().bytes();
    }

    /** @throws IllegalArgumentException when its memory is not for that, as a caller's buffer may be */
    void check(String name, Memory.Access access) {
        String objection = operand.memory().objection(access);
        if (objection != null) {
            throw new IllegalArgumentException(name + " cannot be used for "
                    + switch (access) {
                        case INPUT -> "input";
                        case OUTPUT -> "output";
                        case DOWNLOAD -> "a download";
                        case UPLOAD -> "an upload";
                    }
                    + ": " + objection + "; given was " + this);
        }
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
        return (name == null ? "" : name + ", ") + "Tensor" + shape + " " + layout
                + (type() == DataType.FLOAT32 ? "" : " " + type()) + " on " + device.label();
    }
}
