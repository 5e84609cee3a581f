package org.clnorm.mpi;

import com.sun.jna.Pointer;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;

/**
 * This process as a part of an MPI job: it begins and ends MPI, once, and sees to it that the job ends, and not well, when
 * something goes wrong, whatever the program does about the exception that it gets. Its lock is held during calls of the library,
 * of which there may be one at a time.
 */
final class MpiJob {
    /** How long a program has for its last words after a fault. */
    private static final Duration GRACE = Duration.ofSeconds(2);

    /** How long it waits, as it ends after a fault, for the last words of the others. */
    private static final Duration LAST_WORDS = Duration.ofMillis(250);

    private enum State {
        OPEN,
        FAILED,
        CLOSED
    }

    private static MpiJob joined;

    private final Pointer world;
    private final Duration deadline;
    private volatile State state = State.OPEN;
    private boolean isAborted;
    private volatile String name = "this rank";
    /** What the process is in, or was in last, and since when it waits there; 0 when it does not. */
    private volatile String purpose = "to join";

    private volatile long waitingSince;

    private MpiJob(Pointer world, Duration deadline) {
        this.world = world;
        this.deadline = deadline;
    }

    /** Begins MPI. */
    static synchronized MpiJob join(Duration deadline) {
        if (joined != null) {
            throw new IllegalStateException("This process has joined its MPI job before, which can be done once");
        }
        OpenMpi.load();
        int[] is = new int[1];
        OpenMpi.check("MPI_Initialized", OpenMpi.MPI_Initialized(is));
        if (is[0] != 0) {
            throw new IllegalStateException("Something else in this process has begun MPI, which can be done once");
        }
        OpenMpi.check("MPI_Init_thread", OpenMpi.MPI_Init_thread(null, null, OpenMpi.THREAD_SERIALIZED, is));
        Pointer world = OpenMpi.global("ompi_mpi_comm_world");
        joined = new MpiJob(world, deadline);
        Runtime.getRuntime().addShutdownHook(new Thread(joined::ending, "clnorm-mpi-ending"));
        if (is[0] < OpenMpi.THREAD_SERIALIZED) {
            joined.close();
            throw new IllegalStateException("Open MPI must let any one thread at a time call it, which is level "
                    + OpenMpi.THREAD_SERIALIZED + " of MPI_Init_thread, but gave " + is[0]);
        }
        // Errors come back as numbers; they would end the process without a word of where it was.
        OpenMpi.check(
                "MPI_Comm_set_errhandler",
                OpenMpi.MPI_Comm_set_errhandler(world, OpenMpi.global("ompi_mpi_errors_return")));
        return joined;
    }

    Pointer world() {
        return world;
    }

    Duration deadline() {
        return deadline;
    }

    /** Says which rank this is, for last words. */
    void name(String name) {
        this.name = name;
    }

    void checkOpen() {
        if (state != State.OPEN) {
            throw state == State.CLOSED
                    ? new IllegalStateException("This rank has left the group")
                    : new GroupException("The group has failed before, which " + name + " was told");
        }
    }

    /** Begins to wait for others. */
    void waits(String purpose) {
        this.purpose = purpose;
        waitingSince = System.nanoTime() | 1;
    }

    /** Ends that. */
    void waited() {
        waitingSince = 0;
    }

    /** Makes the job end: when this process does, and in a while in any case. */
    synchronized void fail() {
        if (state == State.OPEN) {
            state = State.FAILED;
            after(GRACE, this::abort);
        }
    }

    /** Ends MPI, which waits for all others to do so. */
    void close() {
        synchronized (this) {
            if (state != State.OPEN) {
                return;
            }
            state = State.CLOSED;
        }
        waits("leaving the group");
        Thread watch = after(deadline, () -> {
            LastWord.say(name + " waited " + deadline.toMillis() + " ms for the others to leave the group");
            abort();
        });
        synchronized (this) {
            OpenMpi.MPI_Finalize();
        }
        watch.interrupt();
        waited();
    }

    /** The end of this process, for whatever reason. */
    private void ending() {
        long since = waitingSince;
        if (state == State.FAILED) {
            LockSupport.parkNanos(LAST_WORDS.toNanos());
            abort();
        } else if (since != 0) {
            // Another thread is in the library, and mpirun is about to end all.
            LastWord.say(name + " is ended while it waits for the others in " + purpose + ", after "
                    + (System.nanoTime() - since) / 1_000_000
                    + " ms; unless somebody ended the job, another rank has died");
        } else if (state == State.OPEN) {
            LastWord.say(name + " ends, or is ended, before it has left the group; its last call was " + purpose);
            abort();
        }
    }

    /** Has mpirun end all processes of the job, this one too. */
    private void abort() {
        synchronized (MpiJob.class) {
            if (isAborted) {
                return;
            }
            isAborted = true;
        }
        OpenMpi.MPI_Abort(world, 1);
    }

    private static Thread after(Duration time, Runnable what) {
        Thread thread = new Thread(
                () -> {
                    try {
                        Thread.sleep(time.toMillis());
                    } catch (InterruptedException e) {
                        return; // it is not wanted any more
                    }
                    what.run();
                },
                "clnorm-mpi-watch");
        thread.setDaemon(true);
        thread.start();
        return thread;
    }
}
