package org.clnorm.check;

import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.check.Binding.Direction;
import org.clnorm.reference.ReferenceBatchNorm;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;

/**
 * What a kernel is to write, by the reference in double precision, and how far off each element may be.
 *
 * <p>What may be off is derived from how float32 rounds, u = 2⁻²⁴ of a value, and from what a careful kernel does with m
 * values: sums grow by g = 2 + log₂m + √m/8 roundings, as sums of sums do; a mean is off by 4·g·u of itself, which is 4·g·κ·u
 * deviations for a mean κ deviations from 0, and so is a variance that is updated together with the mean. An error that grows with
 * κ² is no rounding.
 */
final class Expectation {
    private static final double UNIT = 0x1p-24;

    /**
     * An array.
     *
     * @param values of its elements
     * @param allowed how far off each may be
     */
    record Expected(double[] values, double[] allowed) {}

    private final Binding binding;
    private final double slack;
    private final ReferenceNormalization reference;
    private final Map<Part, float[]> inputs;
    private final double[] x;
    private final double[] gamma;
    private final double[] beta;
    private final Statistics own;
    private final Statistics statistics;
    private final double[] variance;
    /** By group: largest |x̂|; error of x̂ from the mean; relative error of the rest. */
    private final double[] largest;

    private final double[] shifted;
    private final double[] relative;

    /** @param slack how many times as much may be off */
    Expectation(CheckCase c, ReferenceNormalization reference, Map<Part, float[]> inputs, double slack) {
        this.binding = c.binding();
        this.slack = slack;
        this.reference = reference;
        this.inputs = inputs;
        this.x = CheckCase.widen(inputs.get(Part.X));
        this.gamma = wide(Part.GAMMA);
        this.beta = wide(Part.BETA);
        this.own = reference.statistics(x, binding.epsilon(), null);
        this.statistics = given();
        this.variance = statistics.variance();
        largest = new double[reference.groups()];
        shifted = new double[reference.groups()];
        relative = new double[reference.groups()];
        for (int i = 0; i < x.length; i++) {
            int g = reference.groupOf(i);
            double normalized =
                    Math.abs((x[i] - statistics.mean()[g]) * statistics.inverseStandardDeviation()[g]);
            largest[g] = Math.max(Math.max(largest[g], 1), Double.isFinite(normalized) ? normalized : 1);
        }
        for (int g = 0; g < largest.length; g++) {
            double growth = own == statistics ? growth(reference.valuesOf(g)) : 1;
            double condition = Math.abs(statistics.mean()[g]) * statistics.inverseStandardDeviation()[g];
            shifted[g] = 4 * growth * condition * UNIT;
            relative[g] = (16 + 4 * growth) * UNIT + shifted[g] + shifted[g] * shifted[g];
        }
    }

    private static double growth(double values) {
        return 2 + Math.log(values) / Math.log(2) + Math.sqrt(values) / 8;
    }

    /** With what the kernel is handed of them in place of x's own. */
    private Statistics given() {
        if (binding.direction() == Direction.FORWARD) {
            return own;
        }
        double[] mean = wide(Part.MEAN);
        double[] given = wide(Part.VARIANCE);
        double[] invstd = wide(Part.INVSTD);
        if (mean == null && given == null && invstd == null) {
            return own;
        }
        double[] inverse = invstd != null
                ? invstd
                : given != null
                        ? ReferenceBatchNorm.inverseStandardDeviation(given, binding.epsilon())
                        : own.inverseStandardDeviation();
        return new Statistics(
                mean != null ? mean : own.mean(),
                given != null ? given : own.variance(),
                inverse,
                null,
                null,
                new boolean[inverse.length]);
    }

    private double[] wide(Part part) {
        return inputs.containsKey(part) ? CheckCase.widen(inputs.get(part)) : null;
    }

    Statistics statistics() {
        return statistics;
    }

    /** Those of x, which are the same where none are handed in. */
    Statistics own() {
        return own;
    }

    Map<Part, float[]> inputs() {
        return inputs;
    }

    double[] x() {
        return x;
    }

    double[] gamma() {
        return gamma;
    }

    double[] beta() {
        return beta;
    }

    double[] dy() {
        return wide(Part.DY);
    }

    ReferenceNormalization reference() {
        return reference;
    }

    /** What the reference says of all that a kernel of that direction may write, with other statistics. */
    Map<Part, double[]> values(Statistics with, double[] scale, double[] shift) {
        Map<Part, double[]> values = new EnumMap<>(Part.class);
        if (binding.direction() == Direction.BACKWARD) {
            double[] ones = new double[x.length];
            Arrays.fill(ones, 1);
            Gradients gradients = reference.backward(wide(Part.DY), x, ones, scale, with);
            values.put(Part.DX, gradients.dx());
            values.put(Part.DGAMMA, gradients.dgamma());
            values.put(Part.DBETA, gradients.dbeta());
            return values;
        }
        values.put(Part.Y, reference.normalize(x, null, Activation.NONE, scale, shift, with));
        values.put(Part.MEAN, with.mean());
        values.put(Part.VARIANCE, with.variance());
        values.put(Part.INVSTD, with.inverseStandardDeviation());
        if (binding.has(Part.RUNNING_MEAN)) {
            values.put(Part.RUNNING_MEAN, running(wide(Part.RUNNING_MEAN), with.mean()));
        }
        if (binding.has(Part.RUNNING_VARIANCE)) {
            double[] estimate = with.variance().clone();
            for (int g = 0; binding.unbiased() && g < estimate.length; g++) {
                double m = reference.valuesOf(g);
                estimate[g] *= m > 1 ? m / (m - 1) : 1;
            }
            values.put(Part.RUNNING_VARIANCE, running(wide(Part.RUNNING_VARIANCE), estimate));
        }
        return values;
    }

