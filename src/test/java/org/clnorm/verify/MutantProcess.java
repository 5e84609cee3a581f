package org.clnorm.verify;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A process of {@link MutantTrial}. */
final class MutantProcess implements AutoCloseable {
    /**
     * A process that has computed for so long since its last word does not end; a trial may take it some ten programs to compile.
     * It is no time by the clock, which would depend on what else the machine does.
     */
    private static final Duration MOST_COMPUTED = Duration.ofSeconds(60);

    /** Nor does one that has not said a word for so long, computing or not. */
    private static final Duration MOST_WAITED = Duration.ofMinutes(15);

    private static final String END = "\0";

    private final Process process;
    private final Writer to;
    private final BlockingQueue<String> heard = new LinkedBlockingQueue<>();

    MutantProcess(Path folder, List<String> arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx1g",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-XX:-CreateCoredumpOnCrash",
                "-XX:ErrorFile=" + folder.resolve("crash.txt"),
                "-Dlogback.configurationFile=org/clnorm/cli/logback.xml",
                "-cp",
                System.getProperty("java.class.path"),
                MutantTrial.class.getName()));
        command.addAll(arguments);
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.appendTo(
                        folder.resolve("stderr.txt").toFile()));
        builder.environment()
                .put("POCL_CACHE_DIR", folder.resolve("pocl").toAbsolutePath().toString());
        process = builder.start();
        to = new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8);
        Thread reader = new Thread(() -> {
            try (BufferedReader from =
                    new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                from.lines().forEach(heard::add);
            } catch (IOException | UncheckedIOException e) {
                heard.add("unreadable " + e);
            }
            heard.add(END);
        });
        reader.setDaemon(true);
        reader.start();
    }

    void say(String line) {
        try {
            to.write(line + "\n");
            to.flush();
        } catch (IOException e) {
            heard.add(END); // it has ended, as is heard next
        }
    }

    /** The parts of the next answer; null where there is none any more. */
    String[] hear() throws InterruptedException, StuckException {
        Duration before = computed();
        long start = System.nanoTime();
        while (true) {
            String line = heard.poll(1, TimeUnit.SECONDS);
            if (line == null) {
                boolean isLong = System.nanoTime() - start > MOST_WAITED.toNanos();
                if (isLong || computed().minus(before).compareTo(MOST_COMPUTED) > 0) {
                    throw new StuckException();
                }
                continue;
            }
            if (line.equals(END)) {
                return null;
            }
            if (line.startsWith(MutantTrial.ANSWER)) { // a driver, or a JVM that ends, may say something, too
                return line.substring(MutantTrial.ANSWER.length()).split("\t", -1);
            }
        }
    }

    private Duration computed() {
        return process.info().totalCpuDuration().orElse(Duration.ZERO);
    }

    /** A process goes on without a word. */
    static final class StuckException extends Exception {
        private static final long serialVersionUID = 1;
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
