package org.clnorm;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Gate;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;

/**
 * All that a layer owns on its device, and the way in to it: a call on the layer {@linkplain #enter enters} and is
 * alone with it until it {@linkplain #leave leaves}. It does not know the layer, which may be gone when this is closed.
 */
final class Belongings implements AutoCloseable {
    /** How many states are kept for forward passes to come, over what is then under way. */
    private static final int MOST_IDLE = 16;

    private final Device device;
    private final Lease lease;
    /** Of the layer that owns the parameters that this one's layer shares, to be entered too; null for none. */
    private final Belongings root;

    private final Gate gate = new Gate(this::release);
    private final List<Tensor> vectors = new ArrayList<>();
    private final List<Lease> parts = new ArrayList<>();
    private final PreparedPasses passes;
    /** The state of the forward pass that nobody keeps. */
    private final ForwardState last = new ForwardState();

    private final List<ForwardState> states = new ArrayList<>(List.of(last));
    /** Those that serve no forward pass, the one that did so last at the end. */
    private final List<ForwardState> idle = new ArrayList<>();

    private Coefficients scratch;
    /** The thread that is in. One that reads this by itself finds itself, or others of whom it is not to know. */
    private Thread user;

    /**
     * Those of a new layer.
     *
     * @param what what the layer is, for messages
     * @param owner of the layer whose parameters this one shares; null for none
     */
    Belongings(Object layer, Device device, Options options, String what, Belongings owner) {
        this.device = device;
        this.root = owner == null || owner.root == null ? owner : owner.root;
        this.passes = new PreparedPasses(device.backend(), options);
        this.lease = device.lease().of(layer, what, true, this::close);
    }

    /** The layer's lease. */
    Lease lease() {
        return lease;
    }

    /**
     * Enters, to be alone until {@link #leave}, and alone with the parameters too.
     *
     * @throws IllegalStateException when the layer is closed, or another call is in
     */
    void enter() {
        if (!gate.enterAlone()) {
            checkOpen();
            throw new IllegalStateException(inUse() + ": a layer is for one call at a time");
        }
        if (root != null) {
            if (!root.gate.enterAlone()) {
                gate.leave();
                checkOpen();
                throw new IllegalStateException(
                        root.inUse() + ": layers that share parameters are for one call at a time all together");
            }
            root.user = Thread.currentThread();
        }
        user = Thread.currentThread();
    }

    private String inUse() {
        return lease.described() + ", is in the middle of another call"
                + (user == Thread.currentThread() ? "" : ", by another thread");
    }

    void leave() {
        user = null;
        if (root != null) {
            root.user = null;
            root.gate.leave();
        }
        gate.leave();
    }

    /** Whether neither this nor what it shares is closed. */
    boolean isOpen() {
        return lease.isOpen() && (root == null || root.lease.isOpen());
    }

    /**
     * Refuses to go on when it is closed.
     *
     * @throws IllegalStateException when the layer, or the owner of its parameters, is closed
     */
    void checkOpen() {
        lease.check();
        if (!isOpen()) {
            throw new IllegalStateException(
                    lease.described() + ", shares the parameters of " + root.lease.what() + ", which is closed");
        }
    }

    /** Makes a call while no other is in. */
    void alone(Runnable call) {
        answer(() -> {
            call.run();
            return null;
        });
    }

    /** Makes a call while no other is in, and returns what it returns. */
    <T> T answer(Supplier<T> call) {
        enter();
        try {
            return call.get();
        } finally {
            leave();
        }
    }

    /** A new vector of the layer's; closing it does nothing. */
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

    /** Another layer's parameter, which is not written as an output of this one's either. */
    Parameter share(Parameter parameter) {
        vectors.add(parameter.value());
        vectors.add(parameter.gradient());
        return parameter;
    }

    Running running(Shape shape) {
        return new Running(
                vector("running mean", shape), vector("running variance", shape), vector("number of batches", shape));
    }

    /** The passes that the layer has prepared. */
    PreparedPasses passes() {
        return passes;
    }

    /** The state of the last forward pass that nobody keeps. */
    ForwardState last() {
        return last;
    }

    /**
     * A state for a forward pass that is kept until it is {@linkplain #giveBack given back}; one with room for the
     * pass, if there is.
     */
    ForwardState take(Normalization normalization, Shape shape, Layout layout) {
        int found = -1;
        for (int i = 0; i < idle.size() && found < 0; i++) {
            Room room = idle.get(i).room();
            found = room != null && room.fits(normalization, shape, layout) ? i : -1;
        }
        if (found < 0 && idle.size() >= MOST_IDLE) {
            found = 0;
        }
        if (found >= 0) {
            return idle.remove(found);
        }
        ForwardState made = new ForwardState();
        states.add(made);
        return made;
    }

    void giveBack(ForwardState state) {
        state.forget();
        idle.add(state);
    }

    /** Ends every forward pass: none is to be gone back through any more. */
    void forgetPasses() {
        states.forEach(ForwardState::forget);
    }

    /** Room for a pass: what the state has, or a new one, which takes its place only when it is settled. */
    Room roomFor(ForwardState state, Normalization normalization, Shape shape, Layout layout) {
        Room room = state.room();
        return room != null && room.fits(normalization, shape, layout)
                ? room
                : Room.make(lease, device, normalization, shape, layout);
    }

    /** Room for moments that go to the host, beside the room of the last pass. */
    Coefficients scratch(int channels) {
        if (scratch == null) {
            scratch = device.backend().newCoefficients(channels);
        }
        return scratch;
    }

    /** Refuses an output that would overwrite what the layer owns. */
    void refuse(String name, Tensor output) {
        for (int i = 0; i < vectors.size(); i++) {
            refuse(name, output, vectors.get(i));
        }
        for (int i = 0; i < states.size(); i++) {
            Room room = states.get(i).room();
            if (room != null && room.mean() != null) {
                refuse(name, output, room.mean());
                refuse(name, output, room.invstd());
            }
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

    /** Whether the layer is closed and no call is in any more. */
    boolean isReleased() {
        return gate.isReleased();
    }

    private void release() {
        states.forEach(ForwardState::release);
        if (scratch != null) {
            scratch.close();
        }
        passes.close();
        parts.forEach(Lease::close);
    }
}
