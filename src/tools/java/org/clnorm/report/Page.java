package org.clnorm.report;

import static org.clnorm.report.Markup.element;

import java.util.List;
import java.util.Map;

/** A page of HTML: one file that needs nothing else, for light and dark screens. */
public final class Page {
    private static final String STYLE = """
            :root { color-scheme: light dark; --page: #ffffff; --text: #1b1f24; --quiet: #57606a; --rule: #d8dee4;
              --panel: #f6f8fa; --blue: #0072b2; --orange: #d55e00; --good: #116329; --bad: #b3261e; }
            @media (prefers-color-scheme: dark) { :root { --page: #101418; --text: #e6e9ec; --quiet: #9aa4ae;
              --rule: #2f3740; --panel: #181d23; --blue: #56b4e9; --orange: #f0914a; --good: #6fcf84;
              --bad: #ff8a80; } }
            * { box-sizing: border-box; }
            body { margin: 0 auto; max-width: 1120px; padding: 32px 24px 64px; background: var(--page);
              color: var(--text); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
            h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px; }
            h2 { font-size: 20px; margin: 40px 0 12px; }
            h3 { font-size: 15px; margin: 22px 0 6px; }
            p { margin: 8px 0; max-width: 75ch; }
            .quiet { color: var(--quiet); }
            .panels { display: grid; gap: 24px; margin-top: 28px;
              grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
            .panel { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: 20px; }
            .panel h2 { margin: 0 0 10px; }
            .panel svg { display: block; width: 100%; }
            svg text { font-size: 12px; fill: var(--quiet); font-family: inherit; }
            .grid { stroke: var(--rule); } .axis { stroke: var(--quiet); }
            .wide { overflow-x: auto; }
            table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
            th, td { padding: 6px 18px 6px 0; text-align: right; border-bottom: 1px solid var(--rule);
              vertical-align: bottom; white-space: nowrap; }
            th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
            dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 12px 0; }
            dt { color: var(--quiet); } dd { margin: 0; }
            pre { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: 14px 16px;
              overflow-x: auto; font: 14px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
            summary { cursor: pointer; margin-top: 16px; }
            .good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
            """;

    private Page() {}

    /**
     * The whole page.
     *
     * @param style what its own elements look like, besides what all pages have
     */
    public static String html(String title, String style, List<Markup> body) {
        Markup head = element("head")
                .add(
                        element("meta", "charset", "utf-8"),
                        element("meta", "name", "viewport", "content", "width=device-width, initial-scale=1"),
                        element("title").text(title),
                        element("style").text(STYLE + style));
        return "<!DOCTYPE html>\n"
                + element("html", "lang", "en").add(head, element("body").add(body));
    }

    /** Names and what they stand for, in the map's order. */
    public static Markup definitions(Map<String, String> definitions) {
        Markup list = element("dl");
        definitions.forEach((name, value) ->
                list.add(element("dt").text(name), element("dd").text(value)));
        return list;
    }

    /** A table that scrolls where the screen is narrower. */
    public static Markup table(List<String> heading, List<List<String>> rows) {
        return element("div", "class", "wide").add(rows(heading, rows));
    }

    /** A table, to add rows to. */
    public static Markup rows(List<String> heading, List<List<String>> rows) {
        Markup table = element("table").add(row("th", heading));
        rows.forEach(cells -> table.add(row("td", cells)));
        return table;
    }

    private static Markup row(String cell, List<String> texts) {
        return element("tr")
                .add(texts.stream().map(text -> element(cell).text(text)).toList());
    }

    /** What to type to have the page made again. */
    public static List<Markup> reproduce(String command) {
        return List.of(element("h2").text("Do it again"), element("pre").text(command));
    }
}
