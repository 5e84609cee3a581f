package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.KernelCatalogue.Entry;
import org.junit.jupiter.api.Test;

class KernelSourceTest {
    @Test
    void read_everySource_hasEveryIncludeInItsPlaceOnce() {
        for (Entry entry : KernelCatalogue.entries()) {
            String text = KernelSource.read(entry.source());

            assertThat(text).as(entry.source()).doesNotContain("#include");
            assertThat(text.split("#ifndef VECTORS_CLH\n", -1))
                    .as(entry.source())
                    .hasSize(2);
        }
    }

    /** The functions and macros that kernels share. */
    private static List<String> outsideOfKernels(String text) {
        List<String> lines = new ArrayList<>();
        boolean inside = false;
        for (String line : text.split("\n", -1)) {
            inside |= line.startsWith("__kernel");
            if (!inside && !line.isBlank()) {
                lines.add(line);
            }
            inside &= !line.startsWith("}");
        }
        return lines;
    }

    @Test
    void readKernel_everyKernel_hasNoOtherAndAllElse() {
        for (Entry entry : KernelCatalogue.entries()) {
            String whole = KernelSource.read(entry.source());

            String text = KernelSource.read(entry.source(), entry.name());

            assertThat(Pattern.compile("\\b__kernel\\b.*?void (\\w+)\\(", Pattern.DOTALL)
                            .matcher(text)
                            .results()
                            .map(found -> found.group(1)))
                    .containsExactly(entry.name());
            assertThat(outsideOfKernels(text))
                    .as("what is not in a kernel is all there in the text for %s", entry.name())
                    .isEqualTo(outsideOfKernels(whole));
        }
    }

    @Test
    void readKernel_everyLine_isTheOneThatTheCompilerIsTold() {
        Pattern place = Pattern.compile("#line (\\d+) \"(.*)\"");
        for (Entry entry : KernelCatalogue.entries()) {
            List<String> file = List.of();
            int number = 0;
            for (String line : KernelSource.read(entry.source(), entry.name()).split("\n")) {
                Matcher told = place.matcher(line);
                if (told.matches()) {
                    number = Integer.parseInt(told.group(1));
                    file = linesOf(told.group(2));
                } else {
                    if (!line.isBlank()) {
                        assertThat(line)
                                .as("comments stay in the repository")
                                .isEqualTo(file.get(number - 1).replaceFirst("[ \t]*//.*", ""));
                    }
                    number++;
                }
            }
        }
    }

    private static List<String> linesOf(String file) {
        try {
            return Files.readAllLines(Path.of("opencl-kernels", file));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void read_template_standsWhereverItIsIncluded() {
        String text = KernelSource.read("pointwise.clh");

        assertThat(text.split("#line 1 \"pointwise_template.clh\"", -1)).hasSize(3);
    }

    @Test
    void read_missingFile_isNamed() {
        assertThatThrownBy(() -> KernelSource.read("none.cl"))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("none.cl");
    }
}
