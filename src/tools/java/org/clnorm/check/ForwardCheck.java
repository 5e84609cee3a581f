package org.clnorm.check;

import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.check.Binding.Argument;
import org.clnorm.check.Binding.Direction;
import org.clnorm.check.Binding.Launch;
import org.clnorm.check.Binding.Operation;
import org.clnorm.check.Expectation.Expected;
import org.clnorm.reference.ReferenceNormalization;

/**
 * The y of somebody's forward pass, wherever it was computed, against the reference: how many elements are off, which one is the
 * worst, and what the mistake likely is.
 */
public final class ForwardCheck {
    /** So many elements are looked through for a mistake in a second or so. */
    private static final int MOST = 500_000;

    /**
     * What came of it.
     *
     * @param elements of y
     * @param wrong how many are further off than they may be
     * @param worst the place in memory of the one that is the furthest off, over what it may be
     * @param expected what that one is by the reference
     * @param allowed how far off it may be
     * @param mistake what is likely wrong, in a sentence; empty where nothing tells it
     */
    public record Result(int elements, int wrong, int worst, double expected, double allowed, String mistake) {}

    private final CheckCase c;
    private final ReferenceNormalization reference;
    private final Map<Part, float[]> inputs;

    private ForwardCheck(CheckCase c, ReferenceNormalization reference, Map<Part, float[]> inputs) {
        this.c = c;
        this.reference = reference;
        this.inputs = inputs;
    }

    /**
     * What y is to be.
     *
     * @param normalization which one, of one γ and β for all samples, without virtual batches and renormalization
     * @param shape of x and y, of 2 to 5 dimensions and at least one element
     * @param layout how x and y lie
     * @param type how y is stored
     * @param epsilon added to the variance
     * @param inputs x in the order of memory; γ and β where there are any; mean and variance of each channel where they are given,
     *     as in evaluation, and not those of x
     * @throws IllegalArgumentException when an array has not as many elements as it must; the message names it
     */
    public static ForwardCheck of(
            Normalization normalization,
            Shape shape,
            Layout layout,
            DataType type,
            double epsilon,
            Map<Part, float[]> inputs) {
        boolean given = inputs.containsKey(Part.MEAN);
        ReferenceNormalization reference = given
                ? ReferenceNormalization.ofGivenStatistics(normalization, shape, layout)
                : new ReferenceNormalization(normalization, shape, layout);
        Map<Part, float[]> all = new EnumMap<>(Part.class);
        inputs.forEach((part, array) -> {
            int count =
                    switch (part.size) {
                        case TENSOR -> reference.elements();
                        case AFFINE -> reference.affineElements();
                        case GROUP -> reference.groups();
                    };
            if (array.length != count) {
                throw new IllegalArgumentException(part + " must have " + count + " elements, but has " + array.length);
            }
            all.put(part, array);
        });
        boolean rows = normalization.grouping() instanceof Grouping.Rows;
        Dimensions dimensions = new Dimensions(
                Math.toIntExact(shape.batch()),
                rows ? reference.affineElements() : Math.toIntExact(shape.channels()),
                rows ? 1 : Math.toIntExact(shape.spatial()),
                1);
        float[] x = all.get(Part.X);
        boolean hasNan = false;
        for (float value : x) {
            hasNan |= Float.isNaN(value);
        }
        Binding binding = new Binding(
                operation(normalization, given),
                given ? Direction.INFERENCE : Direction.FORWARD,
                layout,
                type,
                epsilon,
                Expression.of("1"),
                0,
                false,
                "",
                Map.of(),
                Map.of(),
                List.of(),
                Map.of(),
                List.of(new Launch("", List.of(new Argument.Array(Part.Y)), List.of(), List.of())));
        return new ForwardCheck(new CheckCase(binding, dimensions, hasNan ? Data.NAN : Data.NORMAL), reference, all);
    }

    /** As far as bounds and mistakes depend on it: whether there is a mean, whether its groups are over the batch. */
    private static Operation operation(Normalization normalization, boolean given) {
        if (normalization.statistic() == Statistic.ROOT_MEAN_SQUARE) {
            return Operation.RMS_NORM;
        }
        if (normalization.grouping() instanceof Grouping.Batch || given) {
            return Operation.BATCH_NORM;
        }
        return normalization.grouping() instanceof Grouping.Channels ? Operation.GROUP_NORM : Operation.LAYER_NORM;
    }

    /**
     * Compares, where each element may be off by what rounding explains.
     *
     * @param times how many times as far off it may be
     * @param y of as many elements as x
     */
    public Result upTo(double times, float[] y) {
        return compare(y, new Expectation(c, reference, inputs, times), -1);
    }

    /**
     * Compares, where each element may be off by the same.
     *
     * @param difference by how much
     * @param y of as many elements as x
     */
    public Result within(double difference, float[] y) {
        return compare(y, new Expectation(c, reference, inputs, 1), difference);
    }

    /** @param difference what each element may be off by, or less than 0 for what rounding explains */
    private Result compare(float[] y, Expectation right, double difference) {
        if (y.length != reference.elements()) {
            throw new IllegalArgumentException(
                    "y must have " + reference.elements() + " elements, but has " + y.length);
        }
        Expected expected = right.expected().get(Part.Y);
        double[] allowed = expected.allowed().clone();
        if (difference >= 0) {
            Arrays.fill(allowed, difference);
        }
        int wrong = 0;
        int worst = 0;
        double most = -1;
        for (int i = 0; i < y.length; i++) {
            double distance = CaseRun.distance(y[i], expected.values()[i]);
            boolean isRight = distance == 0 || distance <= allowed[i];
            // What NaN stands beside has no bound.
            double ratio = isRight ? 0 : Double.isNaN(allowed[i]) ? Double.POSITIVE_INFINITY : distance / allowed[i];
            wrong += isRight ? 0 : 1;
            if (ratio > most) {
                most = ratio;
                worst = i;
            }
        }
        String mistake = wrong == 0 || !isKnown() ? "" : mistake(y, right, expected, allowed);
        return new Result(y.length, wrong, worst, expected.values()[worst], allowed[worst], mistake);
    }

    /** Infinities in x have no pattern of their own. */
    private boolean isKnown() {
        for (float value : inputs.get(Part.X)) {
            if (Float.isInfinite(value)) {
                return false;
            }
        }
        return true;
    }

    private String mistake(float[] y, Expectation right, Expected expected, double[] allowed) {
        // What a check of a kernel sees by what it puts into outputs beforehand.
        if (Arrays.equals(y, new float[y.length])) {
            return "y is 0 throughout: nothing has written it, or it was read back before";
        }
        if (Arrays.equals(y, inputs.get(Part.X))) {
            return "y is x, unchanged";
        }
        double[] wide = allowed.clone();
        // What rounding explains is no mistake, however little was allowed.
        Arrays.setAll(wide, i -> Math.max(wide[i], expected.allowed()[i]));
        return new Mistakes(c, right, MOST, true).of(Part.Y, y, new Expected(expected.values(), wide));
    }
}
