package org.clnorm.mpi;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;

/** A rank that is a thread of this process. */
final class LocalGroup implements Group {
    private final Hall hall;
    private final int rank;
    private boolean isClosed;
    /** The parts of this group that this rank is in, one for each time that the group was divided. */
    private final List<Group> parts = new ArrayList<>();

    private LocalGroup(Hall hall, int rank) {
        this.hall = hall;
        this.rank = rank;
    }

    /** The group as each of the ranks sees it. */
    static List<Group> of(int size, Duration deadline) {
        Hall hall = new Hall(size, deadline);
        return IntStream.range(0, size)
                .<Group>mapToObj(rank -> new LocalGroup(hall, rank))
                .toList();
    }

    @Override
    public int size() {
        return hall.size;
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public void allGather(String purpose, double[] own, double[] all) {
        Objects.requireNonNull(purpose, "purpose");
        Groups.checkLengths(own, all, hall.size);
        if (isClosed) {
            throw new IllegalStateException("This rank, " + rank + ", has left the group");
        }
        double[][] given = hall.meet(purpose, rank, own);
        for (int r = 0; r < given.length; r++) {
            System.arraycopy(given[r], 0, all, r * own.length, own.length);
        }
    }

    @Override
    public Group sub(int size) {
        Groups.checkSize(size);
        double[] own = {size};
        double[] all = new double[hall.size];
        allGather("dividing the group", own, all);
        if (Arrays.stream(all).anyMatch(other -> other != size)) {
            fail("Ranks divide the group by different sizes: " + Arrays.toString(all));
            hall.check();
        }
        int first = rank - rank % size;
        Group part = new LocalGroup(hall.part(parts.size(), first, Math.min(size, hall.size - first)), rank - first);
        parts.add(part);
        return part;
    }

    @Override
    public void fail(String why) {
        hall.fail(Objects.requireNonNull(why, "why"));
    }

    @Override
    public void close() {
        if (!isClosed) {
            isClosed = true;
            parts.forEach(Group::close);
            hall.leave(rank);
        }
    }

    /** The rank, and of how many. */
    @Override
    public String toString() {
        return "rank " + rank + " of " + hall.size + " threads";
    }

    /** Where the ranks meet. */
    private static final class Hall {
        final int size;
        final Duration deadline;
        private final Map<List<Integer>, Hall> parts = new HashMap<>();
        private Round round;
        private String fault;

        Hall(int size, Duration deadline) {
            this.size = size;
            this.deadline = deadline;
            this.round = new Round(size);
        }

        /** One exchange. Ranks that are slow to leave still look at it while the next one is under way. */
        private static final class Round {
            final double[][] given;
            int missing;
            String unequal;

            Round(int size) {
                given = new double[size][];
                missing = size;
            }
        }

        /** Gives numbers, waits for those of all, and returns them. */
        synchronized double[][] meet(String purpose, int rank, double[] own) {
            check();
            Round mine = round;
            mine.given[rank] = own.clone();
            mine.missing--;
            if (mine.missing == 0) {
                mine.unequal = unequal(mine.given, purpose);
                round = new Round(size);
                notifyAll();
            }
            long end = System.nanoTime() + deadline.toNanos();
            while (mine.missing > 0) {
                long left = end - System.nanoTime();
                if (left <= 0) {
                    fail("Rank " + rank + " of " + size + " waited " + deadline.toMillis() + " ms in " + purpose
                            + ", but " + ranks(mine) + " did not come");
                }
                check();
                try {
                    wait(left / 1_000_000, (int) (left % 1_000_000));
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    fail("Rank " + rank + " of " + size + " was interrupted while it waited in " + purpose + " for "
                            + ranks(mine));
                }
            }
            if (mine.unequal != null) {
                throw GroupException.ofLengths(mine.unequal);
            }
            return mine.given;
        }

        private static String ranks(Round of) {
            List<Integer> missing = new ArrayList<>();
            for (int rank = 0; rank < of.given.length; rank++) {
                if (of.given[rank] == null) {
                    missing.add(rank);
                }
            }
            return (missing.size() == 1 ? "rank " : "ranks ")
                    + missing.toString().replaceAll("[\\[\\]]", "");
        }

        private static String unequal(double[][] given, String purpose) {
            int[] lengths = Arrays.stream(given).mapToInt(each -> each.length).toArray();
            return Arrays.stream(lengths).distinct().count() == 1
                    ? null
                    : "Ranks gave different numbers of numbers, one of them in " + purpose + ": "
                            + Arrays.toString(lengths);
        }

        /** Refuses to go on once there was a fault. */
        synchronized void check() {
            if (fault != null) {
                throw new GroupException(fault);
            }
        }

        /** The first fault is the one that all are told. */
        synchronized void fail(String why) {
            if (fault == null) {
                fault = why;
            }
            parts.values().forEach(part -> part.fail(why));
            notifyAll();
        }

        synchronized void leave(int rank) {
            if (fault == null) {
                fault = "Rank " + rank + " of " + size + " has left the group";
                notifyAll();
            }
        }

        synchronized Hall part(int division, int first, int of) {
            return parts.computeIfAbsent(List.of(division, first), key -> new Hall(of, deadline));
        }
    }
}
