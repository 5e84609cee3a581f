package org.clnorm.example;

import static org.clnorm.report.Markup.element;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.clnorm.diagnostics.Diagnostics;
import org.clnorm.report.Markup;
import org.clnorm.report.Page;

/** The part of the report that looks into the batch normalizations. */
final class DiagnosticsSection {
    static final String STYLE = """
            .curve.extreme, .cross.extreme { stroke: var(--normalized); }
            .curve.extreme { stroke-dasharray: 3 3; }
            .marker.extreme { fill: var(--normalized); }
            .verdict { min-height: 3em; }
            .legend { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 10px; margin: 0; }
            .panel .legend svg { flex: none; width: 36px; height: 24px; }
            """;

    private static final int MOST_CHANNELS_NAMED = 10;
    private static final double LEAST_DISTANCE = 1e-4;

    private DiagnosticsSection() {}

    /** Nothing where nothing was looked into. */
    static List<Markup> of(List<Run> runs) {
        List<Run> seen =
                runs.stream().filter(run -> !run.diagnostics().isEmpty()).toList();
        if (seen.isEmpty()) {
            return List.of();
        }
        Markup panels = element("div", "class", "panels");
        seen.forEach(run -> panels.add(panel(run)));
        Diagnostics first = seen.get(0).diagnostics().get(0);
        List<Markup> section = new ArrayList<>(List.of(
                element("h2").text("Inside the batch normalizations"),
                element("p")
                        .text("Every " + first.step() + " training steps, of " + first.channels()
                                + " channels. Training normalizes with the statistics of the batch, evaluation with the"
                                + " running ones: the nearer they are, the nearer the results. A channel counts as dead"
                                + " when its ReLU gives 0 for the whole batch; no gradient gets through it then."),
                panels,
                element("h3").text("At the last look"),
                lastLook(seen)));
        for (Run run : seen) {
            section.add(element("details")
                    .add(
                            element("summary").text("Every channel at the last look, rate " + rate(run)),
                            channels(last(run))));
        }
        return section;
    }

    private static Markup panel(Run run) {
        List<Diagnostics> looks = run.diagnostics();
        Markup panel = element("section", "class", "panel")
                .add(element("h2").text("Learning rate " + rate(run)), verdict(looks));
        List<Double> medians = values(looks, d -> Math.max(LEAST_DISTANCE, d.medianMeanDistance()));
        List<Double> largest = values(looks, d -> Math.max(LEAST_DISTANCE, d.largestMeanDistance()));
        if (!medians.isEmpty()) {
            panel.add(
                    element("h3").text("Batch mean from running mean, in running σ (log scale)"),
                    legend("median channel", "farthest channel"),
                    new Chart(
                                    "Distance of the batch's mean from the running mean by step",
                                    "step",
                                    steps(looks),
                                    Axis.logarithmic(
                                            medians.stream()
                                                    .min(Double::compare)
                                                    .orElseThrow(),
                                            largest.stream()
                                                    .max(Double::compare)
                                                    .orElseThrow()),
                                    NO_GUIDE,
                                    List.of(
                                            line("extreme", largest, looks.size()),
                                            line("normalized", medians, looks.size())))
                            .svg());
        }
        List<Double> zeros = values(looks, Diagnostics::zeros);
        List<Double> mostZeros =
                values(looks, d -> Arrays.stream(d.zeroShare()).max().orElse(0));
        panel.add(
                element("h3").text("Zeros among the outputs of ReLU"),
                legend("all channels", "the channel with the most"),
                new Chart(
                                "Zeros among the outputs of ReLU by step",
                                "step",
                                steps(looks),
                                Axis.percent(zeros.stream().min(Double::compare).orElse(0.0)),
                                NO_GUIDE,
                                List.of(
                                        line("extreme", mostZeros, looks.size()),
                                        line("normalized", zeros, looks.size())))
                        .svg());
        return panel;
    }

    /** Beside every axis. */
    private static final Chart.Guide NO_GUIDE = new Chart.Guide(Double.NEGATIVE_INFINITY, "");

    private static Markup verdict(List<Diagnostics> looks) {
        long notFinite = looks.stream().filter(d -> d.nonFiniteCount() > 0).count();
        int dead = looks.stream().mapToInt(d -> d.deadChannels().length).max().orElse(0);
        Diagnostics last = looks.get(looks.size() - 1);
        List<String> bad = new ArrayList<>();
        if (notFinite > 0) {
            bad.add("Not all was finite in " + notFinite + " of " + looks.size() + " looks.");
        }
        if (dead > 0) {
            bad.add("Up to " + dead + " of " + last.channels() + " channels dead, " + last.deadChannels().length
                    + " at the last look.");
        }
        Markup text = bad.isEmpty()
                ? element("span", "class", "good").text("No channel dead, and all finite, in all looks.")
                : element("span", "class", "bad").text(String.join(" ", bad));
        return element("p", "class", "verdict").add(text);
    }

