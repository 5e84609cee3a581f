package org.clnorm.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.StringReader;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.plan.DeviceFacts;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

final class BenchReportTest {
    private static final Shape IMAGE = Shape.of(8, 64, 112, 112);
    private static final Shape ROWS = Shape.of(128, 128);

    private static Measurement measurement(
            Direction direction, Shape shape, Layout layout, double ofCopy, double ofStreamedCopy) {
        Workload workload = new Workload(direction, shape, layout, Fusion.ADD_RELU);
        return new Measurement(workload, 2.5, 2.75, 2.25, 3, 12.5, 30, 40, 60, ofCopy, ofStreamedCopy);
    }

    private static final List<Measurement> ALL = List.of(
            measurement(Direction.FORWARD, IMAGE, Layout.CHANNELS_FIRST, 0.9, 0.6),
            measurement(Direction.BACKWARD, IMAGE, Layout.CHANNELS_FIRST, 0.4, 0.8),
            measurement(Direction.FORWARD, IMAGE, Layout.CHANNELS_LAST, 1, 0.5),
            measurement(Direction.FORWARD, ROWS, Layout.CHANNELS_FIRST, 7, 7));

    private static BenchReport report(String name, List<Measurement> measurements) {
        DeviceFacts facts = new DeviceFacts(
                DeviceInfo.Kind.GPU,
                "a platform",
                name,
                "a vendor",
                "OpenCL 1.2",
                "1.5",
                4,
                1,
                256,
                32 << 10,
                256 << 20,
                64L << 30,
                8L << 30,
                "");
        return new BenchReport(
                "0:0 " + name,
                facts,
                "auto",
                Map.of("system", "a system"),
                Instant.parse("2024-02-03T04:05:06.789Z"),
                61,
                measurements,
                "bench --html 'a&b<c>'");
    }

