package org.clnorm;

import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * What is applied to the normalized value v, in the same pass; a residual is added before it. NaN stays NaN.
 *
 * <p>A backward pass finds v again from x, which it reads anyway. With a residual it goes by y, where the derivative is
 * had from y, and else by the residual, which then must be unchanged: see {@link Kind#isByOutput}.
 */
public final class Activation {
    /** The functions. */
    public enum Kind {
        /** y = v. */
        NONE(true),
        /** y = v where v > 0, else 0. The gradient at v = 0 is 0. */
        RELU(true),
        /** y = v where v > 0, else slope·v. The gradient at v = 0 is the slope. */
        LEAKY_RELU(true),
        /** y = min(max(v, 0), 6). The gradient at 0 and 6 is 0. */
        RELU6(true),
        /** y = 1 / (1 + e⁻ᵛ). */
        SIGMOID(true),
        /** y = tanh v. */
        TANH(true),
        /** y = v / (1 + e⁻ᵛ), also called swish (Elfwing, Uchibe and Doya, 2018). */
        SILU(false),
        /** y = v·Φ(v), with the normal distribution's integral Φ (Hendrycks and Gimpel, 2016). */
        GELU(false),
        /** GELU by tanh: y = ½v·(1 + tanh(√(2/π)·(v + 0.044715·v³))). */
        GELU_TANH(false),
        /** y = v·min(max(v + 3, 0), 6) / 6 (Howard et al., 2019, "Searching for MobileNetV3"). */
        HARD_SWISH(false);

        private final boolean byOutput;

        Kind(boolean byOutput) {
            this.byOutput = byOutput;
        }

        /** Whether y alone tells the derivative, so that a backward pass with a residual needs y and not the residual. */
        public boolean isByOutput() {
            return byOutput;
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    private static final double USUAL_SLOPE = 0.01;

    /** y = v. */
    public static final Activation NONE = new Activation(Kind.NONE, 0);

    /** y = v where v > 0, else 0; NaN stays NaN. The gradient at v = 0 is 0. */
    public static final Activation RELU = new Activation(Kind.RELU, 0);

    /** Leaky ReLU with a slope of 0.01. */
    public static final Activation LEAKY_RELU = new Activation(Kind.LEAKY_RELU, USUAL_SLOPE);

    /** ReLU up to 6. */
    public static final Activation RELU6 = new Activation(Kind.RELU6, 0);

    /** The logistic function. */
    public static final Activation SIGMOID = new Activation(Kind.SIGMOID, 0);

    /** The hyperbolic tangent. */
    public static final Activation TANH = new Activation(Kind.TANH, 0);

    /** v times its sigmoid. */
    public static final Activation SILU = new Activation(Kind.SILU, 0);

    /** The exact GELU. */
    public static final Activation GELU = new Activation(Kind.GELU, 0);

    /** GELU by tanh. */
    public static final Activation GELU_TANH = new Activation(Kind.GELU_TANH, 0);

    /** SiLU of straight lines and a parabola. */
    public static final Activation HARD_SWISH = new Activation(Kind.HARD_SWISH, 0);

    private static final List<Activation> ALL =
            List.of(NONE, RELU, LEAKY_RELU, RELU6, SIGMOID, TANH, SILU, GELU, GELU_TANH, HARD_SWISH);

    private final Kind kind;
    private final float slope;

    private Activation(Kind kind, double slope) {
        this.kind = kind;
        this.slope = (float) slope;
    }

    /**
     * Leaky ReLU: v where v > 0, else slope·v.
     *
     * @param slope from 0 on; PyTorch's {@code negative_slope}
     * @throws IllegalArgumentException for a slope that is negative or not finite, as float32 too
     */
    public static Activation leakyRelu(double slope) {
        if (!(slope >= 0 && Float.isFinite((float) slope))) {
            throw new IllegalArgumentException(
                    "The slope of a leaky ReLU must be a finite number from 0 on, but given was " + slope);
        }
        return new Activation(Kind.LEAKY_RELU, slope);
    }

    /** All of them, each once: leaky ReLU with its usual slope. */
    public static Activation[] values() {
        return ALL.toArray(Activation[]::new);
    }

    /**
     * The one of a name as {@link #toString} gives it; leaky ReLU with its usual slope.
     *
     * @throws IllegalArgumentException when there is none; the message has the names that there are
     */
    public static Activation named(String name) {
        Objects.requireNonNull(name, "name");
        return Stream.of(values())
                .filter(activation -> activation.kind.toString().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        "There is no activation named '" + name + "'; there are " + List.of(Kind.values())));
    }

    /** The function. */
    public Kind kind() {
        return kind;
    }

    /** The slope of leaky ReLU; 0 of others. */
    public float slope() {
        return slope;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Activation activation && kind == activation.kind && slope == activation.slope;
    }

    @Override
    public int hashCode() {
        return 31 * kind.hashCode() + Float.hashCode(slope);
    }

    /** The name used in files and on the command line, such as {@code none}, {@code relu} or {@code leaky-relu}. */
    @Override
    public String toString() {
        return kind.toString();
    }
}
