package org.clnorm;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The right to a closeable object's native resources: released once, by {@link #close} or, with a warning that names
 * the place of creation, when the owner was dropped without it.
 */
final class Lease implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Lease.class);
    private static final Cleaner CLEANER = Cleaner.create();

    /** What the cleaner runs; it must not refer to the owner, or the owner would never become unreachable. */
    private static final class State implements Runnable {
        private final String what;
        private final StackWalker.StackFrame madeAt;
        private final Runnable release;
        private final AtomicBoolean open = new AtomicBoolean(true);
        private final State parent;
        private volatile boolean closedByOwner;

        State(String what, StackWalker.StackFrame madeAt, State parent, Runnable release) {
            this.what = what;
            this.madeAt = madeAt;
            this.parent = parent;
            this.release = release;
        }

        /** Whether somebody closed it, or what it lives on. */
        boolean wasClosed() {
            return closedByOwner || parent != null && parent.wasClosed();
        }

        @Override
        public void run() {
            if (open.compareAndSet(true, false)) {
                if (!wasClosed()) {
                    log.warn("Leaked: {} made at {} was never closed", what, madeAt);
                }
                release.run();
            }
        }
    }

    private final State state;
    private final Cleaner.Cleanable cleanable;

    private Lease(Object owner, State state) {
        this.state = state;
        this.cleanable = CLEANER.register(owner, state);
    }

    /**
     * A lease on what {@code release} gives back.
     *
     * @param parent what the owner lives on, whose closing closes it too; or null
     * @param release must not refer to {@code owner}
     */
    static Lease of(Object owner, String what, Lease parent, Runnable release) {
        State parentState = parent == null ? null : parent.state;
        return new Lease(owner, new State(what, callerOfTheLibrary(), parentState, release));
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

    boolean isOpen() {
        return state.open.get();
    }

    /** @throws IllegalStateException when closed */
    void check() {
        if (!isOpen()) {
            throw new IllegalStateException("This " + state.what + ", made at " + state.madeAt + ", is closed");
        }
    }

    @Override
    public void close() {
        state.closedByOwner = true;
        cleanable.clean();
    }
}
