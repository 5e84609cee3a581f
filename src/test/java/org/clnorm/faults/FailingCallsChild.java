package org.clnorm.faults;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.clnorm.faults.TrainingProgram.Kind;
import org.clnorm.faults.TrainingProgram.State;
import org.clnorm.faults.TrainingProgram.Step;
import org.clnorm.opencl.OpenClException;

/**
 * A process under the {@link FaultLayer} that runs a program again and again, of whose OpenCL calls another one fails each time.
 * It ends with 0 if all was as it should be after each, and prints what came of the calls, by function. Its arguments are
 * the {@link Choice} of calls and the kinds of programs.
 */
final class FailingCallsChild {
    /** A run takes a tenth of a second; one that takes so long hangs. */
    private static final long HANGS_AFTER_SECONDS = 120;

    /** What a program is told that must not go on with its device. */
    private static final String OPEN_AGAIN = "open it again";

    /** What became of a call that failed. */
    private enum Outcome {
        /** The step threw, and was made again. */
        THROWN,
        /** Nobody had to know, such as where a kernel was compiled that could not be taken from the cache. */
        MADE_UP_FOR,
        /** In mode {@code gone}: every step from there on threw, and all could be closed. */
        DEVICE_GIVEN_UP
    }

    private static final class Wrong extends RuntimeException {
        Wrong(String message, Throwable cause) {
            super(message, cause);
        }
    }

    private final FaultLayer layer = FaultLayer.open();
    private final Map<String, Map<Outcome, Long>> outcomes = new TreeMap<>();
    private final List<String> wrong = new ArrayList<>();
    private volatile String at = "the beginning";
    private volatile long since = System.nanoTime();

    private FailingCallsChild() {}

    public static void main(String[] args) {
        FailingCallsChild child = new FailingCallsChild();
        child.watch();
        for (int i = 1; i < args.length; i++) {
            child.run(Kind.valueOf(args[i]), Choice.valueOf(args[0]));
        }
        child.print();
        System.exit(child.wrong.isEmpty() ? 0 : 1);
    }

    /** Ends the process when a run hangs, and says where. */
    private void watch() {
        Thread watch = new Thread(() -> {
            while (TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - since) < HANGS_AFTER_SECONDS) {
                try {
                    TimeUnit.SECONDS.sleep(1);
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            }
            System.out.println("It hangs at " + at);
            Thread.getAllStackTraces()
                    .forEach((thread, frames) -> System.out.println(thread + Arrays.toString(frames)));
            System.out.flush();
            Runtime.getRuntime().halt(3);
        });
        watch.setDaemon(true);
        watch.start();
    }

    /** The runs without a failure, which say what is right, and then those with one. */
    private void run(Kind kind, Choice choice) {
        long begin = System.nanoTime();
        at(kind + " without a failure");
        Right right = new Right();
        for (int twice = 0; twice < 1 << TrainingProgram.ROUNDS; twice++) {
            add(right, kind, twice, true);
        }
        layer.count();
        add(right, kind, 0, false); // with the kernels in the cache
        List<String> calls =
                LongStream.rangeClosed(1, layer.calls()).mapToObj(layer::name).toList();
        require(
                !calls.isEmpty(),
                "no call came through the layer: the OpenCL loader here takes none (ocl-icd does from 2.3 on)");
        List<Integer> alone = choice.of(calls);
        // Where all calls fail that come after, those to one function in a row are alike.
        List<Integer> withRest = choice == Choice.EACH ? Choice.ENDS.of(calls) : alone;
        for (boolean gone : new boolean[] {false, true}) {
            for (int call : gone ? withRest : alone) {
                at(kind + ", call " + (call + 1) + " of " + calls.size() + ", " + calls.get(call)
                        + (gone ? ", and all after it" : ""));
                try {
                    Outcome outcome = gone ? gone(kind, call + 1) : failing(kind, call + 1, right);
                    // Which one it is depends on how far the device has come, and there may be one call less.
                    String failed = layer.failedFunction();
                    if (failed != null) {
                        outcomes.computeIfAbsent(failed, name -> new TreeMap<>())
                                .merge(outcome, 1L, Long::sum);
                    }
                } catch (Exception e) {
                    wrong.add(at + ": " + e.getMessage());
                    System.out.println("WRONG: " + at + ": " + e);
                    e.printStackTrace(System.out);
                }
            }
        }
        System.out.printf(
                "%s: of %d calls %d fail alone and %d with all after them, %.1f s%n",
                kind, calls.size(), alone.size(), withRest.size(), (System.nanoTime() - begin) * 1e-9);
    }

