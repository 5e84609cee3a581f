package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;
import org.clnorm.backend.Backward;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Passes;
import org.clnorm.view.View;

/**
 * A pass over positions, whose γ and β go by channel, or its backward pass. No kernel has statistics by position and γ by
 * channel, so that it is made of passes that have one of them: x̂ of each position; what its channel does to x̂, as a pass
 * whose mean is 0 and whose variance is 1; and, going back, the position's part, for which γ·dy' is the gradient by x̂. What
 * they leave to each other is float32, of so many samples at a time that a cache may have room for it; a backward pass has
 * x̂ made anew.
 */
final class PositionsPass implements PreparedPass {
    /** Of a cache that is smaller, or that a device is silent about: 4 MB go from one pass to the next. */
    private static final long LEAST_ELEMENTS = 1 << 20;

    /** A pass of those that a whole one is made of: its roles, of which {@code between} have what goes from one to the next. */
    private enum Part {
        NORMALIZE(List.of(Role.X), List.of(Role.Y)),
        SCALE(List.of(Role.RESIDUAL, Role.Y, Role.GAMMA, Role.BETA), List.of(Role.X)),
        SCALE_BACK(List.of(Role.DY, Role.Y, Role.DRESIDUAL, Role.DGAMMA, Role.DBETA), List.of(Role.X, Role.DX)),
        NORMALIZE_BACK(List.of(Role.X, Role.PAST, Role.DX), List.of(Role.DY));

        final List<Role> given;
        final List<Role> between;

        Part(List<Role> given, List<Role> between) {
            this.given = given;
            this.between = between;
        }

        boolean isOfChannels() {
            return this == SCALE || this == SCALE_BACK;
        }

        OperandTypes of(OperandTypes whole) {
            OperandTypes types = new OperandTypes(0);
            for (Role role : given) {
                types = types.with(role, whole.of(role));
            }
            for (Role role : between) {
                types = types.with(role, DataType.FLOAT32);
            }
            return this == SCALE
                    ? types.with(Role.MEAN, DataType.FLOAT32).with(Role.VARIANCE, DataType.FLOAT32)
                    : types;
        }
    }

    /**
     * A pass over some of the samples.
     *
     * @param start the first of their elements
     */
    record Step(Part part, PassSpec spec, long start) {
        /**
         * What it works on.
         *
         * @param whole of the whole pass
         * @param left what goes from one pass to the next
         * @param zeros one for each channel
         * @param ones one for each channel
         */
        Operands of(Operands whole, Operand left, Operand zeros, Operand ones) {
            Operands operands = new Operands();
            for (Role role : part.given) {
                operands.put(role, from(role, whole.get(role)));
            }
            for (Role role : part.between) {
                operands.put(role, left);
            }
            return part == Part.SCALE ? operands.put(Role.MEAN, zeros).put(Role.VARIANCE, ones) : operands;
        }

        private Operand from(Role role, Operand operand) {
            return operand != null && role.isElementwise() ? operand.after(start) : operand;
        }
    }

    private final PassQueue queue;
    private final PassSpec whole;
    /** How many elements go from one pass to the next. */
    private final long between;

    private final List<Step> steps;
    private final Operand zeros;
    private final Operand ones;
    /** Both, as far as they are made. */
    private final List<Operand> constants = new ArrayList<>();
    /** Steps that differ in where they begin alone share one. */
    private final Map<PassSpec, PreparedPass> prepared = new HashMap<>();
    /** Of each step. */
    private final List<PreparedPass> passes = new ArrayList<>();

