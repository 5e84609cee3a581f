package org.clnorm.verify;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.clnorm.DataType;
import org.clnorm.backend.Grouping;
import org.clnorm.opencl.OpenCl;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.KernelCatalogue.Entry;
import org.clnorm.plan.KernelCatalogue.Step;
import org.clnorm.plan.Strategy;
import org.clnorm.verify.VerifierQueue.Task;
import org.clnorm.verify.VerifyReport.Row;

/**
 * Every kernel of the catalogue, under every strategy, against the reference in double precision.
 *
 * <p>A case is a forward pass, its backward pass, a plain copy of x, and an optimizer's step. Every array lies inside a larger piece of
 * memory, at a 64-byte line or at an odd place; outputs hold NaN before, and what surrounds them, and all that is only to
 * be read, must be the same afterwards, bit by bit. Each case runs twice and must give the same bits, but on a simulator
 * once. Where a group gets a NaN or an infinity, the others must have the bits that they have without it. An error is charged to those
 * kernels of the pass that are answerable for the array, as {@link KernelCatalogue} has it. A kernel that a strategy has
 * but no case launched is a failure too.
 */
public final class Verifier {
    /**
     * Launched under every strategy: there is nothing to fuse in inference with a mask, in an update that comes later, in a copy, after
     * a pass in place, nor where γ and β go by sample and statistics over all of them, or γ and β over rows and statistics by row.
     */
    private static final Set<String> ALWAYS = Set.of(
            "join_moments",
            "fold_combined",
            "join_gradients",
            "fold_combined_gradients",
            "fold_inverse",
            "fold_given",
            "track",
            "apply_columnar",
            "copy",
            "update_parameters",
            "gradient_norm",
            "fold_gradient_norm",
            "moments_segmented",
            "moments_columnar",
            "fold_joined_moments",
            "gradient_sums_segmented",
            "gradient_sums_columnar",
            "fold_joined_gradients",
            "gradient_apply_segmented",
            "gradient_apply_columnar",
            "sum_parts",
            "affine_sums");

    private Verifier() {}

    /** Is told how far it is. */
    @FunctionalInterface
    public interface Progress {
        /** Tells nobody. */
        Progress NONE = (strategy, done, cases) -> {};

        /** {@code done} of {@code cases} cases have run under a strategy, or several; called for 0 too. */
        void at(String strategy, int done, int cases);
    }

    /**
     * How much is verified.
     *
     * @param quick only shapes of a few thousand elements: for slow devices
     * @param type of x, y, the residual and their gradients
     */
    public record Extent(boolean quick, DataType type) {
        /** All cases. */
        public static final Extent FULL = new Extent(false, DataType.FLOAT32);

        /**
         * The cases of a strategy; as many for all. Of 16-bit elements without those over positions, whose passes have float32
         * between them: for these alone most programs would be compiled once more.
         */
        List<VerifierCase> cases(String strategy) {
            List<VerifierCase> cases = (quick ? VerifierCases.small() : VerifierCases.all())
                    .stream()
                            .filter(one -> type == DataType.FLOAT32
                                    || !(one.normalization().grouping() instanceof Grouping.Positions))
                            .map(one -> one.storedAs(type))
                            .toList();
            return strategy.equalsIgnoreCase(Strategy.AUTO) ? VerifierCases.forChoiceByShape(cases) : cases;
        }
    }

    /** The names of all strategies that a device can run, the choice by shape first. */
    public static List<String> strategies(DeviceFacts facts) {
        return Stream.concat(
                        Stream.of(Strategy.AUTO), Strategy.all(facts).stream().map(Strategy::name))
                .toList();
    }

    /**
     * By what means cases are run.
     *
     * @param processes how many run them at a time; 0 for this one, one case after another
     * @param server what a process is started with, from Java's options on; it is to call {@link #serve}
     * @param seconds after which no case begins; those that are under way in other processes are then given a tenth more
     * @param results is told the result of each case as it is over: a line of JSON
     */
    public record Means(int processes, List<String> server, double seconds, Consumer<String> results) {
        /** This process, for as long as it takes. */
        public static final Means PLAIN = new Means(0, List.of(), Double.POSITIVE_INFINITY, result -> {});

