package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import java.nio.file.Path;
import java.util.List;
import org.clnorm.cli.Commands.Result;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MainTest {
    @TempDir
    Path folder;

    @Test
    void help_listsEveryCommand() {
        Result result = clnorm("--help");

        assertThat(result.exitCode()).isZero();
        assertThat(result.out())
                .contains("devices", "run", "compare", "verify", "bench", "train", "study", "state", "Exit codes:");
        assertThat(result.err()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"devices", "run", "compare", "verify", "bench", "train", "study", "state"})
    void helpOfACommand_isAsciiWithoutColours(String command) {
        Result result = clnorm(command, "--help");

        assertThat(result.exitCode()).isZero();
        assertThat(result.out()).startsWith("Usage: clnorm " + command);
        assertThat(result.out().chars().filter(c -> c != '\n' && c != '\r'))
                .as("no escape sequences where this is no terminal, nothing that a plain locale cannot print")
                .allMatch(c -> c >= ' ' && c <= '~');
    }

    @Test
    void version_namesTheProgramAndJava() {
        Result result = clnorm("--version");

        assertThat(result.exitCode()).isZero();
        assertThat(result.out()).startsWith("clnorm ").contains("Java " + Runtime.version());
    }

    @Test
    void noCommandOrUnknownOnes_exitWith2() {
        for (Result result : List.of(clnorm(), clnorm("comparre"), clnorm("--frobnicate"))) {
            assertThat(result.exitCode()).isEqualTo(2);
            assertThat(result.out()).isEmpty();
            assertThat(result.err()).startsWith("clnorm: ").contains("Try 'clnorm --help'");
        }
        assertThat(clnorm("comparre").err()).contains("compare");
    }

    @Test
    void verbose_showsWhereAnErrorCameFrom() {
        Object[] quiet = {"run", "batch-norm", "--input", folder.resolve("none"), "--output", folder.resolve("out")};

        assertThat(clnorm(quiet).err()).doesNotContain("\tat ");
        for (String option : new String[] {"-v", "--verbose"}) {
            Object[] verbose = {option, quiet[0], quiet[1], quiet[2], quiet[3], quiet[4], quiet[5]};
            assertThat(clnorm(verbose).err()).contains("there is no such file", "\tat org.clnorm.state.Npz");
        }
    }

    @Test
    void logging_isConfiguredByTheCommandLineOnly() {
        assertThat(Main.class.getResource("logback.xml"))
                .as("what main() points Logback to")
                .isNotNull();
        assertThat(Main.class.getResource("/logback.xml"))
                .as("under this name Logback would apply it in programs that only use the library")
                .isNull();
    }
}
