package org.clnorm.verify;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A Java process that answers lines by lines, which a driver may crash, or keep from ever coming back. */
public final class WorkerProcess implements AutoCloseable {
    /** Begins the lines that are answers; a driver may print others. */
    public static final String ANSWER = "case ";

    private static final Logger log = LoggerFactory.getLogger(WorkerProcess.class);

    private final Path temporary;
    private final Process process;
    private final Writer tasks;
    private final BufferedReader answers;

    /**
     * Starts it.
     *
     * @param arguments of the Java program that serves, from its options on
     * @param environment what it has besides this process's
     */
    public WorkerProcess(List<String> arguments, Map<String, String> environment) throws IOException {
        // JOCL puts its native library there under a name that is always the same.
        temporary = Files.createTempDirectory("clnorm-verify");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Djava.io.tmpdir=" + temporary,
                // It lives for a minute: better code would come too late, and takes cores from drivers' compilers.
                "-XX:+UseSerialGC",
                "-XX:+IgnoreUnrecognizedVMOptions",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path")));
        command.addAll(arguments);
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().putAll(environment);
        process = builder.start();
        tasks = process.outputWriter(StandardCharsets.UTF_8);
        answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    /**
     * Asks a line.
     *
     * @return what the answer has after {@link #ANSWER}
     * @throws IOException when the process ended before it answered; the message says how
     */
    public String ask(String task) throws IOException {
        try {
            tasks.write(task + "\n");
            tasks.flush();
        } catch (IOException e) {
            throw new IOException(howItEnded(), e);
        }
        for (String line = answers.readLine(); line != null; line = answers.readLine()) {
            if (line.startsWith(ANSWER)) {
                return line.substring(ANSWER.length());
            }
            log.debug("Printed while {} was answered: {}", task, line);
        }
        throw new IOException(howItEnded());
    }

    private String howItEnded() {
        try {
            return process.waitFor(10, TimeUnit.SECONDS)
                    ? "the process that computed it ended with exit code " + process.exitValue()
                    : "the process that computed it no longer answers";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "waiting for the process that computed it was interrupted";
        }
    }

    /** Ends the process at once; whoever waits for an answer gets an exception. */
    public void kill() {
        process.destroyForcibly();
    }

    @Override
    public void close() {
        try {
            tasks.close(); // it ends when there are no more
            if (!process.waitFor(20, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (IOException e) {
            process.destroyForcibly();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        delete(temporary);
    }

    private static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        } catch (IOException | UncheckedIOException e) {
            log.debug("{} could not be deleted: {}", folder, e.toString());
        }
    }
}
