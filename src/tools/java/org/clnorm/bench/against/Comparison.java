package org.clnorm.bench.against;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.clnorm.bench.Bench;
import org.clnorm.bench.Tensors;
import org.clnorm.bench.Timed;
import org.clnorm.bench.TimedOperands;
import org.clnorm.opencl.Handles;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;

/**
 * Another build's passes against this build's, in one process.
 *
 * <p>Three take turns: this build twice, which is the control, and the other. All three are loaded alike, each with
 * classes, programs and small buffers of its own, but they work through one queue on the very same tensors, so that no
 * tensor lies better for one of them. Blocks of calls, timed by the wall clock from the first enqueue to the end of the
 * last kernel, alternate: in a round each has two, A B C C B A, so that what drifts in a round counts for all, and who
 * is A changes from round to round. A round gives one ratio of the other's time to this build's, the geometric mean of
 * its copies, and one of the copies' times. Times are by the wall clock, since launches and the gaps between them are
 * part of what a build costs.
 *
 * <p>Tensors come in sets that outrun the cache. Each of the three goes through them in order, a third apart, and has used
 * each equally often in the end.
 *
 * <p>Small buffers, which each of the three has for itself, can lie well or badly for as long as they lie: identical builds
 * were seen a tenth apart. So they are made anew some times, in another order, and what luck does shows in the spread.
 */
public final class Comparison {
    /** With a number of sets that is a power of two and at most twice this, each is used equally often. */
    static final int ROUNDS = 32;

    private static final double BLOCK_SECONDS = 0.012;
    private static final double LONGEST_SECONDS = 5 * BLOCK_SECONDS;
    private static final int MOST_CALLS = 2000;
    private static final long WARM_UP_NANOSECONDS = 150_000_000;

