package org.clnorm.study;

import static org.clnorm.report.Markup.element;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.clnorm.example.Axis;
import org.clnorm.report.Markup;

/**
 * Draws a plot as SVG. Colours and fonts come from {@link #STYLE} and the page's style sheet, so that it is as good on a
 * dark screen.
 */
final class Figure {
    /** Colours that the colour-blind can tell apart (Okabe and Ito); markers differ too. */
    static final String STYLE = """
            :root { --green: #00795a; --purple: #a3487f; }
            @media (prefers-color-scheme: dark) { :root { --green: #2fc79b; --purple: #e39fc6; } }
            .s0 { --series: var(--blue); } .s1 { --series: var(--orange); } .s2 { --series: var(--green); }
            .s3 { --series: var(--purple); } .s4 { --series: var(--text); }
            .curve { fill: none; stroke: var(--series); stroke-width: 2; stroke-linejoin: round; }
            .curve.exact { stroke-dasharray: 6 4; stroke-width: 1.5; }
            .bar { stroke: var(--series); stroke-width: 1.5; fill: none; }
            .marker { fill: var(--series); stroke: var(--panel); stroke-width: 1; }
            """;

    private static final double WIDTH = 520;
    private static final double LEFT = 62;
    private static final double RIGHT = 504;
    private static final double PLOT = 216;
    private static final double LEGEND_ROW = 20;
    private static final double PER_CHARACTER = 7.2;
    private static final double CAP = 3;
    private static final int COLOURS = 5;
    private static final int MOST_TICKS = 8;

    private final Plot plot;
    private final Axis x;
    private final Axis y;
    private final double top;
    private final double bottom;
    private final List<Markup> legend = new ArrayList<>();

    private Figure(Plot plot) {
        this.plot = plot;
        this.x = plot.names().isEmpty() ? horizontal() : names(plot.names());
        this.y = axis(plot.y(), points().map(Series.Point::y).<Double>mapMulti((estimate, values) -> {
            values.accept(estimate.mean());
            values.accept(within(estimate.low(), estimate));
            values.accept(within(estimate.high(), estimate));
        }));
        // Above the plot: the legend, then what y is.
        this.top = legend() + 26;
        this.bottom = top + PLOT;
    }

    /** The picture. */
    static Markup svg(Plot plot) {
        return new Figure(plot).drawn();
    }

    private Stream<Series.Point> points() {
        return plot.series().stream().flatMap(line -> line.points().stream());
    }

    /** Where a bar ends for the axis: one that goes beyond a share, or below zero on a logarithmic axis, does not set it. */
    private double within(double end, Estimate estimate) {
        if (plot.y().share()) {
            return Math.min(Math.max(end, 0), 1);
        }
        return plot.y().logarithmic() ? Math.min(Math.max(end, estimate.mean() / 3), estimate.mean() * 3) : end;
    }

    /** Marked where something was measured, or at round numbers where that is in many places. */
    private Axis horizontal() {
        Axis round = axis(plot.x(), points().map(Series.Point::x));
        List<Double> places = points().map(Series.Point::x).distinct().sorted().toList();
        return places.size() < 2 || places.size() > MOST_TICKS
                ? round
                : new Axis(places.get(0), places.get(places.size() - 1), round.logarithmic(), places, Estimate::number);
    }

    private static Axis axis(Plot.Quantity quantity, Stream<Double> of) {
        double[] values = of.mapToDouble(Double::doubleValue)
                .filter(value -> Double.isFinite(value) && (value > 0 || !quantity.logarithmic()))
                .toArray();
        double low = DoubleStream.of(values).min().orElse(1);
        double high = DoubleStream.of(values).max().orElse(1);
        return quantity.logarithmic() ? Axis.logarithmic(low, high) : Axis.linear(low, high);
    }

    private static Axis names(List<String> names) {
        List<Double> ticks =
                IntStream.rangeClosed(1, names.size()).mapToObj(i -> (double) i).toList();
        return new Axis(0.5, names.size() + 0.5, false, ticks, value -> names.get((int) value - 1));
    }

    /** Fills the legend, in rows; gives how high it is. */
    private double legend() {
        double right = LEFT;
        double row = 0;
        for (int i = 0; i < plot.series().size(); i++) {
            String name = plot.series().get(i).name();
            double width = 40 + PER_CHARACTER * name.length();
            if (right > LEFT && right + width > RIGHT + 16) {
                right = LEFT;
                row++;
            }
            double middle = 10 + row * LEGEND_ROW;
            legend.add(element("g", "class", style(i))
                    .add(
                            path(curve(i), "M" + number(right) + " " + number(middle) + "h24"),
                            isExact(i) ? element("g") : marker(i, right + 12, middle)));
            legend.add(text("start", right + 30, middle + 4, name));
            right += width;
        }
        return 20 + row * LEGEND_ROW;
    }

