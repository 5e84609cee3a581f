package org.clnorm.opencl;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.ObjLongConsumer;
import org.clnorm.ChannelMoments;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.GradientSums;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Gate;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.plan.Coefficients;
import org.clnorm.plan.Copy;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Pass;
import org.clnorm.plan.PassKind;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Place;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyChoice;
import org.clnorm.plan.StrategyTable;
import org.clnorm.view.View;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_context_properties;
import org.jocl.cl_device_id;
import org.jocl.cl_event;
import org.jocl.cl_mem;
import org.jocl.cl_platform_id;

/**
 * A device behind an in-order queue: its memory, transfers, and the passes, each by a plan that is made at its first call.
 *
 * <p>One lock covers a pass from its first argument to its last launch. It keeps the launches of two threads' passes from
 * mixing, since they share the room for partial results, and plans from being released while they are enqueued. A download
 * waits for the device without it.
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
    /** The buffers that memory is open over. Guarded by itself. */
    private final Map<cl_mem, OpenClMemory.Root> buffers = new HashMap<>();

    private final Map<String, LongAdder> launches = new ConcurrentHashMap<>();
    private final LongAdder allocated = new LongAdder();
    private final Gate gate = new Gate(this::releaseAll);
    private final Object lock = new Object();

    /** Guarded by the lock, as are the fields below: the plans of layers that are open, and of copies. */
    private final Set<Plans> livePlans = new HashSet<>();

    private final Plans copies = newPlans();

    /** Where the operands of the pass that is being enqueued lie. */
    private final Operand[] places = new Operand[Place.values().length];

    private boolean isEnqueueing;

    private Operand partials;
    private ObjLongConsumer<String> timings;

    /** Nanoseconds of the launches for which PoCL compiled. */
    private long firstLaunches;

    /** @param context and the queue are released when it is closed: what somebody else releases too is retained before */
    private OpenClBackend(
            cl_context context,
            cl_device_id device,
            cl_command_queue queue,
            DeviceFacts facts,
            Strategy fixed,
            BinaryCache cache) {
        this.context = context;
        this.device = device;
        this.queue = queue;
        this.facts = facts;
        Optional<StrategyTable> tuned = fixed == null ? TunedTables.ofUser().load(facts) : Optional.empty();
        this.choice = new StrategyChoice(
                facts, fixed, tuned.orElse(StrategyTable.EMPTY).before(StrategyTable.DEFAULTS));
        this.info =
                OpenCl.infoOf(facts, fixed == null ? Strategy.describeChoice(facts, tuned.isPresent()) : fixed.name());
        this.kernels = new Kernels(context, device, facts.name(), cache);
        this.transfers = new Transfers(queue, facts.isOclgrind());
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
        return new OpenClBackend(context, device, queue, facts, strategy, cache);
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
        retain(context, queue);
        return new OpenClBackend(context, device, queue, facts, strategy, OpenCl.cacheOf(platform, facts));
    }

    /**
     * The same device, queue and memory under one strategy, for those who compare strategies. It is to be closed before
     * this one. Its kernels are not kept for later processes: most of what is tried is not taken.
     */
    public OpenClBackend under(Strategy strategy) {
        enter();
        try {
            retain(context, queue);
            return new OpenClBackend(context, device, queue, facts, strategy, BinaryCache.off());
        } finally {
            gate.leave();
        }
    }

    private static void retain(cl_context context, cl_command_queue queue) {
        OpenClException.check(CL.clRetainContext(context), "Retaining a context");
        OpenClException.check(CL.clRetainCommandQueue(queue), "Retaining a queue");
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
        Map<String, Long> counts = new TreeMap<>();
        launches.forEach((kernel, count) -> counts.put(kernel, count.sum()));
        return counts;
    }

    /** How many programs were compiled from source so far; the others are from the cache. */
    int compiled() {
        synchronized (lock) {
            return kernels.compiled();
        }
    }

    /**
     * The compilations so far.
     *
     * @param programs compiled from source; the others are from the cache
     * @param seconds that they took, PoCL's first launches among them, where most of its compiler's work is done
     */
    public record Builds(int programs, double seconds) {
        /** These without those that had been before. */
        public Builds since(Builds before) {
            return new Builds(programs - before.programs, seconds - before.seconds);
        }
    }

    /** What was compiled so far. */
    public Builds builds() {
        synchronized (lock) {
            return new Builds(kernels.compiled(), (kernels.compiling() + firstLaunches) * 1e-9);
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
        synchronized (lock) {
            return kernels.programs();
        }
    }

    /** Waits after each launch and tells how many nanoseconds the kernel ran; null to stop. Needs a timing queue. */
    public void timeLaunches(ObjLongConsumer<String> timings) {
        synchronized (lock) {
            this.timings = timings;
        }
    }

    /** Goes into the backend's gate, or throws. */
    private void enter() {
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

    private void leave(OpenClMemory memory) {
        memory.gate().leave();
        gate.leave();
    }

    /** Goes into the gates of all memory in the places, or throws. */
    private void enterPlaces() {
        for (int i = 0; i < places.length; i++) {
            if (places[i] != null && !memoryOf(places[i]).gate().enter()) {
                IllegalStateException closed = memoryOf(places[i]).closed();
                leavePlaces(i);
                throw closed;
            }
        }
    }

    private void leavePlaces(int count) {
        for (int i = 0; i < count; i++) {
            if (places[i] != null) {
                memoryOf(places[i]).gate().leave();
            }
        }
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
        return allocate(elements, type, () -> {});
    }

    private OpenClMemory allocate(long elements, DataType type, Runnable onRelease) {
        enter();
        try {
            int[] status = new int[1];
            long bytes = Math.max(1, elements) * type.bytes();
            cl_mem handle = CL.clCreateBuffer(context, CL.CL_MEM_READ_WRITE, bytes, null, status);
            OpenClException.check(status[0], "Allocating " + bytes + " bytes on " + facts.name());
            allocated.add(bytes);
            return over(handle, elements, null, onRelease);
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
            return over(buffer, foreign.bytes() / type.bytes(), foreign, () -> {});
        } finally {
            gate.leave();
        }
    }

    /** @param handle of a buffer that is released with the memory */
    private OpenClMemory over(cl_mem handle, long elements, Foreign.Buffer foreign, Runnable onRelease) {
        synchronized (buffers) {
            cl_mem rootHandle = foreign == null ? handle : foreign.root();
            OpenClMemory.Root root = buffers.computeIfAbsent(rootHandle, OpenClMemory.Root::new);
            OpenClMemory memory = new OpenClMemory(
                    root,
                    handle,
                    elements,
                    foreign,
                    released -> {
                        onRelease.run();
                        releaseMemory(released);
                    },
                    this::closeMemory);
            root.over.add(memory);
            return memory;
        }
    }

    private void releaseMemory(OpenClMemory memory) {
        OpenClMemory.Root root = memory.root();
        synchronized (buffers) {
            root.over.removeIf(other -> other == memory);
            if (root.over.isEmpty()) {
                buffers.remove(root.handle);
            }
        }
        CL.clReleaseMemObject(memory.handle());
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
        if (!Thread.holdsLock(lock)) {
            gate.awaitRelease();
        }
    }

    @Override
    public void write(Operand to, FloatBuffer from) {
        OpenClMemory memory = enter(to);
        try {
            synchronized (lock) {
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
            synchronized (lock) {
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
            run(Copy.KIND, new Copy(from, to, count, strategy), copies, strategy);
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
    public SavedStatistics newSavedStatistics(int groups) {
        return newSavedStatistics(groups, 1);
    }

    private SavedStatistics newSavedStatistics(int groups, int blocks) {
        long elements = (long) Coefficients.ROWS * Coefficients.pitch(groups, blocks);
        Plans plans = newPlans();
        OpenClMemory memory;
        try {
            // Passes that use the plans use the memory, so that these go with it.
            memory = allocate(elements, DataType.FLOAT32, () -> release(plans));
        } catch (RuntimeException e) {
            release(plans);
            throw e;
        }
        try {
            // Rows that a pass does not write are still read, times nothing that matters; they must not hold a NaN.
            fill(new Operand(memory, 0), elements, 0);
        } catch (RuntimeException e) {
            memory.close();
            throw e;
        }
        return new OpenClSavedStatistics(groups, blocks, new Operand(memory, 0), plans);
    }

    @Override
    public SavedStatistics newSavedStatistics(Normalization normalization, Shape shape, Layout layout) {
        View view = Passes.view(normalization, shape, layout);
        return newSavedStatistics(view.groups(), view.blocks().count());
    }

    private Plans newPlans() {
        Plans plans = new Plans();
        synchronized (lock) {
            livePlans.add(plans);
        }
        return plans;
    }

    private void release(Plans plans) {
        synchronized (lock) {
            if (livePlans.remove(plans)) {
                plans.release();
            }
        }
    }

    @Override
    public void forward(ForwardTraining pass) {
        OpenClSavedStatistics saved = (OpenClSavedStatistics) pass.saved();
        run(Passes.TRAINING, pass, saved.plans(), null);
        if (pass.policy() == NonFinitePolicy.THROW) {
            checkFinite(saved);
            if (pass.running() != null) {
                run(Passes.TRACKING, pass, saved.plans(), null);
            }
        }
    }

    @Override
    public void forward(ForwardInference pass) {
        run(Passes.INFERENCE, pass, ((OpenClSavedStatistics) pass.saved()).plans(), null);
    }

    @Override
    public void backward(Backward pass) {
        run(Passes.GRADIENT, pass, ((OpenClSavedStatistics) pass.saved()).plans(), null);
    }

    @Override
    public ChannelMoments moments(ReduceForward pass) {
        OpenClSavedStatistics room = (OpenClSavedStatistics) pass.room();
        run(Passes.MOMENTS, pass, room.plans(), choice.split(Pass.FORWARD, pass.shape(), pass.layout()));
        double[][] rows = readRows(room, Coefficients.MEAN_HI, 4); // hi, lo, M2, the unit they are in
        double[] mean = rows[0];
        double[] squares = rows[2];
        Arrays.setAll(mean, c -> (mean[c] + rows[1][c]) / rows[3][c]);
        Arrays.setAll(squares, c -> squares[c] / rows[3][c] / rows[3][c]);
        return new ChannelMoments(pass.shape().batch() * pass.shape().spatial(), mean, squares);
    }

    @Override
    public void forward(ForwardCombined pass) {
        OpenClSavedStatistics saved = (OpenClSavedStatistics) pass.saved();
        saved.keep(pass.epsilon(), null, null);
        ChannelMoments moments = pass.moments();
        double[] mean = moments.mean();
        double[] rest = new double[mean.length];
        double[] variance = moments.variance(RunningVariance.BIASED);
        double[] estimate = pass.running() == null
                ? variance.clone()
                : moments.variance(pass.running().estimate());
        double[] unit = new double[mean.length];
        for (int c = 0; c < mean.length; c++) {
            unit[c] = unitOf(mean[c], variance[c]);
            mean[c] *= unit[c];
            rest[c] = mean[c] - (float) mean[c];
            variance[c] *= unit[c] * unit[c];
            estimate[c] *= unit[c] * unit[c];
        }
        synchronized (lock) {
            writeRows(saved, Coefficients.MEAN_HI, mean, rest, variance, estimate, unit);
            run(Passes.COMBINED, pass, saved.plans(), null);
        }
    }

    @Override
    public GradientSums gradientSums(ReduceBackward pass) {
        OpenClSavedStatistics saved = (OpenClSavedStatistics) pass.saved();
        run(Passes.SUMS, pass, saved.plans(), choice.split(Pass.BACKWARD, pass.shape(), pass.layout()));
        double[][] rows = readRows(saved, Coefficients.UNIT, 3);
        double[] dyx = rows[2];
        Arrays.setAll(dyx, c -> dyx[c] / rows[0][c]);
        return new GradientSums(pass.shape().batch() * pass.shape().spatial(), rows[1], dyx);
    }

    @Override
    public void backward(BackwardCombined pass) {
        OpenClSavedStatistics saved = (OpenClSavedStatistics) pass.saved();
        double m = pass.all().count();
        double[] dy = Arrays.stream(pass.all().dy()).map(sum -> sum / m).toArray();
        double[] dyx = Arrays.stream(pass.all().dyx()).map(sum -> sum / m).toArray();
        double[] ownDyx = pass.own().dyx();
        double[] exponent = new double[dyx.length];
        for (int c = 0; c < dyx.length; c++) { // they are products with x, and may be no float
            int power = Math.max(Math.getExponent(dyx[c]), Math.getExponent(ownDyx[c]));
            exponent[c] = Math.abs(power) <= Double.MAX_EXPONENT ? power : 0; // neither all 0 nor what is not finite
            dyx[c] = Math.scalb(dyx[c], -(int) exponent[c]);
            ownDyx[c] = Math.scalb(ownDyx[c], -(int) exponent[c]);
        }
        synchronized (lock) {
            writeRows(saved, Coefficients.GRAD_DY, pass.own().dy(), ownDyx, dy, dyx, exponent);
            run(
                    Passes.COMBINED_GRADIENT,
                    pass,
                    saved.plans(),
                    choice.split(Pass.BACKWARD, pass.shape(), pass.layout()));
        }
    }

    /** The power of two in whose units a mean and a variance are floats; 1 where they are themselves. */
    private static double unitOf(double mean, double variance) {
        int power = Math.getExponent(Math.sqrt(variance));
        if (variance == 0 || !Double.isFinite(variance) || Math.abs(power) < 50) {
            return 1;
        }
        return Math.scalb(1.0, Math.max(-100, Math.min(100, Math.min(-power, 100 - Math.getExponent(mean)))));
    }

    /** Of one block; its groups only. */
    private double[][] readRows(OpenClSavedStatistics saved, int first, int count) {
        int pitch = Coefficients.pitch(saved.groups(), 1);
        FloatBuffer numbers = FloatBuffer.allocate(count * pitch);
        read(saved.row(first), numbers);
        double[][] rows = new double[count][saved.groups()];
        for (int row = 0; row < count; row++) {
            for (int group = 0; group < saved.groups(); group++) {
                rows[row][group] = numbers.get(row * pitch + group);
            }
        }
        return rows;
    }

    private void writeRows(OpenClSavedStatistics saved, int first, double[]... rows) {
        int pitch = Coefficients.pitch(saved.groups(), 1);
        FloatBuffer numbers = FloatBuffer.allocate(rows.length * pitch);
        for (int row = 0; row < rows.length; row++) {
            for (int group = 0; group < saved.groups(); group++) {
                numbers.put(row * pitch + group, (float) rows[row][group]);
            }
        }
        write(saved.row(first), numbers);
    }

    private void checkFinite(OpenClSavedStatistics saved) {
        int pitch = Coefficients.pitch(saved.groups(), saved.blocks());
        float[] means = readRow(saved, Coefficients.MEAN, pitch);
        float[] variances = readRow(saved, Coefficients.VARIANCE, pitch);
        float[] units = readRow(saved, Coefficients.UNIT, pitch);
        for (int i = 0; i < pitch; i++) {
            int group = i % Coefficients.blockPitch(saved.groups());
            double variance = variances[i] / ((double) units[i] * units[i]);
            if (group < saved.groups() && !(Float.isFinite(means[i]) && Float.isFinite((float) variance))) {
                throw new NonFiniteException(group, means[i], variance);
            }
        }
    }

    private float[] readRow(OpenClSavedStatistics saved, int row, int pitch) {
        float[] numbers = new float[pitch];
        read(saved.row(row), FloatBuffer.wrap(numbers));
        return numbers;
    }

    /**
     * Enqueues a pass by the plan for it, which is made when there is none.
     *
     * @param given the strategy, or null for the one that fits its view
     */
    private <P> void run(PassKind<P> kind, P pass, Plans plans, Strategy given) {
        enter();
        try {
            synchronized (lock) {
                if (isEnqueueing) {
                    throw new IllegalStateException(
                            "A pass was asked for in the middle of another, by the same thread");
                }
                Arrays.fill(places, null);
                kind.place().accept(pass, places);
                enterPlaces();
                isEnqueueing = true;
                try {
                    enqueue(kind, pass, plans, given);
                } finally {
                    isEnqueueing = false;
                    leavePlaces(Place.PARTIALS.ordinal()); // which are the backend's own
                }
            }
        } finally {
            gate.leave();
        }
    }

    private <P> void enqueue(PassKind<P> kind, P pass, Plans plans, Strategy given) {
        Plan<?> plan = plans.find(kernels, kind, pass, places);
        if (plan == null) {
            View view = kind.view().apply(pass);
            Strategy strategy = given == null ? choice.forPass(kind.chosenBy(), view) : given;
            plan = new Plan<>(kernels, kind, pass, places, view, strategy, facts);
            plans.add(plan);
        }
        if (plan.partials() > 0) {
            Place.PARTIALS.put(partials(plan.partials()), places);
        }
        for (int i = 0; i < plan.launches().size(); i++) {
            Kernel kernel = plan.launches().get(i);
            kernel.bind(places);
            launch(kernel);
        }
    }

    /** Room for partial results, kept between passes. */
    private Operand partials(long elements) {
        if (partials == null || partials.memory().elements() < elements) {
            if (partials != null) {
                partials.memory().close(); // the device keeps it until the launches that use it are done
                partials = null;
            }
            partials = new Operand(allocate(elements), 0);
        }
        return partials;
    }

    private void launch(Kernel kernel) {
        long start = System.nanoTime();
        boolean first = kernels.isFirst(kernel);
        if (timings == null) {
            kernel.enqueue(queue, null);
        } else {
            cl_event event = new cl_event();
            kernel.enqueue(queue, event);
            CL.clWaitForEvents(1, new cl_event[] {event});
            timings.accept(
                    kernel.name(),
                    time(event, CL.CL_PROFILING_COMMAND_END) - time(event, CL.CL_PROFILING_COMMAND_START));
            CL.clReleaseEvent(event);
        }
        if (first) {
            if (facts.isPocl()) {
                await(); // it compiles on a thread of its own
                firstLaunches += System.nanoTime() - start;
            }
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

    @Override
    public void close() {
        closeAndWait(gate);
    }

    /** Nobody is in, and nobody is closing any of the memory. */
    private void releaseAll() {
        synchronized (lock) {
            CL.clFinish(queue);
            transfers.release();
            livePlans.forEach(Plans::release);
            livePlans.clear();
            List<OpenClMemory> open;
            synchronized (buffers) {
                open = buffers.values().stream()
                        .flatMap(root -> root.over.stream())
                        .toList();
            }
            open.forEach(memory -> memory.gate().shut());
            kernels.release();
            CL.clReleaseCommandQueue(queue);
            CL.clReleaseContext(context);
        }
    }
}
