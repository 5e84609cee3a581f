package org.clnorm.lifecycle;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.clnorm.ChildProcess;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is closed while others use it ends no process, and gives the documented exception only. */
final class ClosingTest {
    private static final int RUNS = 2;

    /** Of all modes, so that kernels are compiled by the first. */
    @TempDir
    private static Path folder;

    @ParameterizedTest
    @EnumSource(ClosingChild.Mode.class)
    void process_thatClosesWhatIsInUse_endsWell(ClosingChild.Mode mode) throws IOException, InterruptedException {
        for (int run = 0; run < RUNS; run++) {
            String name = mode + "-" + run;
            ProcessBuilder builder = ChildProcess.java(
                    folder, name, List.of("-XX:TieredStopAtLevel=1"), ClosingChild.class.getName(), mode.name());
            builder.environment().remove("CLNORM_CACHE");
            builder.environment()
                    .put("CLNORM_CACHE_DIR", folder.resolve("cache").toString());
            ChildProcess.assertEndsWell(builder, name);
        }
    }
}
