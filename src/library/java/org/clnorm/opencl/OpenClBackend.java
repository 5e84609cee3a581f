package org.clnorm.opencl;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.BinaryOperator;
import java.util.function.ObjLongConsumer;
import java.util.function.Supplier;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Gate;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyChoice;
import org.clnorm.plan.StrategyTable;
import org.clnorm.view.View;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_context_properties;
import org.jocl.cl_device_id;
import org.jocl.cl_mem;
import org.jocl.cl_platform_id;

/**
 * A device behind an in-order queue: its memory, transfers, and the passes.
 *
 * <p>What closes the backend or some of its memory has a {@link Gate} to go by. Each call goes into the backend's first and
 * then into that of all memory that it names; one that finds a gate shut throws {@link IllegalStateException} with nothing
 * done. Closing shuts the gate and waits for the calls that are in, unless it comes out of one of them (of a program's own
 * logging of a compilation, say): then it does not wait, and the last call releases. Memory is closed from inside of the
 * backend's gate, so that nothing is left under way once that one is empty.
 */
public final class OpenClBackend implements Backend {
    private final cl_context context;
    private final cl_device_id device;
    private final cl_command_queue queue;
    private final DeviceFacts facts;
    private final DeviceInfo info;
    private final StrategyChoice choice;
    private final Kernels kernels;
    private final Transfers transfers;
    private final PinnedReads pinned;
    private final OpenMemory openMemory = new OpenMemory(this::closeMemory);

    private final PassQueue passes;
    private final LongAdder allocated = new LongAdder();
    private final Gate gate = new Gate(this::releaseAll);

    /** @param context and the queue are released when it is closed: what somebody else releases too is retained before */
    private OpenClBackend(
            cl_context context,
            cl_device_id device,
            cl_command_queue queue,
            DeviceFacts facts,
            Strategy fixed,
            BinaryCache cache,
            BinaryOperator<String> edit) {
        this.context = context;
        this.device = device;
        this.queue = queue;
        this.facts = facts;
        Optional<StrategyTable> tuned = fixed == null ? TunedTables.ofUser().load(facts) : Optional.empty();
        this.choice = new StrategyChoice(
                facts, fixed, tuned.orElse(StrategyTable.EMPTY).before(StrategyTable.DEFAULTS));
        this.info =
                OpenCl.infoOf(facts, fixed == null ? Strategy.describeChoice(facts, tuned.isPresent()) : fixed.name());
        this.kernels = new Kernels(context, device, facts.name(), cache, edit);
        this.passes = new PassQueue(this, queue, kernels);
        this.transfers = new Transfers(queue, facts.isOclgrind());
        this.pinned = new PinnedReads(context, queue, facts.isOclgrind(), passes.lock());
    }

    static OpenClBackend open(
            cl_platform_id platform,
            cl_device_id device,
            DeviceFacts facts,
            String strategyName,
            boolean timing,
            BinaryCache cache) {
        return open(platform, device, facts, strategyOf(strategyName, facts), timing, cache);
    }

    /** @param strategy or null for the choice by shape */
    static OpenClBackend open(
            cl_platform_id platform,
            cl_device_id device,
            DeviceFacts facts,
            Strategy strategy,
            boolean timing,
            BinaryCache cache) {
        int[] status = new int[1];
        cl_context_properties properties = new cl_context_properties();
        properties.addProperty(CL.CL_CONTEXT_PLATFORM, platform);
        cl_context context = CL.clCreateContext(properties, 1, new cl_device_id[] {device}, null, null, status);
        OpenClException.check(status[0], "Creating a context on " + facts.name());
        cl_command_queue queue = createQueue(context, device, timing, status);
        if (status[0] != CL.CL_SUCCESS) {
            CL.clReleaseContext(context);
            OpenClException.check(status[0], "Creating a queue on " + facts.name());
        }
        return holding(context, device, queue, facts, strategy, cache, KernelSource.UNEDITED);
    }