    private static Document page(BenchReport report) throws Exception {
        String html = report.toHtml();
        return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(html)));
    }

    private static List<Element> elements(Document page, String name, String style) {
        NodeList all = page.getElementsByTagName(name);
        List<Element> those = new ArrayList<>();
        for (int i = 0; i < all.getLength(); i++) {
            Element element = (Element) all.item(i);
            if (element.getAttribute("class").equals(style)) {
                those.add(element);
            }
        }
        return those;
    }

    /** In a chart; the legend has some too. */
    private static List<Element> charted(Document page, String name, String style) {
        return elements(page, name, style).stream()
                .filter(element -> element.getParentNode().getNodeName().equals("g"))
                .toList();
    }

    @Test
    void toHtml_anyMeasurements_isWellFormedWithABarAndARowForEach() throws Exception {
        Document page = page(report("a device", ALL));

        assertThat(charted(page, "rect", "bar")).hasSize(ALL.size());
        assertThat(charted(page, "circle", "copy plain")).hasSize(ALL.size());
        assertThat(charted(page, "rect", "copy streamed")).hasSize(ALL.size());
        assertThat(elements(page, "section", "panel"))
                .as("forward and backward channels-first, forward channels-last")
                .hasSize(3);
        assertThat(page.getElementsByTagName("tr").getLength()).isEqualTo(1 + ALL.size());
    }

    @Test
    void toHtml_otherNormalizations_haveAPanelEachWithGroupsByShapeAndLayout() throws Exception {
        List<Measurement> all = new ArrayList<>(ALL);
        for (Norm norm : List.of(Norm.LAYER, Norm.GROUP)) {
            for (Direction direction : norm.directions()) {
                Shape shape = norm.shapes().get(0);
                Workload workload =
                        new Workload(norm, direction, shape, norm.layouts(shape).get(0), Fusion.NONE);
                all.add(new Measurement(workload, 2.5, 2.75, 2.25, 1, 12.5, 30, 40, 60, 0.9, 0.6));
            }
        }
        Document page = page(report("a device", all));

        assertThat(charted(page, "rect", "bar")).hasSize(all.size());
        assertThat(elements(page, "section", "panel")).hasSize(5);
        assertThat(charted(page, "text", "label"))
                .extracting(Element::getTextContent)
                .contains("forward", "backward", "+ add, ReLU");
        assertThat(elements(page, "text", "group"))
                .extracting(Element::getTextContent)
                .contains("(4096, 1024)", "(32, 64, 56, 56), channels-first");
        assertThat(page.getElementsByTagName("h1").item(0).getTextContent()).startsWith("Normalizations against");
    }

    @Test
    void toHtml_barsAndMarks_areWhereTheSharesSay() throws Exception {
        Document page = page(report("a device", ALL.subList(0, 3)));
        // 0 % is at 88 and 100 %, the highest here, at 400.
        assertThat(charted(page, "rect", "bar"))
                .extracting(bar -> Double.parseDouble(bar.getAttribute("width")))
                .as("forward, forward channels-last, backward: 60, 50 and 40 % of the quicker copy")
                .containsExactlyInAnyOrder(187.2, 156.0, 124.8);
        assertThat(charted(page, "circle", "copy plain"))
                .extracting(mark -> Double.parseDouble(mark.getAttribute("cx")))
                .containsExactlyInAnyOrder(296.0, 244.0, 400.0);
    }

    @Test
    void toHtml_aBarBeyondTheChart_isCutAndItsNumberIsNot() throws Exception {
        Document page = page(report("a device", ALL));

        assertThat(charted(page, "rect", "bar"))
                .extracting(bar -> Double.parseDouble(bar.getAttribute("width")))
                .allMatch(width -> width <= 312);
        assertThat(charted(page, "text", "share"))
                .extracting(Element::getTextContent)
                .contains("700 %", "60 %");
    }

    @Test
    void toHtml_optimizers_haveAPanelWithAGroupForEachSize() throws Exception {
        List<OptimizerStep> steps = OptimizerStep.all(OptimizerStep.TENSORS);
        Document page = page(report(
                "a device",
                steps.stream()
                        .map(step -> new Measurement(step, 2.5, 2.75, 2.25, 1, 12.5, 30, 40, 60, 0.9, 0.6))
                        .toList()));

        assertThat(elements(page, "section", "panel")).hasSize(1);
        assertThat(charted(page, "rect", "bar")).hasSize(steps.size());
        assertThat(elements(page, "text", "group")).hasSize(2);
        assertThat(page.getElementsByTagName("tr").getLength()).isEqualTo(1 + steps.size());
        assertThat(page.getElementsByTagName("h1").item(0).getTextContent())
                .isEqualTo("Optimizers against the device’s own copy");
    }

    @Test
    void toHtml_oneMeasurement_showsAllThreeTimes() throws Exception {
        Document page = page(report("a device", ALL.subList(0, 1)));

        NodeList cells = page.getElementsByTagName("td");
        List<String> row = new ArrayList<>();
        for (int i = 0; i < cells.getLength(); i++) {
            row.add(cells.item(i).getTextContent());
        }
        assertThat(row)
                .containsExactly(
                        "batch",
                        "(8, 64, 112, 112)",
                        "channels-first",
                        "float32",
                        "forward+add+relu",
                        "2.500",
                        "2.750",
                        "2.250",
                        "3",
                        "12.5",
                        "30.0",
                        "40.0",
                        "60.0",
                        "0.90",
                        "0.60");
        assertThat(page.getDocumentElement().getTextContent())
                .contains("2024-02-03 04:05 UTC, 1 cases in 61 s")
                .contains("Calls go round through 1024 MiB");
    }

    @Test
    void toHtml_hostileNames_areTextNotMarkup() throws Exception {
        String name = "<script>alert('x')</script> & \"co\" \u0000\u001b[31m";
        Document page = page(report(name, ALL));

        assertThat(page.getElementsByTagName("script").getLength()).isZero();
        assertThat(page.getElementsByTagName("dd").item(0).getTextContent())
                .isEqualTo("a platform, <script>alert('x')</script> & \"co\" \ufffd\ufffd[31m");
        assertThat(page.getElementsByTagName("pre").item(0).getTextContent()).isEqualTo("bench --html 'a&b<c>'");
    }

    @Test
    void toHtml_style_isTakenAsItIs() {
        String html = report("a device", ALL).toHtml();
        assertThat(html.substring(html.indexOf("<style>"), html.indexOf("</style>")))
                .as("browsers do not read entities there")
                .doesNotContain("&");
    }

    @Test
    void toHtml_needsNothingElse() {
        assertThat(report("a device", ALL).toHtml())
                .as("one file that can be sent to somebody")
                .doesNotContain("http:", "https:", "src=", "href=", "url(", "@import", "<script");
    }

    @Test
    void toJson_ofAClockThatStandsStill_isJsonAllTheSame() {
        BenchReport report = report(
                "a device",
                List.of(measurement(
                        Direction.FORWARD, IMAGE, Layout.CHANNELS_FIRST, Double.NaN, Double.POSITIVE_INFINITY)));

        JsonObject row = JsonParser.parseString(report.toJson())
                .getAsJsonObject()
                .getAsJsonArray("measurements")
                .get(0)
                .getAsJsonObject();
        assertThat(row.get("of_copy").getAsString()).isEqualTo("NaN");
        assertThat(row.get("of_streamed_copy").getAsString()).isEqualTo("Infinity");
    }

    @Test
    void toJson_aReport_hasEveryFigureUnderItsName() {
        JsonObject json =
                JsonParser.parseString(report("a <device>", ALL).toJson()).getAsJsonObject();

        assertThat(json.keySet())
                .containsExactly(
                        "device", "version", "driver", "facts", "strategy", "machine", "at", "seconds", "measurements");
        assertThat(json.get("device").getAsString()).isEqualTo("0:0 a <device>");
        assertThat(json.get("at").getAsString()).isEqualTo("2024-02-03T04:05:06Z");
        assertThat(json.getAsJsonArray("measurements")).hasSize(ALL.size());
        assertThat(json.getAsJsonArray("measurements").get(0)).isEqualTo(JsonParser.parseString("""
                        {"norm": "batch", "shape": [8, 64, 112, 112], "layout": "channels-first", "type": "float32",
                         "pass": "forward+add+relu", "ms": 2.5, "waited_ms": 2.75, "kernel_ms": 2.25, "launches": 3, "host_us": 12.5,
                         "minimal_bytes": 77070336, "gb_per_s": 30.0, "copy_gb_per_s": 40.0,
                         "streamed_copy_gb_per_s": 60.0, "of_copy": 0.9, "of_streamed_copy": 0.6}
                        """));
    }
}
