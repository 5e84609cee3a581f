package org.clnorm.check;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import org.clnorm.Device;
import org.clnorm.OpenClInterop;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.jocl.cl_device_id;

/**
 * Checks somebody's kernel against the reference: values over shapes and data, what is written beside its arrays, whether two
 * runs give the same bits.
 *
 * <pre>{@code
 * CheckReport report = KernelCheck.of(source, Binding.read(file)).quick(true).on(device);
 * }</pre>
 *
 * <p>The kernel runs in this process, and may end it or never come back; the command {@code check} has it run in a process
 * of its own.
 */
public final class KernelCheck {
    private final String source;
    private final Binding binding;
    private final boolean quick;
    private final double slack;
    private final boolean simulated;

    private KernelCheck(String source, Binding binding, boolean quick, double slack, boolean simulated) {
        this.source = source;
        this.binding = binding;
        this.quick = quick;
        this.slack = slack;
        this.simulated = simulated;
    }

    /**
     * A check of a kernel.
     *
     * @param source the text of its file
     * @param binding what it computes and how it is called
     */
    public static KernelCheck of(String source, Binding binding) {
        return new KernelCheck(
                Objects.requireNonNull(source, "source"), Objects.requireNonNull(binding, "binding"), false, 1, false);
    }

    /** The same without the largest shapes, or with them again. */
    public KernelCheck quick(boolean without) {
        return new KernelCheck(source, binding, without, slack, simulated);
    }

    /**
     * The same with values that may be so many times as far off as rounding explains.
     *
     * @throws IllegalArgumentException unless it is 1 or more, and finite
     */
    public KernelCheck tolerance(double times) {
        if (!(times >= 1 && times < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The tolerance must be 1 or more, but is " + times);
        }
        return new KernelCheck(source, binding, quick, times, simulated);
    }

    /** The same in a simulator, which itself sees accesses outside of buffers: they end where their arrays do. */
    public KernelCheck simulated() {
        return new KernelCheck(source, binding, quick, slack, true);
    }

    /** What the kernel computes. */
    public Binding binding() {
        return binding;
    }

    /** All cases, in the order in which they are run: small ones first. */
    public List<CheckCase> cases() {
        List<CheckCase> all = CheckCase.all(binding, quick || simulated);
        return simulated
                ? all.stream()
                        .filter(c -> c.dimensions().elements() <= 4000 && c.data() == Data.NORMAL)
                        .toList()
                : all;
    }

    /**
     * Runs all cases on the OpenCL device that a device is, in a context and a queue of their own, as a test of a kernel does:
     * {@code KernelCheck.of(source, binding).quick(true).on(device).verify()}.
     *
     * @throws IllegalArgumentException when it is the CPU reference, which runs no kernels, or a part of an OpenCL device
     * @throws IllegalStateException when it is closed
     */
    public CheckReport on(Device device) {
        cl_device_id id = OpenClInterop.deviceId(device);
        return on(OpenCl.devices().stream()
                .filter(candidate -> candidate.isDevice(id))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        "The device must be one that a platform lists, but given was " + device)));
    }

    /** Runs all cases on a device. */
    public CheckReport on(OpenCl.Candidate device) {
        return on(device, outcome -> {});
    }

    /** The same, and tells each outcome as it comes. */
    public CheckReport on(OpenCl.Candidate device, Consumer<Outcome> progress) {
        List<Outcome> outcomes = new ArrayList<>();
        try (OpenClBackend backend = (OpenClBackend) device.open(null);
                KernelCalls calls = new KernelCalls(backend, source, binding)) {
            for (CheckCase c : cases()) {
                Outcome outcome = run(calls, c);
                outcomes.add(outcome);
                progress.accept(outcome);
                if (outcome.problems().stream().anyMatch(p -> p.kind() == Problem.Kind.CALL)) {
                    break; // the others would end the same way
                }
            }
        }
        return CheckReport.of(this, outcomes, device.describe());
    }

    /**
     * Runs the cases that {@link CheckProcesses} asks for.
     *
     * @throws IOException when the tasks cannot be read
     */
    public void serve(OpenCl.Candidate device, InputStream tasks, PrintStream results) throws IOException {
        new CheckWorker(this, device).serve(tasks, results);
    }

    /** Runs a case, and saves it with what the kernel wrote. */
    Outcome save(KernelCalls calls, CheckCase c, Path file) throws IOException {
        try (CaseRun run = new CaseRun(calls, c, !simulated)) {
            Outcome outcome = run.run(slack);
            new SavedCase(c, run.inputs()).write(file, run.outputs());
            return outcome;
        }
    }

    Outcome run(KernelCalls calls, CheckCase c) {
        try (CaseRun run = new CaseRun(calls, c, !simulated)) {
            return run.run(slack);
        }
    }

    String source() {
        return source;
    }
}
