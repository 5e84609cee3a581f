package org.clnorm.mpi;

/**
 * Ranks that train together, as one of them sees it: numbers from 0 on, each with a part of every batch. {@link Groups} has
 * them as threads of one process, and as processes of an MPI job.
 *
 * <p>A call that all ranks make waits until all have made it, and no longer than the group's deadline. After a {@link
 * GroupException} the group is of no use to any rank; {@link #fail} makes that known. A group is used by one thread at a time.
 */
public interface Group extends AutoCloseable {
    /** How many ranks there are, at least 1. */
    int size();

    /** Which of them this is, from 0 on. */
    int rank();

    /**
     * Has every rank give as many numbers, and every rank get those of all, one rank's after the other's in the order of ranks,
     * bit for bit.
     *
     * @param purpose what for, in words, for the message where something goes wrong
     * @param own the numbers of this rank
     * @param all where those of all go, size times as many
     * @throws IllegalArgumentException for an {@code all} of another length, of which the other ranks learn nothing
     * @throws GroupException when a rank did not come in time, has left or failed, or gave another number of numbers
     * @throws IllegalStateException when the group is closed
     */
    void allGather(String purpose, double[] own, double[] all);

    /**
     * The part of this group that so many neighbouring ranks are: ranks 0 to size − 1, the next as many, and so on, the last
     * part having what is left. All ranks must make this call. The parts are for statistics over a few ranks only, where a
     * group is so large that waiting for all of it takes long.
     *
     * @param size how many ranks a part has, at least 1
     * @return the part that this rank is in, with ranks numbered from 0 on; it ends with this group
     * @throws IllegalArgumentException for a size below 1
     * @throws GroupException when a rank did not come in time, has left or failed
     * @throws IllegalStateException when the group is closed
     */
    Group sub(int size);

    /**
     * Ends the group for all ranks, because of something that this one found out. Ranks that wait, and those that come later,
     * get a {@link GroupException} with the reason, or are ended; processes at the latest after two seconds.
     *
     * @param why what to tell the others
     */
    void fail(String why);

    /** Leaves the group. Where the others still wait for this rank, they get a {@link GroupException}. */
    @Override
    void close();
}
