package org.clnorm.study;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What a figure shows: lines over a quantity, or marks over names.
 *
 * @param title what is seen
 * @param x what is changed
 * @param y what is measured
 * @param names those of x = 1, 2, ...; empty where x is a number
 * @param series the lines
 */
record Plot(String title, Quantity x, Quantity y, List<String> names, List<Series> series) {
    /**
     * What an axis is of.
     *
     * @param label with its unit
     * @param logarithmic whether equal lengths are equal ratios
     * @param share whether it lies between 0 and 1, so that no bar goes beyond
     */
    record Quantity(String label, boolean logarithmic, boolean share) {}

    static Plot of(String title, Quantity x, Quantity y, Series... series) {
        return new Plot(title, x, y, List.of(), List.of(series));
    }

    /** Over names in the place of numbers; the points' x count from 1. */
    static Plot over(String title, String x, List<String> names, Quantity y, Series... series) {
        return new Plot(title, even(x), y, names, List.of(series));
    }

    static Quantity even(String label) {
        return new Quantity(label, false, false);
    }

    static Quantity share(String label) {
        return new Quantity(label, false, true);
    }

    static Quantity logarithmic(String label) {
        return new Quantity(label, true, false);
    }

    List<String> heading() {
        List<String> heading = new ArrayList<>(List.of(x.label()));
        series.forEach(line -> heading.add(line.name()));
        return heading;
    }

    /** The same numbers as a table, a row for each x. */
    List<List<String>> rows() {
        double[] xs = series.stream()
                .flatMap(line -> line.points().stream())
                .mapToDouble(Series.Point::x)
                .sorted()
                .distinct()
                .toArray();
        return Arrays.stream(xs)
                .mapToObj(at -> {
                    List<String> row =
                            new ArrayList<>(List.of(names.isEmpty() ? Estimate.number(at) : names.get((int) at - 1)));
                    series.forEach(line -> row.add(line.points().stream()
                            .filter(point -> point.x() == at)
                            .map(point -> cell(point.y()))
                            .findFirst()
                            .orElse("–")));
                    return row;
                })
                .toList();
    }

    private static String cell(Estimate y) {
        return y.count() > 1 ? y.toString() : Estimate.number(y.mean());
    }
}
