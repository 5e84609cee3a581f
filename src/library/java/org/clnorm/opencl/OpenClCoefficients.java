package org.clnorm.opencl;

import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.function.Supplier;
import org.clnorm.NonFiniteException;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Operand;
import org.clnorm.plan.CoefficientRows;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/** The coefficients as the kernels keep them ({@link CoefficientRows}), in memory of their own. */
final class OpenClCoefficients implements Coefficients {
    private final OpenClBackend backend;
    private final int groups;
    private final int blocks;
    /** From the first of the first row. */
    private final Operand memory;

    private final OpenClCoefficients rest;

    private OpenClCoefficients(OpenClBackend backend, int groups, int blocks, Operand memory, OpenClCoefficients rest) {
        this.backend = backend;
        this.groups = groups;
        this.blocks = blocks;
        this.memory = memory;
        this.rest = rest;
    }

    /**
     * New ones, all 0.
     *
     * @param groups of a block
     * @param rest what is closed with them, or here where there is no room for them; or null
     */
    static OpenClCoefficients of(OpenClBackend backend, int groups, int blocks, OpenClCoefficients rest) {
        long elements = (long) CoefficientRows.ROWS * CoefficientRows.pitch(groups, blocks);
        Operand memory = null;
        try {
            memory = new Operand(backend.allocate(elements), 0);
            // Rows that a pass does not write are still read, times nothing that matters; they must not hold a NaN.
            backend.fill(memory, elements, 0);
            return new OpenClCoefficients(backend, groups, blocks, memory, rest);
        } catch (RuntimeException e) {
            if (memory != null) {
                memory.memory().close();
            }
            if (rest != null) {
                rest.close();
            }
            throw e;
        }
    }

    /** Those of what a {@link SplitPass} or a {@link PositionsPass} goes over apart, closed with these; or null. */
    OpenClCoefficients rest() {
        return rest;
    }

    Operand memory() {
        return memory;
    }

    /** Groups of a block. */
    @Override
    public int groups() {
        return groups;
    }

    @Override
    public Operand mean() {
        return row(CoefficientRows.MEAN);
    }

    @Override
    public Operand inverseStandardDeviation() {
        return row(CoefficientRows.INVSTD);
    }

    private Operand row(int row) {
        return new Operand(memory.memory(), (long) row * CoefficientRows.pitch(groups, blocks));
    }

    @Override
    public Supplier<ChannelMoments> readMoments(long count) {
        Supplier<double[][]> read = read(CoefficientRows.MEAN_HI, 4); // hi, lo, M2, the unit they are in
        return () -> {
            double[][] rows = read.get();
            double[] mean = rows[0];
            double[] squares = rows[2];
            Arrays.setAll(mean, c -> (mean[c] + rows[1][c]) / rows[3][c]);
            Arrays.setAll(squares, c -> squares[c] / rows[3][c] / rows[3][c]);
            return new ChannelMoments(count, mean, squares);
        };
    }

    @Override
    public void writeMoments(ChannelMoments moments, RunningVariance runningEstimate) {
        double[] mean = moments.mean();
        double[] rest = new double[mean.length];
        double[] variance = moments.variance(RunningVariance.BIASED);
        double[] estimate = moments.variance(runningEstimate);
        double[] unit = new double[mean.length];
        for (int c = 0; c < mean.length; c++) {
            unit[c] = unitOf(mean[c], variance[c]);
            mean[c] *= unit[c];
            rest[c] = mean[c] - (float) mean[c];
            variance[c] *= unit[c] * unit[c];
            estimate[c] *= unit[c] * unit[c];
        }
        write(CoefficientRows.MEAN_HI, mean, rest, variance, estimate, unit);
    }

    @Override
    public Supplier<GradientSums> readSums(long count) {
        Supplier<double[][]> read = read(CoefficientRows.UNIT, 3);
        return () -> {
            double[][] rows = read.get();
            double[] dyx = rows[2];
            Arrays.setAll(dyx, c -> dyx[c] / rows[0][c]);
            return new GradientSums(count, rows[1], dyx);
        };
    }

    @Override
    public void writeSums(GradientSums own, GradientSums all) {
        double m = all.count();
        double[] dy = Arrays.stream(all.dy()).map(sum -> sum / m).toArray();
        double[] dyx = Arrays.stream(all.dyx()).map(sum -> sum / m).toArray();
        double[] ownDyx = own.dyx();
        double[] exponent = new double[dyx.length];
        for (int c = 0; c < dyx.length; c++) { // they are products with x, and may be no float
            int power = Math.max(Math.getExponent(dyx[c]), Math.getExponent(ownDyx[c]));
            exponent[c] = Math.abs(power) <= Double.MAX_EXPONENT ? power : 0; // neither all 0 nor what is not finite
            dyx[c] = Math.scalb(dyx[c], -(int) exponent[c]);
            ownDyx[c] = Math.scalb(ownDyx[c], -(int) exponent[c]);
        }
        write(CoefficientRows.GRAD_DY, own.dy(), ownDyx, dy, dyx, exponent);
    }

    /** The power of two in whose units a mean and a variance are floats; 1 where they are themselves. */
    private static double unitOf(double mean, double variance) {
        int power = Math.getExponent(Math.sqrt(variance));
        if (variance == 0 || !Double.isFinite(variance) || Math.abs(power) < 50) {
            return 1;
        }
        return Math.scalb(1.0, Math.max(-100, Math.min(100, Math.min(-power, 100 - Math.getExponent(mean)))));
    }

    /** @throws NonFiniteException when a statistic is not finite; waits */
    void checkFinite() {
        int pitch = CoefficientRows.pitch(groups, blocks);
        float[] means = readRow(CoefficientRows.MEAN, pitch);
        float[] variances = readRow(CoefficientRows.VARIANCE, pitch);
        float[] units = readRow(CoefficientRows.UNIT, pitch);
        for (int i = 0; i < pitch; i++) {
            int group = i % CoefficientRows.blockPitch(groups);
            double variance = variances[i] / ((double) units[i] * units[i]);
            if (group < groups && !(Float.isFinite(means[i]) && Float.isFinite((float) variance))) {
                throw new NonFiniteException(group, means[i], variance);
            }
        }
    }

    private float[] readRow(int row, int pitch) {
        float[] numbers = new float[pitch];
        backend.read(row(row), FloatBuffer.wrap(numbers));
        return numbers;
    }

    /** Rows of one block, its groups only: what is returned waits for them. */
    private Supplier<double[][]> read(int first, int count) {
        int pitch = CoefficientRows.pitch(groups, 1);
        Supplier<float[]> read = backend.startRead(row(first), count * pitch);
        return () -> {
            float[] numbers = read.get();
            double[][] rows = new double[count][groups];
            for (int row = 0; row < count; row++) {
                for (int group = 0; group < groups; group++) {
                    rows[row][group] = numbers[row * pitch + group];
                }
            }
            return rows;
        };
    }

    private void write(int first, double[]... rows) {
        int pitch = CoefficientRows.pitch(groups, 1);
        FloatBuffer numbers = FloatBuffer.allocate(rows.length * pitch);
        for (int row = 0; row < rows.length; row++) {
            for (int group = 0; group < groups; group++) {
                numbers.put(row * pitch + group, (float) rows[row][group]);
            }
        }
        backend.write(row(first), numbers);
    }

    @Override
    public void close() {
        memory.memory().close();
        if (rest != null) {
            rest.close();
        }
    }
}
