package org.clnorm.benchmark;

import java.util.Arrays;
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

    Expected(Task task, Sets sets) {
        this.task = task;
        this.sets = sets;
        this.channels = task.channels();
        this.spatial = task.spatial();
        this.in = sets.arena().javaInputs;
    }

    /** The largest error of a result, in units of the values, which are about 1. */
    double check(String peer, float[] result) {
        double[] expected = task.direction() == Direction.BACKWARD ? backward() : forward();
        double worst = 0;
        for (int i = 0; i < expected.length; i++) {
            double error = Double.isNaN(expected[i]) ? 0 : Math.abs(result[i] - expected[i]);
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

    private double[] forward() {
        double[] y = new double[sets.elements()];
        for (int c = 0; c < channels; c++) {
            double[] affine = affine(c);
            for (int n = 0; n < task.batch(); n++) {
                for (int s = 0; s < spatial; s++) {
                    int at = task.form().index(n, c, s, channels, spatial);
                    double value = in[sets.x(0) + at] * affine[0] + affine[1];
                    value += task.residual() ? in[sets.residual(0) + at] : 0;
                    y[at] = task.relu() ? Math.max(0, value) : value;
                }
            }
        }
        return y;
    }

    /** NaN where the mask hangs on the last bits of the pre-activation. */
    private double[] backward() {
        double[] dx = new double[sets.elements()];
        double m = (double) task.batch() * spatial;
        for (int c = 0; c < channels; c++) {
            double[] affine = affine(c);
            double dbeta = 0;
            double dgamma = 0;
            for (int n = 0; n < task.batch(); n++) {
                for (int s = 0; s < spatial; s++) {
                    int at = task.form().index(n, c, s, channels, spatial);
                    double dy = masked(at, affine);
                    dbeta += dy;
                    dgamma += dy * (in[sets.x(0) + at] - affine[2]) * affine[3];
                }
            }
            for (int n = 0; n < task.batch(); n++) {
                for (int s = 0; s < spatial; s++) {
                    int at = task.form().index(n, c, s, channels, spatial);
                    double x = (in[sets.x(0) + at] - affine[2]) * affine[3];
                    dx[at] = affine[0] * (masked(at, affine) - dbeta / m - x * dgamma / m);
                    double sign = in[sets.x(0) + at] * affine[0] + affine[1];
                    if (task.relu() && !task.residual() && Math.abs(sign) < 1e-5) {
                        dx[at] = Double.NaN;
                    }
                }
            }
        }
        return dx;
    }

    private double masked(int at, double[] affine) {
        double sign = task.residual() ? in[sets.formerY(0) + at] : in[sets.x(0) + at] * affine[0] + affine[1];
        return task.relu() && sign <= 0 ? 0 : in[sets.dy(0) + at];
    }

    /** Scale, shift, mean, inverse standard deviation. */
    private double[] affine(int c) {
        double mean = task.runningMean()[c];
        double variance = task.runningVariance()[c];
        if (task.direction() != Direction.INFERENCE) {
            double sum = 0;
            double squares = 0;
            double m = (double) task.batch() * spatial;
            for (int n = 0; n < task.batch(); n++) {
                for (int s = 0; s < spatial; s++) {
                    double x = in[sets.x(0) + task.form().index(n, c, s, channels, spatial)];
                    sum += x;
                    squares += x * x;
                }
            }
            mean = sum / m;
            variance = squares / m - mean * mean;
        }
        double invstd = 1 / Math.sqrt(variance + Task.EPSILON);
        double scale = task.gamma()[c] * invstd;
        return new double[] {scale, task.beta()[c] - mean * scale, mean, invstd};
    }
}
