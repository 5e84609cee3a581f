package org.clnorm.study;

import java.math.BigDecimal;
import java.math.MathContext;
import org.clnorm.example.Settings;

/**
 * A mean over seeds, and how well it is known.
 *
 * @param mean of the seeds' values
 * @param half half the width of the 95 % interval of the mean, by Student's t
 * @param deviation the standard deviation of the values, the unbiased one
 * @param count how many seeds
 */
record Estimate(double mean, double half, double deviation, int count) {
    /** The 97.5 % quantile of Student's t for 1, 2, ... degrees of freedom. */
    private static final double[] QUANTILES = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};

    /** Of one value by seed. A single one says nothing of its own spread, which counts as none. */
    static Estimate of(double... values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        double mean = sum / values.length;
        double squares = 0;
        for (double value : values) {
            squares += (value - mean) * (value - mean);
        }
        double deviation = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0;
        double half = values.length > 1 ? quantile(values.length - 1) * deviation / Math.sqrt(values.length) : 0;
        return new Estimate(mean, half, deviation, values.length);
    }

    /** Beyond the table by the first term of its expansion in 1/freedom, which is right to half a percent. */
    static double quantile(int freedom) {
        return freedom <= QUANTILES.length ? QUANTILES[freedom - 1] : 1.96 + 2.4 / freedom;
    }

    double low() {
        return mean - half;
    }

    double high() {
        return mean + half;
    }

    /** As "0.812 ± 0.013": the interval, not the deviation. */
    @Override
    public String toString() {
        return number(mean) + " ± " + number(half);
    }

    /** A number of three digits, as people write it. */
    static String number(double value) {
        if (!Double.isFinite(value)) {
            return Double.isNaN(value) ? "no number" : value > 0 ? "∞" : "−∞";
        }
        double rounded = BigDecimal.valueOf(value).round(new MathContext(3)).doubleValue();
        return rounded == 0 ? "0" : (rounded < 0 ? "−" : "") + Settings.number(Math.abs(rounded));
    }
}