        /** Copies the list. */
        public Means {
            server = List.copyOf(server);
        }

        private long nanoseconds() {
            return seconds < 1e9 ? (long) (seconds * 1e9) : Long.MAX_VALUE / 2;
        }
    }

    /** In full, in this process. */
    public static VerifyReport run(OpenCl.Candidate device, List<String> strategies, Progress progress) {
        return run(device, strategies, Extent.FULL, Means.PLAIN, progress);
    }

    /**
     * Verifies.
     *
     * @param strategies their names
     * @throws IllegalArgumentException for a strategy that the device does not have, before anything runs
     */
    public static VerifyReport run(
            OpenCl.Candidate device, List<String> strategies, Extent extent, Means means, Progress progress) {
        long start = System.nanoTime();
        DeviceFacts facts = device.facts();
        strategies.stream().filter(name -> !isAuto(name)).forEach(name -> Strategy.named(name, facts));
        Run run = new Run(device, strategies, extent, means, progress);
        if (means.processes == 0) {
            run.here(start);
        } else {
            run.elsewhere(start);
        }
        List<Row> rows = new ArrayList<>(run.tally.rows());
        rows.sort(Comparator.comparingInt(row -> place(row.kernel())));
        return new VerifyReport(
                device.info(),
                facts.toMap(),
                strategies,
                run.local.cases(Strategy.AUTO).size(),
                run.tasks.size() - run.tally.results(),
                run.programs,
                (System.nanoTime() - start) / 1e9,
                rows,
                run.tally.failures());
    }

    /** Runs the cases that are asked for on {@code tasks} and answers on {@code results}, until there are no more. */
    public static void serve(OpenCl.Candidate device, Extent extent, InputStream tasks, PrintStream results)
            throws IOException {
        try (VerifierWorker worker = new VerifierWorker(device, extent)) {
            worker.serve(tasks, results);
        }
    }

    /** A run and what has come of it so far, which is guarded by this object. */
    private static final class Run {
        /** So many processes may end before their time; what is left then is left. */
        private static final int MOST_CRASHES = 20;

        private final Means means;
        private final Progress progress;
        private final List<String> strategies;
        private final VerifierWorker local;
        private final List<Task> tasks = new ArrayList<>();
        private final VerifierTally tally = new VerifierTally();
        private final Map<String, Integer> done = new HashMap<>();
        private final Set<VerifierProcess> live = new HashSet<>();
        private int programs;
        private int crashes;
        private boolean late;

        Run(OpenCl.Candidate device, List<String> strategies, Extent extent, Means means, Progress progress) {
            this.means = means;
            this.progress = progress;
            this.strategies = strategies;
            this.local = new VerifierWorker(device, extent);
            for (String strategy : strategies) {
                tally.expect(strategy, kernels(strategy, device.facts()));
                IntStream order = IntStream.range(0, local.cases(strategy).size());
                (means.processes == 0
                                ? order.boxed()
                                : order.boxed()
                                        .sorted(Comparator.comparing((Integer i) -> local.cases(strategy)
                                                        .get(i)
                                                        .family())
                                                .thenComparing(i -> i)))
                        .forEach(index -> tasks.add(new Task(strategy, index)));
            }
        }

        private synchronized void add(CaseResult result) {
            tally.add(result);
            programs += result.programs();
            means.results.accept(result.toJson());
        }

        void here(long start) {
            try (local) {
                for (Task task : tasks) {
                    if (System.nanoTime() - start > means.nanoseconds()) {
                        return;
                    }
                    int cases = local.cases(task.strategy()).size();
                    if (!done.containsKey(task.strategy())) {
                        done.put(task.strategy(), 0);
                        progress.at(task.strategy(), 0, cases);
                    }
                    add(local.run(task));
                    progress.at(task.strategy(), done.merge(task.strategy(), 1, Integer::sum), cases);
                }
            }
        }

