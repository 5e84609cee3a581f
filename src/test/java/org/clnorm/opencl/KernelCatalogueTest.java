package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.KernelCatalogue.Entry;
import org.clnorm.plan.Strategy;
import org.junit.jupiter.api.Test;

class KernelCatalogueTest {
    private static final Path FOLDER = Path.of("opencl-kernels");
    private static final Pattern COMMENT = Pattern.compile("//[^\n]*|/\\*.*?\\*/", Pattern.DOTALL);
    private static final Pattern KERNEL = Pattern.compile(
            "__kernel\\s+(?:__attribute__\\s*\\(\\(.*?\\)\\)\\s*)?void\\s+(\\w+)\\s*\\(", Pattern.DOTALL);
    private static final Set<String> STRATEGY_MACROS = Set.of("VW", "WX", "WY", "TILE", "VECTORS", "CACHED", "STREAM");

    @Test
    void entries_kernelsOfTheSources_areAllThereAndNoOthers() throws IOException {
        Map<String, String> kernels = kernelsOfTheSources();

        Map<String, String> listed = new TreeMap<>();
        KernelCatalogue.entries().forEach(entry -> listed.put(entry.name(), entry.source()));
        assertThat(listed)
                .as("a kernel that is not in the catalogue is one that nobody verifies")
                .isEqualTo(kernels);
        assertThat(KernelCatalogue.entries()).hasSameSizeAs(kernels.keySet());
    }

    @Test
    void entries_macros_areUsedByTheSource() {
        for (Entry entry : KernelCatalogue.entries()) {
            String text = COMMENT.matcher(KernelSource.read(entry.source())).replaceAll("");
            for (String macro : entry.macros()) {
                assertThat(text)
                        .as("%s says that it obeys %s", entry.name(), macro)
                        .containsPattern("#ifndef " + macro + "\\b")
                        .containsPattern("(?:\\(|\\b(?:if|return) |[&|] |!)" + macro + "\\b");
            }
        }
    }

    @Test
    void entries_macrosOfStrategies_haveDefaultsInTheSources() {
        String all = KernelCatalogue.entries().stream()
                .map(entry -> KernelSource.read(entry.source()))
                .reduce("", String::concat);

        assertThat(new Strategy(Strategy.Family.GPU, Strategy.Form.CACHED, 1, 1, 1, 1, 1, 1, true, "")
                        .macros()
                        .keySet())
                .as("each is tested below")
                .containsExactlyInAnyOrderElementsOf(STRATEGY_MACROS);
        assertThat(KernelCatalogue.entries().stream().flatMap(entry -> entry.geometry().stream()))
                .as("all of them are of some use, and no kernel obeys another")
                .containsOnlyElementsOf(STRATEGY_MACROS)
                .containsAll(STRATEGY_MACROS);
        for (String macro : STRATEGY_MACROS) {
            assertThat(all)
                    .as("so that a source compiles by itself")
                    .containsPattern("#ifndef " + macro + "\\b\n#define " + macro + " \\d+");
        }
    }

    @Test
    void glossary_hasEveryMacroThatTheHostMaySetWithItsDefault() throws IOException {
        Map<String, String> defaults = new TreeMap<>();
        for (Path file : files()) {
            Pattern.compile("#ifndef (\\w+)\n#define \\1 (.+)\n")
                    .matcher(Files.readString(file))
                    .results()
                    .forEach(found -> defaults.put(found.group(1), found.group(2)));
        }

        Map<String, String> glossary = Pattern.compile("(?m)^\\| `(\\w+)` \\| (.+?) \\| .+ \\|$")
                .matcher(Files.readString(FOLDER.resolve("README.md")))
                .results()
                .collect(Collectors.toMap(found -> found.group(1), found -> found.group(2)));
        assertThat(glossary).isEqualTo(defaults);
    }

    @Test
    void entries_everyKernel_isAnswerableForSomething() {
        assertThat(KernelCatalogue.entries()).allMatch(entry -> !entry.results().isEmpty());
        assertThat(KernelCatalogue.entries().stream().flatMap(entry -> entry.results().stream()))
                .as("every output of a pass has a kernel that is answerable for it")
                .contains(
                        "y",
                        "save_mean",
                        "save_invstd",
                        "running_mean",
                        "running_var",
                        "grad_x",
                        "grad_weight",
                        "grad_bias",
                        "grad_residual");
    }

    @Test
    void entry_unknown_isNamed() {
        assertThatThrownBy(() -> KernelCatalogue.entry("softmax"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'softmax'");
    }

    @Test
    void sources_ofTheFolder_areOnTheClassPath() throws IOException {
        for (Path file : files()) {
            String name = file.getFileName().toString();
            assertThat(KernelCatalogueTest.class.getResource("kernels/" + name))
                    .as(name)
                    .isNotNull();
        }
    }

    private static Map<String, String> kernelsOfTheSources() throws IOException {
        Map<String, String> kernels = new TreeMap<>();
        for (Path file : files()) {
            String text = COMMENT.matcher(Files.readString(file)).replaceAll("");
            Matcher matcher = KERNEL.matcher(text);
            int found = 0;
            while (matcher.find()) {
                found++;
                assertThat(kernels.put(matcher.group(1), file.getFileName().toString()))
                        .as("%s is defined twice", matcher.group(1))
                        .isNull();
            }
            assertThat(text.split("__kernel\\b", -1).length - 1)
                    .as("kernels in %s that this test can read", file)
                    .isEqualTo(found);
        }
        assertThat(kernels).isNotEmpty();
        return kernels;
    }

    private static List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(FOLDER)) {
            return files.filter(file -> file.toString().matches(".*\\.clh?"))
                    .sorted()
                    .toList();
        }
    }
}
