package org.clnorm.benchmark;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.PointerScope;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;

/**
 * Peers against each other: in every round each has its turn, a block of calls, so that all see the same machine; and in
 * every other round in the opposite order, so that what drifts favours nobody. A copy
 * before and after each block tells whether something else disturbed it; such a block is done again, and when that does
 * not help it does not count.
 */
final class Contest {
    /** What came out for one normalization, shape and direction. */
    record Result(Norm norm, Shape shape, Direction direction, List<Timing> timings) {
        /** The timing of a peer's task, if it has one that counts. */
        Optional<Timing> find(String peer, Form form, Fusion fusion) {
            return timings.stream()
                    .filter(timing -> timing.peer().equals(peer)
                            && timing.task().form() == form
                            && timing.task().fusion() == fusion
                            && !Double.isNaN(timing.milliseconds()))
                    .findFirst();
        }

        /** The quickest of a peer's forms. */
        Optional<Timing> best(String peer, Fusion fusion) {
            return Arrays.stream(Form.values())
                    .flatMap(form -> find(peer, form, fusion).stream())
                    .min(Comparator.comparingDouble(Timing::milliseconds));
        }

        /** The rate of a timing, in minimal bytes per second, against a copy's. */
        double ofCopy(Timing timing, String copy) {
            Task task = timing.task();
            long bytes = new Workload(direction, shape, Layout.CHANNELS_FIRST, task.fusion()).minimalBytes();
            double copied = 2.0 * Float.BYTES * shape.elements();
            return find(copy, Form.CHANNELS_FIRST, Fusion.NONE)
                    .map(of -> timing.advantageOver(of) * bytes / copied)
                    .orElse(Double.NaN);
        }
    }

    private static final double BLOCK_SECONDS = 0.015;
    /** From so many seconds on, one call is a block. */
    private static final double LONG = 0.03;

    private static final double DISTURBED = 1.3;
    private static final int ATTEMPTS = 4;
    private static final long WARM_UP_NANOSECONDS = 150_000_000;

    private final Arena arena;
    private final List<Peer> peers;
    private final Copy probe;
    private final int rounds;
    private final List<Double> probes = new ArrayList<>();
    private int next;
    private int blocks;
    private int discarded;
    private final Map<String, Double> worstErrors = new TreeMap<>();

    Contest(Arena arena, List<Peer> peers, Copy probe, int rounds) {
        this.arena = arena;
        this.peers = peers;
        this.probe = probe;
        this.rounds = rounds;
        for (int i = 0; i < 20; i++) {
            probe();
        }
        probes.clear();
        for (int i = 0; i < 20; i++) {
            probe();
        }
    }

    int blocks() {
        return blocks;
    }

    int discarded() {
        return discarded;
    }

    /** The largest error of each peer, in words. */
    String worstErrors() {
        return worstErrors.entrySet().stream()
                .map(entry -> String.format(Locale.ROOT, "%s %.0e", entry.getKey(), entry.getValue()))
                .collect(Collectors.joining(", "));
    }

    private record Entry(String peer, Task task, Peer.Call call, int calls) {}

    /** The rows of a shape, those that are wanted, and copies. */
    Result run(Norm norm, Shape shape, Direction direction, List<Fusion> fusions, Predicate<Task> wanted) {
        Sets sets = new Sets(arena, shape, direction);
        try (PointerScope scope = new PointerScope()) {
            List<Entry> entries = new ArrayList<>();
            for (Fusion fusion : fusions) {
                for (Form form : Form.values()) {
                    Task task = new Task(norm, shape, form, direction, fusion);
                    Expected expected = new Expected(task, sets);
                    for (Peer peer : peers) {
                        if (form.fits(shape) && peer.supports(task) && (peer.copies() || wanted.test(task))) {
                            entries.add(prepare(peer, task, sets, expected));
                        }
                    }
                }
            }
            double[][] seconds = new double[entries.size()][rounds];
            for (int round = 0; round < rounds; round++) {
                for (int turn = 0; turn < entries.size(); turn++) {
                    int i = round % 2 == 0 ? turn : entries.size() - 1 - turn;
                    seconds[i][round] = block(entries.get(i), sets);
                }
            }
            List<Timing> timings = new ArrayList<>();
            for (int i = 0; i < entries.size(); i++) {
                timings.add(new Timing(entries.get(i).peer, entries.get(i).task, seconds[i]));
            }
            return new Result(norm, shape, direction, timings);
        }
    }

    private Entry prepare(Peer peer, Task task, Sets sets, Expected expected) {
        Peer.Call call = peer.prepare(task, sets);
        if (peer.copies()) {
            expected.checkCopy(peer.name(), call.result());
        } else {
            worstErrors.merge(peer.name(), expected.check(peer.name(), call.result()), Math::max);
        }
        long warm = System.nanoTime() + WARM_UP_NANOSECONDS;
        double one = Double.MAX_VALUE;
        do {
            one = Math.min(one, call.seconds(next, 2, sets));
            next = (next + 2) % sets.count();
            pause(); // the Java compiler needs a processor too
        } while (System.nanoTime() < warm);
        int calls = (int) Math.max(one > LONG ? 1 : 2, Math.min(1000, BLOCK_SECONDS / one));
        return new Entry(peer.name(), task, call, calls);
    }

    private double block(Entry entry, Sets sets) {
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            double before = probe();
            double seconds = entry.call.seconds(next, entry.calls, sets);
            next = (next + entry.calls) % sets.count();
            double after = probe();
            blocks++;
            double calm = usual();
            if (before <= calm * DISTURBED && after <= calm * DISTURBED) {
                return seconds;
            }
            discarded++;
        }
        return Double.NaN;
    }

    /** After the threads that the block left spinning went to sleep. */
    private double probe() {
        pause();
        probe.probe(arena);
        double seconds = Math.min(probe.probe(arena), probe.probe(arena));
        probes.add(seconds);
        return seconds;
    }

    private static void pause() {
        try {
            Thread.sleep(4);
        } catch (InterruptedException e) {
            throw new IllegalStateException("The benchmark was interrupted", e);
        }
    }

    /** The quicker quarter of the latest probes: the machine's speed drifts over seconds. */
    private double usual() {
        int from = Math.max(0, probes.size() - 200);
        double[] latest = probes.subList(from, probes.size()).stream()
                .mapToDouble(Double::doubleValue)
                .toArray();
        Arrays.sort(latest);
        return latest[latest.length / 4];
    }
}