        void elsewhere(long start) {
            String label = String.join(", ", strategies) + " in " + means.processes + " processes";
            progress.at(label, 0, tasks.size());
            VerifierQueue queue = new VerifierQueue(tasks, means.processes);
            ExecutorService threads = Executors.newFixedThreadPool(means.processes);
            try {
                for (int i = 0; i < means.processes; i++) {
                    int worker = i;
                    threads.execute(() -> work(queue, worker, start, label));
                }
                threads.shutdown();
                long most = means.nanoseconds() + means.nanoseconds() / 10;
                if (!threads.awaitTermination(most - (System.nanoTime() - start), TimeUnit.NANOSECONDS)) {
                    end();
                    threads.awaitTermination(1, TimeUnit.MINUTES);
                }
            } catch (InterruptedException e) {
                end();
                Thread.currentThread().interrupt();
            }
        }

        private synchronized void end() {
            late = true;
            live.forEach(VerifierProcess::kill);
        }

        private void work(VerifierQueue queue, int worker, long start, String label) {
            VerifierProcess process = null;
            try {
                for (Task task = queue.next(worker);
                        task != null && System.nanoTime() - start < means.nanoseconds() && !isOver();
                        task = queue.next(worker)) {
                    VerifierCase c = local.cases(task.strategy()).get(task.index());
                    CaseResult result;
                    try {
                        process = process == null ? started() : process;
                        result = process.run(task);
                    } catch (IOException e) {
                        result = CaseResult.failed(task.strategy(), task.index(), c, problem(e));
                        close(process);
                        process = null;
                    }
                    synchronized (this) {
                        add(result.by(worker + 1));
                        progress.at(label, tally.results(), tasks.size());
                    }
                }
            } finally {
                close(process);
            }
        }

        private synchronized boolean isOver() {
            return late || crashes > MOST_CRASHES;
        }

        private VerifierProcess started() throws IOException {
            VerifierProcess process = new VerifierProcess(means.server);
            synchronized (this) {
                live.add(process);
                if (late) {
                    process.kill();
                }
            }
            return process;
        }

        private synchronized String problem(IOException e) {
            crashes++;
            return late ? "it was not over when the time was up" : e.getMessage();
        }

        private void close(VerifierProcess process) {
            if (process != null) {
                process.close();
                synchronized (this) {
                    live.remove(process);
                }
            }
        }
    }

    private static int place(String kernel) {
        return KernelCatalogue.entries().stream().map(Entry::name).toList().indexOf(kernel);
    }

    private static boolean isAuto(String strategy) {
        return strategy.equalsIgnoreCase(Strategy.AUTO);
    }

    /** The names of the kernels that a strategy has; none for the choice by shape, which has those of what it chooses. */
    static Set<String> kernels(String strategy, DeviceFacts facts) {
        return isAuto(strategy) ? Set.of() : kernels(Strategy.named(strategy, facts));
    }

    private static Set<String> kernels(Strategy strategy) {
        boolean oneItem = strategy.items() == 1;
        return KernelCatalogue.entries().stream()
                .filter(entry -> switch (entry.name()) {
                    case "apply_planes", "infer" -> oneItem;
                    case "affine_sums" -> !oneItem || !strategy.fused();
                    case "apply_segmented" -> !oneItem || !strategy.fused();
                    default -> ALWAYS.contains(entry.name()) || has(strategy, entry.step());
                })
                .map(Entry::name)
                .collect(Collectors.toSet());
    }

    private static boolean has(Strategy strategy, Step step) {
        return switch (step) {
            case CACHED -> strategy.isCached();
            case FUSED -> strategy.fused() && !strategy.isCached() && strategy.items() > 1;
            case PIPELINED -> strategy.fused() && strategy.items() == 1;
            default -> !strategy.fused();
        };
    }
}
