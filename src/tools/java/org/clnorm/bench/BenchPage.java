package org.clnorm.bench;

import static org.clnorm.report.Markup.element;

import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.report.Markup;
import org.clnorm.report.Page;

/** The page that a run leaves. */
final class BenchPage {
    private static final String STYLE = """
            .panel { padding-bottom: 12px; }
            .panel p { margin: 0 0 14px; }
            .panel svg { max-width: 560px; }
            .ceiling { stroke: var(--quiet); }
            .row { fill: transparent; } g:hover .row { fill: var(--rule); }
            .bar { fill: var(--blue); }
            svg .group { fill: var(--text); font-weight: 600; }
            svg .share { fill: var(--text); }
            .copy.plain { fill: var(--panel); stroke: var(--orange); stroke-width: 2; }
            .copy.streamed { fill: var(--orange); }
            .legend { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 12px 0 0; padding: 0; list-style: none; }
            .legend li { display: flex; align-items: center; gap: 8px; }
            .legend svg { flex: none; width: 28px; height: 16px; }
            .all { font-size: 13px; }
            .all th, .all td { padding: 4px 0 4px 14px; }
            .all th:first-child, .all td:first-child { padding-left: 0; }
            .all th { white-space: normal; }
            .all th:nth-child(-n+5), .all td:nth-child(-n+5) { text-align: left; }
            .all tr.first td { border-top: 1px solid var(--quiet); }
            ol, ul { margin: 8px 0; padding-left: 24px; max-width: 75ch; } li { margin: 4px 0; }
            """;

    /** As far right as a chart goes: a bar beyond is as good as noise, and would make the others small. */
    private static final double HIGHEST = 1.5;

    private BenchPage() {}

    static String html(BenchReport report) {
        List<Markup> body = new ArrayList<>();
        body.add(element("h1").text(subject(report) + " against the device’s own copy"));
        body.add(
                element("p")
                        .text(
                                "Moving the data is what bounds a normalization: each input must be read once and each output"
                                        + " written once. So the ceiling is how quickly the same device copies a tensor of the same"
                                        + " shape, measured in turns with the passes in the same run; 100 % is the quicker of two copies."));
        body.add(Page.definitions(facts(report)));
        body.add(legend());
        body.add(panels(report.measurements()));
        body.addAll(table(report.measurements()));
        body.addAll(method(report));
        body.addAll(Page.reproduce(report.command()));
        return Page.html("clnorm bench", STYLE, body);
    }

    private static String subject(BenchReport report) {
        List<Norm> norms =
                passes(report.measurements()).map(m -> pass(m).norm()).toList();
        return norms.isEmpty()
                ? "Optimizers"
                : norms.stream().allMatch(norm -> norm == Norm.BATCH) ? "Batch normalization" : "Normalizations";
    }

    private static Stream<Measurement> passes(List<Measurement> measurements) {
        return measurements.stream().filter(m -> m.workload() instanceof Workload);
    }

    private static Workload pass(Measurement m) {
        return (Workload) m.workload();
    }

