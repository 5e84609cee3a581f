package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.clnorm.ChildProcess;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is closed while others use it ends no process, and gives the documented exception only. */
final class ClosingTest {
    private static final int RUNS = 2;

    /** Of all modes, so that kernels are compiled by the first. */
    @TempDir
    private static Path folder;

    @ParameterizedTest
    @EnumSource(ClosingChild.Mode.class)
    void process_thatClosesWhatIsInUse_endsWell(ClosingChild.Mode mode) throws IOException, InterruptedException {
        for (int run = 0; run < RUNS; run++) {
            Path output = folder.resolve(mode + "-" + run + ".txt");
            ProcessBuilder builder = new ProcessBuilder(
                            Path.of(System.getProperty("java.home"), "bin", "java")
                                    .toString(),
                            "-Xmx256m",
                            "-XX:TieredStopAtLevel=1",
                            "-DuniqueLibraryNames=true",
                            "-Djava.io.tmpdir=" + folder,
                            "-XX:ErrorFile=" + folder.resolve("crash-" + mode + "-" + run + ".txt"),
                            "-XX:-CreateCoredumpOnCrash",
                            "-cp",
                            System.getProperty("java.class.path"),
                            ClosingChild.class.getName(),
                            mode.name())
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile());
            builder.environment().remove("CLNORM_CACHE");
            builder.environment()
                    .put("CLNORM_CACHE_DIR", folder.resolve("cache").toString());
            Process process = builder.start();
            ChildProcess.awaitEnd(process, "the child", 120);
            List<String> lines = Files.readAllLines(output);
            List<String> last = lines.subList(Math.max(0, lines.size() - 30), lines.size());
            assertThat(process.exitValue())
                    .as("run %d of %s ended with %s", run, mode, last)
                    .isZero();
        }
    }
}
