package org.clnorm.check;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import org.clnorm.DataType;
import org.clnorm.check.Binding.Argument;
import org.clnorm.check.Expectation.Expected;
import org.clnorm.check.Outcome.Deviation;
import org.clnorm.check.Problem.Kind;
import org.clnorm.reference.ReferenceNormalization;
import org.jocl.cl_mem;

/**
 * Runs a case twice, each time with other numbers where the kernel has no business to read: in outputs, in scratch buffers, in
 * local memory.
 */
final class CaseRun implements AutoCloseable {
    private static final int[] POISON = {0x7fc0_dead, 0xc2f7_5a5a};
    private static final float[] SOIL = {Float.NaN, 1e10f};

    private final KernelCalls calls;
    private final CheckCase c;
    private final ReferenceNormalization reference;
    private final Map<Part, float[]> inputs;
    private final Map<Part, GuardedBuffer> arrays = new EnumMap<>(Part.class);
    private final Map<String, GuardedBuffer> scratch = new HashMap<>();
    private final boolean guarded;
    private final List<Problem> problems = new ArrayList<>();
    private final List<Deviation> errors = new ArrayList<>();
    private final Map<Part, float[]> outputs = new EnumMap<>(Part.class);

    /** @param guarded whether buffers are surrounded, and local memory is soiled; not in a simulator, which sees all that */
    CaseRun(KernelCalls calls, CheckCase c, boolean guarded) {
        this.calls = calls;
        this.c = c;
        this.guarded = guarded;
        this.reference = c.reference();
        this.inputs = c.inputs(reference);
    }

    /** @param slack how many times as far off as rounding explains values may be */
    Outcome run(double slack) {
        try {
            allocate();
            Map<GuardedBuffer, ByteBuffer> first = once(0);
            Map<GuardedBuffer, ByteBuffer> second = guarded ? once(1) : first;
            compare(first, second, slack);
        } catch (KernelCalls.CallException | IllegalArgumentException e) {
            problems.add(new Problem(Kind.CALL, "", e.getMessage(), ""));
        }
        return new Outcome(c.dimensions().describe(c.binding().operation()), c.data(), errors, problems);
    }

    /** What the kernel wrote in the first run. */
    Map<Part, float[]> outputs() {
        return outputs;
    }

    Map<Part, float[]> inputs() {
        return inputs;
    }

    private void allocate() {
        for (Part part : c.binding().parts()) {
            DataType type = part.size == Part.Size.TENSOR ? c.binding().type() : DataType.FLOAT32;
            arrays.put(part, buffer(part.toString(), type, c.elements(part, reference)));
        }
        Map<String, Double> names = c.names();
        c.binding().scratch().forEach((name, elements) -> {
            long count = elements.whole(names);
            if (count < 1 || count > 1 << 28) {
                throw new IllegalArgumentException("scratch." + name + " would have " + count + " elements");
            }
            scratch.put(name, buffer("the scratch buffer " + name, DataType.FLOAT32, (int) count));
        });
    }

    private GuardedBuffer buffer(String name, DataType type, int elements) {
        return new GuardedBuffer(calls.context, calls.queue, name, type, elements, guarded);
    }

    private Map<GuardedBuffer, ByteBuffer> once(int run) {
        arrays.forEach((part, array) -> {
            if (inputs.containsKey(part)) {
                array.fill(inputs.get(part));
            } else if (guarded) {
                array.poison(POISON[run]);
            }
        });
        if (guarded) {
            scratch.values().forEach(each -> each.poison(Float.floatToRawIntBits(SOIL[run])));
            calls.soil(SOIL[run]);
        }
        calls.enqueue(c.names(), handles());
        calls.finish();
        Map<GuardedBuffer, ByteBuffer> now = new HashMap<>();
        arrays.values().forEach(array -> now.put(array, array.read()));
        scratch.values().forEach(array -> now.put(array, array.read()));
        return now;
    }

    private Function<Argument, cl_mem> handles() {
        return argument -> argument instanceof Argument.Array array
                ? arrays.get(array.part()).handle()
                : scratch.get(((Argument.Scratch) argument).name()).handle();
    }