    private static Map<String, String> facts(BenchReport report) {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("Device", report.facts().platform() + ", " + report.facts().name());
        facts.put(
                "Version",
                report.facts().version() + ", driver " + report.facts().driver());
        facts.put(
                "Facts",
                report.facts().toMap().entrySet().stream()
                        .map(fact -> fact.getKey() + " " + fact.getValue())
                        .collect(Collectors.joining(", ")));
        facts.put("Strategy", report.strategy());
        report.machine()
                .forEach((name, value) ->
                        facts.put(name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1), value));
        facts.put(
                "Measured",
                DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm 'UTC'", Locale.ROOT)
                                .format(report.at().atOffset(ZoneOffset.UTC))
                        + ", " + report.measurements().size() + " cases in " + duration(report.seconds()));
        return facts;
    }

    private static String duration(double seconds) {
        return seconds < 100
                ? String.format(Locale.ROOT, "%.0f s", seconds)
                : String.format(Locale.ROOT, "%.0f min", seconds / 60);
    }

    private static Markup legend() {
        return element("ul", "class", "legend")
                .add(
                        entry(BarChart.rect("bar", 0, 3, 28, 10), "a pass, its calls queued"),
                        entry(BarChart.streamedMark(14, 8), "streamed copy: stores past the cache"),
                        entry(BarChart.plainMark(14, 8), "plain copy"));
    }

    private static Markup entry(Markup mark, String text) {
        return element("li")
                .add(
                        element("svg", "viewBox", "0 0 28 16", "aria-hidden", "true")
                                .add(mark),
                        element("span").text(text));
    }

    private static Markup panels(List<Measurement> measurements) {
        double longest =
                measurements.stream().mapToDouble(Measurement::ofCeiling).max().orElse(1);
        double highest = Math.min(HIGHEST, Math.max(1, Math.ceil(longest * 4) / 4));
        Markup panels = element("div", "class", "panels");
        for (Direction direction : Direction.values()) {
            for (Layout layout : Layout.values()) {
                panel(
                        panels,
                        title(direction) + ", " + layout,
                        highest,
                        BenchPage::shape,
                        m -> label(pass(m).fusion()),
                        passes(measurements)
                                .filter(m -> pass(m).norm() == Norm.BATCH
                                        && pass(m).direction() == direction
                                        && pass(m).layout() == layout));
            }
        }
        for (Norm norm : Norm.values()) {
            if (norm != Norm.BATCH) {
                panel(
                        panels,
                        norm.title(),
                        highest,
                        m -> shape(m) + (norm.layouts(pass(m).shape()).size() > 1 ? ", " + pass(m).layout() : ""),
                        m -> m.workload().row().operation(),
                        passes(measurements).filter(m -> pass(m).norm() == norm));
            }
        }
        panel(
                panels,
                "Optimizers, tensors of elements",
                highest,
                BenchPage::shape,
                m -> m.workload().row().name() + ", " + m.workload().row().operation(),
                measurements.stream().filter(m -> m.workload() instanceof OptimizerStep));
        return panels;
    }

    private static String shape(Measurement m) {
        return m.workload().row().size()
                + (m.workload().type() == DataType.FLOAT32
                        ? ""
                        : " " + m.workload().type());
    }

    private static String title(Direction direction) {
        return switch (direction) {
            case FORWARD -> "Training forward";
            case BACKWARD -> "Training backward";
            case INFERENCE -> "Inference";
        };
    }

    /** Adds one, unless there is nothing to show in it. */
    private static void panel(
            Markup panels,
            String title,
            double highest,
            Function<Measurement, String> group,
            Function<Measurement, String> label,
            Stream<Measurement> measurements) {
        Map<String, List<Measurement>> byGroup =
                measurements.collect(Collectors.groupingBy(group, LinkedHashMap::new, Collectors.toList()));
        if (byGroup.isEmpty()) {
            return;
        }
        double[] shares = byGroup.values().stream()
                .flatMap(List::stream)
                .mapToDouble(Measurement::ofCeiling)
                .sorted()
                .toArray();
        List<BarChart.Group> groups = byGroup.entrySet().stream()
                .map(entry -> new BarChart.Group(
                        entry.getKey(),
                        entry.getValue().stream()
                                .map(m -> bar(m, label.apply(m)))
                                .toList()))
                .toList();
        panels.add(element("section", "class", "panel")
                .add(
                        element("h2").text(title),
                        element("p", "class", "quiet")
                                .text("Median " + BarChart.percent(Bench.median(shares)) + " of the ceiling, from "
                                        + BarChart.percent(shares[0]) + " to "
                                        + BarChart.percent(shares[shares.length - 1]) + "."),
                        new BarChart(title + ", shares of the ceiling", highest, groups).svg()));
    }

    private static BarChart.Bar bar(Measurement m, String label) {
        return new BarChart.Bar(
                label,
                m.ofCeiling(),
                m.ofCeiling() / m.ofCopy(),
                m.ofCeiling() / m.ofStreamedCopy(),
                rate(m.gigabytesPerSecond()),
                m.workload().row().name() + " " + m.workload().row().operation() + " "
                        + m.workload().row().size() + " " + m.workload().row().layout() + " "
                        + m.workload().type() + ": "
                        + milliseconds(m.queuedMilliseconds()) + " ms queued, " + milliseconds(m.waitedMilliseconds())
                        + " ms waited for, " + milliseconds(m.kernelMilliseconds()) + " ms of kernels; "
                        + rate(m.gigabytesPerSecond()) + " GB/s, copies " + rate(m.copyGigabytesPerSecond())
                        + " plain and " + rate(m.streamedCopyGigabytesPerSecond()) + " streamed");
    }

    private static String label(Fusion fusion) {
        if (fusion.equals(Fusion.NONE)) {
            return "alone";
        }
        String activation = fusion.activation().equals(Activation.RELU)
                ? "ReLU"
                : fusion.activation().toString();
        return "+ " + (fusion.adds() ? "add, " : "") + activation;
    }

    /** A column of the table. */
    private record Column(String name, Function<Measurement, String> cell) {}

    private static final List<Column> COLUMNS = List.of(
            new Column("norm", m -> m.workload().row().name()),
            new Column("shape", m -> m.workload().row().size()),
            new Column("layout", m -> m.workload().row().layout()),
            new Column("type", m -> m.workload().row().type()),
            new Column("pass", m -> m.workload().row().operation()),
            new Column("queued, ms", m -> milliseconds(m.queuedMilliseconds())),
            new Column("waited, ms", m -> milliseconds(m.waitedMilliseconds())),
            new Column("kernels, ms", m -> milliseconds(m.kernelMilliseconds())),
            new Column("launches", m -> Integer.toString(m.launches())),
            new Column("host, µs", m -> String.format(Locale.ROOT, "%.1f", m.hostMicroseconds())),
            new Column("GB/s", m -> rate(m.gigabytesPerSecond())),
            new Column("plain copy, GB/s", m -> rate(m.copyGigabytesPerSecond())),
            new Column("streamed copy, GB/s", m -> rate(m.streamedCopyGigabytesPerSecond())),
            new Column("of plain copy", m -> ratio(m.ofCopy())),
            new Column("of streamed copy", m -> ratio(m.ofStreamedCopy())));

    private static List<Markup> table(List<Measurement> measurements) {
        Markup head = element("tr")
                .add(COLUMNS.stream().map(c -> element("th").text(c.name())).toList());
        Markup table = element("table", "class", "all").add(head);
        String above = null;
        for (Measurement m : measurements) {
            String block = m.workload().row().name() + shape(m);
            boolean first = above != null && !above.equals(block);
            above = block;
            table.add((first ? element("tr", "class", "first") : element("tr"))
                    .add(COLUMNS.stream()
                            .map(c -> element("td").text(c.cell().apply(m)))
                            .toList()));
        }
        return List.of(
                element("h2").text("In numbers"),
                element("div", "class", "wide").add(table));
    }

    private static List<Markup> method(BenchReport report) {
        long rotation = Bench.rotationBytes(report.facts());
        return List.of(
                element("h2").text("How it was measured"),
                list(List.of(
                        "Queued: calls are queued for " + Math.round(Bench.BLOCK_SECONDS * 1e3)
                                + " ms, then waited for together; the time is the wall clock’s, by call. It is what a"
                                + " training loop sees. GB/s and ratios are of this time.",
                        "Waited: the same, but each call is waited for before the next. It is what a program sees that"
                                + " needs the result at once.",
                        "Kernels: the sum over a call’s kernels, by the device’s own clock, without what lies between"
                                + " them; on a queue of its own, one launch at a time.",
                        "Host: how long a queued call takes until it returns, below a layer’s checks of its arguments.",
                        "In each of " + Bench.ROUNDS
                                + " rounds the plain copy, the streamed copy, the queued calls, the"
                                + " waited calls and the kernels have a turn. A ratio is that of two rates of the same"
                                + " round. All figures are medians over the rounds, so a ratio may differ a little from"
                                + " that of the figures beside it.",
                        "GB/s counts each input read once and each output written once, in 10⁹ bytes: training forward"
                                + " and inference read x and write y; backward reads x and dy and writes dx. A residual"
                                + " is one tensor more to read in a forward pass; in a backward pass y is one more to"
                                + " read, and the residual’s gradient one to write. γ, β and statistics do not count. An optimizer’s step reads and writes the parameters and each"
                                + " moment and reads the gradients, twice where it clips by their norm.",
                        "Calls go round through " + (rotation >> 20) + " MiB of such inputs and outputs, but at most "
                                + Bench.MOST_SETS + " sets. So large shapes are read from memory each time; the"
                                + " smallest may stay in a cache, and their times are those of launches.",
                        "Stores past the cache save a CPU from reading what it is about to overwrite. Where the compiler"
                                + " or the device knows no such stores, both copies are the same.")));
    }

    private static Markup list(Collection<String> items) {
        return element("ul")
                .add(items.stream().map(item -> element("li").text(item)).toList());
    }

    /** With three digits that count. */
    private static String milliseconds(double value) {
        return String.format(Locale.ROOT, value < 1 ? "%.4f" : value < 10 ? "%.3f" : "%.2f", value);
    }

    private static String rate(double gigabytesPerSecond) {
        return String.format(Locale.ROOT, gigabytesPerSecond < 100 ? "%.1f" : "%.0f", gigabytesPerSecond);
    }

    private static String ratio(double value) {
        return String.format(Locale.ROOT, "%.2f", value);
    }
}