    double[] running(double[] old, double[] batch) {
        double[] updated = new double[old.length];
        for (int g = 0; g < old.length; g++) {
            updated[g] = (1 - binding.momentum()) * old[g] + binding.momentum() * batch[g];
        }
        return updated;
    }

    /** All arrays that the kernel writes. */
    Map<Part, Expected> expected() {
        Map<Part, double[]> values = values(statistics, gamma, beta);
        Map<Part, Expected> expected = new EnumMap<>(Part.class);
        for (Part part : binding.parts()) {
            if (part.isWritten(binding.direction())) {
                double[] of = values.get(part);
                expected.put(part, new Expected(of, finished(part, of, allowed(part, of))));
            }
        }
        return expected;
    }

    private double[] finished(Part part, double[] values, double[] allowed) {
        double roundoff = part.size != Part.Size.TENSOR || binding.type() == DataType.FLOAT32
                ? 2 * UNIT
                : binding.type() == DataType.FLOAT16 ? 0x1.1p-11 : 0x1.1p-8;
        double least = part.size == Part.Size.TENSOR && binding.type() == DataType.FLOAT16 ? 0x1p-24 : 0x1p-126;
        for (int i = 0; i < allowed.length; i++) {
            allowed[i] = slack * (allowed[i] + roundoff * Math.abs(values[i]) + least);
        }
        return allowed;
    }

    private double[] allowed(Part part, double[] values) {
        double[] allowed = new double[values.length];
        switch (part) {
            case Y -> {
                for (int i = 0; i < allowed.length; i++) {
                    int g = reference.groupOf(i);
                    int a = reference.affineOf(i);
                    double scale = gamma == null ? 1 : Math.abs(gamma[a]);
                    allowed[i] = scale * (shifted[g] + largest[g] * relative[g])
                            + (beta == null ? 0 : 4 * UNIT * Math.abs(beta[a]));
                }
            }
            case DX, DGAMMA, DBETA -> gradients(part, allowed);
            default -> ofGroups(part, allowed);
        }
        return allowed;
    }

    private void ofGroups(Part part, double[] allowed) {
        for (int g = 0; g < allowed.length; g++) {
            double growth = growth(reference.valuesOf(g));
            double mean = Math.abs(statistics.mean()[g]);
            double ofMean = (4 + 4 * growth) * UNIT * Math.hypot(mean, Math.sqrt(variance[g]));
            double ofVariance = relative[g] * variance[g] + shifted[g] * shifted[g] * binding.epsilon();
            allowed[g] = switch (part) {
                case MEAN -> ofMean;
                case VARIANCE -> ofVariance;
                case RUNNING_MEAN -> ofMean + 4 * UNIT * Math.abs(inputs.get(part)[g]);
                case RUNNING_VARIANCE -> 2 * ofVariance + 4 * UNIT * Math.abs(inputs.get(part)[g]);
                default -> relative[g] * statistics.inverseStandardDeviation()[g];
            };
        }
    }

    private void gradients(Part part, double[] allowed) {
        double[] dy = wide(Part.DY);
        double[] invstd = statistics.inverseStandardDeviation();
        double[] most = new double[reference.groups()];
        for (int i = 0; i < x.length; i++) {
            int g = reference.groupOf(i);
            most[g] = Math.max(most[g], Math.abs(dy[i] * (gamma == null ? 1 : gamma[reference.affineOf(i)])));
        }
        if (part == Part.DX) {
            for (int i = 0; i < x.length; i++) {
                int g = reference.groupOf(i);
                // |Σh/m| and |x̂·Σ(h·x̂)/m| are at most the largest |h|, the latter times the largest |x̂|.
                double growth = (16 + 4 * growth(reference.valuesOf(g))) * UNIT;
                allowed[i] = invstd[g] * most[g] * (1 + largest[g]) * (growth + relative[g] + shifted[g]);
            }
            return;
        }
        double[] squares = new double[allowed.length];
        double[] sums = new double[allowed.length];
        double[] count = new double[allowed.length];
        double[] ofMean = new double[allowed.length];
        for (int i = 0; i < x.length; i++) {
            int g = reference.groupOf(i);
            int a = reference.affineOf(i);
            double normalized = part == Part.DBETA ? 1 : (x[i] - statistics.mean()[g]) * invstd[g];
            squares[a] += dy[i] * dy[i] * Math.max(1, normalized * normalized);
            sums[a] += dy[i] * normalized;
            count[a]++;
            ofMean[a] += part == Part.DBETA ? 0 : Math.abs(dy[i]) * (shifted[g] + relative[g] * Math.abs(normalized));
        }
        for (int a = 0; a < allowed.length; a++) {
            allowed[a] = (16 + 4 * growth(count[a])) * UNIT * Math.hypot(Math.sqrt(squares[a]), sums[a]) + ofMean[a];
        }
    }
}
