package org.clnorm.check;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Kernels whose file includes others, as most that belong to something larger do. */
class KernelFileTest {
    @TempDir
    Path folder;

    private Path kernel;
    private Path shared;

    @BeforeEach
    void makeFiles() throws IOException {
        shared = Files.createDirectories(folder.resolve("with a space"));
        kernel = folder.resolve("kernel.cl");
        Files.writeString(kernel, "#include \"beside.h\"\n  # include \"shared.h\" // ours\nint last;");
        Files.writeString(folder.resolve("beside.h"), "int beside;\n");
        Files.writeString(shared.resolve("shared.h"), "#include \"deeper.h\"\n#include \"nowhere.h\"\n");
        Files.writeString(shared.resolve("deeper.h"), "int deeper;");
    }

    @Test
    void read_whatIsIncluded_standsInItsPlace() throws IOException {
        assertThat(KernelFile.read(kernel, List.of(shared)).lines().filter(line -> !line.startsWith("#line")))
                .filteredOn(line -> !line.isEmpty())
                .containsExactly("int beside;", "int deeper;", "#include \"nowhere.h\"", "int last;");
    }

    @Test
    void read_linesAfterAnInclude_haveTheirNumbers() throws IOException {
        assertThat(KernelFile.read(kernel, List.of(shared))).endsWith("#line 3 \"kernel.cl\"\nint last;\n");
        assertThat(KernelFile.read(kernel, List.of(shared)))
                .contains("#line 1 \"deeper.h\"\nint deeper;\n#line 2 \"shared.h\"\n");
    }

    @Test
    void read_fileThatIncludesItself_isRefused() throws IOException {
        Files.writeString(shared.resolve("deeper.h"), "#include \"shared.h\"\n");

        assertThatThrownBy(() -> KernelFile.read(kernel, List.of(shared)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("is included 50 files deep: it seems to include itself");
    }
}