    private Markup drawn() {
        Markup svg = element(
                "svg",
                "viewBox",
                "0 0 " + number(WIDTH) + " " + number(bottom + 46),
                "role",
                "img",
                "aria-label",
                plot.title());
        svg.add(legend);
        svg.add(text("start", 4, top - 12, plot.y().label()));
        for (double tick : y.ticks()) {
            svg.add(line("grid", LEFT, down(tick), RIGHT, down(tick)));
            svg.add(text("end", LEFT - 8, down(tick) + 4, y.label().apply(tick)));
        }
        for (double tick : x.ticks()) {
            svg.add(line("axis", across(tick), bottom, across(tick), bottom + 4));
            svg.add(text("middle", across(tick), bottom + 18, x.label().apply(tick)));
        }
        svg.add(line("axis", LEFT, bottom, RIGHT, bottom));
        svg.add(text("middle", (LEFT + RIGHT) / 2, bottom + 38, plot.x().label()));
        for (int i = plot.series().size() - 1; i >= 0; i--) { // the first on top
            svg.add(drawn(i));
        }
        return svg;
    }

    private Markup drawn(int i) {
        Markup group = element("g", "class", style(i));
        // Beside each other, or bars at the same x would hide each other.
        double aside = (plot.names().isEmpty() ? 2 : 20) * (i - (plot.series().size() - 1) / 2.0);
        List<Series.Point> points = plot.series().get(i).points().stream()
                .filter(point -> Double.isFinite(point.y().mean()))
                .filter(point -> point.y().mean() > 0 || !plot.y().logarithmic())
                .toList();
        StringBuilder curve = new StringBuilder();
        double moved = isExact(i) ? 0 : aside;
        for (Series.Point point : points) {
            curve.append(curve.isEmpty() ? 'M' : 'L')
                    .append(number(across(point.x()) + moved))
                    .append(' ')
                    .append(number(down(point.y().mean())));
        }
        if (points.size() > 1 && plot.names().isEmpty()) { // between names there is nothing
            group.add(path(curve(i), curve.toString()));
        }
        for (Series.Point point : points) {
            if (!isExact(i)) {
                group.add(bar(across(point.x()) + moved, point.y()));
                group.add(marker(i, across(point.x()) + moved, down(point.y().mean()))
                        .add(element("title")
                                .text(plot.series().get(i).name() + ", "
                                        + plot.x().label() + " " + x.label().apply(point.x()) + ": " + point.y())));
            }
        }
        return group;
    }

    private Markup bar(double at, Estimate estimate) {
        String low = number(down(estimate.low()));
        String high = number(down(estimate.high()));
        String left = number(at - CAP);
        return path(
                "bar",
                "M" + number(at) + " " + low + "L" + number(at) + " " + high + "M" + left + " " + low + "h"
                        + number(2 * CAP) + "M" + left + " " + high + "h" + number(2 * CAP));
    }

    private boolean isExact(int i) {
        return plot.series().get(i).points().stream()
                .allMatch(point -> point.y().count() == 1);
    }

    private String curve(int i) {
        return isExact(i) ? "curve exact" : "curve";
    }

    private static String style(int i) {
        return "s" + i % COLOURS;
    }

    private static Markup marker(int i, double cx, double cy) {
        return switch (i % COLOURS) {
            case 0 -> element("circle", "class", "marker", "cx", number(cx), "cy", number(cy), "r", "4.5");
            case 1 -> path("marker", "M" + number(cx - 4) + " " + number(cy - 4) + "h8v8h-8z");
            case 2 -> path("marker", "M" + number(cx) + " " + number(cy - 5) + "l5 9h-10z");
            case 3 -> path("marker", "M" + number(cx) + " " + number(cy - 5.5) + "l5.5 5.5l-5.5 5.5l-5.5 -5.5z");
            default -> path("marker", "M" + number(cx) + " " + number(cy + 5) + "l5 -9h-10z");
        };
    }

    private double across(double value) {
        return LEFT + 14 + (RIGHT - LEFT - 28) * x.position(value);
    }

    private double down(double value) {
        return bottom - PLOT * y.position(value);
    }

    private static Markup path(String style, String d) {
        return element("path", "class", style, "d", d);
    }

    private static Markup line(String style, double x1, double y1, double x2, double y2) {
        return element("line", "class", style, "x1", number(x1), "y1", number(y1), "x2", number(x2), "y2", number(y2));
    }

    private static Markup text(String anchor, double x, double y, String text) {
        return element("text", "text-anchor", anchor, "x", number(x), "y", number(y))
                .text(text);
    }

    private static String number(double coordinate) {
        return String.format(Locale.ROOT, "%.1f", coordinate);
    }
}
