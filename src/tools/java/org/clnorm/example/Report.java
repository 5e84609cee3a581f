package org.clnorm.example;

import static org.clnorm.report.Markup.element;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.clnorm.report.Markup;
import org.clnorm.report.Page;

/** The page that a training leaves: one file that needs nothing else, for light and dark screens. */
final class Report {
    private static final String STYLE = """
            :root { --normalized: var(--blue); --plain: var(--orange); }
            .outcome { display: flex; gap: 10px; min-height: 3.2em; }
            .outcome svg { flex: none; width: 36px; height: 24px; }
            .panel .outcome svg { width: 36px; }
            .guide { stroke: var(--quiet); stroke-dasharray: 5 4; }
            .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
            .curve.normalized, .cross.normalized { stroke: var(--normalized); }
            .curve.plain, .cross.plain { stroke: var(--plain); }
            .marker { stroke: var(--panel); stroke-width: 1; }
            .marker.normalized { fill: var(--normalized); } .marker.plain { fill: var(--plain); }
            .cross { fill: none; stroke-width: 3; }
            """;

    /**
     * What is reported.
     *
     * @param facts names and values, in the order in which they are shown
     * @param runs those at the same rate one after the other: the normalized network, if there is one, and the plain one
     * @param command what to type to do it again
     */
    record Content(Map<String, String> facts, CrossCheck check, List<Run> runs, int classes, String command) {}

    private Report() {}

    static String html(Content content) {
        Markup panels = element("div", "class", "panels");
        content.runs().stream()
                .collect(Collectors.groupingBy(Run::rate, LinkedHashMap::new, Collectors.toList()))
                .values()
                .forEach(runs -> panels.add(panel(content, runs)));
        List<Markup> body = new ArrayList<>();
        body.add(element("h1").text(heading(content.check().norm())));
        body.add(element("p")
                .text("The same network from the same initial weights, over the same batches: "
                        + (content.check().norm() == Norm.NONE
                                ? ""
                                : "with " + content.check().norm().title() + " on the device below and without, ")
                        + "at a small and at a large learning rate."));
        body.add(definitions(content.facts(), content.check()));
        body.add(panels);
        body.addAll(summary(content));
        body.addAll(DiagnosticsSection.of(content.runs()));
        body.addAll(crossCheck(content.check()));
        body.addAll(Page.reproduce(content.command()));
        return Page.html("clnorm train", STYLE + DiagnosticsSection.STYLE, body);
    }

    private static String heading(Norm norm) {
        return norm == Norm.NONE ? "Learning without normalization" : "Learning with and without " + norm.title();
    }

    private static Markup definitions(Map<String, String> facts, CrossCheck check) {
        Markup definitions = Page.definitions(facts);
        return check.rows().isEmpty()
                ? definitions
                : definitions.add(
                        element("dt").text("Cross-check"),
                        check.agrees()
                                ? element("dd", "class", "good").text("the device agrees with the reference")
                                : element("dd", "class", "bad")
                                        .text("the device differs from the reference; see below"));
    }

    private static Markup panel(Content content, List<Run> pair) {
        int classes = content.classes();
        Markup panel = element("section", "class", "panel")
                .add(element("h2")
                        .text("Learning rate " + Settings.number(pair.get(0).rate())));
        for (Run run : pair) {
            panel.add(element("div", "class", "outcome")
                    .add(swatch(style(run)), element("span").text(outcome(run, classes))));
        }
        // The same in all panels, though a run may have ended early.
        Axis epochs = countingAxis(content.runs(), Report::lastEpoch);
        Axis batches = countingAxis(content.runs(), run -> run.firstEpoch().size());
        Chart.Guide chance = new Chart.Guide(1.0 / classes, "guessing");
        Chart.Guide chanceLoss = new Chart.Guide(Math.log(classes), "guessing");
        return panel.add(
                element("h3").text("Test accuracy after each epoch"),
                new Chart(
                                "Test accuracy after each epoch",
                                "epoch",
                                epochs,
                                percentAxis(pair),
                                chance,
                                lines(pair, Report::accuracies, true, false))
                        .svg(),
                element("h3").text("Training loss, mean of each epoch (log scale)"),
                new Chart(
                                "Training loss by epoch",
                                "epoch",
                                epochs,
                                lossAxis(pair, Report::losses),
                                chanceLoss,
                                lines(pair, Report::losses, true, true))
                        .svg(),
                element("h3").text("Training loss in the first epoch, by batch (log scale)"),
                new Chart(
                                "Training loss in the first epoch, by batch",
                                "batch",
                                batches,
                                lossAxis(pair, Run::firstEpoch),
                                chanceLoss,
                                lines(pair, Run::firstEpoch, false, true))
                        .svg());
    }

