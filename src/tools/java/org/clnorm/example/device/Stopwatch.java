package org.clnorm.example.device;

import java.util.ArrayList;
import java.util.List;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_event;

/**
 * Measures how long the device is busy with a part of the work, without waiting for it: a marker before it and one behind it,
 * whose times are asked for when all is done. In a queue that is in order, a marker is reached when all before it is over.
 */
public final class Stopwatch {
    private record Lap(cl_event begin, cl_event end) {}

    private final Queue queue;
    private final List<Lap> laps = new ArrayList<>();

    Stopwatch(Queue queue) {
        this.queue = queue;
    }

    /** Measures what a call enqueues. */
    void time(Runnable enqueue) {
        cl_event begin = queue.marker();
        enqueue.run();
        laps.add(new Lap(begin, queue.marker()));
    }

    /** The nanoseconds of all since the last time that this was asked. Waits for them. */
    public long nanos() {
        queue.finish();
        long sum = 0;
        for (Lap lap : laps) {
            sum += ended(lap.end()) - ended(lap.begin());
            CL.clReleaseEvent(lap.begin());
            CL.clReleaseEvent(lap.end());
        }
        laps.clear();
        return sum;
    }

    private static long ended(cl_event event) {
        long[] nanos = new long[1];
        Status.check(
                CL.clGetEventProfilingInfo(
                        event, CL.CL_PROFILING_COMMAND_END, Sizeof.cl_ulong, Pointer.to(nanos), null),
                "the time of a marker");
        return nanos[0];
    }
}
