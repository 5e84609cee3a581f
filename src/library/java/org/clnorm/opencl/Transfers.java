package org.clnorm.opencl;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;
import org.clnorm.plan.DeviceFacts;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_event;
import org.jocl.cl_mem;

/**
 * Copies between Java memory and buffers. Uploads do not wait: the data is copied to a direct buffer that is kept, and
 * then used again, once the device has read it (non-blocking transfers of Java arrays are not possible, since the
 * garbage collector moves them). Callers hold the backend's lock.
 */
final class Transfers {
    /** Past this many bytes on the way, an upload waits for an earlier one. */
    private static final long MOST_IN_FLIGHT = 256L << 20;

    private static final int MOST_OF_A_PIECE = 64 << 20;

    private static final int SMALLEST = 4096;

    private static final class Staging {
        final ByteBuffer bytes;
        cl_event event;

        Staging(ByteBuffer bytes) {
            this.bytes = bytes;
        }
    }

    /** What a device that was lost may still be reading, for all that anybody knows: it is never given back. */
    private static final Queue<ByteBuffer> ABANDONED = new ConcurrentLinkedQueue<>();

    private final cl_command_queue queue;
    private final boolean waits;
    private final Deque<Staging> inFlight = new ArrayDeque<>();
    private final Deque<Staging> idle = new ArrayDeque<>();

    /** @param waits whether uploads wait too; see {@link DeviceFacts#isOclgrind} */
    Transfers(cl_command_queue queue, boolean waits) {
        this.queue = queue;
        this.waits = waits;
    }

    void write(cl_mem to, long offset, FloatBuffer from) {
        write(to, offset, from.remaining(), Sizeof.cl_float, (at, count, staging) -> staging.asFloatBuffer()
                .put(from.slice(from.position() + at, count)));
    }

    void write(cl_mem to, long offset, ShortBuffer from) {
        write(to, offset, from.remaining(), Sizeof.cl_short, (at, count, staging) -> staging.asShortBuffer()
                .put(from.slice(from.position() + at, count)));
    }

    /** Puts some elements, from one on, into a buffer's bytes. */
    private interface Filling {
        void fill(int at, int count, ByteBuffer staging);
    }

    /** In pieces: a buffer has fewer bytes than an array of floats may have, and they are not all to be there twice. */
    private void write(cl_mem to, long offset, int count, int size, Filling filling) {
        int most = MOST_OF_A_PIECE / size;
        for (int at = 0; at < count; at += Math.min(most, count - at)) {
            int some = Math.min(most, count - at);
            int from = at;
            writePiece(to, (offset + at) * size, (long) some * size, staging -> filling.fill(from, some, staging));
        }
    }

    private void writePiece(cl_mem to, long firstByte, long bytes, Consumer<ByteBuffer> fill) {
        Staging staging = take(bytes);
        fill.accept(staging.bytes);
        cl_event event = new cl_event();
        int status =
                CL.clEnqueueWriteBuffer(queue, to, waits, firstByte, bytes, Pointer.to(staging.bytes), 0, null, event);
        if (status != CL.CL_SUCCESS) {
            idle.addLast(staging);
            OpenClException.check(status, "Writing " + bytes + " bytes");
        }
        staging.event = event;
        inFlight.addLast(staging);
    }

    void read(cl_mem from, long offset, ShortBuffer to) {
        short[] copy = new short[to.remaining()];
        if (copy.length == 0) {
            OpenClException.check(CL.clFinish(queue), "Waiting");
            return;
        }
        read(from, offset * Sizeof.cl_short, (long) copy.length * Sizeof.cl_short, Pointer.to(copy));
        to.duplicate().put(copy);
    }

    void read(cl_mem from, long offset, FloatBuffer to) {
        long bytes = (long) to.remaining() * Sizeof.cl_float;
        if (bytes == 0) {
            OpenClException.check(CL.clFinish(queue), "Waiting");
            return;
        }
        boolean direct = to.isDirect() && to.order() == ByteOrder.nativeOrder();
        if (to.hasArray()) {
            read(
                    from,
                    offset * Sizeof.cl_float,
                    bytes,
                    Pointer.to(to.array()).withByteOffset((long) (to.arrayOffset() + to.position()) * Sizeof.cl_float));
        } else if (direct) {
            read(from, offset * Sizeof.cl_float, bytes, Pointer.to(to.slice()));
        } else {
            float[] copy = new float[to.remaining()];
            read(from, offset * Sizeof.cl_float, bytes, Pointer.to(copy));
            to.duplicate().put(copy);
        }
    }

    private void read(cl_mem from, long firstByte, long bytes, Pointer to) {
        OpenClException.check(
                CL.clEnqueueReadBuffer(queue, from, true, firstByte, bytes, to, 0, null, null),
                "Reading " + bytes + " bytes");
    }

    /** A direct buffer of at least that size, its device-side reader done. */
    private Staging take(long bytes) {
        collect();
        long underWay = inFlight.stream().mapToLong(s -> s.bytes.capacity()).sum();
        while (underWay + bytes > MOST_IN_FLIGHT && !inFlight.isEmpty()) {
            Staging oldest =
                    inFlight.getFirst(); // and kept there if the wait fails: the device may still be reading it
            OpenClException.check(wait(oldest), "Waiting for an upload of earlier");
            underWay -= oldest.bytes.capacity();
            retire(inFlight.removeFirst());
        }
        for (Iterator<Staging> i = idle.iterator(); i.hasNext(); ) {
            Staging staging = i.next();
            if (staging.bytes.capacity() >= bytes && staging.bytes.capacity() <= 4 * Math.max(bytes, SMALLEST)) {
                i.remove();
                return staging;
            }
        }
        idle.clear();
        int capacity = Math.toIntExact(Math.max(SMALLEST, bytes));
        return new Staging(ByteBuffer.allocateDirect(capacity).order(ByteOrder.nativeOrder()));
    }

    private void collect() {
        while (!inFlight.isEmpty() && isDone(inFlight.peekFirst().event)) {
            retire(inFlight.removeFirst());
        }
    }

    private static int wait(Staging staging) {
        return CL.clWaitForEvents(1, new cl_event[] {staging.event});
    }

    private void retire(Staging staging) {
        CL.clReleaseEvent(staging.event);
        staging.event = null;
        idle.addLast(staging);
    }

    static boolean isDone(cl_event event) {
        int[] status = new int[1];
        OpenClException.check(
                CL.clGetEventInfo(event, CL.CL_EVENT_COMMAND_EXECUTION_STATUS, Sizeof.cl_int, Pointer.to(status), null),
                "Asking for an upload's state");
        return status[0] <= CL.CL_COMPLETE;
    }

    /** After the queue is finished, or has refused to be. */
    void release() {
        for (Staging staging : inFlight) {
            if (wait(staging) != CL.CL_SUCCESS) {
                ABANDONED.add(staging.bytes);
            }
            CL.clReleaseEvent(staging.event);
        }
        inFlight.clear();
        idle.clear();
    }
}
