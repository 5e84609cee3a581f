package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.StringReader;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.DoubleStream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.clnorm.Shape;
import org.clnorm.diagnostics.Diagnostics;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

final class ReportTest {
    private static final CrossCheck CHECK = new CrossCheck(
            Norm.BATCH,
            Shape.of(100, 128),
            List.of(
                    new CrossCheck.Row("training", "y", 1e-7, 4),
                    new CrossCheck.Row("training", "dγ", Double.NaN, 1),
                    new CrossCheck.Row("evaluation", "y", 0, 0)));

    private static Run run(boolean normalized, double rate, OptionalInt divergedIn, double... losses) {
        List<Run.Epoch> epochs = DoubleStream.of(losses)
                .mapToObj(loss -> new Run.Epoch(loss, Math.exp(-loss), 100, 40))
                .toList();
        return new Run(
                normalized ? Norm.BATCH : Norm.NONE, rate, epochs, List.of(2.5, 2.0, 0.0), divergedIn, List.of());
    }

    private static final List<Run> RUNS = List.of(
            run(true, 0.02, OptionalInt.empty(), 1.2, 0.5, 0.05),
            run(false, 0.02, OptionalInt.empty(), 1.8, 0.9, 0.4),
            run(true, 4, OptionalInt.of(3), 9, 300),
            run(false, 4, OptionalInt.of(1)));

    private static Run looked(boolean normalized, double rate, Diagnostics... looks) {
        Run run = run(normalized, rate, OptionalInt.empty(), 1.2, 0.5);
        return new Run(
                normalized ? Norm.BATCH : Norm.NONE,
                rate,
                run.epochs(),
                run.firstEpoch(),
                run.divergedIn(),
                List.of(looks));
    }

    private static Diagnostics look(long step, double distance, double zeros, long nonFinite) {
        return new Diagnostics(
                "it",
                step,
                new double[] {distance, distance},
                new double[] {0, Math.log(2)},
                new double[] {0.25, zeros},
                new long[] {0, nonFinite},
                new double[] {1, 0.001},
                0.01,
                0,
                0);
    }

    private static Report.Content content(String deviceName, List<Run> runs) {
        return new Report.Content(
                Map.of("Device", deviceName), CHECK, runs, 10, "java -jar x.jar train --images 'a&b<c>'");
    }

