package org.clnorm.benchmark;

import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;

/** Bars by shape: each one's rate against a streamed copy's. */
final class Chart {
    private record Series(String label, String color, String peer, Form form) {
        Optional<Timing> in(Contest.Result result) {
            return form == null ? result.best(peer, Fusion.NONE) : result.find(peer, form, Fusion.NONE);
        }

        double rate(Contest.Result result, Timing timing) {
            return result.ofCopy(timing, peer.equals(Report.DL4J) ? Guest.copyOf(peer) : Copy.STREAMED);
        }

        /** What a loop written by hand reaches: for clnorm's own bars only. */
        Optional<Double> limit(Contest.Result result) {
            return Optional.of(Report.LIMIT)
                    .filter(limit -> peer.equals(Report.CLNORM))
                    .flatMap(limit -> result.find(limit, form, Fusion.NONE))
                    .map(timing -> result.ofCopy(timing, Report.LIMIT_COPY));
        }
    }

    private static final List<Series> SERIES = List.of(
            new Series("clnorm, channels-first", "#0b5fa5", Report.CLNORM, Form.CHANNELS_FIRST),
            new Series("clnorm, channels-last", "#62a8e5", Report.CLNORM, Form.CHANNELS_LAST),
            new Series("PyTorch, channels-first", "#c2410c", "PyTorch", Form.CHANNELS_FIRST),
            new Series("PyTorch, channels-last", "#f5a268", "PyTorch", Form.CHANNELS_LAST),
            new Series("oneDNN, best layout", "#5b7f2b", "oneDNN", null),
            new Series("Java loop, channels-first", "#8a8a8a", "Java loop", Form.CHANNELS_FIRST),
            new Series("DL4J, channels-first", "#7e3fa0", Report.DL4J, Form.CHANNELS_FIRST));

    private static final String LIMIT_COLOR = "#111111";
    private static final int LEFT = 56;
    private static final int GROUP = 128;
    private static final int BAR = 16;
    private static final int PANEL = 230;
    private static final int HEIGHT = 160;
    private static final int TOP = 102;
    /** Bars end here; a number on top tells the rest. */
    private static final double MOST = 1.2;

    private final List<Contest.Result> results;

    Chart(List<Contest.Result> results) {
        this.results =
                results.stream().filter(result -> result.norm() == Norm.BATCH).toList();
    }

    String svg() {
        List<Direction> directions =
                results.stream().map(Contest.Result::direction).distinct().toList();
        long groups = directions.stream().mapToLong(d -> of(d).size()).max().orElse(1);
        long width = Math.max(LEFT + groups * GROUP + 16, 700);
        StringBuilder svg = new StringBuilder();
        svg.append(String.format(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"11\">%n",
                width, TOP + PANEL * directions.size()));
        svg.append("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
        svg.append(text(
                LEFT,
                24,
                "start",
                "font-size=\"15\" font-weight=\"bold\"",
                "Batch normalization: rate in percent of a streamed copy's"));
        for (int i = 0; i < SERIES.size(); i++) {
            double x = LEFT + i % 3 * 210;
            double y = 36 + i / 3 * 18;
            svg.append(rect(x, y, 12, 12, SERIES.get(i).color));
            svg.append(text(x + 17, y + 10, "start", "", SERIES.get(i).label));
        }
        double markX = LEFT + SERIES.size() % 3 * 210;
        double markY = 36 + SERIES.size() / 3 * 18;
        svg.append(rect(markX, markY + 5, 12, 2, LIMIT_COLOR));
        svg.append(text(markX + 17, markY + 10, "start", "", "what a C loop reaches there"));
        for (int i = 0; i < directions.size(); i++) {
            panel(svg, directions.get(i), TOP + PANEL * i, width);
        }
        return svg.append("</svg>\n").toString();
    }

    private List<Contest.Result> of(Direction direction) {
        return results.stream()
                .filter(result -> result.direction() == direction)
                .toList();
    }

    private void panel(StringBuilder svg, Direction direction, int top, long width) {
        int base = top + 24 + HEIGHT;
        String title = direction == Direction.INFERENCE ? "inference" : "training " + direction;
        svg.append(text(LEFT, top + 12, "start", "font-weight=\"bold\"", title));
        for (int percent = 0; percent <= 120; percent += 20) {
            double y = base - percent / 100.0 / MOST * HEIGHT;
            svg.append(String.format(
                    Locale.ROOT,
                    "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>%n",
                    LEFT,
                    width - 12,
                    y,
                    y,
                    percent == 100 ? "#444444" : "#dddddd"));
            svg.append(text(LEFT - 6, y + 4, "end", "fill=\"#555555\"", percent + "%"));
        }
        List<Contest.Result> shown = of(direction);
        for (int group = 0; group < shown.size(); group++) {
            Contest.Result result = shown.get(group);
            double left = LEFT + group * GROUP + 8;
            for (int i = 0; i < SERIES.size(); i++) {
                Series series = SERIES.get(i);
                double x = left + i * BAR;
                Optional<Double> rate = series.in(result)
                        .map(timing -> series.rate(result, timing))
                        .filter(value -> !value.isNaN());
                rate.ifPresent(value -> {
                    double y = height(value);
                    svg.append(rect(x, base - y, BAR - 2, y, series.color));
                });
                series.limit(result)
                        .filter(value -> !value.isNaN())
                        .ifPresent(value -> svg.append(rect(x - 1, base - height(value) - 1, BAR, 2, LIMIT_COLOR)));
                // Last, and with a rim, so that it can be read upon a mark.
                rate.ifPresent(value -> svg.append(text(
                        x + (BAR - 2) / 2.0,
                        base - height(value) - 2,
                        "middle",
                        "font-size=\"8\" paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"2\"",
                        Math.round(value * 100) + "")));
            }
            svg.append(text(
                    left + SERIES.size() * BAR / 2.0,
                    base + 14,
                    "middle",
                    "",
                    result.shape().toString()));
        }
    }

    private static double height(double rate) {
        return Math.min(rate, MOST) / MOST * HEIGHT;
    }

    private static String rect(double x, double y, double width, double height, String color) {
        return String.format(
                Locale.ROOT,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>%n",
                x,
                y,
                width,
                height,
                color);
    }

    private static String text(double x, double y, String anchor, String more, String text) {
        return String.format(
                Locale.ROOT, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>%s</text>%n", x, y, anchor, more, text);
    }
}
