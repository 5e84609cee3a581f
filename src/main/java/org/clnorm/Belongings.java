package org.clnorm;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Gate;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;

/**
 * All that a layer owns on its device, and the way in to it: a call on the layer {@linkplain #enter enters} and is alone
 * with it until it {@linkplain #leave leaves}. It does not know the layer, which may be gone when this is closed.
 */
final class Belongings implements AutoCloseable {
    private final Device device;
    private final Lease lease;
    private final Gate gate = new Gate(this::release);
    private final List<Tensor> vectors = new ArrayList<>();
    private final List<Lease> parts = new ArrayList<>();
    private final PreparedPasses passes;
    /** Read by threads that are not in. */
    private volatile Room room;

    private Coefficients scratch;
    /** Who is in. A thread that reads this by itself finds itself, or others of whom it is not to know. */
    private Thread user;

    /** @param what the layer is, for messages */
    Belongings(Object layer, Device device, Options options, String what) {
        this.device = device;
        this.passes = new PreparedPasses(device.backend(), options);
        this.lease = device.lease().of(layer, what, true, this::close);
    }

    /** The layer's. */
    Lease lease() {
        return lease;
    }

    /** @throws IllegalStateException when it is closed, or another call is in */
    void enter() {
        if (!gate.enterAlone()) {
            lease.check();
            throw new IllegalStateException(lease.described() + ", is in the middle of another call"
                    + (user == Thread.currentThread() ? "" : ", by another thread")
                    + ": a layer is for one call at a time");
        }
        user = Thread.currentThread();
    }

    void leave() {
        user = null;
        gate.leave();
    }

    /** Makes a call alone. */
    void alone(Runnable call) {
        answer(() -> {
            call.run();
            return null;
        });
    }

    /** The same, of a call that returns something. */
    <T> T answer(Supplier<T> call) {
        enter();
        try {
            return call.get();
        } finally {
            leave();
        }
    }

    /** A vector of the layer's; closing it does nothing. */
    Tensor vector(String name, Shape shape) {
        Operand memory = device.memory(shape, DataType.FLOAT32);
        Lease part = lease.part(name, memory.memory()::close);
        parts.add(part);
        Tensor vector = Tensor.lent(part.what(), device, shape, memory, part);
        vectors.add(vector);
        return vector;
    }

    Parameter parameter(String name, Shape shape) {
        return new Parameter(name, vector(name, shape), vector("gradient of " + name, shape));
    }

    Running running(Shape shape) {
        return new Running(
                vector("running mean", shape), vector("running variance", shape), vector("number of batches", shape));
    }

    /** The passes that it has prepared. */
    PreparedPasses passes() {
        return passes;
    }

    /** Room for a pass: the room that is there, or a new one, which takes its place only in {@link #settle}. */
    Room roomFor(Normalization normalization, Shape shape, Layout layout) {
        Room last = room;
        return last != null && last.fits(normalization, shape, layout)
                ? last
                : Room.make(lease, device, normalization, shape, layout);
    }

    /** From now on this is the room, and the last one is closed. */
    void settle(Room next) {
        Room last = room;
        if (last != next) {
            room = next;
            if (last != null) {
                last.close();
            }
        }
    }

    /** Room for moments that go to the host, beside the room of the last pass. */
    Coefficients scratch(int channels) {
        if (scratch == null) {
            scratch = device.backend().newCoefficients(channels);
        }
        return scratch;
    }

    /** The room of the last pass; null before there was one. */
    Room room() {
        return room;
    }

    /** Refuses an output that would overwrite what the layer owns. */
    void refuse(String name, Tensor output) {
        for (int i = 0; i < vectors.size(); i++) {
            refuse(name, output, vectors.get(i));
        }
        Room last = room;
        if (last != null && last.mean() != null) {
            refuse(name, output, last.mean());
            refuse(name, output, last.invstd());
        }
    }

    private static void refuse(String name, Tensor output, Tensor mine) {
        TensorChecks.noOverlap(name, output, "the layer's own parameters and statistics", mine, false);
    }

    /** Waits for the call that is in, unless that is where this comes from. */
    @Override
    public void close() {
        gate.shut();
        if (user != Thread.currentThread()) {
            gate.awaitRelease();
        }
    }

    /** Whether it is closed and no call is in any more. */
    boolean isReleased() {
        return gate.isReleased();
    }

    private void release() {
        if (room != null) {
            room.close();
        }
        if (scratch != null) {
            scratch.close();
        }
        passes.close();
        parts.forEach(Lease::close);
    }
}
