package org.clnorm.check;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.verify.WorkerProcess;

/**
 * Runs cases that are asked for by their index; with a file's name after it, the case is saved there too. Asked for its speed, it
 * times the largest shape.
 */
final class CheckWorker {
    static final String SPEED = "speed";

    private final KernelCheck check;
    private final OpenCl.Candidate device;

    CheckWorker(KernelCheck check, OpenCl.Candidate device) {
        this.check = check;
        this.device = device;
    }

    /** Answers each line by a line of JSON, until there are no more. */
    void serve(InputStream tasks, PrintStream results) throws IOException {
        List<CheckCase> cases = check.cases();
        BufferedReader lines = new BufferedReader(new InputStreamReader(tasks, StandardCharsets.UTF_8));
        try (OpenClBackend backend = (OpenClBackend) device.open(null);
                KernelCalls calls = new KernelCalls(backend, check.source(), check.binding())) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                results.print(WorkerProcess.ANSWER + answer(line, cases, backend, calls) + "\n");
                results.flush();
            }
        }
    }

    private String answer(String task, List<CheckCase> cases, OpenClBackend backend, KernelCalls calls)
            throws IOException {
        if (task.equals(SPEED)) {
            CheckCase largest = CheckCase.all(check.binding(), false).stream()
                    .max(Comparator.comparingLong(c -> c.dimensions().elements()))
                    .orElseThrow();
            try (KernelBench bench = new KernelBench(backend, calls, largest)) {
                return Outcome.GSON.toJson(bench.measure());
            }
        }
        String[] words = task.split(" ", 2);
        CheckCase c = cases.get(Integer.parseInt(words[0]));
        return (words.length == 1 ? check.run(calls, c) : check.save(calls, c, Path.of(words[1]))).toJson();
    }
}
