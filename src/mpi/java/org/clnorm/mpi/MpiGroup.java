package org.clnorm.mpi;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** A rank that is a process of an Open MPI job. */
final class MpiGroup implements Group {
    private static final long SPIN_NANOS = 200_000;
    private static final long PAUSE_NANOS = 20_000;

    /** How often a rank that waits looks for a roll call, and how long it takes part in one. */
    private static final long LOOK_NANOS = 10_000_000;

    private static final long ROLL_CALL_NANOS = 200_000_000;

    /** Of the messages by which ranks that wait find out who does not. */
    private static final int ROLL_CALL = 1;

    /** More than an MPI_Status has; the rank that a message is from comes first. */
    private static final int STATUS_BYTES = 64;

    private final MpiJob job;
    private final Pointer comm;
    private final Pointer number = OpenMpi.global("ompi_mpi_double");
    private final Pointer octet = OpenMpi.global("ompi_mpi_byte");
    private final int rank;
    private final int size;
    private final ByteBuffer state = direct(STATUS_BYTES);
    private final Pointer request = address(state);
    private final ByteBuffer flag = direct(Integer.BYTES);
    private final Pointer isDone = address(flag);
    /** Where what is given and gotten lies; what was too small stays, for a message that came too late may still arrive there. */
    private final List<Room> rooms = new ArrayList<>(List.of(new Room(0, 0)));

    /** Room for a message of so many numbers, and for those of all ranks. */
    private static final class Room {
        final int numbers;
        final DoubleBuffer own;
        final DoubleBuffer all;
        final Pointer addressOfOwn;
        final Pointer addressOfAll;

        Room(int numbers, int size) {
            this.numbers = numbers;
            ByteBuffer send = direct(Math.multiplyExact(numbers, Double.BYTES));
            ByteBuffer receive = direct(Math.multiplyExact(send.capacity(), size));
            own = send.asDoubleBuffer();
            all = receive.asDoubleBuffer();
            addressOfOwn = address(send);
            addressOfAll = address(receive);
        }
    }

    private MpiGroup(MpiJob job, Pointer comm) {
        this.job = job;
        this.comm = comm;
        int[] answer = new int[1];
        OpenMpi.check("MPI_Comm_rank", OpenMpi.MPI_Comm_rank(comm, answer));
        this.rank = answer[0];
        OpenMpi.check("MPI_Comm_size", OpenMpi.MPI_Comm_size(comm, answer));
        this.size = answer[0];
    }