    private void at(String now) {
        at = now;
        since = System.nanoTime();
    }

    /** Which calls. */
    private enum Choice {
        /** Every one. */
        EACH,
        /** The first and the last of those that come one after the other to the same function. */
        ENDS,
        /** The middle one of those to each function. */
        SOME;

        List<Integer> of(List<String> calls) {
            Map<String, List<Integer>> byName = new LinkedHashMap<>();
            List<Integer> ends = new ArrayList<>();
            List<Integer> all = new ArrayList<>();
            for (int i = 0; i < calls.size(); i++) {
                String name = calls.get(i);
                byName.computeIfAbsent(name, key -> new ArrayList<>()).add(i);
                all.add(i);
                if (i == 0
                        || i == calls.size() - 1
                        || !calls.get(i - 1).equals(name)
                        || !calls.get(i + 1).equals(name)) {
                    ends.add(i);
                }
            }
            return switch (this) {
                case EACH -> all;
                case ENDS -> ends;
                case SOME ->
                    byName.values().stream()
                            .map(places -> places.get(places.size() / 2))
                            .toList();
            };
        }
    }

    /**
     * What is right: the states that a layer may be in, parameters and running statistics each by themselves, and what a whole
     * program comes to. A forward pass that fails may have entered the running statistics, and is made again then; so all is
     * right that comes of passes which are made twice.
     */
    private static final class Right {
        private final Set<List<Integer>> parameters = new HashSet<>();
        private final Set<List<Object>> running = new HashSet<>();
        private final Set<Map<String, List<Integer>>> results = new HashSet<>();

        void add(State state) {
            if (state != null) {
                parameters.add(state.parameters());
                running.add(List.of(state.batches(), state.running()));
            }
        }

        void check(State state) {
            if (state != null) {
                require(
                        parameters.contains(state.parameters()),
                        "the parameters are those of no run without a failure");
                require(
                        running.contains(List.of(state.batches(), state.running())),
                        "the running statistics are not those of " + state.batches() + " batches");
            }
        }
    }

    /**
     * Runs the program to its end without a failure.
     *
     * @param twice a bit for each round, whether its forward pass is made twice
     * @param looks whether to look at the state after each step, which makes calls more
     */
    private void add(Right right, Kind kind, int twice, boolean looks) {
        TrainingProgram program = new TrainingProgram(kind);
        try (program) {
            int round = 0;
            for (Step step : program.steps()) {
                step.call().run();
                if (looks) {
                    right.add(program.state());
                }
                if (step.name().equals(TrainingProgram.FORWARD) && (twice >> round++ & 1) != 0) {
                    step.call().run();
                    right.add(program.state());
                }
            }
        } catch (Exception e) {
            throw new Wrong("A run without a failure failed", e);
        }
        right.results.add(program.results());
        checkReleased();
    }

