package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.Command;

class AdviceTest {
    /** Ends as it is told to. */
    @Command(name = "end")
    private record Ending(Throwable by) implements Callable<Integer> {
        @Override
        public Integer call() throws Exception {
            if (by instanceof Error error) {
                throw error;
            }
            throw (Exception) by;
        }
    }

    private static String endedBy(Throwable by, String... options) {
        StringWriter err = new StringWriter();
        CommandLine line = Main.commandLine().addSubcommand("end", new Ending(by));
        line.setErr(new PrintWriter(err)).setOut(new PrintWriter(new StringWriter()));
        String[] args = new String[options.length + 1];
        System.arraycopy(options, 0, args, 0, options.length);
        args[options.length] = "end";

        assertThat(Main.execute(line, args))
                .as("1 is for a comparison that failed, and this is none: %s", by)
                .isEqualTo(2);

        return err.toString();
    }

    @Test
    void whateverEndsACommand_isExitCode2AndOneLineThatSaysWhatToDo() {
        Map<Throwable, String> advice = Map.ofEntries(
                Map.entry(new OutOfMemoryError("Java heap space"), "-Xmx4g, or take a smaller file"),
                Map.entry(new OutOfMemoryError(), "-Xmx"),
                Map.entry(
                        new OutOfMemoryError("Cannot reserve 1 bytes of direct buffer memory"), "MaxDirectMemorySize"),
                Map.entry(new OutOfMemoryError("unable to create native thread: limits"), "more threads"),
                Map.entry(new StackOverflowError(), "-Xss"),
                Map.entry(new UnsatisfiedLinkError("no OpenCL in path\nand more"), "install an OpenCL loader"),
                Map.entry(new NoClassDefFoundError("com/google/gson/Gson"), "take clnorm.jar whole"),
                Map.entry(new ExceptionInInitializerError(new OutOfMemoryError()), "-Xmx"),
                Map.entry(new ExceptionInInitializerError("?"), "take clnorm.jar whole"),
                Map.entry(new AssertionError("1 is 2"), "should not have happened: java.lang.AssertionError: 1 is 2"),
                Map.entry(new IllegalStateException("1 is 2"), "should not have happened"),
                Map.entry(new NullPointerException(), "should not have happened"),
                Map.entry(new IllegalArgumentException("x is 7"), "clnorm: x is 7\n"),
                Map.entry(new IllegalArgumentException(), "clnorm: java.lang.IllegalArgumentException\n"),
                Map.entry(new IOException("disk"), "clnorm: disk\n"),
                Map.entry(new UncheckedIOException(new NoSuchFileException("a")), "a"),
                Map.entry(new FileNotFoundException("a (Permission denied)"), "clnorm: a (Permission denied)\n"),
                Map.entry(new NoSuchFileException("a"), "clnorm: a: there is no such file or folder\n"),
                Map.entry(new AccessDeniedException("a"), "clnorm: a: permission is denied\n"),
                Map.entry(new FileAlreadyExistsException("a"), "clnorm: a: something of that name is in the way\n"),
                Map.entry(
                        new FileSystemException("a", null, "No space left on device"),
                        "clnorm: a: No space left on device\n"),
                Map.entry(new InterruptedException(), "should not have happened"));

        advice.forEach((by, words) -> {
            String err = endedBy(by);
            assertThat(err.lines()).as("%s", by).hasSize(1);
            assertThat(err).startsWith("clnorm: ").contains(words).doesNotContain("\tat ");
        });
    }

    @Test
    void message_ofManyLinesOrOfControlCharacters_isOneLineThatMovesNoCursor() {
        assertThat(endedBy(new IllegalArgumentException("first\nsecond")))
                .isEqualTo("clnorm: first; --verbose shows more\n");
        assertThat(endedBy(new IllegalArgumentException("a\u001b[31mb\u0085c\nd")))
                .isEqualTo("clnorm: a\\u001b[31mb\\u0085c; --verbose shows more\n");
        assertThat(endedBy(new IOException("x".repeat(1_000_000)))).hasSizeLessThan(3_000);
    }

    @Test
    void verbose_ofAnything_showsTheTraceToo() {
        for (Throwable by :
                List.of(new StackOverflowError(), new IOException("disk"), new IllegalStateException("1"))) {
            assertThat(endedBy(by, "--verbose"))
                    .startsWith("clnorm: ")
                    .contains("\n" + by)
                    .contains("\tat ")
                    .doesNotContain("--verbose");
        }
    }
}