    private static Axis countingAxis(List<Run> runs, ToIntFunction<Run> last) {
        return Axis.counting(Math.max(1, runs.stream().mapToInt(last).max().orElse(1)));
    }

    private static int lastEpoch(Run run) {
        return run.divergedIn().orElse(run.epochs().size());
    }

    private static String style(Run run) {
        return run.normalized() ? "normalized" : "plain";
    }

    private static List<Double> accuracies(Run run) {
        return run.epochs().stream().map(Run.Epoch::accuracy).toList();
    }

    private static List<Double> losses(Run run) {
        return run.epochs().stream().map(Run.Epoch::loss).toList();
    }

    private static Axis percentAxis(List<Run> pair) {
        boolean diverged = pair.stream().anyMatch(run -> run.divergedIn().isPresent());
        double smallest = pair.stream()
                .flatMap(run -> accuracies(run).stream())
                .mapToDouble(Double::doubleValue)
                .min()
                .orElse(0);
        return Axis.percent(diverged || smallest < 0.5 ? 0 : smallest);
    }

    private static Axis lossAxis(List<Run> pair, Function<Run, List<Double>> values) {
        double[] losses = pair.stream()
                .flatMap(run -> values.apply(run).stream())
                .mapToDouble(loss -> Math.max(loss, 1e-9)) // a logarithm has no 0
                .toArray();
        return Axis.logarithmic(
                DoubleStream.of(losses).min().orElse(1),
                DoubleStream.of(losses).max().orElse(10));
    }

    private static List<Chart.Line> lines(
            List<Run> pair, Function<Run, List<Double>> values, boolean byEpoch, boolean divergedHigh) {
        List<Chart.Line> lines = new ArrayList<>();
        for (Run run : pair) {
            lines.add(new Chart.Line(
                    style(run), values.apply(run), byEpoch, cross(run, values.apply(run), byEpoch), divergedHigh));
        }
        Collections.reverse(lines); // the normalized network's on top
        return lines;
    }

    /** Where to mark that a run diverged: in the chart of the first epoch only if it did so there. */
    private static OptionalDouble cross(Run run, List<Double> values, boolean byEpoch) {
        OptionalInt epoch = run.divergedIn();
        return epoch.isEmpty() || (!byEpoch && epoch.getAsInt() > 1)
                ? OptionalDouble.empty()
                : OptionalDouble.of(values.size() + 1.0);
    }

    static Markup swatch(String style) {
        return element("svg", "viewBox", "0 0 36 24", "aria-hidden", "true")
                .add(element("path", "class", "curve " + style, "d", "M2 12L34 12"), Chart.marker(style, 18, 12));
    }

    private static String outcome(Run run, int classes) {
        String kind =
                run.kind().substring(0, 1).toUpperCase(Locale.ROOT) + run.kind().substring(1) + ": ";
        if (run.divergedIn().isPresent()) {
            return kind + "diverged in epoch " + run.divergedIn().getAsInt() + "; its loss was not a finite number.";
        }
        String accuracy = percent(run.finalAccuracy().orElseThrow());
        if (run.stoppedLearning(classes)) {
            return kind + accuracy + " in the end. It stopped learning: its loss is no lower than ln " + classes
                    + ", that of guessing.";
        }
        OptionalInt good = run.epochOfNinetyPercent();
        return kind + accuracy + " in the end, 90 % "
                + (good.isPresent() ? "first reached after epoch " + good.getAsInt() + "." : "never reached.");
    }

