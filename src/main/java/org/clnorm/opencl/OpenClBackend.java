package org.clnorm.opencl;

import java.nio.FloatBuffer;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.ObjLongConsumer;
import org.clnorm.Activation;
import org.clnorm.DeviceInfo;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
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
 * A device behind an in-order queue: turns each pass into the launches that its strategy says.
 *
 * <p>One lock covers a pass from its first argument to its last launch. It protects the kernels' arguments, and keeps
 * the launches of two threads' passes from mixing: they share the room for partial results.
 */
public final class OpenClBackend implements Backend {
    private final cl_context context;
    private final cl_device_id device;
    private final cl_command_queue queue;
    private final boolean ownsQueue;
    private final DeviceFacts facts;
    private final DeviceInfo info;
    /** What was asked for, or null: then each view gets what {@link Strategy#choose} says. */
    private final Strategy fixed;

    private final StrategyTable table;

    private final Kernels kernels;
    private final Transfers transfers;
    private final Runnable afterCompiling;
    private final Set<OpenClMemory> live = ConcurrentHashMap.newKeySet();
    private final Map<String, LongAdder> launches = new ConcurrentHashMap<>();
    private final LongAdder allocated = new LongAdder();
    private final AtomicBoolean open = new AtomicBoolean(true);
    private final Object lock = new Object();

    private OpenClMemory partials;
    private ObjLongConsumer<String> timings;

    private OpenClBackend(
            cl_context context,
            cl_device_id device,
            cl_command_queue queue,
            boolean ownsQueue,
            DeviceFacts facts,
            Strategy fixed,
            BinaryCache cache) {
        this.context = context;
        this.device = device;
        this.queue = queue;
        this.ownsQueue = ownsQueue;
        this.facts = facts;
        this.fixed = fixed;
        Optional<StrategyTable> tuned = fixed == null ? TunedTables.ofUser().load(facts) : Optional.empty();
        this.table = tuned.orElse(StrategyTable.EMPTY).before(StrategyTable.DEFAULTS);
        this.info =
                OpenCl.infoOf(facts, fixed == null ? Strategy.describeChoice(facts, tuned.isPresent()) : fixed.name());
        if (facts.isPocl()) {
            CompilerSignals.beforeCompiling();
        }
        this.afterCompiling = facts.isPocl() ? CompilerSignals::afterCompiling : () -> {};
        this.kernels = new Kernels(context, device, facts.name(), afterCompiling, cache);
        this.transfers = new Transfers(queue);
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
        return new OpenClBackend(context, device, queue, true, facts, strategy, cache);
    }

    @SuppressWarnings("deprecation") // the call that OpenCL 1.2 has; the newer one is missing from some drivers
    private static cl_command_queue createQueue(cl_context context, cl_device_id device, boolean timing, int[] status) {
        return CL.clCreateCommandQueue(context, device, timing ? CL.CL_QUEUE_PROFILING_ENABLE : 0, status);
    }

    /** A backend over a caller's context and in-order queue, which stay the caller's. */
    public static OpenClBackend over(
            cl_context context, cl_device_id device, cl_command_queue queue, String strategyName) {
        cl_platform_id platform = OpenCl.platformOf(device);
        DeviceFacts facts = OpenCl.factsOf(platform, device);
        Strategy strategy = strategyOf(strategyName, facts);
        return new OpenClBackend(context, device, queue, false, facts, strategy, OpenCl.cacheOf(platform, facts));
    }

    /**
     * The same device, queue and memory under one strategy, for those who compare strategies. It is to be closed before
     * this one. Its kernels are not kept for later processes: most of what is tried is not taken.
     */
    public OpenClBackend under(Strategy strategy) {
        return new OpenClBackend(context, device, queue, false, facts, strategy, BinaryCache.off());
    }

    private static Strategy strategyOf(String name, DeviceFacts facts) {
        return name == null || name.equalsIgnoreCase(Strategy.AUTO) ? null : Strategy.named(name, facts);
    }

