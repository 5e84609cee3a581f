package org.clnorm;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;

/**
 * Elements on a {@link Device}, with a {@link Shape}, a {@link Layout} and a {@link DataType}. Arrays given and taken
 * are in memory order: for shape (N, C, H, W), index ((n·C + c)·H + h)·W + w channels-first and ((n·H + h)·W + w)·C + c
 * channels-last.
 *
 * <p>A tensor is used in the order of the calls made on its device. Two slices of one tensor may be used by two
 * threads; one element by two threads at a time may not, as with any array. Any thread may close a tensor: calls that
 * came before are waited for, and those that come later throw {@link IllegalStateException}.
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

    /** What the tensor is to a layer that owns it; null for others. */
    private final String name;

    /**
     * The watches over writes to a part of this, where it is no slice; null where there is room. Changed under its
     * lock.
     */
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

    /** A tensor over memory that is somebody else's, so that it is no loss to drop the tensor. */
    static Tensor borrowing(Device device, Shape shape, Layout layout, Operand operand) {
        return new Tensor(device, shape, layout, operand, false);
    }

    /** A tensor of a name over memory that somebody else closes, by its lease. */
    static Tensor lent(String name, Device device, Shape shape, Operand operand, Lease lease) {
        return new Tensor(device, shape, Layout.CHANNELS_FIRST, operand, null, lease, name);
    }

    /** The device that the tensor is on. */
    public Device device() {
        return device;
    }

    /** The logical dimensions. */
    public Shape shape() {
        return shape;
    }

    /** How the elements lie in memory. */
    public Layout layout() {
        return layout;
    }

    /** How the elements are stored. */
    public DataType type() {
        return operand.type();
    }

    /**
     * Copies all elements from an array, which may be changed at once; 16-bit elements are rounded to nearest even.
     *
     * @param from the elements in memory order
     * @throws IllegalArgumentException when the lengths differ, or the memory is a caller's buffer that cannot be
     *     uploaded to
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
     */
    public void upload(float[] from) {
        upload(FloatBuffer.wrap(Objects.requireNonNull(from, "from")));
    }

    /**
     * Copies all elements from what remains of a buffer, direct or not; its position stays. The buffer may be changed
     * at once; 16-bit elements are rounded to nearest even.
     *
     * @param from the elements in memory order
     * @throws IllegalArgumentException when the lengths differ, or the memory is a caller's buffer that cannot be
     *     uploaded to
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
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
     * Copies all elements from an array of their bits; for a tensor of a 16-bit type.
     *
     * @param from the bits of each element in the tensor's type, in memory order; see {@link HalfFloat}
     * @throws IllegalArgumentException when the lengths differ, the type is float32, or the memory is a caller's buffer
     *     that cannot be uploaded to
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
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
     * All elements, as the bits of the tensor's 16-bit type, in memory order. Waits for the work asked for so far.
     *
     * @throws IllegalArgumentException when the type is float32, or the memory is a caller's buffer that cannot be
     *     downloaded
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
     * @throws ArithmeticException for more elements than an array has, 2³¹ or more
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

    /**
     * All elements in memory order, as a new array. Waits for the work asked for so far.
     *
     * @throws IllegalArgumentException when the memory is a caller's buffer that cannot be downloaded
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
     * @throws ArithmeticException for more elements than an array has, 2³¹ or more
     */
    public float[] download() {
        float[] to = new float[Math.toIntExact(shape.elements())];
        download(to);
        return to;
    }

    /**
     * Copies all elements to an array. Waits for the work asked for so far.
     *
     * @param to where the elements go, in memory order
     * @throws IllegalArgumentException when the lengths differ, or the memory is a caller's buffer that cannot be
     *     downloaded
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
     */
    public void download(float[] to) {
        download(FloatBuffer.wrap(Objects.requireNonNull(to, "to")));
    }

    /**
     * Copies all elements to what remains of a buffer, direct or not; its position stays. Waits for the work asked for
     * so far.
     *
     * @param to where the elements go, in memory order
     * @throws IllegalArgumentException when the lengths differ, {@code to} is read-only, or the memory is a caller's
     *     buffer that cannot be downloaded
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
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

    /**
     * Sets every element to one value, which is rounded to nearest even where elements are stored in 16 bits.
     *
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
     */
    public void fill(float value) {
        backend().fill(operand, shape.elements(), value);
        touch();
    }

    /**
     * A part of this tensor's memory under a shape of its own. The slice shares the elements, and is closed with this
     * tensor (closing the slice does nothing).
     *
     * @param offset the slice's first element, counted from this tensor's first in memory order, from 0
     * @param shape the slice's dimensions
     * @param layout how the slice's elements lie in that part of memory
     * @throws IllegalArgumentException when the slice does not lie within this tensor
     * @throws IllegalStateException when this tensor is closed
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

    /**
     * Whether the tensor was closed, or what it belongs to: the tensor that it is a slice of, the layer or the device.
     */
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

    /**
     * Where the tensor lies, once it is sure that it may be used.
     *
     * @throws IllegalStateException when the tensor, or what it belongs to, is closed
     */
    Operand operand() {
        backend();
        return operand;
    }

    /** Tells a watch of writes from now on. */
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

    /** Tells a watch of no more writes. */
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

    /** Tells the watches that the elements are written; whoever writes them calls this. */
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

    /**
     * Refuses memory that is not for an access, as a caller's buffer may be.
     *
     * @throws IllegalArgumentException when the memory is not for it
     */
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

    /** Its shape, how it lies, in dimensions too where that is another order, and its device. */
    @Override
    public String toString() {
        boolean isTurned = layout == Layout.CHANNELS_LAST && shape.rank() > 2;
        return (name == null ? "" : name + ", ") + "Tensor" + shape + " " + layout
                + (type() == DataType.FLOAT32 ? "" : " " + type())
                + (isTurned ? ", which lies as " + Shape.of(layout.memoryOrder(shape)) + "," : "") + " on "
                + device.label();
    }
}