    private static List<Markup> summary(Content content) {
        List<List<String>> rows = content.runs().stream()
                .map(run -> List.of(
                        run.kind() + ", rate " + Settings.number(run.rate()),
                        run.finalAccuracy().isPresent()
                                ? percent(run.finalAccuracy().getAsDouble())
                                : "diverged",
                        run.epochs().isEmpty()
                                ? "–"
                                : loss(run.epochs().get(run.epochs().size() - 1).loss()),
                        run.epochOfNinetyPercent().isPresent()
                                ? "epoch " + run.epochOfNinetyPercent().getAsInt()
                                : "never",
                        milliseconds(run.millisecondsPerEpoch()),
                        milliseconds(run.normalizationMillisecondsPerEpoch())))
                .toList();
        List<Run> runs = content.runs();
        int epochs = runs.stream().mapToInt(run -> run.epochs().size()).max().orElse(0);
        List<String> heading = new ArrayList<>(List.of("epoch"));
        for (Run run : runs) {
            String name = run.kind() + ", " + Settings.number(run.rate());
            heading.addAll(List.of(name + ": loss", "accuracy"));
        }
        List<List<String>> byEpoch = IntStream.range(0, epochs)
                .mapToObj(epoch -> {
                    List<String> cells = new ArrayList<>(List.of(Integer.toString(epoch + 1)));
                    for (Run run : runs) {
                        boolean there = epoch < run.epochs().size();
                        cells.add(there ? loss(run.epochs().get(epoch).loss()) : "diverged");
                        cells.add(there ? percent(run.epochs().get(epoch).accuracy()) : "");
                    }
                    return cells;
                })
                .toList();
        return List.of(
                element("h2").text("In numbers"),
                Page.table(
                        List.of(
                                "network",
                                "final accuracy",
                                "final loss",
                                "90 % first after",
                                "ms per epoch",
                                "normalization and ReLU, ms"),
                        rows),
                element("p", "class", "quiet")
                        .text(
                                "Times are medians over the epochs, of training alone. The last column is a part of them, and"
                                        + " holds all transfers to the device and back; for the plain network it is the ReLU"
                                        + " alone."),
                element("details").add(element("summary").text("Every epoch"), Page.table(heading, byEpoch)));
    }

    private static List<Markup> crossCheck(CrossCheck check) {
        if (check.rows().isEmpty()) {
            return List.of();
        }
        Markup table = Page.rows(List.of("array", "largest error", "of the largest magnitude", "verdict"), List.of());
        for (CrossCheck.Row row : check.rows()) {
            table.add(element("tr")
                    .add(
                            element("td").text(row.pass() + ": " + row.array()),
                            element("td").text(scientific(row.error())),
                            element("td").text(scientific(row.relative())),
                            element("td", "class", row.agrees() ? "good" : "bad")
                                    .text(row.agrees() ? "agrees" : "differs")));
        }
        return List.of(
                element("h2").text("Cross-check"),
                element("p")
                        .text("Before the training, the device's "
                                + check.norm().title()
                                + " with ReLU was compared with the"
                                + " double-precision reference in plain Java, at the network's own shape "
                                + check.shape() + ". An array agrees if its largest error is at most "
                                + scientific(CrossCheck.BOUND) + " of its largest magnitude."),
                element("div", "class", "wide").add(table));
    }

    private static String percent(double share) {
        return String.format(Locale.ROOT, "%.2f %%", 100 * share);
    }

    private static String loss(double loss) {
        return String.format(Locale.ROOT, "%.4f", loss);
    }

    private static String scientific(double value) {
        return value == 0 ? "0" : String.format(Locale.ROOT, "%.1e", value);
    }

    private static String milliseconds(double value) {
        return Double.isNaN(value) ? "–" : String.format(Locale.ROOT, "%.0f", value);
    }
}
