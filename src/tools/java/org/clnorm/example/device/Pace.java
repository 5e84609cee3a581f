package org.clnorm.example.device;

import java.util.ArrayDeque;
import java.util.Deque;
import org.jocl.CL;
import org.jocl.cl_event;

/**
 * Keeps the host a few steps ahead of the device, and no more. Not even an upload waits, so that without it a whole epoch would
 * be enqueued in a second, with a copy of all its pixels; and progress would be the host's.
 */
final class Pace {
    private static final int STEPS_AHEAD = 2;

    private final Queue queue;
    private final Deque<cl_event> ends = new ArrayDeque<>();

    Pace(Queue queue) {
        this.queue = queue;
    }

    /** A step was enqueued: waits until there are few that are not over. */
    void step() {
        ends.addLast(queue.marker());
        while (ends.size() > STEPS_AHEAD) {
            awaitFirst();
        }
    }

    /** Waits for all. */
    void rest() {
        while (!ends.isEmpty()) {
            awaitFirst();
        }
    }

    private void awaitFirst() {
        cl_event end = ends.removeFirst();
        Status.check(CL.clWaitForEvents(1, new cl_event[] {end}), "a step");
        CL.clReleaseEvent(end);
    }
}
