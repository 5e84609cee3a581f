package org.clnorm.check;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.clnorm.check.Problem.Kind;
import org.clnorm.verify.WorkerProcess;

/**
 * Runs cases in a process of their own, which the kernel may end or keep from ever coming back: that is a failure of the case,
 * and the next one is run in a new process.
 */
public final class CheckProcesses implements AutoCloseable {
    /** So many cases may end their process; the others would end theirs too. */
    private static final int MOST_DEATHS = 3;

    /** What timing takes at most, besides a case's time. */
    private static final int BENCH_SECONDS = 60;

    private final KernelCheck check;
    private final List<String> server;
    private final Simulator simulator;
    private final Duration deadline;
    private final List<CheckCase> cases;
    private WorkerProcess process;
    private int deaths;

    /**
     * For a check.
     *
     * @param server the Java program that serves with {@link KernelCheck#serve}, from its options on
     * @param simulator what the check, a {@link KernelCheck#simulated} one, is to run in; null for a device
     * @param deadline how long a case may take
     */
    public CheckProcesses(KernelCheck check, List<String> server, Simulator simulator, Duration deadline) {
        this.check = check;
        this.server = server;
        this.simulator = simulator;
        this.deadline = deadline;
        this.cases = check.cases();
    }

    /**
     * Runs the cases one after another.
     *
     * @param device what the report says that it ran on
     * @throws IOException when no process can be started
     */
    public CheckReport run(String device, Consumer<Outcome> progress) throws IOException {
        List<Outcome> outcomes = new ArrayList<>();
        for (int i = 0; i < cases.size() && deaths < MOST_DEATHS; i++) {
            Outcome outcome = withReports(ask(i, Integer.toString(i)));
            outcomes.add(outcome);
            progress.accept(outcome);
            if (outcome.problems().stream().anyMatch(p -> p.kind() == Kind.CALL || p.kind() == Kind.HANG)) {
                break; // the others would end the same way
            }
        }
        return CheckReport.of(check, outcomes, device);
    }

    /**
     * Saves a failing case, with what the kernel wrote where it came to that.
     *
     * @param index among the check's cases
     */
    public void save(int index, Path file) throws IOException {
        Outcome outcome = ask(index, index + " " + file.toAbsolutePath());
        if (outcome.problems().stream().anyMatch(p -> p.kind() == Kind.CRASH || p.kind() == Kind.HANG)) {
            CheckCase c = cases.get(index);
            new SavedCase(c, c.inputs(c.reference())).write(file, Map.of());
        }
    }

    /**
     * Times the kernel on the largest of the check's shapes.
     *
     * @throws IOException when the kernel cannot be timed; the message says why
     */
    public Speed speed() throws IOException {
        try {
            Duration time = deadline.plusSeconds(BENCH_SECONDS);
            return Outcome.GSON.fromJson(
                    answer(CheckWorker.SPEED).get(time.toMillis(), TimeUnit.MILLISECONDS), Speed.class);
        } catch (TimeoutException e) {
            process.kill();
            throw new IOException("the kernel was not timed: it did not come to an end", e);
        } catch (ExecutionException e) {
            throw new IOException("the kernel was not timed: " + e.getCause().getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("waiting for the kernel was interrupted", e);
        }
    }

    private CompletableFuture<String> answer(String task) throws IOException {
        if (process == null) {
            process = new WorkerProcess(server, simulator == null ? Map.of() : simulator.environment());
        }
        WorkerProcess asked = process;
        return CompletableFuture.supplyAsync(() -> {
            try {
                return asked.ask(task);
            } catch (IOException e) {
                throw new IllegalStateException(e.getMessage(), e);
            }
        });
    }

    /** With what the simulator has to say, which it does when its process ends. */
    private Outcome withReports(Outcome outcome) throws IOException {
        if (simulator == null) {
            return outcome;
        }
        close();
        List<Problem> problems = new ArrayList<>(outcome.problems());
        problems.addAll(simulator.reports());
        return new Outcome(outcome.where(), outcome.data(), outcome.errors(), problems);
    }

    private Outcome ask(int index, String task) throws IOException {
        CompletableFuture<String> answer = answer(task);
        try {
            return Outcome.fromJson(answer.get(deadline.toMillis(), TimeUnit.MILLISECONDS));
        } catch (TimeoutException e) {
            return died(
                    index,
                    Kind.HANG,
                    "it did not come back within " + deadline.toSeconds() + " s",
                    "a loop that does not end, or a barrier that not all work-items of a group come to");
        } catch (ExecutionException e) {
            return died(
                    index,
                    Kind.CRASH,
                    e.getCause().getMessage(),
                    "memory far outside of an array is read or written, or a vector where none may lie: at an address that"
                            + " is no multiple of its size");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("waiting for the kernel was interrupted", e);
        }
    }

    private Outcome died(int index, Kind kind, String text, String mistake) {
        process.kill();
        close();
        deaths++;
        CheckCase c = cases.get(index);
        return new Outcome(
                c.dimensions().describe(c.binding().operation()),
                c.data(),
                List.of(),
                List.of(new Problem(kind, "", text, mistake)));
    }

    @Override
    public void close() {
        if (process != null) {
            process.close();
            process = null;
        }
    }
}
