package org.clnorm.bench;

import static org.clnorm.report.Markup.element;

import java.util.List;
import java.util.Locale;
import org.clnorm.report.Markup;

/**
 * Horizontal bars in groups as SVG, each against the ceiling of its own. Colours, fonts and dark mode come from the
 * page's style sheet.
 *
 * @param title for those who cannot see it
 * @param highest the share at the right end, 1 or more
 */
record BarChart(String title, double highest, List<Group> groups) {
    private static final double WIDTH = 520;
    private static final double LEFT = 88;
    private static final double RIGHT = 400;
    private static final double SHARE = 454;
    private static final double RATE = 512;
    private static final double TOP = 20;
    private static final double HEADING = 24;
    private static final double ROW = 16;
    private static final double BAR = 10;
    private static final double STEP = 0.25;

    /** Bars that belong together. */
    record Group(String name, List<Bar> bars) {}

    /**
     * One bar. All shares are of the ceiling.
     *
     * @param share how long it is
     * @param plainCopy where the mark for the plain copy is
     * @param streamedCopy where that for the streamed one is
     * @param rate what is written at the end
     * @param tooltip all there is to know
     */
    record Bar(String label, double share, double plainCopy, double streamedCopy, String rate, String tooltip) {}

    Markup svg() {
        double bottom = TOP
                + groups.stream()
                        .mapToDouble(group -> HEADING + ROW * group.bars().size())
                        .sum()
                + 4;
        Markup svg = element(
                "svg", "viewBox", "0 0 " + number(WIDTH) + " " + number(bottom), "role", "img", "aria-label", title);
        for (double tick = 0; tick <= highest + 1e-9; tick += STEP) {
            svg.add(label("middle", across(tick), TOP - 6, "tick", percent(tick)));
        }
        svg.add(label("end", RATE, TOP - 6, "tick", "GB/s"));
        double y = TOP;
        for (Group group : groups) {
            svg.add(label("start", 0, y + 17, "group", group.name()));
            y += HEADING;
            double height = ROW * group.bars().size();
            for (double tick = 0; tick <= highest + 1e-9; tick += STEP) {
                svg.add(line(tick == 0 ? "axis" : tick == 1 ? "ceiling" : "grid", across(tick), y, y + height));
            }
            for (Bar bar : group.bars()) {
                svg.add(drawn(bar, y));
                y += ROW;
            }
        }
        return svg;
    }

    private Markup drawn(Bar bar, double y) {
        double middle = y + ROW / 2;
        return element("g")
                .add(
                        element("title").text(bar.tooltip()),
                        // The whole row, so that the tooltip is there wherever the pointer is.
                        rect("row", 0, y, WIDTH, ROW),
                        label("end", LEFT - 8, middle + 4, "label", bar.label()),
                        rect("bar", LEFT, middle - BAR / 2, across(bar.share()) - LEFT, BAR),
                        plainMark(across(bar.plainCopy()), middle),
                        streamedMark(across(bar.streamedCopy()), middle),
                        label("end", SHARE, middle + 4, "share", percent(bar.share())),
                        label("end", RATE, middle + 4, "rate", bar.rate()));
    }

    /** A ring: colour alone would not tell the marks apart for everybody. */
    static Markup plainMark(double x, double y) {
        return element("circle", "class", "copy plain", "cx", number(x), "cy", number(y), "r", "3.5");
    }

    /** A stroke. */
    static Markup streamedMark(double x, double y) {
        return rect("copy streamed", x - 1.5, y - 7, 3, 14);
    }

    static Markup rect(String style, double x, double y, double width, double height) {
        return element(
                "rect",
                "class",
                style,
                "x",
                number(x),
                "y",
                number(y),
                "width",
                number(width),
                "height",
                number(height));
    }

    private static Markup line(String style, double x, double top, double bottom) {
        return element(
                "line", "class", style, "x1", number(x), "y1", number(top), "x2", number(x), "y2", number(bottom));
    }

    private static Markup label(String anchor, double x, double y, String style, String text) {
        return element("text", "class", style, "text-anchor", anchor, "x", number(x), "y", number(y))
                .text(text);
    }

    /** What is beyond the right end is drawn there; its number says where it belongs. */
    private double across(double share) {
        return LEFT + (RIGHT - LEFT) * Math.min(share, highest) / highest;
    }

    static String percent(double share) {
        return String.format(Locale.ROOT, "%.0f %%", 100 * share);
    }

    private static String number(double coordinate) {
        return String.format(Locale.ROOT, "%.1f", coordinate);
    }
}
