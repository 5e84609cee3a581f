package org.clnorm.study;

import static org.clnorm.report.Markup.element;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.clnorm.report.Markup;
import org.clnorm.report.Page;

/** The page that a study leaves. */
final class StudyPage {
    private static final String STYLE = Figure.STYLE + """
            a { color: inherit; }
            .panel { padding: 16px 20px 12px; } .panel h3 { margin: 0 0 12px; }
            .panels { margin: 16px 0; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); }
            .panel svg { max-width: 560px; margin: 0 auto; }
            p.verdict { color: var(--text); font-weight: 600; border-left: 4px solid; padding-left: 14px; max-width: 90ch; }
            p.verdict.good { border-color: var(--good); } p.verdict.bad { border-color: var(--bad); }
            p.verdict.partly { border-color: var(--orange); } p.verdict.open { border-color: var(--quiet); }
            .claim { border-left: 4px solid var(--rule); padding-left: 14px; font-style: italic; }
            .word { font-weight: 600; } .partly { color: var(--orange); } .open { color: var(--quiet); }
            .verdicts td { text-align: left; white-space: normal; vertical-align: top; }
            .verdicts th { text-align: left; }
            .checks { margin: 8px 0; padding: 0; list-style: none; max-width: 90ch; }
            .checks li { display: grid; grid-template-columns: 8.5em 1fr; gap: 12px; padding: 5px 0;
              border-bottom: 1px solid var(--rule); }
            .numbers { color: var(--quiet); font-variant-numeric: tabular-nums; }
            details { margin: 12px 0; } details h3 { margin-top: 14px; }
            details table { font-size: 14px; } details td, details th { padding: 3px 18px 3px 0; }
            section { border-top: 1px solid var(--rule); margin-top: 40px; }
            """;

    /** An experiment, what it found, how it was done, and how long it took. */
    record Result(Experiment experiment, String method, Finding finding, double seconds) {}

    private StudyPage() {}

    static String html(Map<String, String> facts, Effort effort, List<Result> results, String command) {
        List<Markup> body = new ArrayList<>();
        body.add(element("h1").text("What is told of batch normalization, measured"));
        body.add(element("p")
                .text("Each claim is put as it is usually told, split into parts that numbers can decide, and"
                        + " measured with the library's own layers on the device below, over " + effort.seeds()
                        + " seeds. What fails is said to fail: on networks this small, that refutes the claim as a rule, not"
                        + " where it was first seen."));
        if (effort.share() < 1) {
            body.add(element("p", "class", "bad")
                    .text(String.format(
                            Locale.ROOT,
                            "This is a %s look: %d seeds, %.0f %% of the training steps and samples of the full study."
                                    + " Verdicts may differ from the full study's.",
                            effort.name(),
                            effort.seeds(),
                            100 * effort.share())));
        }
        body.add(Page.definitions(facts));
        body.add(element("h2").text("Verdicts"));
        body.add(element("div", "class", "wide").add(verdicts(results)));
        body.add(element("p", "class", "quiet")
                .text(
                        "Error bars, and ± in tables, are the 95 % interval of the mean over seeds, by Student's t. A part"
                                + " of a claim holds where all of its interval is on the side asked for, does not where all of it"
                                + " is on the other side, and is open else. A claim holds if all parts do, and holds partly if"
                                + " some do. No correction is made for the number of parts: of twenty true borderline ones,"
                                + " one may come out wrong by chance."));
        results.forEach(result -> body.add(section(result)));
        body.addAll(Page.reproduce(command));
        return Page.html("clnorm study", STYLE, body);
    }

    private static Markup verdicts(List<Result> results) {
        Markup table =
                element("table", "class", "verdicts").add(row("th", List.of("claim", "verdict", "parts that hold")));
        for (Result result : results) {
            Verdict verdict = result.finding().verdict();
            table.add(element("tr")
                    .add(
                            element("td")
                                    .add(element(
                                                    "a",
                                                    "href",
                                                    "#" + result.experiment().name())
                                            .text(result.experiment().title())),
                            element("td").add(word(verdict)),
                            element("td").text(verdict.count())));
        }
        return table;
    }

    private static Markup row(String cell, List<String> texts) {
        return element("tr")
                .add(texts.stream().map(text -> element(cell).text(text)).toList());
    }

    private static Markup word(Verdict verdict) {
        return element("span", "class", "word " + style(verdict))
                .text(verdict.word().toString());
    }

    private static String style(Verdict verdict) {
        return switch (verdict.word()) {
            case HOLDS -> "good";
            case PARTLY -> "partly";
            case FAILS -> "bad";
            case OPEN -> "open";
        };
    }

    private static Markup section(Result result) {
        Experiment experiment = result.experiment();
        Verdict verdict = result.finding().verdict();
        Markup panels = element("div", "class", "panels");
        Markup numbers = element("details").add(element("summary").text("The numbers"));
        for (Plot plot : result.finding().plots()) {
            panels.add(element("div", "class", "panel").add(element("h3").text(plot.title()), Figure.svg(plot)));
            numbers.add(
                    element("h3").text(plot.title() + ": " + plot.y().label()),
                    Page.table(plot.heading(), plot.rows()));
        }
        return element("section", "id", experiment.name())
                .add(
                        element("h2").text(experiment.title()),
                        element("p", "class", "claim").text(experiment.claim()),
                        element("p", "class", "quiet").text("From: " + experiment.source() + "."),
                        element("p").text(result.method()),
                        panels,
                        element("p", "class", "verdict " + style(verdict)).text(verdict.sentence()),
                        checks(verdict),
                        numbers,
                        element("p", "class", "quiet")
                                .text(String.format(
                                        Locale.ROOT,
                                        "clnorm study --only %s; %.0f s here.",
                                        experiment.name(),
                                        result.seconds())));
    }

    private static Markup checks(Verdict verdict) {
        Markup list = element("ul", "class", "checks");
        for (Check check : verdict.checks()) {
            list.add(element("li")
                    .add(
                            outcome(check.outcome()),
                            element("span")
                                    .add(
                                            element("span").text(capital(check.part()) + "."),
                                            element("br"),
                                            element("span", "class", "numbers")
                                                    .text(capital(check.measure()) + ": " + check.numbers() + "."))));
        }
        return list;
    }

    private static Markup outcome(Check.Outcome outcome) {
        return switch (outcome) {
            case YES -> element("span", "class", "good").text("holds");
            case NO -> element("span", "class", "bad").text("does not hold");
            case OPEN -> element("span", "class", "quiet").text("open");
        };
    }

    private static String capital(String text) {
        return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
    }
}
