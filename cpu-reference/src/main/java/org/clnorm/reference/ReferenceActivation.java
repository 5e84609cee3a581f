package org.clnorm.reference;

import org.clnorm.Activation;

/** Activations and their derivatives in double, as their papers have them. */
public final class ReferenceActivation {
    private ReferenceActivation() {}

    /** y of v. */
    public static double of(Activation activation, double v) {
        return switch (activation.kind()) {
            case NONE -> v;
            case RELU -> v <= 0 ? 0 : v;
            case LEAKY_RELU -> v > 0 ? v : activation.slope() * v;
            case RELU6 -> v <= 0 ? 0 : v >= 6 ? 6 : v;
            case SIGMOID -> 1 / (1 + Math.exp(-v));
            case TANH -> Math.tanh(v);
            case SILU -> v / (1 + Math.exp(-v));
            case GELU -> v * normal(v);
            case GELU_TANH -> 0.5 * v * (1 + Math.tanh(inner(v)));
            case HARD_SWISH -> v <= -3 ? 0 * v : v >= 3 ? v : v * (v + 3) / 6;
        };
    }

    /** v of y; of those that can be undone. */
    public static double undo(Activation activation, double y) {
        return switch (activation.kind()) {
            case NONE -> y;
            case LEAKY_RELU -> y > 0 ? y : y / activation.slope();
            default -> throw new IllegalArgumentException(activation + " cannot be undone");
        };
    }

    /** The derivative, from y; of those whose y tells it. */
    public static double slopeAtOutput(Activation activation, double y) {
        return switch (activation.kind()) {
            case NONE -> 1;
            case RELU -> y <= 0 ? 0 : 1;
            case LEAKY_RELU -> y > 0 ? 1 : activation.slope();
            case RELU6 -> y <= 0 || y >= 6 ? 0 : 1;
            case SIGMOID -> y * (1 - y);
            case TANH -> 1 - y * y;
            default -> throw new IllegalArgumentException("The derivative of " + activation + " is not had from y");
        };
    }

    /** The derivative at v. */
    public static double slope(Activation activation, double v) {
        return switch (activation.kind()) {
            case SILU -> {
                double s = 1 / (1 + Math.exp(-v));
                yield s + v * s * (1 - s);
            }
            case GELU -> normal(v) + v * Math.exp(-0.5 * v * v) / Math.sqrt(2 * Math.PI);
            case GELU_TANH -> {
                double t = Math.tanh(inner(v));
                double slope = Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * v * v);
                yield 0.5 * (1 + t) + (Math.abs(t) == 1 ? 0 : 0.5 * v * (1 - t * t) * slope);
            }
            case HARD_SWISH -> v < -3 ? 0 : v > 3 ? 1 : (2 * v + 3) / 6;
            default -> slopeAtOutput(activation, of(activation, v));
        };
    }

    private static double inner(double v) {
        return Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v);
    }

    /**
     * The normal distribution's integral up to v: its series about 0 (Abramowitz and Stegun, 26.2.11) near it, and far from
     * it the continued fraction of its tail (26.2.14).
     */
    static double normal(double v) {
        if (Double.isNaN(v)) {
            return v;
        }
        double size = Math.abs(v);
        double density = Math.exp(-0.5 * v * v) / Math.sqrt(2 * Math.PI);
        if (size > 38) {
            return v < 0 ? 0 : 1;
        }
        if (size > 6) {
            double fraction = 0;
            for (int k = 60; k > 0; k--) {
                fraction = k / (size + fraction);
            }
            double tail = density / (size + fraction);
            return v < 0 ? tail : 1 - tail;
        }
        double term = size;
        double sum = size;
        for (int k = 3; term > 1e-18 * sum; k += 2) {
            term *= size * size / k;
            sum += term;
        }
        return v < 0 ? negative(size, density, sum) : 0.5 + density * sum;
    }

    /** ½ − density·sum cancels far from 0, where the tail's own fraction is the better one. */
    private static double negative(double size, double density, double sum) {
        if (size < 2) {
            return 0.5 - density * sum;
        }
        double fraction = 0;
        for (int k = 400; k > 0; k--) {
            fraction = k / (size + fraction);
        }
        return density / (size + fraction);
    }
}
