package org.clnorm.opencl;

import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.ObjLongConsumer;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.Role;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.PassPlan;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyChoice;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_event;

/**
 * Enqueues passes, one after the other.
 *
 * <p>One lock covers a pass from its first argument to its last launch. It keeps the launches of two threads' passes from
 * mixing, since they share the room for partial results, and passes from being released while they are enqueued. A
 * download waits for the device without it.
 */
final class PassQueue {
    /** Copies of different lengths whose kernels are kept. */
    private static final int MOST_COPIES = 16;

    private record Copy(long count, Strategy strategy) {}

    private static final Role[] ROLES = Role.values();

    private final OpenClBackend backend;
    private final cl_command_queue queue;
    private final Kernels kernels;
    private final Map<String, LongAdder> launches = new ConcurrentHashMap<>();
    private final Object lock = new Object();

    /** Guarded by the lock, as are the fields below: the passes that are open. */
    private final Set<HasKernels> open = new HashSet<>();

    /** The last used last. */
    private final Map<Copy, OpenClPass> copies = new LinkedHashMap<>(MOST_COPIES, 0.75f, true);

    private final Operands copied = new Operands();

    /** What the pass that is being enqueued works on: its operands and coefficients, each of which has been entered. */
    private final OpenClMemory[] inUse = new OpenClMemory[ROLES.length + 1];

    private boolean isEnqueueing;
    /** Room for partial results, kept between passes. */
    private Operand partials;

    /** Room for what goes between the passes that a pass is made of; likewise. */
    private Operand between;

    private ObjLongConsumer<String> timings;
    /** Nanoseconds of the launches for which PoCL compiled. */
    private long firstLaunches;

    PassQueue(OpenClBackend backend, cl_command_queue queue, Kernels kernels) {
        this.backend = backend;
        this.queue = queue;
        this.kernels = kernels;
    }

    /** What is held while commands are enqueued. */
    Object lock() {
        return lock;
    }

    OpenClPass prepare(PassPlan plan) {
        OpenClPass pass = new OpenClPass(this, plan);
        synchronized (lock) {
            open.add(pass);
        }
        return pass;
    }

    OpenClUpdate prepare(List<Updated> tensors, UpdateRoom room, StrategyChoice choice) {
        OpenClUpdate update = new OpenClUpdate(this, tensors, room, choice);
        synchronized (lock) {
            open.add(update);
        }
        return update;
    }

    void close(HasKernels pass) {
        synchronized (lock) {
            if (open.remove(pass)) {
                pass.release();
            }
        }
    }

    /**
     * Goes into the gates of some memory and does work on it, alone and in the queue's order.
     *
     * @throws IllegalStateException when some of the memory is closed; nothing is done then
     */
    void doOn(OpenClMemory[] memories, Runnable work) {
        backend.enter();
        try {
            synchronized (lock) {
                checkIdle();
                int entered = 0;
                try {
                    for (OpenClMemory memory : memories) {
                        if (!memory.gate().enter()) {
                            throw memory.closed();
                        }
                        entered++;
                    }
                    isEnqueueing = true;
                    work.run();
                } finally {
                    isEnqueueing = false;
                    for (int i = 0; i < entered; i++) {
                        memories[i].gate().leave();
                    }
                }
            }
        } finally {
            backend.leave();
        }
    }

    Kernels kernels() {
        return kernels;
    }

    /** Enqueues a pass; where the host looks at the statistics, waits for them. */
    void run(OpenClPass pass, Operands operands, OpenClCoefficients coefficients) {
        PassPlan plan = pass.plan();
        operands.checkAre(plan.operands());
        enqueue(pass, operands, coefficients, false);
        if (plan.isLookedAt()) {
            coefficients.checkFinite();
            enqueue(pass, operands, coefficients, true);
        }
    }

    /** Enqueues a copy of float32 elements, by kernels that are kept for the next of that length. */
    void copy(Operand from, Operand to, long count, Strategy strategy, DeviceFacts facts) {
        synchronized (lock) {
            checkIdle(); // or the operands of the copy that this comes out of would change
            copied.put(Role.X, from).put(Role.Y, to);
            OpenClPass pass = copies.computeIfAbsent(
                    new Copy(count, strategy),
                    copy -> prepare(Passes.copy(copy.count, copy.strategy, facts, copied.types())));
            if (copies.size() > MOST_COPIES) {
                Iterator<OpenClPass> eldest = copies.values().iterator();
                close(eldest.next());
                eldest.remove();
            }
            run(pass, copied, null);
        }
    }