    @Override
    public DeviceInfo info() {
        return info;
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

    /** Waits after each launch and tells how many nanoseconds the kernel ran; null to stop. Needs a timing queue. */
    public void timeLaunches(ObjLongConsumer<String> timings) {
        synchronized (lock) {
            this.timings = timings;
        }
    }

    @Override
    public OpenClMemory allocate(long elements) {
        int[] status = new int[1];
        long bytes = Math.max(1, elements) * Sizeof.cl_float;
        cl_mem handle = CL.clCreateBuffer(context, CL.CL_MEM_READ_WRITE, bytes, null, status);
        OpenClException.check(status[0], "Allocating " + bytes + " bytes on " + facts.name());
        OpenClMemory memory = OpenClMemory.owned(handle, elements, live::remove);
        live.add(memory);
        allocated.add(bytes);
        return memory;
    }

    /** How many bytes were allocated so far, on the device and counting those that were given back since. */
    public long allocatedBytes() {
        return allocated.sum();
    }

    /** Memory over a caller's buffer, which stays the caller's. */
    public OpenClMemory wrap(cl_mem buffer) {
        long[] bytes = new long[1];
        OpenClException.check(
                CL.clGetMemObjectInfo(buffer, CL.CL_MEM_SIZE, Sizeof.size_t, Pointer.to(bytes), null),
                "Asking for the size of a buffer");
        return OpenClMemory.borrowed(buffer, bytes[0] / Sizeof.cl_float);
    }

    private static cl_mem handle(Memory memory) {
        return ((OpenClMemory) memory).handle();
    }

    @Override
    public void write(Operand to, FloatBuffer from) {
        synchronized (lock) {
            transfers.write(handle(to.memory()), to.offset(), from.duplicate());
        }
    }

    @Override
    public void read(Operand from, FloatBuffer to) {
        // Without the lock: a read waits for the device, and nothing that it uses is shared.
        transfers.read(handle(from.memory()), from.offset(), to);
    }

    @Override
    public void fill(Operand to, long count, float value) {
        if (count > 0) {
            OpenClException.check(
                    CL.clEnqueueFillBuffer(
                            queue,
                            handle(to.memory()),
                            Pointer.to(new float[] {value}),
                            Sizeof.cl_float,
                            to.offset() * Sizeof.cl_float,
                            count * Sizeof.cl_float,
                            0,
                            null,
                            null),
                    "Filling " + count + " elements");
        }
    }

    @Override
    public void copy(Operand from, Operand to, long count) {
        copy(from, to, count, strategyForCopies());
    }

    /** The strategy that {@link #copy(Operand, Operand, long)} takes. */
    public Strategy strategyForCopies() {
        return fixed != null ? fixed : Strategy.forCopies(facts);
    }

    /** A copy under a strategy of the caller's choice. */
    public void copy(Operand from, Operand to, long count, Strategy strategy) {
        if (count == 0) {
            return;
        }
        synchronized (lock) {
            long perSlice = Geometry.flatPerSlice(strategy, count, facts.computeUnits());
            String macros = aligned(strategy, strategy.vectorWidth(), from, to);
            Kernel copy = kernels.get("copy", strategy, macros);
            copy.operand(from).operand(to).longValue(count).longValue(perSlice);
            launch(copy, (count + perSlice - 1) / perSlice);
        }
    }

    @Override
    public void finish() {
        OpenClException.check(CL.clFinish(queue), "Waiting for " + facts.name());
    }

    @Override
    public SavedStatistics newSavedStatistics(int groups) {
        long elements = (long) OpenClSavedStatistics.ROWS * OpenClSavedStatistics.pitch(groups);
        OpenClMemory memory = allocate(elements);
        // Rows that a pass does not write are still read, times nothing that matters; they must not hold a NaN.
        fill(new Operand(memory, 0), elements, 0);
        return new OpenClSavedStatistics(groups, memory);
    }

    private Strategy strategyFor(Pass pass, View view) {
        if (fixed == null) {
            return Strategy.choose(facts, pass, view, table);
        }
        Strategy strategy = fixed.forView(facts, view);
        return pass == Pass.INFERENCE ? strategy.forApply() : strategy;
    }

    @Override
    public void forward(ForwardTraining pass) {
        View view = View.batch(pass.shape(), pass.layout());
        Strategy strategy = strategyFor(Pass.FORWARD, view);
        OpenClSavedStatistics saved = (OpenClSavedStatistics) pass.saved();
        boolean updateLater = pass.running() != null && pass.policy() == NonFinitePolicy.THROW;
        RunningStatistics runningNow = updateLater ? null : pass.running();
        synchronized (lock) {
            Arguments arguments = new Arguments(view, saved, pass.gamma(), pass.beta(), pass.epsilon());
            String aligned = alignment(strategy, view, pass.x(), pass.residual(), pass.y());
            String macros = aligned + forwardMacros(pass.activation(), pass.residual());
            if (strategy.fused()) {
                View shaped = strategy.reshape(view);
                Kernel kernel = kernel(KernelCatalogue.fusedStep("normalize", strategy), shaped, strategy, macros);
                kernel.operand(pass.x()).operand(pass.residual()).operand(pass.y());
                kernel.longValue(view.elements());
                long workGroups = whole(kernel, shaped, strategy);
                arguments.affine(kernel);
                running(kernel, runningNow, view.groupSize(), pass.policy());
                arguments.coefficients(kernel);
                launch(kernel, workGroups);
            } else {
                Geometry geometry = Geometry.of(strategy, view, facts.computeUnits());
                cl_mem room = partials(4L * geometry.slices() * saved.pitch());
                Kernel moments = kernel("moments", view, strategy, aligned);
                moments.operand(pass.x()).longValue(view.elements());
                slices(moments, view, geometry);
                moments.memory(room).intValue(saved.pitch());
                launch(moments, geometry.workGroups());

                Kernel fold = kernels.get("fold_moments", strategy.forSlices(geometry.slices()), "");
                fold.memory(room).intValue(geometry.slices()).intValue(view.groups());
                arguments.affine(fold);
                running(fold, runningNow, view.groupSize(), pass.policy());
                arguments.coefficients(fold);
                launch(fold, vectorsOfGroups(view, strategy, strategy.workX()));

                apply(pass.x(), pass.residual(), pass.y(), view, strategy, geometry, macros, saved);
            }
        }
        if (pass.policy() == NonFinitePolicy.THROW) {
            checkFinite(saved);
            if (updateLater) {
                updateRunning(pass, view, strategy, saved);
            }
        }
    }

    private void checkFinite(OpenClSavedStatistics saved) {
        FloatBuffer means = FloatBuffer.allocate(saved.groups());
        FloatBuffer variances = FloatBuffer.allocate(saved.groups());
        read(saved.row(OpenClSavedStatistics.MEAN), means);
        read(saved.row(OpenClSavedStatistics.VARIANCE), variances);
        for (int group = 0; group < saved.groups(); group++) {
            if (!Float.isFinite(means.get(group)) || !Float.isFinite(variances.get(group))) {
                throw new NonFiniteException(group, means.get(group), variances.get(group));
            }
        }
    }

    private void updateRunning(ForwardTraining pass, View view, Strategy strategy, OpenClSavedStatistics saved) {
        synchronized (lock) {
            Kernel track = kernels.get("track", strategy, "");
            track.intValue(view.groups());
            running(track, pass.running(), view.groupSize(), pass.policy());
            track.memory(handle(saved.memory())).intValue(saved.pitch());
            launch(track, vectorsOfGroups(view, strategy, strategy.items()));
        }
    }

    @Override
    public void forward(ForwardInference pass) {
        View view = View.batch(pass.shape(), pass.layout());
        Strategy strategy = strategyFor(Pass.INFERENCE, view);
        OpenClSavedStatistics saved = (OpenClSavedStatistics) pass.saved();
        synchronized (lock) {
            Arguments arguments = new Arguments(view, saved, pass.gamma(), pass.beta(), pass.epsilon());
            Kernel fold = kernels.get("fold_given", strategy, "");
            fold.intValue(view.groups());
            arguments.affine(fold);
            fold.operand(pass.mean()).operand(pass.variance());
            arguments.coefficients(fold);
            launch(fold, vectorsOfGroups(view, strategy, strategy.items()));
            apply(
                    pass.x(),
                    pass.residual(),
                    pass.y(),
                    view,
                    strategy,
                    Geometry.of(strategy, view, facts.computeUnits()),
                    alignment(strategy, view, pass.x(), pass.residual(), pass.y())
                            + forwardMacros(pass.activation(), pass.residual()),
                    saved);
        }
    }

    private void apply(
            Operand x,
            Operand residual,
            Operand y,
            View view,
            Strategy strategy,
            Geometry geometry,
            String macros,
            OpenClSavedStatistics saved) {
        if (strategy.items() == 1 && view instanceof View.Segmented planes && planes.sideBySide()) {
            Kernel apply = kernels.get("apply_planes", strategy, macros);
            apply.operand(x).operand(residual).operand(y);
            long perSlice = Geometry.flatPerSlice(strategy, view.elements(), facts.computeUnits());
            apply.longValue(view.elements()).longValue(perSlice);
            apply.intValue(view.groups()).intValue(planes.length());
            apply.memory(handle(saved.memory())).intValue(saved.pitch());
            launch(apply, (view.elements() + perSlice - 1) / perSlice);
            return;
        }
        Kernel apply = kernel("apply", view, strategy, macros);
        apply.operand(x).operand(residual).operand(y);
        applied(apply, view, geometry, saved);
    }

    private void applied(Kernel apply, View view, Geometry geometry, OpenClSavedStatistics saved) {
        long workGroups;
        if (view instanceof View.Segmented) {
            slices(apply, view, geometry);
            workGroups = geometry.workGroups();
        } else {
            apply.longValue(view.elements()).longValue(geometry.flatPerSlice()).intValue(view.groups());
            workGroups = geometry.flatSlices();
        }
        apply.memory(handle(saved.memory())).intValue(saved.pitch());
        launch(apply, workGroups);
    }

    @Override
    public void backward(Backward pass) {
        View view = View.batch(pass.shape(), pass.layout());
        Strategy strategy = strategyFor(Pass.BACKWARD, view);
        OpenClSavedStatistics saved = (OpenClSavedStatistics) pass.saved();
        int mask = pass.activation() == Activation.NONE ? 0 : pass.y() == null ? 1 : 2;
        String sumMacros = alignment(strategy, view, pass.dy(), pass.x(), pass.y(), pass.dx(), pass.dresidual())
                + " -DMASK=" + mask;
        String macros = sumMacros + " -DRESIDUAL=" + (pass.dresidual() == null ? 0 : 1) + " -DFROZEN="
                + (pass.frozen() ? 1 : 0);
        synchronized (lock) {
            if (strategy.fused()) {
                View shaped = strategy.reshape(view);
                Kernel kernel = kernel(KernelCatalogue.fusedStep("gradient", strategy), shaped, strategy, macros);
                kernel.operand(pass.dy()).operand(pass.x()).operand(pass.y());
                kernel.operand(pass.dx()).operand(pass.dresidual()).longValue(view.elements());
                long workGroups = whole(kernel, shaped, strategy);
                gradients(kernel, pass, view);
                kernel.memory(handle(saved.memory())).intValue(saved.pitch());
                launch(kernel, workGroups);
                return;
            }
            Geometry geometry = Geometry.of(strategy, view, facts.computeUnits());
            cl_mem room = partials(2L * geometry.slices() * saved.pitch());
            Kernel sums = kernel("gradient_sums", view, strategy, sumMacros);
            sums.operand(pass.dy()).operand(pass.x()).operand(pass.y()).longValue(view.elements());
            slices(sums, view, geometry);
            sums.memory(handle(saved.memory())).memory(room).intValue(saved.pitch());
            launch(sums, geometry.workGroups());

            Kernel fold = kernels.get("fold_gradients", strategy.forSlices(geometry.slices()), "");
            fold.memory(room).intValue(geometry.slices()).intValue(view.groups());
            gradients(fold, pass, view);
            fold.memory(handle(saved.memory())).intValue(saved.pitch());
            launch(fold, vectorsOfGroups(view, strategy, strategy.workX()));

            Kernel apply = kernel("gradient_apply", view, strategy, macros);
            apply.operand(pass.dy()).operand(pass.x()).operand(pass.y());
            apply.operand(pass.dx()).operand(pass.dresidual());
            applied(apply, view, geometry, saved);
        }
    }

    private static void gradients(Kernel kernel, Backward pass, View view) {
        kernel.operand(pass.dgamma()).operand(pass.dbeta());
        kernel.intValue(pass.accumulate() ? 1 : 0)
                .intValue(pass.frozen() ? 1 : 0)
                .floatValue(view.groupSize());
    }

    private Kernel kernel(String step, View view, Strategy strategy, String macros) {
        return kernels.get(step + KernelCatalogue.patternOf(view), strategy, macros);
    }

    /** Whether neighbouring work-items' vectors are whole 16-byte pieces; a single work-item gains nothing by that. */
    private static String alignment(Strategy strategy, View view, Operand... operands) {
        return aligned(strategy, view.contiguous(), operands);
    }

    private static String aligned(Strategy strategy, int contiguous, Operand... operands) {
        int width = strategy.vectorWidth();
        boolean aligned = strategy.items() > 1 && contiguous % width == 0;
        for (Operand operand : operands) {
            aligned &= operand == null || operand.offset() % width == 0;
        }
        return aligned ? " -DALIGNED=1" : "";
    }

    private static String forwardMacros(Activation activation, Operand residual) {
        return " -DRELU=" + (activation == Activation.RELU ? 1 : 0) + " -DRESIDUAL=" + (residual == null ? 0 : 1);
    }

    /** The coefficients and what they are made from. */
    private record Arguments(View view, OpenClSavedStatistics saved, Operand gamma, Operand beta, double epsilon) {
        void affine(Kernel kernel) {
            kernel.operand(gamma).operand(beta).floatValue(epsilon).floatValue(view.groupSize());
        }

        void coefficients(Kernel kernel) {
            kernel.memory(handle(saved.memory())).intValue(saved.pitch());
        }
    }

    private static void running(Kernel kernel, RunningStatistics running, long m, NonFinitePolicy policy) {
        if (running == null) {
            kernel.operand(null)
                    .operand(null)
                    .operand(null)
                    .intValue(0)
                    .floatValue(0)
                    .floatValue(0);
            kernel.floatValue(0).intValue(0);
            return;
        }
        kernel.operand(running.mean()).operand(running.variance()).operand(running.absorbed());
        double weight = running.average().newBatchWeight();
        kernel.intValue(
                switch (running.average().kind()) {
                    case NONE -> 0;
                    case EXPONENTIAL -> 1;
                    case CUMULATIVE -> 2;
                    case BIAS_CORRECTED_EXPONENTIAL -> 3;
                });
        kernel.floatValue(weight).floatValue(Math.log1p(-weight));
        kernel.floatValue(running.estimate() == RunningVariance.UNBIASED ? m / (double) (m - 1) : 1);
        kernel.intValue(policy == NonFinitePolicy.SKIP_RUNNING_UPDATE ? 1 : 0);
    }

    private static void slices(Kernel kernel, View view, Geometry geometry) {
        kernel.intValue(view.groups());
        if (view instanceof View.Segmented segmented) {
            kernel.intValue(segmented.segments()).intValue(segmented.length()).longValue(segmented.segmentStride());
            kernel.intValue(geometry.segmentsPerSlice()).intValue(geometry.chunk());
        } else {
            kernel.longValue(view.groupSize()).longValue(geometry.rowsPerSlice());
        }
    }

    /** The arguments of a kernel whose work-groups have whole groups, and how many work-groups that are. */
    private long whole(Kernel kernel, View view, Strategy strategy) {
        kernel.intValue(view.groups());
        if (view instanceof View.Segmented segmented) {
            int perItem = Geometry.fusedGroups(strategy, segmented, facts.computeUnits());
            kernel.intValue(perItem)
                    .intValue(segmented.segments())
                    .intValue(segmented.length())
                    .longValue(segmented.segmentStride());
            return (view.groups() + perItem - 1) / perItem;
        }
        View.Columnar columnar = (View.Columnar) view;
        int stripe = Geometry.fusedStripe(strategy, columnar, facts.computeUnits());
        int stripes = Geometry.fusedStripes(strategy, columnar, stripe, facts.computeUnits());
        kernel.intValue(columnar.width())
                .longValue(columnar.rows())
                .intValue(stripe)
                .intValue(stripes);
        long columns = (long) stripe * stripes;
        return (columnar.columns() + columns - 1) / columns;
    }

    /** How many work-groups take the groups, so many items each taking a vector of them. */
    private static long vectorsOfGroups(View view, Strategy strategy, int items) {
        long each = (long) items * strategy.vectorWidth();
        return (view.groups() + each - 1) / each;
    }

    /** Room for partial results, kept between passes. */
    private cl_mem partials(long elements) {
        if (partials == null || partials.elements() < elements) {
            if (partials != null) {
                partials.close(); // the device keeps it until the launches that use it are done
            }
            partials = allocate(elements);
        }
        return partials.handle();
    }

    private void launch(Kernel kernel, long workGroups) {
        boolean mayCompile = facts.isPocl() && !kernel.isLaunched();
        if (timings == null) {
            kernel.launch(queue, workGroups, null);
        } else {
            cl_event event = new cl_event();
            kernel.launch(queue, workGroups, event);
            CL.clWaitForEvents(1, new cl_event[] {event});
            timings.accept(
                    kernel.name(),
                    time(event, CL.CL_PROFILING_COMMAND_END) - time(event, CL.CL_PROFILING_COMMAND_START));
            CL.clReleaseEvent(event);
        }
        if (mayCompile) {
            finish();
            afterCompiling.run();
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
        if (open.compareAndSet(true, false)) {
            synchronized (lock) {
                CL.clFinish(queue);
                transfers.release();
                Set.copyOf(live).forEach(OpenClMemory::close);
                kernels.release();
                if (ownsQueue) {
                    CL.clReleaseCommandQueue(queue);
                    CL.clReleaseContext(context);
                }
            }
        }
    }
}
