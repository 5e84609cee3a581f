package org.clnorm.check;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import org.clnorm.DataType;
import org.clnorm.backend.Operand;
import org.clnorm.bench.Bench;
import org.clnorm.bench.Calls;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Tensors;
import org.clnorm.bench.TimedOperands;
import org.clnorm.bench.Workload;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.check.Binding.Argument;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.plan.Strategy;
import org.clnorm.reference.ReferenceNormalization;

/**
 * Times a kernel, a streamed copy and this library's pass in short blocks that take turns, over more memory than a cache holds.
 */
final class KernelBench implements AutoCloseable {
    private static final int ROUNDS = 9;
    private static final double BLOCK_SECONDS = 0.03;
    private static final int MOST_SETS = 64;

    private final OpenClBackend backend;
    private final KernelCalls calls;
    private final CheckCase c;
    private final Workload workload;
    private final int sets;
    private final List<Map<Part, GuardedBuffer>> arrays = new ArrayList<>();
    private final Map<String, GuardedBuffer> scratch = new HashMap<>();

    /** @param c the shape */
    KernelBench(OpenClBackend backend, KernelCalls calls, CheckCase c) {
        this.backend = backend;
        this.calls = calls;
        this.c = c;
        Binding binding = c.binding();
        this.workload = new Workload(
                Norm.valueOf(binding.operation().name().replace("_NORM", "")),
                Direction.valueOf(binding.direction().name()),
                c.dimensions().shape(),
                c.layout(),
                Fusion.NONE,
                binding.type());
        this.sets = Tensors.sets(workload, Bench.rotationBytes(backend.facts()), MOST_SETS);
        allocate(binding);
    }

    private void allocate(Binding binding) {
        ReferenceNormalization reference = c.reference();
        Map<Part, float[]> inputs = c.inputs(reference);
        for (int set = 0; set < sets; set++) {
            Map<Part, GuardedBuffer> of = new EnumMap<>(Part.class);
            for (Part part : binding.parts()) {
                boolean tensor = part.size == Part.Size.TENSOR;
                if (!tensor && set > 0) {
                    of.put(part, arrays.get(0).get(part));
                    continue;
                }
                DataType type = tensor ? binding.type() : DataType.FLOAT32;
                int count = c.elements(part, reference);
                GuardedBuffer buffer =
                        new GuardedBuffer(calls.context, calls.queue, part.toString(), type, count, false);
                of.put(part, buffer);
                buffer.fill(inputs.getOrDefault(part, new float[count]));
            }
            arrays.add(of);
        }
        binding.scratch()
                .forEach((name, elements) -> scratch.put(
                        name,
                        new GuardedBuffer(
                                calls.context,
                                calls.queue,
                                name,
                                DataType.FLOAT32,
                                Math.toIntExact(elements.whole(c.names())),
                                false)));
    }

    /** Measures all three. */
    Speed measure() {
        // Group normalization of ours is timed with its own number of groups only.
        boolean same = c.binding().operation() != Binding.Operation.GROUP_NORM
                || c.dimensions().groups() == Norm.GROUPS;
        try (TimedOperands operands = new TimedOperands(backend, workload.room())) {
            Tensors tensors = workload.tensors(sets, operands);
            try (Calls pass = same ? workload.calls(backend, tensors) : null) {
                Block copy = new Block(i -> copy(tensors, i % sets));
                Block theirs = new Block(this::call);
                Block ours = new Block(pass == null ? i -> {} : pass::make);
                double[][] seconds = new double[3][ROUNDS];
                double[] ofCopy = new double[ROUNDS];
                double[] timesOurs = new double[ROUNDS];
                double moved = workload.minimalBytes() / (2.0 * Float.BYTES * workload.copied());
                for (int round = 0; round < ROUNDS; round++) {
                    seconds[0][round] = copy.seconds();
                    seconds[1][round] = theirs.seconds();
                    seconds[2][round] = ours.seconds();
                    ofCopy[round] = moved * seconds[0][round] / seconds[1][round];
                    timesOurs[round] = seconds[1][round] / seconds[2][round];
                }
                return new Speed(
                        c.dimensions().describe(c.binding().operation()),
                        median(seconds[1]) * 1e3,
                        same ? median(seconds[2]) * 1e3 : Double.NaN,
                        median(seconds[0]) * 1e3,
                        median(ofCopy),
                        same ? median(timesOurs) : Double.NaN);
            }
        }
    }

    private void call(int i) {
        Map<Part, GuardedBuffer> set = arrays.get(i % sets);
        calls.enqueue(
                c.names(),
                argument -> argument instanceof Argument.Array array
                        ? set.get(array.part()).handle()
                        : scratch.get(((Argument.Scratch) argument).name()).handle());
    }

    private void copy(Tensors tensors, int set) {
        Operand from = new Operand(tensors.get(Tensors.Part.X, set).memory(), 0);
        Tensors.Part written = c.binding().direction() == Binding.Direction.BACKWARD ? Tensors.Part.DX : Tensors.Part.Y;
        Operand to = new Operand(tensors.get(written, set).memory(), 0);
        Strategy strategy = backend.strategyForCopies().withStream(true);
        backend.copy(from, to, workload.copied(), strategy);
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    /** KernelCalls one after another, so many that they take a while, waited for together. */
    private final class Block {
        private final IntConsumer call;
        private final int count;
        private int next;

        Block(IntConsumer call) {
            this.call = call;
            run(2);
            double one = Math.min(run(2), run(2)) / 2;
            this.count = (int) Math.max(2, Math.min(2000, BLOCK_SECONDS / one));
        }

        double seconds() {
            return run(count) / count;
        }

        private double run(int n) {
            long start = System.nanoTime();
            for (int i = 0; i < n; i++) {
                call.accept(next++);
            }
            backend.finish();
            return (System.nanoTime() - start) * 1e-9;
        }
    }

    @Override
    public void close() {
        backend.finish();
        for (int set = 0; set < arrays.size(); set++) {
            Map<Part, GuardedBuffer> of = arrays.get(set);
            for (Map.Entry<Part, GuardedBuffer> each : of.entrySet()) {
                if (set == 0 || each.getKey().size == Part.Size.TENSOR) {
                    each.getValue().close();
                }
            }
        }
        scratch.values().forEach(GuardedBuffer::close);
    }
}
