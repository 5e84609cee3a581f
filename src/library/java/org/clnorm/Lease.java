package org.clnorm;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * The right to a closeable object's native resources: released once, by {@link #close} or, with a warning that names
 * the place of creation, when the owner was dropped without it. What lives on something ends with it, and a part of
 * something, such as a layer's running mean, is closed by it alone.
 */
final class Lease implements AutoCloseable {
    private static final Cleaner CLEANER = Cleaner.create();
    private static final Leaks DEVICES = new Leaks();

    /** What the cleaner runs; it must not refer to the owner, or the owner would never become unreachable. */
    private static final class State implements Runnable {
        private final String what;
        private final StackWalker.StackFrame madeAt;
        private final Runnable release;
        private final AtomicBoolean open = new AtomicBoolean(true);
        private final State parent;
        /** Who is told when it is dropped; null where that is no loss. */
        private final Leaks leaks;

        private volatile boolean closedByOwner;

        State(String what, StackWalker.StackFrame madeAt, State parent, Leaks leaks, Runnable release) {
            this.what = what;
            this.madeAt = madeAt;
            this.parent = parent;
            this.leaks = leaks;
            this.release = release;
        }

        /** Whether somebody closed it, or what it lives on. */
        boolean wasClosed() {
            return closedByOwner || parent != null && parent.wasClosed();
        }

        @Override
        public void run() {
            if (open.compareAndSet(true, false)) {
                if (leaks != null && !wasClosed()) {
                    leaks.add(what, madeAt);
                }
                release.run();
            }
        }
    }

    private final State state;
    /** The leaks of what is made on this. */
    private final Leaks leaks;
    /** Null for a part, which is not dropped before its whole. */
    private final Cleaner.Cleanable cleanable;

    private Lease(State state, Leaks leaks, Object owner) {
        this.state = state;
        this.leaks = leaks;
        this.cleanable = owner == null ? null : CLEANER.register(owner, state);
    }

    /** A lease on a device that {@code release}, which must not refer to {@code owner}, gives back. */
    static Lease ofDevice(Object owner, String what, Runnable release) {
        return new Lease(new State(what, callerOfTheLibrary(), null, DEVICES, release), new Leaks(), owner);
    }

    /**
     * A lease on what {@code release} gives back, which lives on what this is the lease of.
     *
     * @param isOurs whether it is a loss when the owner is dropped: not where the resources are somebody else's
     * @param release must not refer to {@code owner}
     */
    Lease of(Object owner, String what, boolean isOurs, Runnable release) {
        return new Lease(new State(what, callerOfTheLibrary(), state, isOurs ? leaks : null, release), leaks, owner);
    }

    /** A lease on a part of what this is the lease of. It is for the whole to close. */
    Lease part(String name, Runnable release) {
        return new Lease(new State(name + " of " + state.what, state.madeAt, state, null, release), leaks, null);
    }

    private static StackWalker.StackFrame callerOfTheLibrary() {
        String library = Lease.class.getPackageName();
        return StackWalker.getInstance().walk(frames -> {
            StackWalker.StackFrame[] last = new StackWalker.StackFrame[1];
            return frames.peek(frame -> last[0] = frame)
                    .filter(frame -> !isLibrary(frame.getClassName(), library))
                    .findFirst()
                    .orElseGet(() -> last[0]);
        });
    }

    private static boolean isLibrary(String className, String library) {
        return className.startsWith(library) && className.indexOf('.', library.length() + 1) < 0;
    }

    /** What the lease is of, in words. */
    String what() {
        return state.what;
    }

    boolean isOpen() {
        return state.open.get();
    }

    /**
     * Refuses to go on when it is closed.
     *
     * @throws IllegalStateException when closed
     */
    void check() {
        if (!isOpen()) {
            throw new IllegalStateException(described() + ", is closed");
        }
    }

    /** The start of a sentence on what the lease is of. */
    String described() {
        return "This " + state.what + ", made at " + state.madeAt;
    }

    @Override
    public void close() {
        state.closedByOwner = true;
        if (cleanable == null) {
            state.run();
        } else {
            cleanable.clean();
        }
    }
}
