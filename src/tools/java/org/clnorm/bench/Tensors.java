package org.clnorm.bench;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import org.clnorm.DataType;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;

/**
 * The tensors of what is timed by what they are for. Those of elements come in sets, so that calls may rotate through more
 * memory than a cache holds; of γ and what else goes by channel or row there is one.
 */
public final class Tensors {
    /** What a tensor is for. Builds tell each other, so it is no {@link org.clnorm.backend.Role}, which may change. */
    public enum Part {
        /** Input. */
        X,
        /** Output. */
        Y,
        /** Added to x or before the activation; of a backward pass, the residual's gradient, or what came past. */
        RESIDUAL,
        /** Of x and the residual. */
        SUM,
        /** Gradient of the output. */
        DY,
        /** Gradient of the input. */
        DX,
        /** Parameters that an optimizer updates. */
        VALUE,
        /** Their gradients. */
        GRADIENT,
        /** First moments of all of them. */
        FIRST,
        /** Second moments of all of them. */
        SECOND,
        /** What the norm of their gradients is written to. */
        NORM,
        /** Scale. */
        GAMMA,
        /** Shift. */
        BETA,
        /** Gradient of the scale. */
        DGAMMA,
        /** Gradient of the shift. */
        DBETA,
        /** Running mean. */
        RUNNING_MEAN,
        /** Running variance. */
        RUNNING_VARIANCE,
        /** How many batches the running statistics hold. */
        RUNNING_COUNT,
        /** Which steps take part. */
        VALID,
        /** How many do. */
        VALID_COUNTS;

        /** Its name among those who may not have this enum. */
        String word() {
            return name().toLowerCase(Locale.ROOT);
        }

        /** Of the elements that a workload has in it. */
        DataType type(Timed workload) {
            return isOfSet() ? workload.type() : this == VALID ? DataType.FLOAT16 : DataType.FLOAT32;
        }

        /** Whether each set has its own. */
        boolean isOfSet() {
            return ordinal() <= NORM.ordinal();
        }
    }

    private final Map<Part, List<Operand>> operands;

    private Tensors(Map<Part, List<Operand>> operands) {
        this.operands = operands;
    }

    /** How many sets of a workload's tensors take so many bytes together: at least 2, at most {@code most}. */
    public static int sets(Timed workload, long bytes, int most) {
        return (int) Math.max(2, Math.min(most, bytes / Math.max(1, workload.minimalBytes())));
    }

    /** New ones, x and dy of normally distributed elements. */
    public static Tensors of(Workload workload, int sets, TimedOperands from) {
        Norm norm = workload.norm();
        Normalization normalization = norm.normalization(workload.shape());
        long samples = normalization.perSample() ? workload.shape().batch() : 1;
        long affine = samples * normalization.grouping().affine(workload.shape(), workload.layout());
        long channels = workload.shape().channels();
        long elements = workload.room();
        DataType type = workload.type();
        Map<Part, List<Operand>> operands = new EnumMap<>(Part.class);
        if (norm.hasScale()) {
            operands.put(Part.GAMMA, List.of(from.filled(affine, 1)));
            operands.put(Part.DGAMMA, List.of(from.filled(affine, 0)));
        }
        if (norm.hasShift()) {
            operands.put(Part.BETA, List.of(from.filled(affine, 0.1f)));
            operands.put(Part.DBETA, List.of(from.filled(affine, 0)));
        }
        if (norm.hasRunning()) {
            operands.put(Part.RUNNING_MEAN, List.of(from.filled(channels, 0)));
            operands.put(Part.RUNNING_VARIANCE, List.of(from.filled(channels, 1)));
            operands.put(Part.RUNNING_COUNT, List.of(from.filled(channels, 0)));
        }
        if (workload.fusion().masked()) {
            Padding padding = Padding.of(workload);
            operands.put(Part.VALID, List.of(from.of(padding.states(), Part.VALID.type(workload))));
            float[] counts =
                    padding.counts(normalization, (int) workload.shape().batch());
            operands.put(Part.VALID_COUNTS, List.of(from.of(counts, DataType.FLOAT32)));
        }
        for (int set = 0; set < sets; set++) {
            add(operands, Part.X, from.normal(elements, type));
            add(operands, Part.Y, from.filled(elements, 0, type));
            if (workload.hasResidual()) {
                add(operands, Part.RESIDUAL, from.normal(elements, type));
            }
            if (workload.fusion().addsBefore() && workload.direction() == Workload.Direction.FORWARD) {
                add(operands, Part.SUM, from.filled(elements, 0, type));
            }
            if (workload.direction() == Workload.Direction.BACKWARD) {
                add(operands, Part.DY, from.normal(elements, type));
                add(operands, Part.DX, from.filled(elements, 0, type));
            }
        }
        return new Tensors(operands);
    }

    /** Those of an optimizer's step, the gradients of normally distributed elements. */
    static Tensors of(OptimizerStep step, int sets, TimedOperands from) {
        Map<Part, List<Operand>> operands = new EnumMap<>(Part.class);
        for (int set = 0; set < sets; set++) {
            for (long elements : step.tensors()) {
                add(operands, Part.VALUE, from.filled(elements, 1));
                add(operands, Part.GRADIENT, from.normal(elements));
            }
            if (step.rule().firstMoment() != null) {
                add(operands, Part.FIRST, from.filled(step.elements(), 0));
            }
            if (step.rule().secondMoment() != null) {
                add(operands, Part.SECOND, from.filled(step.elements(), 0));
            }
            if (step.clips()) {
                add(operands, Part.NORM, from.filled(2, 0));
            }
            // What copies go over, so that they spoil nothing.
            add(operands, Part.X, from.normal(step.elements()));
            add(operands, Part.Y, from.filled(step.elements(), 0));
        }
        return new Tensors(operands);
    }

    private static void add(Map<Part, List<Operand>> operands, Part part, Operand operand) {
        operands.computeIfAbsent(part, absent -> new ArrayList<>()).add(operand);
    }

    /** Those that {@link #map} was told of, somewhere else perhaps. */
    public static <T> Tensors of(Map<String, List<T>> words, Timed workload, OperandOf<T> operand) {
        Map<Part, List<Operand>> operands = new EnumMap<>(Part.class);
        for (Part part : Part.values()) {
            List<T> given = words.get(part.word());
            if (given != null) {
                DataType type = part.type(workload);
                operands.put(
                        part, given.stream().map(one -> operand.of(one, type)).toList());
            }
        }
        return new Tensors(operands);
    }

    /** Makes operands of what stands for them. */
    @FunctionalInterface
    public interface OperandOf<T> {
        /** One whose elements are of a type. */
        Operand of(T from, DataType type);
    }

    /** What a function makes of each, by words for what it is for. */
    public <T> Map<String, List<T>> map(Function<Operand, T> function) {
        Map<String, List<T>> words = new LinkedHashMap<>();
        operands.forEach(
                (part, of) -> words.put(part.word(), of.stream().map(function).toList()));
        return words;
    }

    /** How many sets there are. */
    public int sets() {
        return operands.get(Part.X).size();
    }

    /** A tensor, the first of a set's; null where the workload has none. */
    public Operand get(Part part, int set) {
        List<Operand> all = all(part, set);
        return all.isEmpty() ? null : all.get(0);
    }

    /** All that a set has: many where an optimizer has many parameters, and none where there is no such part. */
    public List<Operand> all(Part part, int set) {
        List<Operand> of = operands.getOrDefault(part, List.of());
        int each = part.isOfSet() ? of.size() / sets() : of.size();
        return part.isOfSet() ? of.subList(set * each, (set + 1) * each) : of;
    }
}
