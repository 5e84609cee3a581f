package org.clnorm.backend;

import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;

/**
 * Keeps apart those who use something and the one who closes it. Calls go in and come out, as many at a time as there are;
 * once it is shut, no other goes in, and the last one out releases what there is to release. So whoever comes first wins,
 * and what is in use is never released. To go in and out takes an atomic operation each and never waits.
 */
public final class Gate {
    /** Added to the number of calls that are in. */
    private static final int SHUT = Integer.MIN_VALUE;

    /** The same, once somebody has taken it on to release. */
    private static final int RELEASED = SHUT + (1 << 30);

    /** In the object itself: a pass goes through ten of them. */
    private static final AtomicIntegerFieldUpdater<Gate> INSIDE =
            AtomicIntegerFieldUpdater.newUpdater(Gate.class, "inside");

    private volatile int inside;
    private final Runnable release;
    /** Guarded by this object. */
    private boolean isOver;

    /** @param release called once, by the last one out or by the one who shuts it */
    public Gate(Runnable release) {
        this.release = release;
    }

    /** Goes in, unless it is shut. Whoever is in is to {@link #leave}. */
    public boolean enter() {
        if (INSIDE.getAndIncrement(this) >= 0) {
            return true;
        }
        leave();
        return false;
    }

    /** Goes in, unless it is shut or somebody else is in. Who always takes this way in is alone there. */
    public boolean enterAlone() {
        return INSIDE.compareAndSet(this, 0, 1);
    }

    /** Comes out. */
    public void leave() {
        if (INSIDE.decrementAndGet(this) == SHUT) {
            release();
        }
    }

    /** Lets nobody in from now on; does not wait for those who are. Shutting it twice is harmless. */
    public void shut() {
        if (INSIDE.getAndUpdate(this, calls -> calls < 0 ? calls : calls + SHUT) == 0) {
            release();
        }
    }

    /** Waits until the last one is out and all is released. Of no use to one who is in. */
    public void awaitRelease() {
        boolean interrupted = false;
        synchronized (this) {
            while (!isOver) {
                try {
                    wait();
                } catch (InterruptedException e) {
                    interrupted = true; // and left to the caller: what closes must not be half done
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Whether it is shut, and all that was to be released is. */
    public synchronized boolean isReleased() {
        return isOver;
    }

    private void release() {
        if (INSIDE.compareAndSet(this, SHUT, RELEASED)) {
            try {
                release.run();
            } finally {
                synchronized (this) {
                    isOver = true;
                    notifyAll();
                }
            }
        }
    }
}
