package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.clnorm.ChildProcess;

/**
 * A job of {@link MpiChild} that {@code mpirun} ran.
 *
 * @param exitCode of mpirun
 * @param output all that its processes printed, and mpirun
 * @param seconds how long it took
 */
record MpiRun(int exitCode, String output, double seconds) {
    /** Runs a job on this machine, whose ranks share its cores. */
    static MpiRun of(Path folder, int ranks, Object... arguments) throws IOException, InterruptedException {
        String name = "job";
        List<String> words = new ArrayList<>(List.of(MpiChild.class.getName()));
        for (Object argument : arguments) {
            words.add(argument.toString());
        }
        ProcessBuilder builder = ChildProcess.java(
                folder, name, List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"), words.toArray(new String[0]));
        List<String> command = new ArrayList<>(List.of(
                "mpirun",
                "-np",
                Integer.toString(ranks),
                "--allow-run-as-root",
                "--oversubscribe",
                "--bind-to",
                "none",
                "--mca",
                "mpi_yield_when_idle",
                "1",
                // How long those who are ended because one died have for their last words; mpirun waits all of it.
                "--mca",
                "odls_base_sigkill_timeout",
                List.of(arguments).contains(MpiChild.Fault.KILL) ? "3" : "1"));
        command.addAll(builder.command());
        builder.command(command);
        long begin = System.nanoTime();
        Process process;
        try {
            process = builder.start();
        } catch (IOException e) {
            return fail(
                    "These tests need Open MPI's mpirun, which ci/setup installs (openmpi-bin and libopenmpi3 of Debian)",
                    e);
        }
        ChildProcess.awaitEnd(process, "the job", 100);
        double seconds = (System.nanoTime() - begin) / 1e9;
        return new MpiRun(process.exitValue(), Files.readString(folder.resolve(name + ".txt")), seconds);
    }

    /** Holds that the job ended well. */
    MpiRun assertEndedWell() {
        assertThat(exitCode).as(output).isZero();
        return this;
    }
}