    /** A backend that takes over a hold on a context and a queue, which are released where it cannot be made. */
    private static OpenClBackend holding(
            cl_context context,
            cl_device_id device,
            cl_command_queue queue,
            DeviceFacts facts,
            Strategy fixed,
            BinaryCache cache,
            BinaryOperator<String> edit) {
        try {
            return new OpenClBackend(context, device, queue, facts, fixed, cache, edit);
        } catch (RuntimeException e) {
            CL.clReleaseCommandQueue(queue);
            CL.clReleaseContext(context);
            throw e;
        }
    }

    @SuppressWarnings("deprecation") // the call that OpenCL 1.2 has; the newer one is missing from some drivers
    private static cl_command_queue createQueue(cl_context context, cl_device_id device, boolean timing, int[] status) {
        return CL.clCreateCommandQueue(context, device, timing ? CL.CL_QUEUE_PROFILING_ENABLE : 0, status);
    }

    /**
     * A backend over a caller's context and in-order queue, which stay the caller's and are retained until it is closed.
     *
     * @throws IllegalArgumentException when the queue is another device's or context's, or an out-of-order one
     */
    public static OpenClBackend over(
            cl_context context, cl_device_id device, cl_command_queue queue, String strategyName) {
        Foreign.checkQueue(context, device, queue);
        cl_platform_id platform = OpenCl.platformOf(device);
        DeviceFacts facts = OpenCl.factsOf(platform, device);
        Strategy strategy = strategyOf(strategyName, facts);
        BinaryCache cache = OpenCl.cacheOf(platform, facts);
        retain(context, queue);
        return holding(context, device, queue, facts, strategy, cache, KernelSource.UNEDITED);
    }

    /** The driver's handle of the device. */
    public cl_device_id deviceId() {
        return device;
    }

    /**
     * The same device, queue and memory under one strategy, for those who compare strategies. It is to be closed before
     * this one. Its kernels are not kept for later processes: most of what is tried is not taken.
     */
    public OpenClBackend under(Strategy strategy) {
        return under(strategy, BinaryCache.off(), KernelSource.UNEDITED);
    }

    /** The same with a cache, and with kernels whose sources are edited, as tests have them that are to notice. */
    OpenClBackend under(Strategy strategy, BinaryCache cache, BinaryOperator<String> edit) {
        enter();
        try {
            retain(context, queue);
            return holding(context, device, queue, facts, strategy, cache, edit);
        } finally {
            gate.leave();
        }
    }

    private static void retain(cl_context context, cl_command_queue queue) {
        OpenClException.check(CL.clRetainContext(context), "Retaining a context");
        int status = CL.clRetainCommandQueue(queue);
        if (status != CL.CL_SUCCESS) {
            CL.clReleaseContext(context);
            OpenClException.check(status, "Retaining a queue");
        }
    }

    private static Strategy strategyOf(String name, DeviceFacts facts) {
        return name == null || name.equalsIgnoreCase(Strategy.AUTO) ? null : Strategy.named(name, facts);
    }

    @Override
    public DeviceInfo info() {
        return info;
    }

    /** Its context, device and queue; see {@link Handles}. */
    List<Object> handles() {
        return List.of(context, device, queue);
    }

    /** What is known of the device. */
    public DeviceFacts facts() {
        return facts;
    }

    /** How often each kernel was launched so far. */
    public Map<String, Long> launches() {
        return passes.launches();
    }

    /** How many programs were compiled from source so far; the others are from the cache. */
    int compiled() {
        synchronized (passes.lock()) {
            return kernels.compiled();
        }
    }

    /** What was compiled so far. */
    public Builds builds() {
        synchronized (passes.lock()) {
            return new Builds(kernels.compiled(), passes.compiling() * 1e-9);
        }
    }

    /**
     * A program, as the device's compiler made it.
     *
     * @param options those of the compiler
     * @param seconds that it took to compile it; 0 if it is from the cache
     * @param binary what the driver gives out: on NVIDIA's, text in PTX; empty where it gives none
     */
    public record BuiltProgram(String kernel, String options, double seconds, byte[] binary) {}

    /** The programs that were built so far. */
    public List<BuiltProgram> programs() {
        synchronized (passes.lock()) {
            return kernels.programs();
        }
    }

    /** Waits after each launch and tells how many nanoseconds the kernel ran; null to stop. Needs a timing queue. */
    public void timeLaunches(ObjLongConsumer<String> timings) {
        passes.timeLaunches(timings);
    }

