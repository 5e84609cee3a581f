package org.clnorm.opencl;

import java.lang.ref.WeakReference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_event;
import org.jocl.cl_mem;

/**
 * Reads of a few numbers for which nobody waits until they are asked for: into room that the host and the device share, which
 * is mapped once and used again, and with an event. So what is enqueued after a read runs while the host waits for it.
 * Callers hold the backend's lock, except in {@link Reading#await}.
 */
final class PinnedReads {
    private static final int LEAST_BYTES = 1 << 14;

    private record Room(cl_mem memory, ByteBuffer bytes) {}

    private record UnderWay(WeakReference<Reading> reading, Room room, cl_event event) {}

    private final cl_context context;
    private final cl_command_queue queue;
    private final boolean waits;
    private final Object lock;
    private final Deque<Room> idle = new ArrayDeque<>();
    private final List<UnderWay> underWay = new ArrayList<>();

    /**
     * @param waits whether the reads wait at once, for a driver that knows no others
     * @param lock the backend's
     */
    PinnedReads(cl_context context, cl_command_queue queue, boolean waits, Object lock) {
        this.context = context;
        this.queue = queue;
        this.waits = waits;
        this.lock = lock;
    }

    /** Numbers under way. */
    final class Reading {
        private final int count;
        private final Room room;
        private final cl_event event;
        private float[] numbers;

        private Reading(int count, Room room, cl_event event) {
            this.count = count;
            this.room = room;
            this.event = event;
        }

        /** The numbers, waiting for them without the backend's lock; for who is in the backend's gate. */
        synchronized float[] await() {
            if (numbers == null) {
                OpenClException.check(CL.clWaitForEvents(1, new cl_event[] {event}), "Waiting for what a pass found");
                float[] found = new float[count];
                room.bytes.asFloatBuffer().get(found);
                synchronized (lock) {
                    giveBack(this);
                }
                numbers = found;
            }
            return numbers;
        }
    }

    /** Enqueues a read of float32 elements, and has the device begin with what was enqueued so far. */
    Reading start(cl_mem from, long offset, int count) {
        int bytes = Math.multiplyExact(count, Sizeof.cl_float);
        Room room = take(bytes);
        cl_event event = new cl_event();
        int status = CL.clEnqueueReadBuffer(
                queue, from, waits, offset * Sizeof.cl_float, bytes, Pointer.to(room.bytes), 0, null, event);
        if (status != CL.CL_SUCCESS) {
            idle.addLast(room);
            OpenClException.check(status, "Reading " + bytes + " bytes");
        }
        Reading reading = new Reading(count, room, event);
        underWay.add(new UnderWay(new WeakReference<>(reading), room, event));
        OpenClException.check(CL.clFlush(queue), "Sending off what is enqueued");
        return reading;
    }

    private Room take(int bytes) {
        if (idle.isEmpty()) {
            collect();
        }
        Room room = idle.pollLast();
        if (room != null && room.bytes.capacity() >= bytes) {
            return room;
        }
        if (room != null) {
            release(room);
        }
        int[] status = new int[1];
        long capacity = Math.max(bytes, LEAST_BYTES);
        cl_mem memory =
                CL.clCreateBuffer(context, CL.CL_MEM_READ_WRITE | CL.CL_MEM_ALLOC_HOST_PTR, capacity, null, status);
        OpenClException.check(status[0], "Allocating " + capacity + " bytes of the host's memory");
        ByteBuffer mapped = CL.clEnqueueMapBuffer(
                queue, memory, true, CL.CL_MAP_READ | CL.CL_MAP_WRITE, 0, capacity, 0, null, null, status);
        if (status[0] != CL.CL_SUCCESS) {
            CL.clReleaseMemObject(memory);
            OpenClException.check(status[0], "Mapping " + capacity + " bytes");
        }
        return new Room(memory, mapped.order(ByteOrder.nativeOrder()));
    }

    /** Takes back the room of readings that nobody can ask for any more. */
    private void collect() {
        underWay.removeIf(one -> {
            if (one.reading.get() != null || !Transfers.isDone(one.event)) {
                return false;
            }
            CL.clReleaseEvent(one.event);
            idle.addLast(one.room);
            return true;
        });
    }

    private void giveBack(Reading reading) {
        underWay.removeIf(one -> one.event == reading.event);
        CL.clReleaseEvent(reading.event);
        idle.addLast(reading.room);
    }

    private void release(Room room) {
        CL.clEnqueueUnmapMemObject(queue, room.memory, room.bytes, 0, null, null);
        CL.clReleaseMemObject(room.memory);
    }

    /** After the queue is finished; it is to be finished again. */
    void release() {
        underWay.forEach(one -> {
            CL.clReleaseEvent(one.event);
            idle.addLast(one.room);
        });
        underWay.clear();
        idle.forEach(this::release);
        idle.clear();
    }
}
