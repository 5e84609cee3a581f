package org.clnorm.mpi;

import java.time.Duration;
import java.util.List;
import java.util.Objects;

/** The kinds of {@link Group}: threads of one process, and processes of an MPI job. */
public final class Groups {
    private Groups() {}

    /**
     * A group of threads of this process, each with a device, or a queue, of its own.
     *
     * @param size how many ranks it has, at least 1
     * @param deadline how long a rank waits for the others before all give up
     * @return the group as each of the ranks sees it, in the order of ranks; each is for a thread
     * @throws IllegalArgumentException for a size below 1, and for a deadline that is not above 0
     */
    public static List<Group> local(int size, Duration deadline) {
        checkSize(size);
        return LocalGroup.of(size, checkDeadline(deadline));
    }

    /**
     * Joins the Open MPI job that this process was started in, by {@code mpirun -np 2 --bind-to none java ...} say, once in a
     * process; a process that was started alone is a group of one. Open MPI's library is used where it is installed: {@code
     * libmpi.so.40} or {@code libmpi.so} on the loader's path, or in the folder that the property {@code jna.library.path} names.
     * This waits until all processes of the job have come this far, for as long as {@code mpirun} lets them.
     *
     * <p>A rank that waits polls, at first without a pause and after a fifth of a millisecond with one of 20 µs, so that ranks that
     * share cores leave them to those that compute. Any one thread at a time may use the group.
     *
     * <p>Nothing keeps the job waiting for longer than the deadline. A rank that does not come by then is found out by the others,
     * which all get a {@link GroupException} that names it; the whole job is ended by {@code MPI_Abort} as soon as the first of
     * them ends, and two seconds later in any case. When a rank dies, {@code mpirun} ends the others by SIGTERM, and each says on
     * the standard error what it was waiting in. A process that ends without having closed its group says so and takes the job
     * with it. In all these cases {@code mpirun} does not return 0.
     *
     * @param deadline how long a rank waits for the others before the job is given up: longer than any rank takes from one message
     *     to the next, compilation of kernels in the first step included
     * @return the group as this process sees it
     * @throws IllegalArgumentException for a deadline that is not above 0
     * @throws IllegalStateException when Open MPI's library is not found or lacks what is needed, and when this process has
     *     joined before
     */
    public static Group mpi(Duration deadline) {
        return MpiGroup.join(checkDeadline(deadline));
    }

    static void checkSize(int size) {
        if (size < 1) {
            throw new IllegalArgumentException("size must be at least 1, but given was " + size);
        }
    }

    static Duration checkDeadline(Duration deadline) {
        Objects.requireNonNull(deadline, "deadline");
        if (deadline.isZero() || deadline.isNegative()) {
            throw new IllegalArgumentException("deadline must be above 0, but given was " + deadline);
        }
        return deadline;
    }

    static void checkLengths(double[] own, double[] all, int size) {
        Objects.requireNonNull(own, "own");
        Objects.requireNonNull(all, "all");
        if (all.length != (long) size * own.length) {
            throw new IllegalArgumentException("all must have room for " + size + " times the " + own.length
                    + " numbers of own, but has it for " + all.length);
        }
    }
}
