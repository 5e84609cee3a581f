package org.clnorm.cli;

import java.io.Console;
import java.util.stream.Collectors;
import picocli.CommandLine.Model.CommandSpec;

/** The person at the other end, if there is one. */
final class Terminal {
    private Terminal() {}

    /** From JDK 22 on there is a console without a terminal too, and a method to tell them apart. */
    @SuppressWarnings("SystemConsoleNull")
    static boolean isThere() {
        Console console = System.console();
        if (console == null) {
            return false;
        }
        try {
            return (boolean) Console.class.getMethod("isTerminal").invoke(console);
        } catch (ReflectiveOperationException e) {
            return true; // an older JDK: there is a console only on a terminal
        }
    }

    /** The command as a shell takes it again. */
    static String typed(CommandSpec spec) {
        return spec.root().commandLine().getParseResult().originalArgs().stream()
                .map(word -> word.matches("[\\w@%+=:,./-]+") ? word : "'" + word.replace("'", "'\\''") + "'")
                .collect(Collectors.joining(" ", "java -jar target/clnorm.jar ", ""));
    }
}
