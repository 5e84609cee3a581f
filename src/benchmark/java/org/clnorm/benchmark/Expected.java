package org.clnorm.benchmark;

import java.util.Arrays;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;

/** What a task's result must be, in double precision: the check that all peers do the same work. */
final class Expected {
    /** Float32 sums of 4096 values and more differ by this much between orders of summation. */
    private static final double TOLERANCE = 2e-3;

    private final Task task;
    private final Sets sets;
    private final int channels;
    private final int spatial;
    private final float[] in;
    private final float[] gamma;
    private final float[] beta;

    /** What x − mean is multiplied with, by group. */
    private double[] mean;

    private double[] invstd;

    /** The result, from the first time on that it is asked for: it takes longer than most of what is measured. */
    private double[] expected;

    /** By how much the values of a result are smaller than 1. */
    private final double unit;

    Expected(Task task, Sets sets) {
        this.task = task;
        this.sets = sets;
        this.channels = task.channels();
        this.spatial = task.spatial();
        this.in = sets.arena().javaInputs;
        this.gamma = task.gamma();
        this.beta = task.beta();
        this.unit = isLength() ? 1 / Math.sqrt((double) sets.elements() / groups()) : 1;
    }

    private boolean isLength() {
        return task.norm() == Norm.WEIGHT || task.norm() == Norm.L2;
    }

    /** The largest error of a result, in units of the values, which are about 1. */
    double check(String peer, float[] result) {
        if (expected == null) {
            gatherStatistics();
            expected = task.direction() == Direction.BACKWARD ? backward() : forward();
        }
        double worst = 0;
        for (int i = 0; i < expected.length; i++) {
            double error = Double.isNaN(expected[i]) ? 0 : Math.abs(result[i] - expected[i]) / unit;
            if (!(error <= TOLERANCE)) {
                throw new IllegalStateException(peer + " does other work than the formula in " + task + ": element " + i
                        + " is " + result[i] + ", expected " + expected[i]);
            }
            worst = Math.max(worst, error);
        }
        return worst;
    }

    /** Of x, in the place of y. */
    void checkCopy(String peer, float[] result) {
        int at = Arrays.mismatch(in, sets.x(0), sets.x(0) + result.length, result, 0, result.length);
        if (at >= 0) {
            throw new IllegalStateException(peer + " did not copy element " + at + " of " + task);
        }
    }

    /** Of an element: where it lies, whose statistics it has, and whose γ and β. */
    private interface Each {
        void visit(int at, int group, int affine);
    }

    private void each(Each action) {
        for (int n = 0; n < task.batch(); n++) {
            for (int c = 0; c < channels; c++) {
                int group = group(n, c);
                int affine = task.norm() == Norm.WEIGHT ? n : c;
                for (int s = 0; s < spatial; s++) {
                    action.visit(task.form().index(n, c, s, channels, spatial), group, affine);
                }
            }
        }
    }

    /** Rows are samples here: (N, C), but for the weights. */
    private int group(int n, int c) {
        return switch (task.norm()) {
            case BATCH, RENORM -> c;
            case GHOST -> n / Norm.VIRTUAL_BATCH * channels + c;
            case GROUP -> n * Norm.GROUPS + c / (channels / Norm.GROUPS);
            case INSTANCE, ADAPTIVE -> n * channels + c;
            case LAYER, RMS, L2, WEIGHT -> n;
            case LAYER_CHANNELS -> throw new IllegalArgumentException("No peer has " + task.norm());
        };
    }

    private int groups() {
        return group(task.batch() - 1, channels - 1) + 1;
    }

    private void gatherStatistics() {
        int groups = groups();
        double[] count = new double[groups];
        double[] sum = new double[groups];
        double[] squares = new double[groups];
        each((at, group, affine) -> {
            double x = in[sets.x(0) + at];
            count[group]++;
            sum[group] += x;
            squares[group] += x * x;
        });
        mean = new double[groups];
        invstd = new double[groups];
        for (int group = 0; group < groups; group++) {
            boolean centered = task.norm().hasShift();
            mean[group] = centered ? sum[group] / count[group] : 0;
            double variance = squares[group] / count[group] - mean[group] * mean[group];
            invstd[group] = isLength() ? 1 / Math.sqrt(squares[group]) : 1 / Math.sqrt(variance + Task.EPSILON);
            if (task.direction() == Direction.INFERENCE) {
                mean[group] = task.runningMean()[group];
                invstd[group] = 1 / Math.sqrt(task.runningVariance()[group] + Task.EPSILON);
            }
        }
    }

    private double normalized(int at, int group) {
        return (in[sets.x(0) + at] - mean[group]) * invstd[group];
    }

    private double scale(int affine) {
        return task.norm().hasScale() ? gamma[affine] : 1;
    }

    /** Before a residual and the activation. */
    private double affine(int at, int group, int affine) {
        double x = task.norm() == Norm.RENORM
                // Within the bounds, it is normalization by the running statistics.
                ? (in[sets.x(0) + at] - task.runningMean()[group])
                        / Math.sqrt(task.runningVariance()[group] + Task.EPSILON)
                : normalized(at, group);
        return x * scale(affine) + (task.norm().hasShift() ? beta[affine] : 0);
    }

    private double[] forward() {
        double[] y = new double[sets.elements()];
        each((at, group, affine) -> {
            double value = affine(at, group, affine) + (task.residual() ? in[sets.residual(0) + at] : 0);
            y[at] = task.relu() ? Math.max(0, value) : value;
        });
        return y;
    }

    /** NaN where the mask hangs on the last bits of the pre-activation. */
    private double[] backward() {
        double[] dx = new double[sets.elements()];
        int groups = mean.length;
        double[] count = new double[groups];
        double[] sum = new double[groups];
        double[] product = new double[groups];
        each((at, group, affine) -> {
            double dy = scale(affine) * masked(at, group, affine);
            count[group]++;
            sum[group] += dy;
            product[group] += dy * normalized(at, group);
        });
        each((at, group, affine) -> {
            double dy = scale(affine) * masked(at, group, affine);
            double m = count[group];
            double mean = task.norm().hasShift() ? sum[group] / m : 0;
            double slope = isLength() ? product[group] : product[group] / m;
            double factor = task.norm() == Norm.RENORM
                    ? 1 / Math.sqrt(task.runningVariance()[group] + Task.EPSILON)
                    : invstd[group];
            dx[at] = factor * (dy - mean - normalized(at, group) * slope);
            if (task.relu() && !task.residual() && Math.abs(affine(at, group, affine)) < 1e-5) {
                dx[at] = Double.NaN;
            }
        });
        return dx;
    }

    private double masked(int at, int group, int affine) {
        double sign = task.residual() ? in[sets.formerY(0) + at] : affine(at, group, affine);
        return task.relu() && sign <= 0 ? 0 : in[sets.dy(0) + at];
    }
}