    private Outcome failing(Kind kind, long call, Right right) throws Exception {
        Outcome outcome = Outcome.MADE_UP_FOR;
        TrainingProgram program = new TrainingProgram(kind);
        try (program) {
            layer.failAt(call);
            for (Step step : program.steps()) {
                RuntimeException thrown = thrownBy(step);
                if (thrown == null) {
                    continue;
                }
                require(outcome == Outcome.MADE_UP_FOR, "a second exception at " + step.name() + ": " + thrown);
                require(layer.failed() == 1, "an exception before the call failed, at " + step.name() + ": " + thrown);
                outcome = Outcome.THROWN;
                layer.count();
                checkClear(step, thrown);
                require(!program.hasWitness() || program.witnessIsWell(), "another tensor has changed");
                right.check(program.state());
                step.call().run();
                right.check(program.state());
            }
        }
        // The program's close may have been what failed.
        layer.count();
        checkReleased();
        require(
                right.results.contains(program.results()),
                "it came to " + program.results() + " and not " + right.results);
        return outcome;
    }

    /** A device that is gone says so at every call, and lets itself and all that lives on it be closed. */
    private Outcome gone(Kind kind, long call) throws Exception {
        Outcome outcome = Outcome.MADE_UP_FOR;
        TrainingProgram program = new TrainingProgram(kind);
        try (program) {
            layer.failFrom(call);
            for (Step step : program.steps()) {
                RuntimeException thrown = thrownBy(step);
                if (thrown == null) {
                    continue;
                }
                outcome = Outcome.DEVICE_GIVEN_UP;
                checkClear(step, thrown);
                if (!program.hasDevice()) {
                    break;
                }
                requireOpenAgain(step.name(), thrown);
                requireOpenAgain("finish", thrownBy(new Step("finish", program::ask)));
                requireOpenAgain("again, " + step.name(), thrownBy(step));
                break;
            }
        }
        layer.count();
        checkReleased();
        return outcome;
    }

    private static void requireOpenAgain(String where, RuntimeException thrown) {
        require(
                thrown instanceof OpenClException && thrown.getMessage().contains(OPEN_AGAIN),
                "at " + where + " the device does not say that it cannot be used any more, but " + thrown);
    }

    private static RuntimeException thrownBy(Step step) {
        try {
            step.call().run();
            return null;
        } catch (RuntimeException e) {
            return e;
        }
    }

    /** An exception of the library's, with the status and more words than that. */
    private static void checkClear(Step step, RuntimeException e) {
        // Where no device can be found, that is what is told, with the reason.
        boolean isKind = e instanceof OpenClException
                || step.name().equals("open a device") && e instanceof IllegalArgumentException;
        require(isKind, "at " + step.name() + " the exception is of no kind that is documented: " + e);
        require(
                e.getMessage().matches("(?s).*\\bCL_[A-Z_]+.*")
                        && e.getMessage().contains(" "),
                "at " + step.name() + " the message does not say what failed: " + e);
        require(e.getSuppressed().length == 0, "a second failure was suppressed: " + e);
    }

    private void checkReleased() {
        require(layer.becomes(Map.of()), "not released after all was closed: " + layer.references());
    }

    private static void require(boolean condition, String message) {
        if (!condition) {
            throw new Wrong(message, null);
        }
    }

    /** What came of the calls, by function, as a table. */
    private void print() {
        System.out.println(
                "\n| function | failed | step threw | made up for | device given up |\n|---|---|---|---|---|");
        long[] all = new long[Outcome.values().length];
        outcomes.forEach((name, of) -> {
            for (Outcome outcome : Outcome.values()) {
                all[outcome.ordinal()] += of.getOrDefault(outcome, 0L);
            }
            System.out.println(row(
                    name,
                    Arrays.stream(Outcome.values())
                            .mapToLong(outcome -> of.getOrDefault(outcome, 0L))
                            .toArray()));
        });
        System.out.println(row("all", all));
        System.out.println(wrong.size() + " wrong");
    }

    private static String row(String name, long... counts) {
        StringBuilder row =
                new StringBuilder("| " + name + " | " + Arrays.stream(counts).sum());
        Arrays.stream(counts).forEach(count -> row.append(" | ").append(count));
        return row + " |";
    }
}
