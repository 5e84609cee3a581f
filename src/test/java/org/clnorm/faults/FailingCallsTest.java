package org.clnorm.faults;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.clnorm.ChildProcess;
import org.clnorm.faults.TrainingProgram.Kind;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What becomes of a program that trains when one of its OpenCL calls fails, or all from one on: each is told by one clear
 * exception, what was there before is as it was, the same step can be made again, and all can be closed. Of {@code ci/failures},
 * {@code -Dclnorm.failures=} has a choice of calls and, if not all, the kinds of programs.
 */
class FailingCallsTest {
    /** What came of the calls, by function. */
    private static final Path TABLE = Path.of("target", "failing-calls.md");

    /** Of all programs and all calls. */
    private static final int LONGEST_SECONDS = 7200;

    @Test
    void training_ofWhichACallFails_goesOn(@TempDir Path folder) throws Exception {
        run(folder, List.of("SOME", Kind.HALVES.name()));
    }

    @Test
    @Tag("long")
    void training_ofWhichAnyCallFails_goesOn(@TempDir Path folder) throws Exception {
        List<String> arguments = new ArrayList<>(
                List.of(System.getProperty("clnorm.failures", "ENDS").split(" ")));
        if (arguments.size() == 1) {
            Stream.of(Kind.values()).map(Kind::name).forEach(arguments::add);
        }
        List<String> said = run(folder, arguments);
        Files.write(TABLE, said.subList(said.lastIndexOf("") + 1, said.size()));
    }

    /** Runs the programs; returns what that process printed. */
    private static List<String> run(Path folder, List<String> arguments) throws Exception {
        String[] all = Stream.concat(Stream.of(FailingCallsChild.class.getName()), arguments.stream())
                .toArray(String[]::new);
        ProcessBuilder child = FaultLayer.under(folder, ChildProcess.java(folder, "failing-calls", List.of(), all));
        child.environment().put("CLNORM_CACHE", "on");
        child.environment().put("CLNORM_CACHE_DIR", folder.resolve("cache").toString());
        Process process = child.start();
        ChildProcess.awaitEnd(process, "the programs of which calls fail", LONGEST_SECONDS);
        List<String> said = Files.readAllLines(child.redirectOutput().file().toPath());
        assertThat(process.exitValue())
                .as(
                        "%s: %s",
                        Arrays.toString(all),
                        said.stream()
                                .filter(line -> line.startsWith("WRONG")
                                        || line.contains("hangs")
                                        || line.contains("Exception"))
                                .limit(20)
                                .toList())
                .isZero();
        assertThat(said).as("the child has run and counted").contains("0 wrong");
        return said;
    }
}