    /** This build, its control, the other, in every order. */
    private static final int[][] ORDERS = {{0, 1, 2}, {2, 0, 1}, {1, 2, 0}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}};

    private static final int OTHER = 2;

    /** So often are the small buffers made, for as many rounds each. */
    private static final int PLACEMENTS = 4;

    /** Who is told how far it is. */
    public interface Progress {
        /** A workload's turn has come. */
        void starting(Timed workload);

        /** It is compared. */
        void compared(ComparedRow row);
    }

    private final OpenCl.Candidate device;
    private final String strategy;
    private final Build other;
    private final int rounds;

    /** @param strategy a strategy's name, or null for the choice by shape */
    public Comparison(OpenCl.Candidate device, String strategy, Build other) {
        this(device, strategy, other, ROUNDS);
    }

    Comparison(OpenCl.Candidate device, String strategy, Build other, int rounds) {
        this.device = device;
        this.strategy = strategy;
        this.other = other;
        this.rounds = rounds;
    }

    /**
     * Compares all, telling each result as it comes.
     *
     * @throws IllegalArgumentException when the other build cannot be loaded, its kernels do not build or are called with
     *     other arguments than theirs, or its results are others; the message says what happened
     */
    public List<ComparedRow> run(List<? extends Timed> workloads, Progress progress) {
        List<ComparedRow> rows = new ArrayList<>();
        try (OpenClBackend owner = (OpenClBackend) device.open(strategy);
                Contender copy = Build.thisOne().open(Handles.of(owner), strategy);
                Contender control = Build.thisOne().open(Handles.of(owner), strategy);
                Contender opponent = other.open(Handles.of(owner), strategy)) {
            for (Timed workload : workloads) {
                progress.starting(workload);
                ComparedRow row = twice(owner, List.of(copy, control, opponent), workload);
                rows.add(row);
                progress.compared(row);
            }
        }
        return rows;
    }

    /**
     * Of many rows that are the same one is different by chance, and one copy may lie well for as long as it lies: what is
     * slower or quicker must be so again, with everything new but the programs.
     */
    private ComparedRow twice(OpenClBackend owner, List<Contender> contenders, Timed workload) {
        ComparedRow first = row(owner, contenders, workload);
        return first.verdict().isDifference() ? first.confirmedBy(row(owner, contenders, workload)) : first;
    }

    private ComparedRow row(OpenClBackend owner, List<Contender> contenders, Timed workload) {
        long rotation = Bench.rotationBytes(device.facts());
        int sets = Integer.highestOneBit(Tensors.sets(workload, rotation, 2 * ROUNDS));
        List<Turns> turns = new ArrayList<>();
        for (int i = 0; i < contenders.size(); i++) {
            turns.add(new Turns(owner, i * sets / contenders.size()));
        }
        try (TimedOperands operands = new TimedOperands(owner, workload.room())) {
            Tensors tensors = workload.tensors(sets, operands);
            Map<String, List<Object>> buffers = tensors.map(operand -> Handles.of(operand.memory()));
            double[][] seconds = new double[turns.size()][rounds];
            int calls = 0;
            for (int round = 0; round < rounds; round++) {
                if (round % Math.max(1, rounds / PLACEMENTS) == 0) {
                    if (!prepare(owner, contenders, turns, workload, buffers, round)) {
                        return ComparedRow.absent(workload);
                    }
                    if (round == 0) {
                        // Only now: a backward pass writes where the forward pass before it reads.
                        Results expected = Results.of(owner, workload, tensors, turns.get(0).work);
                        Supplier<Results> results = () -> Results.of(owner, workload, tensors, turns.get(OTHER).work);
                        ofOther(results).ifPresent(given -> checkResults(expected, given, workload));
                        calls = calls(turns.stream()
                                .mapToDouble(Turns::warmUp)
                                .sorted()
                                .toArray());
                    } else {
                        turns.forEach(Turns::warmUpAgain);
                    }
                }
                race(turns, calls, seconds, round);
            }
            return ComparedRow.of(workload, seconds[0], seconds[1], seconds[OTHER]);
        } finally {
            owner.finish();
            turns.forEach(Turns::close);
        }
    }

    /** Makes what each has for itself, another one's first each time. Whether the other build knows such a workload. */
    private boolean prepare(
            OpenClBackend owner,
            List<Contender> contenders,
            List<Turns> turns,
            Timed workload,
            Map<String, List<Object>> buffers,
            int round) {
        owner.finish();
        turns.forEach(Turns::close);
        for (int whose : ORDERS[round / Math.max(1, rounds / PLACEMENTS) % ORDERS.length]) {
            Supplier<Contender.Work> work = () -> contenders.get(whose).prepare(workload.words(), buffers);
            Optional<Contender.Work> made = whose == OTHER ? ofOther(work) : Optional.of(work.get());
            if (made.isEmpty()) {
                return false;
            }
            turns.get(whose).work = made.get();
        }
        return true;
    }

    /** What the other build does first, when it compiles; empty when it knows no such workload. */
    private <T> Optional<T> ofOther(Supplier<T> first) {
        try {
            return Optional.of(first.get());
        } catch (UnsupportedOperationException e) {
            return Optional.empty();
        } catch (RuntimeException | LinkageError e) {
            throw other.misfit(e);
        }
    }

    private void checkResults(Results expected, Results given, Timed workload) {
        expected.differenceTo(given).ifPresent(difference -> {
            throw other.misfit(new IllegalStateException(
                    "its " + String.join(" ", workload.rowWords()) + " gives other results than this build's, "
                            + difference + "; kernels whose arguments differ from this build's do that"));
        });
    }

    /** Short blocks, but not at the price of never ending ones where one is slow. */
    private static int calls(double[] once) {
        double most = Math.min(BLOCK_SECONDS / once[0], LONGEST_SECONDS / once[once.length - 1]);
        return (int) Math.max(1, Math.min(MOST_CALLS, most));
    }

    private static void race(List<Turns> turns, int calls, double[][] seconds, int round) {
        int[] order = ORDERS[round % ORDERS.length];
        for (int place = 0; place < 2 * order.length; place++) {
            int whose = order[Math.min(place, 2 * order.length - 1 - place)];
            seconds[whose][round] += turns.get(whose).seconds(calls) / (2 * calls);
        }
    }

    /** One contender's turns at a workload. */
    private static final class Turns implements AutoCloseable {
        private final OpenClBackend owner;
        /** Null before it is prepared. */
        private Contender.Work work;

        private int next;

        /** @param next the set of tensors to begin with */
        Turns(OpenClBackend owner, int next) {
            this.owner = owner;
            this.next = next;
        }

        /** Until the Java compiler is done too. The seconds of a call. */
        double warmUp() {
            return warmUp(WARM_UP_NANOSECONDS);
        }

        /** Touches new buffers. */
        void warmUpAgain() {
            warmUp(WARM_UP_NANOSECONDS / 10);
        }

        private double warmUp(long nanoseconds) {
            int first = next;
            long end = System.nanoTime() + nanoseconds;
            double one = Double.MAX_VALUE;
            do {
                one = Math.min(one, seconds(2) / 2);
            } while (System.nanoTime() < end);
            next = first;
            return one;
        }

        double seconds(int calls) {
            long start = System.nanoTime();
            for (int i = 0; i < calls; i++) {
                work.call(next++);
            }
            owner.finish();
            return (System.nanoTime() - start) * 1e-9;
        }

        @Override
        public void close() {
            if (work != null) {
                work.close();
                work = null;
            }
        }
    }
}