    private static Markup legend(String solid, String dashed) {
        return element("p", "class", "legend quiet")
                .add(
                        Report.swatch("normalized"),
                        element("span").text(solid),
                        Report.swatch("extreme"),
                        element("span").text(dashed));
    }

    /** Up to the first one that is not finite. */
    private static List<Double> values(List<Diagnostics> looks, ToDoubleFunction<Diagnostics> value) {
        return looks.stream()
                .mapToDouble(value)
                .takeWhile(Double::isFinite)
                .boxed()
                .toList();
    }

    private static Chart.Line line(String style, List<Double> values, int looks) {
        return new Chart.Line(
                style,
                values,
                true,
                values.size() < looks ? OptionalDouble.of(values.size() + 1.0) : OptionalDouble.empty(),
                true);
    }

    /** The looks, under the steps at which they were. */
    private static Axis steps(List<Diagnostics> looks) {
        long interval = looks.get(0).step();
        Axis counting = Axis.counting(looks.size());
        return new Axis(
                counting.low(),
                counting.high(),
                false,
                counting.ticks(),
                look -> Long.toString(Math.round(look * interval)));
    }

    private static Markup lastLook(List<Run> runs) {
        List<String> heading = new ArrayList<>(List.of(""));
        runs.forEach(
                run -> heading.add("rate " + rate(run) + ", step " + last(run).step()));
        List<List<String>> rows = List.of(
                row(runs, "batch mean from running mean, median", d -> deviations(d.medianMeanDistance())),
                row(runs, "batch mean from running mean, farthest", d -> deviations(d.largestMeanDistance())),
                row(
                        runs,
                        "batch deviation by running deviation",
                        d -> ratio(d.smallestDeviationRatio()) + " to " + ratio(d.largestDeviationRatio())),
                row(runs, "zeros", d -> percent(d.zeros())),
                row(runs, "dead channels", d -> named(d.deadChannels())),
                row(
                        runs,
                        "|γ| below " + Settings.number(last(runs.get(0)).smallGamma()),
                        d -> named(d.smallGammaChannels())),
                row(
                        runs,
                        "not finite: outputs",
                        d -> count(Arrays.stream(d.nonFinite()).sum())),
                row(runs, "not finite: γ and β", d -> count(d.nonFiniteParameters())),
                row(runs, "not finite: running statistics", d -> count(d.nonFiniteStatistics())));
        return Page.table(heading, rows);
    }

    private static List<String> row(List<Run> runs, String name, Function<Diagnostics, String> cell) {
        List<String> row = new ArrayList<>(List.of(name));
        runs.forEach(run -> row.add(cell.apply(last(run))));
        return row;
    }

    private static Markup channels(Diagnostics look) {
        return Page.table(
                List.of("channel", "mean from running mean", "deviation by running", "zeros", "γ", "not finite"),
                IntStream.range(0, look.channels())
                        .mapToObj(c -> List.of(
                                Integer.toString(c),
                                deviations(look.meanDistance()[c]),
                                ratio(Math.exp(look.deviationLogRatio()[c])),
                                percent(look.zeroShare()[c]),
                                String.format(Locale.ROOT, "%.3f", look.gamma()[c]),
                                count(look.nonFinite()[c])))
                        .toList());
    }

    private static Diagnostics last(Run run) {
        return run.diagnostics().get(run.diagnostics().size() - 1);
    }

    private static String rate(Run run) {
        return Settings.number(run.rate());
    }

    /** How many, and the first of them. */
    private static String named(int[] channels) {
        if (channels.length == 0) {
            return "none";
        }
        String names = Arrays.stream(channels)
                .limit(MOST_CHANNELS_NAMED)
                .mapToObj(Integer::toString)
                .collect(Collectors.joining(", "));
        return channels.length + ": " + names + (channels.length > MOST_CHANNELS_NAMED ? ", ..." : "");
    }

    private static String count(long count) {
        return count == 0 ? "none" : Long.toString(count);
    }

    private static String deviations(double value) {
        return Double.isNaN(value) ? "–" : String.format(Locale.ROOT, "%.3f σ", value);
    }

    private static String ratio(double value) {
        return Double.isNaN(value) ? "–" : String.format(Locale.ROOT, "%.3f", value);
    }

    private static String percent(double share) {
        return String.format(Locale.ROOT, "%.1f %%", 100 * share);
    }
}
