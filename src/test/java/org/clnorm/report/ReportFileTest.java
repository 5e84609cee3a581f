package org.clnorm.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ReportFileTest {
    @TempDir
    private Path folder;

    private List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    @Test
    void at_aNewFile_leavesNothingBehind() throws IOException {
        ReportFile.at(folder.resolve("new"));

        assertThat(files()).isEmpty();
    }

    @Test
    void write_overAnOldFile_replacesItThenAndNotBefore() throws IOException {
        Path path = Files.writeString(folder.resolve("report"), "old");

        ReportFile file = ReportFile.at(path);
        assertThat(path).hasContent("old");
        file.write("new");

        assertThat(path).hasContent("new");
        assertThat(files()).containsExactly(path);
    }

    @Test
    void write_throughALink_leavesTheLink() throws IOException {
        Path path = Files.writeString(folder.resolve("report"), "old");
        Path link = Files.createSymbolicLink(folder.resolve("link"), path);

        ReportFile.at(link).write("new");

        assertThat(link).isSymbolicLink();
        assertThat(path).hasContent("new");
    }

    @Test
    void write_toAPipe_goesThroughIt() throws Exception {
        Path pipe = folder.resolve("pipe");
        assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor())
                .isZero();
        Process reader = new ProcessBuilder("cat", pipe.toString()).start();
        try {
            ReportFile.at(pipe).write("through");

            assertThat(new String(reader.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                    .isEqualTo("through");
        } finally {
            reader.destroyForcibly();
        }
        assertThat(pipe).exists();
        assertThat(Files.isRegularFile(pipe))
                .as("moved over, it would be a pipe no more")
                .isFalse();
    }

    @Test
    void at_whatCannotBeWritten_saysWhichAndWhy() {
        assertThatThrownBy(() -> ReportFile.at(folder))
                .isInstanceOf(IOException.class)
                .hasMessage(folder + " cannot be written: it is a folder");
        Path inNone = folder.resolve("none").resolve("report");
        assertThatThrownBy(() -> ReportFile.at(inNone))
                .isInstanceOf(IOException.class)
                .hasMessage(inNone + " cannot be written: there is no folder " + folder.resolve("none"));
        // A folder that takes no files from anybody, whoever runs this.
        assertThatThrownBy(() -> ReportFile.at(Path.of("/proc/self/report")))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("/proc/self/report cannot be written: its folder does not take files");
    }
}
