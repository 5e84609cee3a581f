package org.clnorm.study;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.StringReader;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.xml.parsers.DocumentBuilderFactory;
import org.clnorm.Device;
import org.clnorm.example.Digits;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

/** Every experiment at a tiny setting, and the page of them. */
final class StudyTest {
    private static final Effort TINY = new Effort("tiny", 2, 0.02);
    private static final List<StudyPage.Result> RESULTS = new ArrayList<>();

    @BeforeAll
    static void study() throws Exception {
        try (Device device = Device.cpuReference()) {
            Lab lab = new Lab(device, TINY, Digits.bundled());
            for (Experiment experiment : Experiments.ALL) {
                RESULTS.add(new StudyPage.Result(experiment, experiment.method(lab), experiment.run(lab), 1.5));
            }
        }
    }

    private static String html() {
        return StudyPage.html(Map.of("Device", "<none> & \"co\""), TINY, RESULTS, "clnorm study --only 'a&b'");
    }

    private static Document parsed(String html) throws Exception {
        return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(html)));
    }

    @Test
    void experiments_atATinySetting_giveFiniteNumbers() {
        for (StudyPage.Result result : RESULTS) {
            assertThat(result.finding().plots()).as(result.experiment().name()).isNotEmpty();
            for (Plot plot : result.finding().plots()) {
                assertThat(plot.series()).as(plot.title()).isNotEmpty().allSatisfy(series -> {
                    assertThat(series.points()).as(series.name()).hasSizeGreaterThan(2);
                    assertThat(series.points())
                            .as(plot.title() + ", " + series.name())
                            .allMatch(point -> Double.isFinite(point.y().mean())
                                    && Double.isFinite(point.y().half()));
                });
            }
        }
    }

    @Test
    void experiments_atATinySetting_giveAVerdict() {
        for (StudyPage.Result result : RESULTS) {
            Verdict verdict = result.finding().verdict();
            assertThat(verdict.checks()).as(result.experiment().name()).hasSizeGreaterThan(1);
            assertThat(verdict.sentence()).contains(": it ").endsWith(".");
            assertThat(verdict.checks())
                    .allSatisfy(check -> assertThat(check.numbers()).doesNotContain("no number", "∞"));
        }
    }

    /** What does not hang on chance, nor on how long networks are trained. */
    @Test
    void experiments_ofFormulas_findThem() {
        assertThat(finding("scale").checks().get(0).outcome()).isEqualTo(Check.Outcome.YES);
        assertThat(finding("scale").checks().get(2).outcome()).isEqualTo(Check.Outcome.NO);
        assertThat(finding("jacobian").checks().get(0).outcome()).isEqualTo(Check.Outcome.YES);
        assertThat(finding("sigmoid").checks().get(0).outcome()).isEqualTo(Check.Outcome.YES);
        assertThat(finding("sigmoid").checks().get(2).outcome()).isEqualTo(Check.Outcome.NO);
        assertThat(finding("bias").checks().get(1).outcome()).isEqualTo(Check.Outcome.YES);
    }

    private static Finding finding(String name) {
        return RESULTS.stream()
                .filter(result -> result.experiment().name().equals(name))
                .findFirst()
                .orElseThrow()
                .finding();
    }

    @Test
    void experiments_all_sayWhatTheyAreOf() {
        Set<String> names = new HashSet<>();
        for (StudyPage.Result result : RESULTS) {
            Experiment experiment = result.experiment();
            assertThat(names.add(experiment.name())).as(experiment.name()).isTrue();
            assertThat(experiment.name()).matches("[a-z]+");
            assertThat(experiment.claim()).endsWith(".");
            assertThat(result.method()).endsWith(".");
            assertThat(experiment.source()).doesNotEndWith(".").hasSizeGreaterThan(20);
        }
        assertThat(names).as("the claims of the issue").hasSizeGreaterThanOrEqualTo(15);
    }

    @Test
    void named_unknown_saysWhichThereAre() {
        assertThat(Experiments.named(List.of("hessian", "rates")))
                .extracting(Experiment::name)
                .as("in the order of the page")
                .containsExactly("rates", "hessian");
        assertThat(Experiments.named(List.of())).isEqualTo(Experiments.ALL);
        assertThatThrownBy(() -> Experiments.named(List.of("rates", "covariates")))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("no experiment covariates; there are rates, weights");
    }

    @Test
    void effort_oneSeed_isRefused() {
        assertThatThrownBy(() -> Effort.FULL.seeds(1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("2 to 1000 seeds");
        assertThat(Effort.FULL.seeds())
                .as("error bars over at least five seeds")
                .isGreaterThanOrEqualTo(5);
    }

    @Test
    void page_anyResults_isWellFormedAndHasEachClaim() throws Exception {
        Document page = parsed(html());
        String text = page.getDocumentElement().getTextContent();
        assertThat(page.getElementsByTagName("section").getLength()).isEqualTo(Experiments.ALL.size());
        for (StudyPage.Result result : RESULTS) {
            assertThat(text)
                    .contains(
                            result.experiment().title(),
                            result.experiment().claim(),
                            result.method(),
                            result.finding().verdict().sentence());
        }
        assertThat(text).contains("This is a tiny look: 2 seeds, 2 % of the training steps");
    }

    @Test
    void page_links_leadToItsOwnClaims() throws Exception {
        Document page = parsed(html());
        Set<String> ids = new HashSet<>();
        NodeList sections = page.getElementsByTagName("section");
        for (int i = 0; i < sections.getLength(); i++) {
            ids.add("#" + sections.item(i).getAttributes().getNamedItem("id").getNodeValue());
        }
        NodeList links = page.getElementsByTagName("a");
        assertThat(links.getLength()).isEqualTo(ids.size());
        for (int i = 0; i < links.getLength(); i++) {
            assertThat(ids)
                    .contains(links.item(i).getAttributes().getNamedItem("href").getNodeValue());
        }
    }

    @Test
    void page_needsNothingElse() {
        assertThat(html())
                .as("one file that can be sent to somebody")
                .doesNotContain("http:", "https:", "src=", "url(", "@import");
    }

    @Test
    void page_figures_drawNumbersWithinThePicture() throws Exception {
        Document page = parsed(html());
        for (String tag : List.of("path", "line", "circle", "text")) {
            NodeList shapes = page.getElementsByTagName(tag);
            for (int i = 0; i < shapes.getLength(); i++) {
                for (String attribute : List.of("d", "x", "y", "cx", "cy", "x1", "x2", "y1", "y2")) {
                    var value = shapes.item(i).getAttributes().getNamedItem(attribute);
                    if (value != null) {
                        assertThat(value.getNodeValue())
                                .as("%s of a %s", attribute, tag)
                                .matches("[-MLlhvz0-9. ]+");
                    }
                }
                var x = shapes.item(i).getAttributes().getNamedItem("x");
                if (x != null) {
                    assertThat(Double.parseDouble(x.getNodeValue())).isBetween(0.0, 520.0);
                }
            }
        }
    }

    @Test
    void page_fullStudy_isNotCalledALook() {
        assertThat(StudyPage.html(Map.of(), Effort.FULL, RESULTS, "")).doesNotContain("This is a");
    }

    @Test
    void figure_zeroOnALogarithmicAxis_isLeftOut() {
        Plot plot = Plot.of(
                "",
                Plot.logarithmic("x"),
                Plot.logarithmic("y"),
                new Series(
                        "a",
                        List.of(
                                new Series.Point(1, Estimate.of(0, 0)),
                                new Series.Point(10, Estimate.of(1, 2)),
                                new Series.Point(100, Estimate.of(Double.NaN, 2)))));

        assertThat(Figure.svg(plot).toString())
                .doesNotContain("NaN", "Infinity")
                .containsOnlyOnce("<title>");
        assertThat(plot.rows().get(0)).as("the table has it").containsExactly("1", "0 ± 0");
    }
}
