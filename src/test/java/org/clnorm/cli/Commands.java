package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine;

/** Runs commands as a shell would, within this process. */
final class Commands {
    /** What a command printed and how it ended. */
    record Result(int exitCode, String out, String err) {}

    private Commands() {}

    static Result clnorm(Object... args) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        CommandLine line = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        int exitCode = Main.execute(line, Stream.of(args).map(Object::toString).toArray(String[]::new));
        return new Result(exitCode, out.toString(), err.toString());
    }

    /** A case among the test's resources, such as {@code pytorch/bn-nchw.npz}. */
    static Path vector(String name) {
        try {
            return Path.of(Commands.class.getResource("/vectors/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** All batch norm cases among the test's resources. */
    static List<Path> vectors() throws IOException {
        return cases(vector("."));
    }

    /** All cases in a folder. */
    static List<Path> cases(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.toString().endsWith(".npz"))
                    .sorted()
                    .toList();
        }
    }
}