    private static Document parsed(String html) throws Exception {
        return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(html)));
    }

    @Test
    void html_anyRuns_isWellFormedWithSixCharts() throws Exception {
        Document page = parsed(Report.html(content("PoCL", RUNS)));
        NodeList images = page.getElementsByTagName("svg");
        int charts = 0;
        for (int i = 0; i < images.getLength(); i++) {
            charts += images.item(i).getAttributes().getNamedItem("role") == null ? 0 : 1;
        }
        assertThat(charts).as("accuracy, loss and first epoch at two rates").isEqualTo(6);
    }

    @Test
    void html_hostileNames_areTextNotMarkup() throws Exception {
        String name = "<script>alert('x')</script> & \"co\" \u0000\u001b[31m";
        String html = Report.html(content(name, RUNS));
        Document page = parsed(html);
        assertThat(page.getElementsByTagName("script").getLength())
                .as("a device's name comes from a driver, and a file's from a user")
                .isZero();
        assertThat(page.getElementsByTagName("dd").item(0).getTextContent())
                .isEqualTo("<script>alert('x')</script> & \"co\" \ufffd\ufffd[31m");
        assertThat(page.getElementsByTagName("pre").item(0).getTextContent())
                .isEqualTo("java -jar x.jar train --images 'a&b<c>'");
    }

    @Test
    void html_needsNothingElse() {
        assertThat(Report.html(content("PoCL", RUNS)))
                .as("one file that can be sent to somebody")
                .doesNotContain("http:", "https:", "src=", "href=", "url(", "@import");
    }

    @Test
    void html_divergedAndZeroLosses_drawsNumbersOnly() throws Exception {
        assertDrawsNumbersOnly(Report.html(content("PoCL", RUNS)));
    }

    private static void assertDrawsNumbersOnly(String html) throws Exception {
        Document page = parsed(html);
        for (String tag : List.of("path", "line", "circle", "rect", "text")) {
            NodeList shapes = page.getElementsByTagName(tag);
            for (int i = 0; i < shapes.getLength(); i++) {
                for (String attribute : List.of("d", "x", "y", "cx", "cy", "x1", "x2", "y1", "y2")) {
                    var value = shapes.item(i).getAttributes().getNamedItem(attribute);
                    if (value != null) {
                        assertThat(value.getNodeValue())
                                .as("%s of a %s", attribute, tag)
                                .matches("[-MLlm0-9. ]+");
                    }
                }
            }
        }
    }

    @Test
    void html_noDiagnoses_doesNotSpeakOfThem() {
        assertThat(Report.html(content("PoCL", RUNS))).doesNotContain("Inside the batch normalizations");
    }

    @Test
    void html_diagnoses_areDrawnAndTold() throws Exception {
        List<Run> runs = List.of(
                looked(true, 0.02, look(20, 0.5, 0.5, 0), look(40, 0, 0.75, 0)),
                RUNS.get(1),
                looked(true, 4, look(20, 0.5, 1, 0), look(40, Double.NaN, 0.5, 3)),
                RUNS.get(3));
        String html = Report.html(content("PoCL", runs));
        assertDrawsNumbersOnly(html);
        assertThat(parsed(html).getDocumentElement().getTextContent())
                .contains("Every 20 training steps, of 2 channels")
                .contains("No channel dead, and all finite, in all looks.")
                .contains("Not all was finite in 1 of 2 looks. Up to 1 of 2 channels dead, 0 at the last look.")
                .containsPattern("dead channels\\s+none\\s+none")
                .containsPattern("below 0.01\\s+1: 1\\s+1: 1")
                .containsPattern("not finite: outputs\\s+none\\s+3")
                .containsPattern("farthest\\s+0.000 σ\\s+–")
                .containsPattern("1.000 to 2.000")
                .contains("step 40: 0.5000");
    }

    @Test
    void html_outcomes_areToldAsTheyAre() throws Exception {
        String text =
                parsed(Report.html(content("PoCL", RUNS))).getDocumentElement().getTextContent();
        assertThat(text)
                .contains("Batch-normalized: 95.12 % in the end, 90 % first reached after epoch 3.")
                .contains("Plain: 67.03 % in the end, 90 % never reached.")
                .contains("Batch-normalized: diverged in epoch 3")
                .contains("Plain: diverged in epoch 1")
                .contains("the device differs from the reference");
        String stopped = Report.html(content(
                "PoCL",
                List.of(RUNS.get(0), run(false, 0.02, OptionalInt.empty(), 100, 2.31), RUNS.get(2), RUNS.get(3))));
        assertThat(stopped).contains("It stopped learning: its loss is no lower than ln 10");
    }

    @Test
    void html_anotherNormalizationOrNone_isNamed() throws Exception {
        List<Run> plain = List.of(RUNS.get(1), RUNS.get(3));
        CrossCheck layer = new CrossCheck(Norm.LAYER, CHECK.shape(), CHECK.rows());
        CrossCheck none = new CrossCheck(Norm.NONE, CHECK.shape(), List.of());

        assertThat(Report.html(new Report.Content(Map.of(), layer, RUNS, 10, "train")))
                .contains("Learning with and without layer normalization", "the device's layer normalization");
        String html = Report.html(new Report.Content(Map.of(), none, plain, 10, "train"));
        assertDrawsNumbersOnly(html);
        assertThat(html)
                .contains("Learning without normalization")
                .doesNotContain("Cross-check", "batch normalization");
    }
}