    /** Goes into the backend's gate, or throws. */
    void enter() {
        if (!gate.enter()) {
            throw new IllegalStateException("The device " + facts.name() + " is closed");
        }
    }

    /** Goes into the backend's gate and the memory's, or throws. */
    private OpenClMemory enter(Operand operand) {
        enter();
        OpenClMemory memory = memoryOf(operand);
        if (!memory.gate().enter()) {
            gate.leave();
            throw memory.closed();
        }
        return memory;
    }

    void leave() {
        gate.leave();
    }

    private void leave(OpenClMemory memory) {
        memory.gate().leave();
        gate.leave();
    }

    private static OpenClMemory memoryOf(Operand operand) {
        return (OpenClMemory) operand.memory();
    }

    @Override
    public OpenClMemory allocate(long elements) {
        return allocate(elements, DataType.FLOAT32);
    }

    @Override
    public OpenClMemory allocate(long elements, DataType type) {
        enter();
        try {
            int[] status = new int[1];
            long bytes = Math.max(1, elements) * type.bytes();
            cl_mem handle = CL.clCreateBuffer(context, CL.CL_MEM_READ_WRITE, bytes, null, status);
            OpenClException.check(status[0], "Allocating " + bytes + " bytes on " + facts.name());
            allocated.add(bytes);
            return openMemory.over(handle, elements, null);
        } finally {
            gate.leave();
        }
    }

    /** How many bytes were allocated so far, on the device and counting those that were given back since. */
    public long allocatedBytes() {
        return allocated.sum();
    }

    /**
     * Memory over a caller's buffer, which stays the caller's and is retained until the memory is closed.
     *
     * @throws IllegalArgumentException when it cannot be worked with, such as one of another context
     */
    public OpenClMemory wrap(cl_mem buffer, DataType type) {
        enter();
        try {
            Foreign.Buffer foreign = Foreign.buffer(buffer, context, device, type);
            OpenClException.check(CL.clRetainMemObject(buffer), "Retaining a buffer");
            return openMemory.over(buffer, foreign.bytes() / type.bytes(), foreign);
        } finally {
            gate.leave();
        }
    }

    private void closeMemory(OpenClMemory memory) {
        if (gate.enter()) { // or else it is closed with the backend
            try {
                closeAndWait(memory.gate());
            } finally {
                gate.leave();
            }
        }
    }

    /** Shuts a gate, and waits for who is in; who has the lock may be in itself. */
    private void closeAndWait(Gate gate) {
        gate.shut();
        if (!Thread.holdsLock(passes.lock())) {
            gate.awaitRelease();
        }
    }

    @Override
    public void write(Operand to, FloatBuffer from) {
        OpenClMemory memory = enter(to);
        try {
            synchronized (passes.lock()) {
                transfers.write(memory.handle(), to.offset(), from.duplicate());
            }
        } finally {
            leave(memory);
        }
    }

    @Override
    public void write(Operand to, ShortBuffer from) {
        OpenClMemory memory = enter(to);
        try {
            synchronized (passes.lock()) {
                transfers.write(memory.handle(), to.offset(), from.duplicate());
            }
        } finally {
            leave(memory);
        }
    }

    // Reads are without the lock: they wait for the device, and nothing that they use is shared.

    @Override
    public void read(Operand from, ShortBuffer to) {
        OpenClMemory memory = enter(from);
        try {
            transfers.read(memory.handle(), from.offset(), to);
        } finally {
            leave(memory);
        }
    }

    @Override
    public void read(Operand from, FloatBuffer to) {
        OpenClMemory memory = enter(from);
        try {
            transfers.read(memory.handle(), from.offset(), to);
        } finally {
            leave(memory);
        }
    }

    /** Enqueues a read of float32 elements. What is returned waits for them, and fails when the backend is closed before. */
    Supplier<float[]> startRead(Operand from, int count) {
        OpenClMemory memory = enter(from);
        PinnedReads.Reading reading;
        try {
            synchronized (passes.lock()) {
                reading = pinned.start(memory.handle(), from.offset(), count);
            }
        } finally {
            leave(memory);
        }
        return () -> {
            enter();
            try {
                return reading.await();
            } finally {
                gate.leave();
            }
        };
    }

