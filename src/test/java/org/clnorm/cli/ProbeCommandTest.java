package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.clnorm.cli.Commands.Result;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProbeCommandTest {
    @TempDir
    Path folder;

    @Test
    void probe_oneStrategy_tellsOfTheCompilerAndKeepsBinaries() throws IOException {
        Path kept = folder.resolve("binaries");

        Result result = clnorm("probe", "--strategy", "gpu-split", "--keep", kept);

        assertThat(result.exitCode()).as(result.out() + result.err()).isZero();
        assertThat(result.out())
                .containsPattern("\n  preferred vectors +char \\d+, short \\d+")
                .containsPattern("\n  float rounding +.*to nearest")
                .containsPattern("\n  extensions +.*cl_khr_global_int32_base_atomics")
                .containsPattern("\n  compiler +__OPENCL_VERSION__[ =]\\w+, .*__clang__[ =]\\w+")
                .containsPattern("\n  apply_segmented +gpu-split +\\d+\\.\\d\\d\\d +\\d+ .*-DVW=4")
                .containsPattern("\n  \\d+ programs, \\d+\\.\\d s\n");
        try (Stream<Path> files = Files.list(kept)) {
            List<String> names =
                    files.map(file -> file.getFileName().toString()).toList();
            assertThat(names)
                    .hasSizeGreaterThan(8)
                    .anyMatch(name -> name.matches("gpu-split-\\d+-apply_segmented\\.\\w+"));
        }
    }

    @Test
    void probe_wrongUsage_exitsWith2() {
        assertThat(clnorm("probe", "--strategy", "fastest").err()).contains("'fastest'");
        assertThat(clnorm("probe", "--strategy", "fastest").exitCode()).isEqualTo(2);
        assertThat(clnorm("probe", "--device", "reference").exitCode()).isEqualTo(2);
    }
}