    private void compare(Map<GuardedBuffer, ByteBuffer> first, Map<GuardedBuffer, ByteBuffer> second, double slack) {
        first.forEach(
                (array, now) -> array.overrun(now)
                        .ifPresent(
                                text -> problems.add(
                                        new Problem(
                                                Kind.OVERRUN,
                                                array.name(),
                                                text,
                                                "an index is not held"
                                                        + " against the array's length, as in the last work-group or the last elements of a vector"))));
        Expectation right = new Expectation(c, reference, inputs, slack);
        Map<Part, Expected> expected = right.expected();
        Mistakes mistakes = new Mistakes(c, right);
        arrays.forEach((part, array) -> {
            if (!part.isWritten(c.binding().direction())) {
                int changed = array.firstChange(first.get(array));
                if (changed >= 0) {
                    problems.add(new Problem(
                            Kind.INPUT_CHANGED,
                            part.toString(),
                            "element " + changed + " of " + part + " was changed, which is only to be read",
                            "arguments may be in another order than the binding says"));
                }
                return;
            }
            float[] values = array.values(first.get(array));
            outputs.put(part, values);
            boolean[] left = untouched(part, array, first.get(array), second.get(array));
            differ(part, values, array.values(second.get(array)), left);
            measure(part, values, expected.get(part), left, mistakes);
        });
    }

    private boolean[] untouched(Part part, GuardedBuffer array, ByteBuffer first, ByteBuffer second) {
        boolean[] left = new boolean[c.elements(part, reference)];
        if (part.isUpdated() || !guarded) {
            return left;
        }
        int count = 0;
        int at = -1;
        for (int i = 0; i < left.length; i++) {
            left[i] = array.is(first, i, POISON[0]) && array.is(second, i, POISON[1]);
            at = left[i] && count++ == 0 ? i : at;
        }
        if (count > 0) {
            boolean tail = at + count == left.length && left[left.length - 1] && at > 0;
            problems.add(new Problem(
                    Kind.NOT_WRITTEN,
                    part.toString(),
                    (count == left.length ? "none of the " + count : count + " of " + left.length) + " elements of "
                            + part
                            + (count == left.length ? " was" : ", from element " + at + " on, were not")
                            + " written",
                    tail
                            ? "the last elements are left out: the tail of the array, or too few work-items"
                            : "too few work-items or a loop that ends early: the tail of each row or group"));
        }
        return left;
    }

    private void differ(Part part, float[] first, float[] second, boolean[] left) {
        int count = 0;
        int at = -1;
        for (int i = 0; i < first.length; i++) {
            boolean same = left[i] || Float.compare(first[i], second[i]) == 0;
            at = !same && count++ == 0 ? i : at;
        }
        if (count > 0) {
            problems.add(new Problem(
                    Kind.RUNS_DIFFER,
                    part.toString(),
                    count + " of " + first.length + " elements of " + part + " are others in a second run: element "
                            + at + " was " + first[at] + ", then " + second[at],
                    "a barrier is missing, or memory is read that nobody has written: local memory, a scratch buffer or"
                            + " the output itself, which is not 0 beforehand"));
        }
    }

    private void measure(Part part, float[] got, Expected expected, boolean[] left, Mistakes mistakes) {
        int wrong = 0;
        int worst = 0;
        double most = -1;
        for (int i = 0; i < got.length; i++) {
            double distance = left[i] ? 0 : distance(got[i], expected.values()[i]);
            // What may be off where a NaN is right is NaN.
            double ratio = distance == 0 || Double.isInfinite(distance) ? distance : distance / expected.allowed()[i];
            wrong += ratio <= 1 ? 0 : 1;
            if (ratio > most) {
                most = ratio;
                worst = i;
            }
        }
        double allowed = expected.allowed()[worst];
        double right = expected.values()[worst];
        errors.add(new Deviation(part.toString(), left[worst] ? 0 : distance(got[worst], right), allowed));
        if (wrong > 0) {
            problems.add(new Problem(
                    Kind.VALUES,
                    part.toString(),
                    String.format(
                            Locale.ROOT,
                            "%d of %d elements of %s %s off by more than rounding; element %d is %s, but should be %s",
                            wrong,
                            got.length,
                            part,
                            wrong == 1 ? "is" : "are",
                            worst,
                            got[worst],
                            Double.isFinite(right)
                                    ? String.format(Locale.ROOT, "%.9g to within %.2g", right, allowed)
                                    : right),
                    mistakes.of(part, got, expected)));
        }
    }

    static double distance(float got, double expected) {
        float rounded = (float) expected;
        if (Float.isFinite(got) && Float.isFinite(rounded)) {
            return Math.abs(got - expected);
        }
        return Float.compare(got, rounded) == 0 ? 0 : Double.POSITIVE_INFINITY;
    }

    @Override
    public void close() {
        arrays.values().forEach(GuardedBuffer::close);
        scratch.values().forEach(GuardedBuffer::close);
    }
}
