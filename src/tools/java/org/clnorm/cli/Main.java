package org.clnorm.cli;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;

/** The command {@code clnorm}. */
@Command(
        name = "clnorm",
        description = "GPU-accelerated normalization via OpenCL: runs it, checks it, times it, trains with it.",
        mixinStandardHelpOptions = true,
        versionProvider = Main.Version.class,
        scope = ScopeType.INHERIT,
        subcommands = {
            DevicesCommand.class,
            RunCommand.class,
            CompareCommand.class,
            VerifyCommand.class,
            FuzzCommand.class,
            CheckCommand.class,
            ProbeCommand.class,
            TuneCommand.class,
            BenchCommand.class,
            TrainCommand.class,
            StudyCommand.class,
            StateCommand.class,
            HelpCommand.class
        },
        synopsisSubcommandLabel = "COMMAND",
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:all is well", "1:a comparison failed", "2:anything else, such as wrong usage or input"})
public final class Main {
    /** The exit code when all is well. */
    static final int OK = 0;

    /** The exit code when a comparison failed, and nothing else. */
    static final int FAILED = 1;

    /** The exit code for wrong usage, for input that cannot be used, and for all else that ends a command. */
    static final int WRONG_USAGE = 2;

    /** What Logback reads its configuration from. Not logback.xml, or users of the library would get it too. */
    private static final String LOGGING = "org/clnorm/cli/logback.xml";

    @Option(
            names = {"-v", "--verbose"},
            scope = ScopeType.INHERIT,
            description = "Show the stack trace of an error.")
    private boolean verbose;

    private Main() {}

    /** Runs a command and ends the virtual machine with its exit code. */
    public static void main(String[] args) {
        if (System.getProperty("logback.configurationFile") == null) {
            System.setProperty("logback.configurationFile", LOGGING);
        }
        int code = WRONG_USAGE;
        try {
            CommandLine line = commandLine();
            code = execute(line, args);
            line.getOut().flush();
        } catch (Throwable e) { // of an error that there is not even the memory to print
            System.err.println("clnorm: " + e);
        }
        if (System.out.checkError()) {
            System.err.println(
                    "clnorm: not all of the output could be written; is the disk full, or the reader of the pipe"
                            + " gone?");
            code = WRONG_USAGE;
        }
        System.exit(code);
    }

    /** Runs a command; whatever ends it becomes an exit code and one line. */
    static int execute(CommandLine line, String... args) {
        try {
            return line.execute(args);
        } catch (Throwable e) { // picocli hands exceptions to the handlers below, and no errors
            printError(line, e);
            return WRONG_USAGE;
        }
    }

    /** The command line, as tests run it too. */
    static CommandLine commandLine() {
        return new CommandLine(new Main())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler(Main::wrongUsage)
                .setExecutionExceptionHandler((e, command, parsed) -> {
                    printError(command, e);
                    return WRONG_USAGE;
                });
    }

    private static int wrongUsage(ParameterException e, String[] args) {
        CommandLine command = e.getCommandLine();
        printError(command, e);
        CommandLine.UnmatchedArgumentException.printSuggestions(e, command.getErr());
        command.getErr().println("Try '" + command.getCommandSpec().qualifiedName() + " --help'.");
        return WRONG_USAGE;
    }

    /** One line, and the stack trace where it was asked for. */
    static void printError(CommandLine command, Throwable e) {
        printError(command, "", e);
    }

    /** The same of one among several; its name comes first, also where the message does not have it. */
    static void printError(CommandLine command, String of, Throwable e) {
        boolean verbose = ((Main) command.getCommandSpec().root().userObject()).verbose;
        String what = Advice.on(e);
        command.getErr()
                .println("clnorm: " + (of.isEmpty() || what.startsWith(of + ":") ? "" : of + ": ") + what
                        + (verbose ? "" : Advice.onMore(e)));
        if (verbose) {
            e.printStackTrace(command.getErr());
        }
        command.getErr().flush();
    }

    /** The version that Maven wrote into the jar. */
    static final class Version implements IVersionProvider {
        private static final String PROPERTIES = "/META-INF/maven/org.clnorm/clnorm/pom.properties";

        @Override
        public String[] getVersion() throws IOException {
            Properties properties = new Properties();
            try (InputStream in = Main.class.getResourceAsStream(PROPERTIES)) {
                if (in != null) {
                    properties.load(in);
                }
            }
            return new String[] {
                "clnorm " + properties.getProperty("version", "(not from a jar)"),
                "Java " + Runtime.version() + " on ${os.name} ${os.arch}"
            };
        }
    }
}
