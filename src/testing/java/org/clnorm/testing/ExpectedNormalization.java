package org.clnorm.testing;

import java.util.Arrays;
import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.check.ForwardCheck;
import org.clnorm.check.Part;

/**
 * What a normalization makes of x, with γ and β, and how far off an element may be: what {@link NormalizationAssert#is} takes. Made by
 * {@link NormalizationAssertions}. Immutable: each setter returns a new one, and arrays are copied.
 */
public final class ExpectedNormalization {
    /** What the setters set; one of them is copied to be changed. */
    private static final class Settings implements Cloneable {
        private double epsilon;
        private double tolerance = 1;
        private double difference = -1;
        private DataType type;
        private Map<Part, float[]> arrays = new EnumMap<>(Part.class);

        private Settings copy() {
            try {
                Settings copy = (Settings) super.clone();
                copy.arrays = new EnumMap<>(arrays);
                return copy;
            } catch (CloneNotSupportedException e) {
                throw new AssertionError(e);
            }
        }
    }

    private final String name;
    private final Normalization normalization;
    private final Shape shape;
    private final Layout layout;
    private final Settings settings;

    private ExpectedNormalization(
            String name, Normalization normalization, Shape shape, Layout layout, Settings settings) {
        this.name = name;
        this.normalization = normalization;
        this.shape = shape;
        this.layout = layout;
        this.settings = settings;
    }

    static ExpectedNormalization of(
            String name, Normalization normalization, double epsilon, float[] x, Shape shape, Layout layout) {
        check(x, shape, layout);
        Settings settings = new Settings();
        settings.epsilon = epsilon;
        settings.arrays.put(Part.X, x.clone());
        return new ExpectedNormalization(name, normalization, shape, layout, settings);
    }

    static void check(float[] x, Shape shape, Layout layout) {
        Objects.requireNonNull(x, "x");
        Objects.requireNonNull(shape, "shape");
        Objects.requireNonNull(layout, "layout");
        if (shape.rank() < 2 || shape.rank() > 5) {
            throw new IllegalArgumentException("shape must be of 2 to 5 dimensions, but is " + shape);
        }
        if (x.length != shape.elements()) {
            throw new IllegalArgumentException(
                    "x must have the " + shape.elements() + " elements of shape " + shape + ", but has " + x.length);
        }
        if (x.length == 0) {
            throw new IllegalArgumentException(
                    "x must have an element, or nothing is compared, but its shape is " + shape);
        }
    }

    /** How many dimensions a row has. */
    static int rowDimensions(float[] x, Shape shape, Layout layout, long... normalizedDimensions) {
        check(x, shape, layout);
        Objects.requireNonNull(normalizedDimensions, "normalizedDimensions");
        if (normalizedDimensions.length == 0) {
            return 1;
        }
        long[] all = layout.memoryOrder(shape);
        int first = all.length - normalizedDimensions.length;
        if (first < 0 || !Arrays.equals(Arrays.copyOfRange(all, first, all.length), normalizedDimensions)) {
            throw new IllegalArgumentException(
                    "normalizedDimensions must be the last ones of x in the order of memory, " + Arrays.toString(all)
                            + ", but are " + Arrays.toString(normalizedDimensions));
        }
        return normalizedDimensions.length;
    }

    private ExpectedNormalization with(Settings changed) {
        return new ExpectedNormalization(name, normalization, shape, layout, changed);
    }

    private ExpectedNormalization with(Part part, float[] array) {
        Settings copy = settings.copy();
        copy.arrays.put(part, array.clone());
        return with(copy);
    }

    /**
     * With γ, by which x̂ is multiplied; 1 unless said.
     *
     * @param gamma of C elements, or of a row's for layer and RMS norm of rows
     */
    public ExpectedNormalization gamma(float... gamma) {
        return with(Part.GAMMA, Objects.requireNonNull(gamma, "gamma"));
    }

    /**
     * With β, which is added; 0 unless said.
     *
     * @param beta of as many elements as γ
     */
    public ExpectedNormalization beta(float... beta) {
        return with(Part.BETA, Objects.requireNonNull(beta, "beta"));
    }

