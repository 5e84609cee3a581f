package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Processes that a test has started. */
public final class ChildProcess {
    private ChildProcess() {}

    /**
     * This Java with this class path, to run a class. Its natives and, if it crashes, what the JVM says of it go into a
     * folder, as does all that it prints.
     */
    public static ProcessBuilder java(Path folder, String name, List<String> options, String... classAndArguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(options);
        command.addAll(List.of(
                "-Xmx256m",
                "-DuniqueLibraryNames=true",
                "-Djava.io.tmpdir=" + folder,
                "-XX:ErrorFile=" + folder.resolve("crash-" + name + ".txt"),
                "-XX:-CreateCoredumpOnCrash",
                "-cp",
                System.getProperty("java.class.path")));
        command.addAll(List.of(classAndArguments));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve(name + ".txt").toFile());
    }

    /** Starts what {@link #java} made, waits, and holds that it ends with 0. */
    public static void assertEndsWell(ProcessBuilder builder, String name) throws IOException, InterruptedException {
        Process process = builder.start();
        awaitEnd(process, "the child", 120);
        List<String> lines = Files.readAllLines(builder.redirectOutput().file().toPath());
        assertThat(process.exitValue())
                .as("%s ended with %s", name, lines.subList(Math.max(0, lines.size() - 30), lines.size()))
                .isZero();
    }

    /** Waits until it has ended, which it must do in that time; none is left behind. */
    public static void awaitEnd(Process process, String name, int seconds) throws InterruptedException {
        try {
            assertThat(process.waitFor(seconds, TimeUnit.SECONDS))
                    .as("%s ends", name)
                    .isTrue();
        } finally {
            process.destroyForcibly();
        }
    }
}