    private void enqueue(OpenClPass pass, Operands operands, OpenClCoefficients coefficients, boolean afterLook) {
        backend.enter();
        try {
            synchronized (lock) {
                checkIdle();
                enterAll(operands, coefficients);
                isEnqueueing = true;
                try {
                    OpenClPass.Launches launches = pass.launches(operands, kernels);
                    Operand parts = launches.partials == 0 ? null : partials(launches.partials);
                    Operand rows = coefficients == null ? null : coefficients.memory();
                    List<Kernel> which = afterLook ? launches.kernelsAfterLook : launches.kernels;
                    // All before any is launched: they may fail, with nothing done.
                    for (int i = 0; i < which.size(); i++) {
                        which.get(i).bind(operands, rows, parts);
                    }
                    for (int i = 0; i < which.size(); i++) {
                        launch(which.get(i), operands);
                    }
                } finally {
                    isEnqueueing = false;
                    leaveFirst(inUse.length);
                }
            }
        } finally {
            backend.leave();
        }
    }

    private void checkIdle() {
        if (isEnqueueing) {
            throw new IllegalStateException("A pass was asked for in the middle of another, by the same thread");
        }
    }

    /** Goes into the gates of all memory that a pass works on, or throws with none entered. */
    private void enterAll(Operands operands, OpenClCoefficients coefficients) {
        for (int i = 0; i < ROLES.length; i++) {
            enter(i, operands.get(ROLES[i]));
        }
        enter(ROLES.length, coefficients == null ? null : coefficients.memory());
    }

    private void enter(int at, Operand operand) {
        OpenClMemory memory = operand == null ? null : (OpenClMemory) operand.memory();
        if (memory != null && !memory.gate().enter()) {
            leaveFirst(at);
            throw memory.closed();
        }
        inUse[at] = memory;
    }

    private void leaveFirst(int count) {
        for (int i = 0; i < count; i++) {
            if (inUse[i] != null) {
                inUse[i].gate().leave();
            }
        }
    }

    /** Room for partial results of so many floats; for who has the lock. */
    Operand partials(long elements) {
        return partials = grown(partials, elements);
    }

    /** Room for as many floats between the passes that a pass is made of; for who has the lock until they are enqueued. */
    Operand between(long elements) {
        return between = grown(between, elements);
    }

    private Operand grown(Operand room, long elements) {
        if (room != null && room.memory().elements() >= elements) {
            return room;
        }
        Operand larger = new Operand(backend.allocate(elements), 0);
        if (room != null) {
            room.memory().close(); // the device keeps it until the launches that use it are done
        }
        return larger;
    }

    /**
     * Enqueues a kernel; for who has the lock.
     *
     * @param operands what it works on; null where that has nothing to do with running statistics
     */
    void launch(Kernel kernel, Operands operands) {
        long start = System.nanoTime();
        boolean first = kernels.isFirst(kernel);
        cl_event event = timings == null ? null : new cl_event();
        kernel.enqueue(queue, event);
        if (operands != null && kernel.updatesRunning()) {
            operands.absorbed(true);
        }
        if (event != null) {
            try {
                OpenClException.check(CL.clWaitForEvents(1, new cl_event[] {event}), "Waiting for " + kernel.name());
                timings.accept(
                        kernel.name(),
                        time(event, CL.CL_PROFILING_COMMAND_END) - time(event, CL.CL_PROFILING_COMMAND_START));
            } finally {
                CL.clReleaseEvent(event);
            }
        }
        if (first && (!backend.facts().isPocl() || CL.clFinish(queue) == CL.CL_SUCCESS)) {
            // PoCL compiles on a thread of its own, and is waited for. Where that fails, the launch has been made:
            // it is not made again, and who asks for what it writes is told.
            firstLaunches += backend.facts().isPocl() ? System.nanoTime() - start : 0;
            kernels.ran(kernel);
        }
        launches.computeIfAbsent(kernel.name(), name -> new LongAdder()).increment();
    }

    private static long time(cl_event event, int which) {
        long[] nanoseconds = new long[1];
        OpenClException.check(
                CL.clGetEventProfilingInfo(event, which, Sizeof.cl_ulong, Pointer.to(nanoseconds), null),
                "Asking how long a kernel ran");
        return nanoseconds[0];
    }

    /** How often each kernel was launched so far. */
    Map<String, Long> launches() {
        Map<String, Long> counts = new TreeMap<>();
        launches.forEach((kernel, count) -> counts.put(kernel, count.sum()));
        return counts;
    }

    /** Nanoseconds of compiling so far, at first launches too. */
    long compiling() {
        synchronized (lock) {
            return kernels.compiling() + firstLaunches;
        }
    }

    /** Waits after each launch and tells how many nanoseconds the kernel ran; null to stop. Needs a timing queue. */
    void timeLaunches(ObjLongConsumer<String> timings) {
        synchronized (lock) {
            this.timings = timings;
        }
    }

    /** Releases all passes that are open, when nobody is in any more. */
    void release() {
        open.forEach(HasKernels::release);
        open.clear();
    }
}