    /**
     * With another ε, which is added to the variance inside the square root.
     *
     * @param epsilon 0 or more, and finite
     * @throws IllegalArgumentException for any other number
     */
    public ExpectedNormalization epsilon(double epsilon) {
        if (!(epsilon >= 0 && epsilon < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("epsilon must be finite and at least 0, but is " + epsilon);
        }
        Settings copy = settings.copy();
        copy.epsilon = epsilon;
        return with(copy);
    }

    /**
     * By running statistics, as in evaluation, and not by x's own.
     *
     * @param mean of each of the C channels
     * @param variance of each of the C channels
     * @throws IllegalArgumentException for other than batch and instance norm, which alone have them
     */
    public ExpectedNormalization runningStatistics(float[] mean, float[] variance) {
        Objects.requireNonNull(mean, "mean");
        Objects.requireNonNull(variance, "variance");
        boolean has = normalization.grouping() instanceof Grouping.Batch
                || normalization.grouping() instanceof Grouping.Channels run && run.groups() == shape.channels();
        if (!has) {
            throw new IllegalArgumentException(
                    "mean and variance are given to batch and instance norm only, not to " + name);
        }
        return with(Part.MEAN, mean).with(Part.VARIANCE, variance);
    }

    /**
     * With elements that may be so many times as far off as rounding explains; 1 unless said.
     *
     * @param times 1 or more, and finite
     * @throws IllegalArgumentException for any other number
     */
    public ExpectedNormalization tolerance(double times) {
        if (!(times >= 1 && times < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("times must be 1 or more, and finite, but is " + times);
        }
        Settings copy = settings.copy();
        copy.tolerance = times;
        copy.difference = -1;
        return with(copy);
    }

    /**
     * With elements that may all be off by the same, whatever rounding explains.
     *
     * @param difference by how much at most, in units of y; 0 or more, and finite
     * @throws IllegalArgumentException for any other number
     */
    public ExpectedNormalization within(double difference) {
        if (!(difference >= 0 && difference < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("difference must be 0 or more, and finite, but is " + difference);
        }
        Settings copy = settings.copy();
        copy.difference = difference;
        return with(copy);
    }

    /**
     * With a y that was rounded to 16 bits when it was stored, so that an element may be one such rounding further off. An array is
     * of float32 unless said, and a tensor of its own type.
     *
     * @param type how y was stored
     */
    public ExpectedNormalization storedAs(DataType type) {
        Settings copy = settings.copy();
        copy.type = Objects.requireNonNull(type, "type");
        return with(copy);
    }

    /** Why a tensor of a shape and layout cannot be it; empty where it can. */
    Optional<String> otherThan(Shape ofActual, Layout itsLayout) {
        boolean same = ofActual.equals(shape) && (itsLayout == layout || shape.rank() == 2);
        return same
                ? Optional.empty()
                : Optional.of("Expecting y to be " + this + ",\nbut y is of shape " + ofActual + " " + itsLayout);
    }

    /** What is wrong with y, in lines for people; empty where nothing is. */
    Optional<String> failure(float[] y, DataType stored) {
        if (y.length != shape.elements()) {
            return Optional.of(
                    "Expecting y to be " + this + ",\nbut y has " + y.length + " elements, not " + shape.elements());
        }
        ForwardCheck check = ForwardCheck.of(
                normalization,
                shape,
                layout,
                settings.type == null ? stored : settings.type,
                settings.epsilon,
                settings.arrays);
        ForwardCheck.Result result =
                settings.difference >= 0 ? check.within(settings.difference, y) : check.upTo(settings.tolerance, y);
        if (result.wrong() == 0) {
            return Optional.empty();
        }
        String text = String.format(
                Locale.ROOT,
                "Expecting y to be %s,%nbut %d of %d elements are off by more than %s.%n"
                        + "The worst is element %s%s:%n  expected: %.9g, to within %.2g%n  actual:   %s",
                this,
                result.wrong(),
                result.elements(),
                allowance(),
                index(result.worst()),
                result.elements() == 1 ? "" : ", which is number " + result.worst() + " in memory from 0",
                result.expected(),
                result.allowed(),
                y[result.worst()]);
        return Optional.of(
                result.mistake().isEmpty() ? text : text + System.lineSeparator() + "Likely: " + result.mistake());
    }

    private String allowance() {
        if (settings.difference >= 0) {
            return Double.toString(settings.difference);
        }
        return settings.tolerance == 1 ? "rounding explains" : settings.tolerance + " times what rounding explains";
    }

    /** The logical indices of an element, as a shape is written. */
    private String index(int inMemory) {
        long[] sizes = layout.memoryOrder(shape);
        long[] at = new long[sizes.length];
        long rest = inMemory;
        for (int i = sizes.length - 1; i >= 0; i--) {
            at[i] = rest % sizes[i];
            rest /= sizes[i];
        }
        return layout.fromMemoryOrder(at).toString();
    }

    /** What is expected, of what, in a few words. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        text.append(name).append(" of x, ").append(shape);
        text.append(shape.rank() == 2 ? "" : " " + layout);
        text.append(settings.arrays.containsKey(Part.GAMMA) ? ", with gamma" : ", without gamma");
        text.append(settings.arrays.containsKey(Part.BETA) ? " and with beta" : " and without beta");
        text.append(settings.arrays.containsKey(Part.MEAN) ? ", by running statistics" : "");
        return text.append(", epsilon ").append(settings.epsilon).toString();
    }
}
