package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.clnorm.ChildProcess;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A driver that takes signal handlers harms no JVM, however that one was started. */
final class SignalsTest {
    @TempDir
    private Path folder;

    @Test
    void processWithBusyThreads_buildsItsKernelsAndEndsWell() throws IOException, InterruptedException {
        Path output = folder.resolve("output.txt");
        ProcessBuilder builder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx256m",
                        "-DuniqueLibraryNames=true",
                        "-Djava.io.tmpdir=" + folder,
                        "-XX:ErrorFile=" + folder.resolve("crash.txt"),
                        "-XX:-CreateCoredumpOnCrash",
                        "-cp",
                        System.getProperty("java.class.path"),
                        BusyChild.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile());
        builder.environment().remove("LD_PRELOAD"); // what ci preloads would hide it
        builder.environment()
                .put(
                        "POCL_CACHE_DIR",
                        Files.createDirectory(folder.resolve("pocl")).toString());

        Process process = builder.start();

        ChildProcess.awaitEnd(process, "the child", 120);
        List<String> lines = Files.readAllLines(output);
        assertThat(process.exitValue())
                .as("it ended with %s", lines.subList(Math.max(0, lines.size() - 30), lines.size()))
                .isZero();
    }
}
