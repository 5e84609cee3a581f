package org.clnorm.verify;

import java.io.IOException;
import java.util.List;
import java.util.Map;

/** A {@link VerifierWorker} in a process of its own. */
final class VerifierProcess implements AutoCloseable {
    static final String ANSWER = WorkerProcess.ANSWER;

    private final WorkerProcess process;

    /** @param arguments of the Java program that serves, from its options on */
    VerifierProcess(List<String> arguments) throws IOException {
        process = new WorkerProcess(arguments, Map.of());
    }

    /**
     * Has a case run.
     *
     * @throws IOException when the process ended before it answered; the message says how
     */
    CaseResult run(VerifierQueue.Task task) throws IOException {
        return CaseResult.fromJson(process.ask(task.strategy() + " " + task.index()));
    }

    /** Ends the process at once; whoever waits for an answer gets an exception. */
    void kill() {
        process.kill();
    }

    @Override
    public void close() {
        process.close();
    }
}
