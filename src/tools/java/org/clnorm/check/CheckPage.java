package org.clnorm.check;

import static org.clnorm.report.Markup.element;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.clnorm.check.CheckReport.Failure;
import org.clnorm.check.CheckReport.Row;
import org.clnorm.report.Markup;
import org.clnorm.report.Page;

/** A report as one page of HTML. */
final class CheckPage {
    private static final String STYLE = """
            .failure { border-left: 4px solid var(--bad); padding: 2px 0 2px 16px; margin: 20px 0; }
            .failure h3 { margin-top: 0; }
            .matrix td { text-align: center; padding: 4px 10px; }
            .matrix td:first-child { text-align: left; padding-left: 0; }
            """;

    private final CheckReport report;

    CheckPage(CheckReport report) {
        this.report = report;
    }

    /** @param command what to type to have the page made again */
    String html(String title, String command) {
        List<Markup> body = new ArrayList<>();
        body.add(element("h1").text(title));
        body.add(element("p", "class", "quiet").text(report.kernel() + " on " + report.device()));
        long passed = report.outcomes().stream().filter(Outcome::passed).count();
        body.add(element("p", "class", report.passed() ? "good" : "bad")
                .text(passed + " of " + report.cases() + " cases pass" + report.notRun()));
        report.failures().forEach(failure -> body.add(failure(failure)));
        if (!report.arrays().isEmpty()) {
            body.add(element("h2").text("Errors"));
            body.add(element("p")
                    .text(
                            "Of each array the element that comes nearest to its bound, or is beyond it. The bound is what"
                                    + " float32's rounding explains for that shape and data."));
            body.add(Page.table(List.of("array", "error", "bound", "of bound", "in"), rows()));
        }
        if (report.speed() != null) {
            body.add(element("h2").text("Speed"));
            body.add(element("p").text(report.speed().toString()));
        }
        body.add(element("h2").text("Shapes and data"));
        body.add(grid());
        body.add(element("p", "class", "quiet").text("Of large shapes not all is run (-). " + data()));
        body.addAll(Page.reproduce(command));
        return Page.html(title, STYLE, body);
    }

    private static Markup failure(Failure failure) {
        Markup box = element("div", "class", "failure")
                .add(element("h3", "class", "bad")
                        .text(CheckReport.words(failure.kind())
                                + (failure.array().isEmpty() ? "" : ": " + failure.array())));
        box.add(element("p").text(failure.text()));
        if (!failure.mistake().isEmpty()) {
            box.add(element("p").text("Likely: " + failure.mistake()));
        }
        return box.add(
                element("p", "class", "quiet").text("Smallest case: " + failure.smallest() + "; " + failure.shapes()));
    }

    private List<List<String>> rows() {
        List<List<String>> rows = new ArrayList<>();
        for (Row row : report.arrays()) {
            rows.add(List.of(
                    row.array(),
                    String.format(Locale.ROOT, "%.2e", row.worst().error()),
                    String.format(Locale.ROOT, "%.2e", row.worst().bound()),
                    CheckReport.ofBound(row.worst()),
                    row.where()));
        }
        return rows;
    }

    private static String data() {
        return Arrays.stream(Data.values())
                .map(data -> data + ": " + data.words)
                .collect(Collectors.joining("; ", "The data: ", "."));
    }

    private Markup grid() {
        Map<String, Map<Data, Boolean>> shapes = new LinkedHashMap<>();
        Set<Data> columns = new LinkedHashSet<>(List.of(Data.values()));
        for (Outcome outcome : report.outcomes()) {
            shapes.computeIfAbsent(outcome.where(), where -> new LinkedHashMap<>())
                    .put(outcome.data(), outcome.passed());
        }
        List<String> heading = new ArrayList<>(List.of("shape"));
        columns.forEach(data -> heading.add(data.toString()));
        Markup table = Page.rows(heading, List.of());
        shapes.forEach((where, passed) -> {
            Markup row = element("tr").add(element("td").text(where));
            for (Data data : columns) {
                Boolean pass = passed.get(data);
                row.add(element("td", "class", pass == null ? "quiet" : pass ? "good" : "bad")
                        .text(pass == null ? "-" : pass ? "pass" : "FAIL"));
            }
            table.add(row);
        });
        return element("div", "class", "wide matrix").add(table);
    }
}