    @Override
    public void fill(Operand to, long count, float value) {
        OpenClMemory memory = enter(to);
        try {
            if (count > 0) {
                OpenClException.check(
                        CL.clEnqueueFillBuffer(
                                queue,
                                memory.handle(),
                                to.type() == DataType.FLOAT32
                                        ? Pointer.to(new float[] {value})
                                        : Pointer.to(
                                                new short[] {to.type().half().encode(value)}),
                                to.type().bytes(),
                                to.offset() * to.type().bytes(),
                                count * to.type().bytes(),
                                0,
                                null,
                                null),
                        "Filling " + count + " elements");
            }
        } finally {
            leave(memory);
        }
    }

    @Override
    public void copy(Operand from, Operand to, long count) {
        if (from.type() == DataType.FLOAT32) {
            copy(from, to, count, strategyForCopies());
        } else if (count > 0) {
            copyBytes(from, to, count);
        }
    }

    private void copyBytes(Operand from, Operand to, long count) {
        int bytes = from.type().bytes();
        OpenClMemory source = enter(from);
        try {
            OpenClMemory target = enter(to);
            try {
                OpenClException.check(
                        CL.clEnqueueCopyBuffer(
                                queue,
                                source.handle(),
                                target.handle(),
                                from.offset() * bytes,
                                to.offset() * bytes,
                                count * bytes,
                                0,
                                null,
                                null),
                        "Copying " + count + " elements");
            } finally {
                leave(target);
            }
        } finally {
            leave(source);
        }
    }

    /** The strategy that {@link #copy(Operand, Operand, long)} takes. */
    public Strategy strategyForCopies() {
        return choice.forCopies();
    }

    /** A copy under a strategy of the caller's choice. */
    public void copy(Operand from, Operand to, long count, Strategy strategy) {
        if (count > 0) {
            passes.copy(from, to, count, strategy, facts);
        }
    }

    @Override
    public void finish() {
        enter();
        try {
            await();
        } finally {
            gate.leave();
        }
    }

    private void await() {
        OpenClException.check(CL.clFinish(queue), "Waiting for the device");
    }

    @Override
    public Coefficients newCoefficients(int channels) {
        return OpenClCoefficients.of(this, channels, 1, null);
    }

    @Override
    public Coefficients newCoefficients(Normalization normalization, Shape shape, Layout layout) {
        if (PositionsPass.isOfPositions(normalization)) {
            return PositionsPass.coefficients(this, normalization, shape, layout);
        }
        long given = normalization.grouping().givenSamples(shape);
        View view = Passes.view(normalization, SplitPass.samples(shape, shape.batch() - given), layout);
        OpenClCoefficients rest = given == 0 ? null : OpenClCoefficients.of(this, view.groups(), 1, null);
        return OpenClCoefficients.of(this, view.groups(), view.blocks().count(), rest);
    }

    @Override
    public PreparedPass prepare(PassSpec pass) {
        enter();
        try {
            if (PositionsPass.isOne(pass)) {
                return new PositionsPass(this, passes, pass, part -> passes.prepare(Passes.plan(part, choice)));
            }
            List<SplitPass.Part> parts = SplitPass.parts(pass);
            return parts.size() == 1 ? passes.prepare(Passes.plan(pass, choice)) : new SplitPass(this, pass, parts);
        } finally {
            gate.leave();
        }
    }

    @Override
    public PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room) {
        enter();
        try {
            return passes.prepare(tensors, room, choice);
        } finally {
            gate.leave();
        }
    }

    @Override
    public void close() {
        closeAndWait(gate);
    }

    /**
     * Nobody is in, and nobody is closing any of the memory. A device that is gone refuses to be waited for; what is released
     * is the host's, and nothing of that may be left out.
     */
    private void releaseAll() {
        synchronized (passes.lock()) {
            CL.clFinish(queue);
            transfers.release();
            pinned.release();
            CL.clFinish(queue);
            passes.release();
            openMemory.all().forEach(open -> open.gate().shut());
            kernels.release();
            CL.clReleaseCommandQueue(queue);
            CL.clReleaseContext(context);
        }
    }
}
