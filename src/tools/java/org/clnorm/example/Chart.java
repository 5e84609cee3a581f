package org.clnorm.example;

import static org.clnorm.report.Markup.element;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import org.clnorm.report.Markup;

/**
 * A line chart as SVG. Colours, fonts and dark mode come from the page's style sheet.
 *
 * @param title for those who cannot see it
 * @param horizontal what is counted along x
 * @param guide a dashed line across, with a word at its right end; none if it is not on the axis
 */
record Chart(String title, String horizontal, Axis x, Axis y, Guide guide, List<Line> lines) {
    private static final double WIDTH = 520;
    private static final double LEFT = 52;
    private static final double RIGHT = 452;
    private static final double TOP = 12;
    private static final double BOTTOM = 226;
    private static final double HEIGHT = 272;
    private static final int MOST_MARKERS = 40;

    /** A value to compare the lines with. */
    record Guide(double value, String label) {}

    /**
     * One line.
     *
     * @param style "normalized", "plain" or another class of the page: the colour and the marker
     * @param values at x = 1, 2, 3, ...
     * @param marked whether every value gets a marker, with its number as a tooltip
     * @param divergedAt where along x a cross says that there was no number any more
     * @param divergedHigh whether the cross belongs at the top, or at the bottom
     */
    record Line(String style, List<Double> values, boolean marked, OptionalDouble divergedAt, boolean divergedHigh) {}

    Markup svg() {
        Markup svg = element(
                "svg", "viewBox", "0 0 " + number(WIDTH) + " " + number(HEIGHT), "role", "img", "aria-label", title);
        for (double tick : y.ticks()) {
            svg.add(line("grid", LEFT, down(tick), RIGHT, down(tick)));
            svg.add(label("end", LEFT - 8, down(tick) + 4, y.label().apply(tick)));
        }
        for (double tick : x.ticks()) {
            svg.add(line("axis", across(tick), BOTTOM, across(tick), BOTTOM + 4));
            svg.add(label("middle", across(tick), BOTTOM + 18, x.label().apply(tick)));
        }
        svg.add(line("axis", LEFT, BOTTOM, RIGHT, BOTTOM));
        svg.add(label("middle", (LEFT + RIGHT) / 2, BOTTOM + 38, horizontal));
        if (y.holds(guide.value())) {
            svg.add(line("guide", LEFT, down(guide.value()), RIGHT, down(guide.value())));
            svg.add(label("start", RIGHT + 8, down(guide.value()) + 4, guide.label()));
        }
        lines.forEach(line -> svg.add(drawn(line)));
        return svg;
    }

    private List<Markup> drawn(Line line) {
        List<Markup> shapes = new ArrayList<>();
        StringBuilder path = new StringBuilder();
        for (int i = 0; i < line.values().size(); i++) {
            path.append(i == 0 ? 'M' : 'L')
                    .append(number(across(i + 1)))
                    .append(' ')
                    .append(number(down(line.values().get(i))));
        }
        if (line.values().size() > 1) {
            shapes.add(element("path", "class", "curve " + line.style(), "d", path.toString()));
        }
        if (line.marked() && line.values().size() <= MOST_MARKERS) {
            for (int i = 0; i < line.values().size(); i++) {
                double value = line.values().get(i);
                shapes.add(marker(line.style(), across(i + 1), down(value))
                        .add(element("title")
                                .text(horizontal + " " + x.label().apply(i + 1) + ": "
                                        + String.format(Locale.ROOT, "%.4f", value))));
            }
        }
        line.divergedAt().ifPresent(at -> {
            double cx = across(at);
            double aside = line.style().equals("plain") ? 0 : 18; // two crosses may have the same x
            double cy = line.divergedHigh() ? TOP + aside : BOTTOM - aside;
            shapes.add(element(
                    "path",
                    "class",
                    "cross " + line.style(),
                    "d",
                    String.format(Locale.ROOT, "M%.1f %.1fl10 10m0 -10l-10 10", cx - 5, cy - 5)));
            boolean left = cx > (LEFT + RIGHT) / 2;
            shapes.add(label(
                    left ? "end" : "start", cx + (left ? -10 : 10), cy + (line.divergedHigh() ? 9 : -2), "diverged"));
        });
        return shapes;
    }

    /** A disc for the normalized network and a square for all else: colour alone would not reach everybody. */
    static Markup marker(String style, double cx, double cy) {
        return style.equals("normalized")
                ? element("circle", "class", "marker " + style, "cx", number(cx), "cy", number(cy), "r", "4")
                : element(
                        "rect",
                        "class",
                        "marker " + style,
                        "x",
                        number(cx - 3.5),
                        "y",
                        number(cy - 3.5),
                        "width",
                        "7",
                        "height",
                        "7");
    }

    private double across(double value) {
        return LEFT + 10 + (RIGHT - LEFT - 20) * x.position(value);
    }

    private double down(double value) {
        return BOTTOM - (BOTTOM - TOP) * y.position(value);
    }

    private static Markup line(String style, double x1, double y1, double x2, double y2) {
        return element("line", "class", style, "x1", number(x1), "y1", number(y1), "x2", number(x2), "y2", number(y2));
    }

    private static Markup label(String anchor, double x, double y, String text) {
        return element("text", "text-anchor", anchor, "x", number(x), "y", number(y))
                .text(text);
    }

    private static String number(double coordinate) {
        return String.format(Locale.ROOT, "%.1f", coordinate);
    }
}