    /** Joins the job that this process was started in. */
    static MpiGroup join(Duration deadline) {
        MpiJob job = MpiJob.join(deadline);
        MpiGroup group = new MpiGroup(job, job.world());
        job.name(group.toString());
        return group;
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    private static Pointer address(ByteBuffer buffer) {
        return Native.getDirectBufferPointer(buffer);
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public void allGather(String purpose, double[] own, double[] all) {
        Objects.requireNonNull(purpose, "purpose");
        Groups.checkLengths(own, all, size);
        synchronized (job) {
            job.checkOpen();
            Room room = roomFor(own.length);
            room.own.put(0, own);
            job.waits(purpose);
            try {
                int n = own.length;
                check(
                        purpose,
                        OpenMpi.MPI_Iallgather(
                                room.addressOfOwn, n, number, room.addressOfAll, n, number, comm, request));
                await(purpose);
            } finally {
                job.waited();
            }
            room.all.get(0, all);
        }
    }

    private Room roomFor(int numbers) {
        Room last = rooms.get(rooms.size() - 1);
        if (last.numbers < numbers) {
            last = new Room(Math.max(numbers, 2 * last.numbers), size);
            rooms.add(last);
        }
        return last;
    }

    /** Polls the request until it is done. */
    private void await(String purpose) {
        long begin = System.nanoTime();
        long look = LOOK_NANOS;
        while (true) {
            check(purpose, OpenMpi.MPI_Test(request, isDone, Pointer.NULL));
            if (flag.getInt(0) != 0) {
                return;
            }
            long waited = System.nanoTime() - begin;
            if (waited < SPIN_NANOS) {
                Thread.onSpinWait();
                continue;
            }
            LockSupport.parkNanos(PAUSE_NANOS);
            if (waited > look) {
                look = waited + LOOK_NANOS;
                if (waited > job.deadline().toNanos() || isRollCalled()) {
                    throw failed(this + " waited " + waited / 1_000_000 + " ms in " + purpose + ", but " + missing());
                }
                if (Thread.currentThread().isInterrupted()) {
                    throw failed(this + " was interrupted while it waited in " + purpose);
                }
            }
        }
    }

    private GroupException failed(String why) {
        job.fail();
        return new GroupException(why);
    }

    private void check(String purpose, int error) {
        if (error == 0) {
            return;
        }
        if (OpenMpi.classOf(error) == OpenMpi.ERR_TRUNCATE) {
            throw GroupException.ofLengths("Another rank gave more numbers than " + this + " in " + purpose);
        }
        throw failed("MPI failed for " + this + " in " + purpose + ": " + OpenMpi.text(error));
    }

    private boolean isRollCalled() {
        OpenMpi.check("MPI_Iprobe", OpenMpi.MPI_Iprobe(OpenMpi.ANY_SOURCE, ROLL_CALL, comm, isDone, Pointer.NULL));
        return flag.getInt(0) != 0;
    }

    /** Tells all others that this rank waits, hears who else does, and says who does not. */
    private String missing() {
        boolean[] waits = new boolean[size];
        waits[rank] = true;
        ByteBuffer status = direct(STATUS_BYTES);
        ByteBuffer unused = direct(size * Long.BYTES);
        for (int other = 0; other < size; other++) {
            if (other != rank) {
                OpenMpi.MPI_Isend(
                        address(status),
                        0,
                        octet,
                        other,
                        ROLL_CALL,
                        comm,
                        address(unused).share((long) other * Long.BYTES));
            }
        }
        long end = System.nanoTime() + ROLL_CALL_NANOS;
        while (System.nanoTime() < end) {
            OpenMpi.MPI_Iprobe(OpenMpi.ANY_SOURCE, ROLL_CALL, comm, isDone, address(status));
            if (flag.getInt(0) != 0) {
                int other = status.getInt(0);
                OpenMpi.MPI_Recv(address(status), 0, octet, other, ROLL_CALL, comm, Pointer.NULL);
                waits[other] = true;
            } else {
                LockSupport.parkNanos(PAUSE_NANOS);
            }
        }
        String missing = IntStream.range(0, size)
                .filter(other -> !waits[other])
                .mapToObj(Integer::toString)
                .collect(Collectors.joining(", "));
        return missing.isEmpty()
                ? "all ranks wait, so that they are not in the same call"
                : (missing.contains(",") ? "ranks " : "rank ") + missing + " did not come";
    }

    @Override
    public Group sub(int size) {
        Groups.checkSize(size);
        double[] all = new double[this.size];
        allGather("dividing the group", new double[] {size}, all);
        if (Arrays.stream(all).anyMatch(other -> other != size)) {
            throw failed("Ranks divide the group by different sizes: " + Arrays.toString(all));
        }
        synchronized (job) {
            job.checkOpen();
            ByteBuffer part = direct(Long.BYTES);
            OpenMpi.check("MPI_Comm_split", OpenMpi.MPI_Comm_split(comm, rank / size, rank, address(part)));
            return new MpiGroup(job, address(part).getPointer(0));
        }
    }

    @Override
    public void fail(String why) {
        Objects.requireNonNull(why, "why");
        job.fail();
    }

    /** Leaves the job, which waits until all have done so; of a part of a group, nothing, since it ends with the group. */
    @Override
    public void close() {
        if (comm.equals(job.world())) {
            job.close();
        }
    }

    /** The rank, and of how many. */
    @Override
    public String toString() {
        return "rank " + rank + " of " + size + (comm.equals(job.world()) ? " processes" : " processes in a part");
    }
}
