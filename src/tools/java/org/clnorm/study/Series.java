package org.clnorm.study;

import java.util.ArrayList;
import java.util.List;

/**
 * One line of a figure.
 *
 * @param name in the legend
 * @param points from left to right
 */
record Series(String name, List<Point> points) {
    /** A place along x, and what was measured there. */
    record Point(double x, Estimate y) {}

    /** Known values, without a spread. */
    static Series exact(String name, double[] xs, double[] ys) {
        List<Point> points = new ArrayList<>();
        for (int i = 0; i < xs.length; i++) {
            points.add(new Point(xs[i], Estimate.of(ys[i])));
        }
        return new Series(name, points);
    }
}
