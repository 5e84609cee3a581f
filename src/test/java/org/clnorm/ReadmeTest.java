package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.StringWriter;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the README says, done: its examples compile, the first one prints what is shown, its links lead somewhere. */
final class ReadmeTest {
    private static final Path README = Path.of("README.md");
    private static final Pattern CODE = Pattern.compile("^```java\\R(.*?)^```", Pattern.MULTILINE | Pattern.DOTALL);
    private static final Pattern CODE_AND_OUTPUT =
            Pattern.compile("^```java\\R(.*?)^```.*?^```text\\R(.*?)^```", Pattern.MULTILINE | Pattern.DOTALL);
    private static final Pattern CLASS = Pattern.compile("class (\\w+)");
    private static final Pattern ARRAY = Pattern.compile("^(\\w+) \\[(.*)]$", Pattern.MULTILINE);
    private static final Pattern LINK = Pattern.compile("]\\(([^)#:]+)(#[^)]*)?\\)");

    @TempDir
    private Path folder;

    @Test
    void examples_compile() throws IOException {
        List<String> examples =
                CODE.matcher(readme()).results().map(m -> m.group(1)).toList();
        assertThat(examples)
                .as("a reader looks for the usage example and the one with buffers of one's own")
                .hasSize(2);
        for (String example : examples) {
            compile(example);
        }
    }

    @Test
    void usageExample_run_learnsTheDataAndPrintsWhatIsShown() throws Exception {
        MatchResult example = CODE_AND_OUTPUT.matcher(readme()).results().findFirst().orElseThrow();
        Map<String, double[]> shown = arrays(example.group(2));
        Map<String, double[]> printed = arrays(run(example.group(1)));

        assertThat(shown).as("γ, β and the output in evaluation mode").containsOnlyKeys("weight", "bias", "y");
        shown.forEach((name, values) -> assertThat(printed.get(name))
                .as("a reader who runs the example must see the %s that the README shows", name)
                .usingComparatorWithPrecision(1e-4)
                .containsExactly(values));
        expected()
                .forEach((name, values) -> assertThat(printed.get(name))
                        .as("%s, worked out by hand from the four rows", name)
                        .usingComparatorWithPrecision(1e-4)
                        .containsExactly(values));
    }

    @Test
    void links_leadToFiles() throws IOException {
        List<String> links =
                LINK.matcher(readme()).results().map(m -> m.group(1)).toList();
        assertThat(links).as("the README points at the design page at least").contains("docs/design.md");
        assertThat(links)
                .as("a link in the README that leads nowhere")
                .allSatisfy(link -> assertThat(Path.of(link)).exists());
    }
}