    /**
     * Of a pass that {@link #isOne}.
     *
     * @param prepare makes a pass ready that is made of no others
     */
    PositionsPass(OpenClBackend backend, PassQueue queue, PassSpec whole, Function<PassSpec, PreparedPass> prepare) {
        this.queue = queue;
        this.whole = whole;
        this.between = samplesAtATime(whole.shape(), backend.facts()) * ofSample(whole.shape());
        this.steps = steps(whole, backend.facts());
        try {
            this.zeros = ofChannels(backend, 0);
            this.ones = ofChannels(backend, 1);
            steps.forEach(step -> passes.add(prepared.computeIfAbsent(step.spec(), prepare)));
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** What such a pass is made of, in order. */
    static List<Step> steps(PassSpec whole, DeviceFacts facts) {
        Shape shape = whole.shape();
        long samples = samplesAtATime(shape, facts);
        List<Part> parts = whole instanceof Backward
                ? List.of(Part.NORMALIZE, Part.SCALE_BACK, Part.NORMALIZE_BACK)
                : List.of(Part.NORMALIZE, Part.SCALE);
        List<Step> steps = new ArrayList<>();
        for (long first = 0; first < shape.batch(); first += samples) {
            Shape some = SplitPass.samples(shape, Math.min(samples, shape.batch() - first));
            for (Part part : parts) {
                steps.add(new Step(part, spec(whole, part, some, first > 0), first * ofSample(shape)));
            }
        }
        return steps;
    }

    /** Whether a pass is over positions. */
    static boolean isOne(PassSpec pass) {
        return pass instanceof ForwardTraining forward && isOfPositions(forward.normalization())
                || pass instanceof Backward backward && isOfPositions(backward.normalization());
    }

    static boolean isOfPositions(Normalization normalization) {
        return normalization.grouping() instanceof Grouping.Positions;
    }

    /** What such passes leave: of positions, those that are gone over at a time; and of the channels, which are the rest. */
    static OpenClCoefficients coefficients(
            OpenClBackend backend, Normalization normalization, Shape shape, Layout layout) {
        View view =
                Passes.view(normalization, SplitPass.samples(shape, samplesAtATime(shape, backend.facts())), layout);
        OpenClCoefficients channels = OpenClCoefficients.of(backend, Math.toIntExact(shape.channels()), 1, null);
        return OpenClCoefficients.of(backend, view.groups(), view.blocks().count(), channels);
    }

    /** So many that their float32 elements take a quarter of the cache: x, y or dx go through it too. */
    private static long samplesAtATime(Shape shape, DeviceFacts facts) {
        long elements = Math.max(LEAST_ELEMENTS, facts.cacheBytes() / 4 / Float.BYTES);
        return Math.max(1, Math.min(shape.batch(), elements / ofSample(shape)));
    }

    private static long ofSample(Shape shape) {
        return shape.elements() / shape.batch();
    }

    private Operand ofChannels(OpenClBackend backend, float value) {
        long channels = whole.shape().channels();
        Operand operand = new Operand(backend.allocate(channels), 0);
        constants.add(operand);
        backend.fill(operand, channels, value);
        return operand;
    }

    /** @param isMore whether there were samples before these, whose gradients of γ and β are there */
    private static PassSpec spec(PassSpec whole, Part part, Shape shape, boolean isMore) {
        Layout layout = whole.layout();
        OperandTypes operands = part.of(whole.operands());
        if (whole instanceof ForwardTraining forward) {
            return part == Part.NORMALIZE
                    ? normalizing(forward.normalization(), shape, layout, operands, forward.epsilon())
                    : new ForwardInference(Normalization.BATCH, shape, layout, operands, forward.activation(), 0);
        }
        Backward backward = (Backward) whole;
        return switch (part) {
            case SCALE_BACK ->
                new Backward(
                        Normalization.BATCH,
                        shape,
                        layout,
                        operands,
                        true,
                        backward.activation(),
                        0,
                        isMore || backward.accumulate());
            case NORMALIZE_BACK ->
                new Backward(
                        backward.normalization(),
                        shape,
                        layout,
                        operands,
                        false,
                        Activation.NONE,
                        backward.epsilon(),
                        false);
            default -> normalizing(backward.normalization(), shape, layout, operands, backward.epsilon());
        };
    }

    private static ForwardTraining normalizing(
            Normalization normalization, Shape shape, Layout layout, OperandTypes operands, double epsilon) {
        return new ForwardTraining(
                normalization, shape, layout, operands, Activation.NONE, epsilon, null, NonFinitePolicy.PROPAGATE);
    }

    @Override
    public void run(Operands operands, Coefficients coefficients) {
        operands.checkAre(whole.operands());
        OpenClCoefficients positions = (OpenClCoefficients) coefficients;
        synchronized (queue.lock()) { // or another thread's pass would write what goes between these
            Operand left = queue.between(between);
            for (int i = 0; i < steps.size(); i++) {
                Step step = steps.get(i);
                passes.get(i)
                        .run(
                                step.of(operands, left, zeros, ones),
                                step.part().isOfChannels() ? positions.rest() : positions);
            }
        }
    }

    @Override
    public void close() {
        prepared.values().forEach(PreparedPass::close);
        constants.forEach(constant -> constant.memory().close());
    }
}
