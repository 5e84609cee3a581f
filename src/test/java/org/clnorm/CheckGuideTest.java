package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.check.Binding;
import org.clnorm.check.Part;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What docs/check.md says of bindings: its code compiles, its links lead somewhere, its names are those that there are. */
class CheckGuideTest {
    private static final String GUIDE = "docs/check.md";

    @TempDir
    private Path folder;

    @Test
    void code_asItStands_compiles() throws IOException {
        assertThat(CodeBlocks.compileAll(GUIDE, folder)).hasSize(2);
    }

    @Test
    void links_leadSomewhere() throws IOException {
        assertThat(CodeBlocks.links(GUIDE)).hasSizeGreaterThan(10);
        assertThat(CodeBlocks.deadLinks(GUIDE)).isEmpty();
    }

    @Test
    void example_isTheFile() throws IOException {
        String text = CodeBlocks.read(GUIDE);
        String shown = text.substring(text.indexOf("```properties\n") + 14);
        String file = CodeBlocks.read("docs/check/batch-norm-forward.properties");

        assertThat(shown.substring(0, shown.indexOf("```")))
                .isEqualTo(
                        file.lines().filter(line -> !line.startsWith("#")).collect(Collectors.joining("\n", "", "\n")));
    }

    @Test
    void names_thatThereAre_areNamed() throws IOException {
        List<String> names = Stream.of(
                        Arrays.stream(Part.values()),
                        Arrays.stream(Binding.Operation.values()),
                        Arrays.stream(Binding.Direction.values()),
                        Arrays.stream(Layout.values()),
                        Arrays.stream(DataType.values()))
                .flatMap(values -> values)
                .map(value -> value.toString().toLowerCase(Locale.ROOT))
                .toList();

        String text = CodeBlocks.read(GUIDE);
        assertThat(names).allSatisfy(name -> assertThat(text).contains("`" + name + "`"));
    }
}
