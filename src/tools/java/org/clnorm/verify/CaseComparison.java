package org.clnorm.verify;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.clnorm.Activation;
import org.clnorm.LastVirtualBatch;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Grouping.Batch.Rest;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.cases.CaseFile;
import org.clnorm.cases.CaseOptions;
import org.clnorm.cases.UpdateFile;
import org.clnorm.reference.ReferenceActivation;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.clnorm.state.NpyArray;

/**
 * What came of a case against what it expects.
 *
 * @param rows one for each expected array, in the file's order
 */
public record CaseComparison(List<Row> rows) {
    /**
     * One expected array.
     *
     * @param array its name, without {@code expected_}
     * @param dimensions in memory order
     * @param error how far off it is; null when there was nothing to measure
     * @param problem why there was nothing to measure, or null
     * @param passed whether it was measured and its scaled error is within the tolerance
     */
    public record Row(String array, long[] dimensions, ArrayError error, String problem, boolean passed) {}

    /** Whether every array is within the tolerance. */
    public boolean passed() {
        return rows.stream().allMatch(Row::passed);
    }

    /**
     * Compares.
     *
     * @param produced what {@link CaseRunner#run} or another computation of the case gave
     * @param tolerance the largest scaled error that passes. The scale is the largest magnitude of the expected array;
     *     for {@code grad_x} of x's own statistics it is the largest of the terms whose sum it is, if that is larger
     * @throws IllegalArgumentException for a case that expects nothing
     */
    public static CaseComparison of(CaseFile file, Map<String, NpyArray> produced, double tolerance) {
        return of(
                file.name(),
                file.expected(),
                produced,
                tolerance,
                array -> array.equals("grad_x") ? largestTerm(file) : 0);
    }

    /**
     * Compares an optimizer's case.
     *
     * @param produced what {@link UpdateRunner#run} or another computation of the case gave
     * @param tolerance the largest scaled error that passes, by the largest magnitude of the expected array
     * @throws IllegalArgumentException for a case that expects nothing
     */
    public static CaseComparison of(UpdateFile file, Map<String, NpyArray> produced, double tolerance) {
        return of(file.name(), file.expected(), produced, tolerance, array -> 0);
    }

    private static CaseComparison of(
            String name,
            Map<String, NpyArray> expected,
            Map<String, NpyArray> produced,
            double tolerance,
            ToDoubleFunction<String> leastScale) {
        if (expected.isEmpty()) {
            throw new IllegalArgumentException(
                    name + ": there is nothing to compare with, no array whose name starts with expected_");
        }
        List<Row> rows = new ArrayList<>();
        expected.forEach((array, values) ->
                rows.add(row(array, values, produced.get(array), tolerance, leastScale.applyAsDouble(array))));
        return new CaseComparison(rows);
    }

    private static Row row(String array, NpyArray expected, NpyArray got, double tolerance, double scale) {
        long[] dimensions = expected.dimensions();
        if (got == null) {
            return new Row(array, dimensions, null, "expected, but not an output of this case", false);
        }
        if (!Arrays.equals(dimensions, got.dimensions())) {
            return new Row(array, dimensions, null, "is " + got + ", but expected was " + expected, false);
        }
        ArrayError error = ArrayError.of(array, got.toFloats(), expected.toDoubles(), scale);
        return new Row(array, dimensions, error, null, error.scaledError() <= tolerance);
    }

    /** What the terms of grad_x are before they cancel; 0, for its own magnitude, of given statistics: it is one term. */
    private static double largestTerm(CaseFile file) {
        if (file.isFrozen()) {
            return 0;
        }
        ReferenceNormalization reference = new ReferenceNormalization(
                normalization(file), file.shape(), file.options().layout());
        double[] x = doubles(file, "x");
        double[] gamma = doubles(file, "weight");
        double[] mean = doubles(file, "running_mean");
        Running running =
                mean == null ? null : new Running(mean, doubles(file, "running_var"), new double[mean.length]);
        Statistics own = reference.statistics(x, file.options().epsilon(), running);
        Statistics statistics = reference.hasGiven() ? withGiven(file, reference, own, running) : own;
        double[] v = reference.normalize(
                x, doubles(file, "residual"), Activation.NONE, gamma, doubles(file, "bias"), statistics);
        double[] slopes = new double[v.length];
        Arrays.setAll(slopes, i -> ReferenceActivation.slope(file.options().activation(), v[i]));
        return reference
                .backward(doubles(file, "grad_y"), x, slopes, gamma, statistics)
                .largestTerm();
    }

    /** With the last sample's, the running statistics as the samples before leave them. */
    private static Statistics withGiven(
            CaseFile file, ReferenceNormalization reference, Statistics own, Running running) {
        CaseOptions options = file.options();
        Running updated = reference.updateRunning(
                running,
                own,
                RunningAverage.exponential(options.updateRate()),
                options.runningVariance(),
                NonFinitePolicy.PROPAGATE);
        return reference.withGiven(own, updated.mean(), updated.variance(), options.epsilon());
    }

    /** Whether all of a case's batch shares statistics of its own. */
    static boolean isOneBatch(CaseFile file) {
        Grouping.Batch batch = batch(file);
        return batch.virtualBatches(file.shape().batch()) == 1 && batch.givenSamples(file.shape()) == 0;
    }

    private static Grouping.Batch batch(CaseFile file) {
        CaseOptions options = file.options();
        if (options.virtualBatch() == null || options.mode() == CaseOptions.Mode.EVAL) {
            return Grouping.batch();
        }
        LastVirtualBatch last = file.leavesOne() ? options.lastVirtualBatch() : null;
        return new Grouping.Batch(
                options.virtualBatch(),
                last == LastVirtualBatch.MERGE
                        ? Rest.MERGED
                        : last == LastVirtualBatch.RUNNING ? Rest.GIVEN : Rest.OWN);
    }

    /** What a case is, of x's own statistics. */
    private static Normalization normalization(CaseFile file) {
        CaseOptions options = file.options();
        Grouping rows = new Grouping.Rows(Math.max(1, file.row().length), file.op() != CaseFile.Op.WEIGHT_NORM);
        return switch (file.op()) {
            case BATCH_NORM -> new Normalization(batch(file), Statistic.CENTERED);
            case BATCH_RENORM ->
                new Normalization(
                        Grouping.batch(),
                        Statistic.CENTERED,
                        false,
                        new Normalization.Renormalization(options.rMax(), options.dMax()));
            case LAYER_NORM ->
                new Normalization(file.isOverChannels() ? new Grouping.Positions() : rows, Statistic.CENTERED);
            case RMS_NORM -> new Normalization(rows, Statistic.ROOT_MEAN_SQUARE);
            case WEIGHT_NORM, L2_NORM -> new Normalization(rows, Statistic.LENGTH);
            case GROUP_NORM -> new Normalization(new Grouping.Channels(options.groups()), Statistic.CENTERED);
            case INSTANCE_NORM ->
                new Normalization(
                        new Grouping.Channels(Math.toIntExact(file.shape().channels())), Statistic.CENTERED);
        };
    }

    private static double[] doubles(CaseFile file, String input) {
        return file.input(input).map(CaseComparison::widen).orElse(null);
    }

    private static double[] widen(float[] values) {
        double[] wide = new double[values.length];
        Arrays.setAll(wide, i -> values[i]);
        return wide;
    }
}
