package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the README says, done: its code compiles, the first example prints what is shown, its links lead somewhere. */
final class ReadmeTest {
    private static final String README = "README.md";
    private static final Pattern EXAMPLE_AND_OUTPUT =
            Pattern.compile("(?ms)^```java\\n(.*?)^```.*?^```text\\n(.*?)^```");
    private static final Pattern PRINTED = Pattern.compile("(?m)^(weight|bias|y) \\[(.*)]$");
    private static final double PRECISION = 1e-4;

    @TempDir
    private Path folder;

    @Test
    void code_asItStands_compiles() throws IOException {
        assertThat(CodeBlocks.compileAll(README, folder))
                .as(
                        "the usage example, two passes of a layer, a batch on two devices, a program's own buffers, and parts")
                .hasSizeGreaterThan(4);
    }

    @Test
    void usageExample_onTheDefaultDevice_learnsTheDataAndPrintsWhatIsShown() throws Exception {
        MatchResult example = EXAMPLE_AND_OUTPUT
                .matcher(CodeBlocks.read(README))
                .results()
                .findFirst()
                .orElseThrow();
        Map<String, double[]> shown = lastPrinted(example.group(2));
        Map<String, double[]> printed = lastPrinted(run(example.group(1)));

        assertThat(shown).as("the output that the README shows").containsOnlyKeys("weight", "bias", "y");
        shown.forEach((name, values) -> assertThat(printed.get(name))
                .as("a reader who runs the example must see the %s that is shown", name)
                .containsExactly(values, within(PRECISION)));
        byHand().forEach((name, values) -> assertThat(printed.get(name))
                .as("%s, worked out by hand", name)
                .containsExactly(values, within(PRECISION)));
    }

    @Test
    void links_leadSomewhere() throws IOException {
        assertThat(CodeBlocks.links(README))
                .as("the pages that the README is the way to")
                .contains("docs/guide.md", "docs/design.md", "CHANGELOG.md");
        assertThat(CodeBlocks.deadLinks(README))
                .as("a reader who follows a link must find something")
                .isEmpty();
    }

    /** The channels are k, 2k, 3k, 4k; the layer learns to undo its normalization; the running statistics lag. */
    private static Map<String, double[]> byHand() {
        double[] gamma = new double[2];
        double[] beta = new double[2];
        double[] y = new double[8];
        double initial = Math.pow(0.9, 30);
        for (int channel = 0; channel < 2; channel++) {
            double k = channel == 0 ? 1 : 10;
            double mean = 2.5 * k;
            double variance = 1.25 * k * k;
            gamma[channel] = Math.sqrt(variance + 1e-5);
            beta[channel] = mean;
            double runningMean = (1 - initial) * mean;
            double runningVariance = initial + (1 - initial) * variance * 4 / 3;
            for (int row = 0; row < 4; row++) {
                y[2 * row + channel] =
                        ((row + 1) * k - runningMean) / Math.sqrt(runningVariance + 1e-5) * gamma[channel] + mean;
            }
        }
        return Map.of("weight", gamma, "bias", beta, "y", y);
    }

    /** What its main method prints. */
    private String run(String source) throws Exception {
        String name = CodeBlocks.compile(source, folder);
        PrintStream before = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader = new URLClassLoader(
                        new URL[] {folder.toUri().toURL()}, getClass().getClassLoader());
                PrintStream out = new PrintStream(printed, true, StandardCharsets.UTF_8)) {
            System.setOut(out);
            loader.loadClass(name).getMethod("main", String[].class).invoke(null, (Object) new String[0]);
        } finally {
            System.setOut(before);
        }
        return printed.toString(StandardCharsets.UTF_8).replace("\r\n", "\n");
    }

    /** The arrays printed under each name, the last one where there are several. */
    private static Map<String, double[]> lastPrinted(String text) {
        Map<String, double[]> arrays = new LinkedHashMap<>();
        PRINTED.matcher(text)
                .results()
                .forEach(m -> arrays.put(
                        m.group(1),
                        Stream.of(m.group(2).split(", "))
                                .mapToDouble(Double::parseDouble)
                                .toArray()));
        return arrays;
    }
}
