package org.clnorm.lifecycle;

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
        ProcessBuilder builder = ChildProcess.java(folder, "busy", List.of(), BusyChild.class.getName());
        builder.environment().remove("LD_PRELOAD"); // what ci preloads would hide it
        builder.environment()
                .put(
                        "POCL_CACHE_DIR",
                        Files.createDirectory(folder.resolve("pocl")).toString());

        ChildProcess.assertEndsWell(builder, "busy");
    }
}
