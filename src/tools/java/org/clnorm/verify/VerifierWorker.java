package org.clnorm.verify;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.clnorm.opencl.Builds;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;

/** Runs cases on a device, one after another; in this process, or as one that {@link VerifierProcess} has started. */
final class VerifierWorker implements AutoCloseable {
    private final OpenCl.Candidate device;
    private final Verifier.Extent extent;
    private final Map<String, List<VerifierCase>> cases = new ConcurrentHashMap<>();
    /** Of the strategy that the last case was run under. */
    private OpenClBackend backend;

    private VerifierRun run;
    private String strategy;

    VerifierWorker(OpenCl.Candidate device, Verifier.Extent extent) {
        this.device = device;
        this.extent = extent;
    }

    /** The cases of a strategy; as many for all. */
    List<VerifierCase> cases(String strategy) {
        return cases.computeIfAbsent(strategy, extent::cases);
    }

    CaseResult run(VerifierQueue.Task task) {
        VerifierCase c = cases(task.strategy()).get(task.index());
        open(task.strategy());
        Builds before = backend.builds();
        CaseResult result = run.verify(task.index(), c);
        Builds builds = backend.builds().since(before);
        return result.withBuilds(builds.programs(), builds.seconds());
    }

    private void open(String wanted) {
        if (!wanted.equals(strategy)) {
            // The new one first: with its last context, PoCL's compiler forgets its library, and reads it for a second
            // again.
            OpenClBackend before = backend;
            backend = (OpenClBackend) device.open(wanted, false); // not from the cache: it is about the sources
            if (before != null) {
                before.close();
            }
            run = new VerifierRun(wanted, backend);
            strategy = wanted;
        }
    }

    /** Answers each line, a strategy and the number of a case, by a line of JSON, until there are no more. */
    void serve(InputStream tasks, PrintStream results) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(tasks, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            CaseResult result = run(new VerifierQueue.Task(words[0], Integer.parseInt(words[1])));
            results.print(VerifierProcess.ANSWER + result.toJson() + "\n");
            results.flush();
        }
    }

    @Override
    public void close() {
        if (backend != null) {
            backend.close();
            backend = null;
            strategy = null;
        }
    }
}
