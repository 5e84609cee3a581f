package org.clnorm.verify;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.clnorm.io.CaseFile;
import org.clnorm.io.CaseOptions.Mode;
import org.clnorm.io.NpyArray;
import org.clnorm.reference.ReferenceBatchNorm;

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
     *     for {@code grad_x} in training mode it is the largest of the terms whose sum it is, if that is larger
     * @throws IllegalArgumentException for a case that expects nothing
     */
    public static CaseComparison of(CaseFile file, Map<String, NpyArray> produced, double tolerance) {
        if (file.expected().isEmpty()) {
            throw new IllegalArgumentException(
                    file.name() + ": there is nothing to compare with, no array whose name starts with expected_");
        }
        List<Row> rows = new ArrayList<>();
        file.expected()
                .forEach((array, expected) -> rows.add(row(file, array, expected, produced.get(array), tolerance)));
        return new CaseComparison(rows);
    }

    private static Row row(CaseFile file, String array, NpyArray expected, NpyArray got, double tolerance) {
        long[] dimensions = expected.dimensions();
        if (got == null) {
            return new Row(array, dimensions, null, "expected, but not an output of this case", false);
        }
        if (!Arrays.equals(dimensions, got.dimensions())) {
            return new Row(array, dimensions, null, "is " + got + ", but expected was " + expected, false);
        }
        double scale = array.equals("grad_x") ? largestTerm(file) : 0;
        ArrayError error = ArrayError.of(array, got.toFloats(), expected.toDoubles(), scale);
        return new Row(array, dimensions, error, null, error.scaledError() <= tolerance);
    }

    /** What the terms of grad_x are before they cancel; 0, for its own magnitude, in evaluation mode: it is one term. */
    private static double largestTerm(CaseFile file) {
        if (file.options().mode() == Mode.EVAL) {
            return 0;
        }
        double[] x = doubles(file, "x");
        double[] gamma = doubles(file, "weight");
        ReferenceBatchNorm.Forward forward = ReferenceBatchNorm.forwardTraining(
                file.shape(),
                file.options().layout(),
                x,
                doubles(file, "residual"),
                file.options().activation(),
                gamma,
                doubles(file, "bias"),
                file.options().epsilon());
        return ReferenceBatchNorm.backward(
                        file.shape(),
                        file.options().layout(),
                        false,
                        doubles(file, "grad_y"),
                        x,
                        forward.y(),
                        file.options().activation(),
                        gamma,
                        forward.mean(),
                        forward.inverseStandardDeviation())
                .largestTerm();
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
