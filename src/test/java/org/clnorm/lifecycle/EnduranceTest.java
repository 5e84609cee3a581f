package org.clnorm.lifecycle;

import java.nio.file.Path;
import java.util.List;
import org.clnorm.ChildProcess;
import org.clnorm.faults.FaultLayer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** That a long training takes no more memory than a short one; 200,000 steps by {@code -Dclnorm.steps=200000}. */
class EnduranceTest {
    private static final int STEPS = Integer.getInteger("clnorm.steps", 10_000);

    @Test
    void training_ofManySteps_doesNotGrow(@TempDir Path folder) throws Exception {
        ChildProcess.assertEndsWell(
                FaultLayer.under(
                        folder,
                        ChildProcess.java(
                                folder,
                                "endurance",
                                // A heap that is there from the beginning, and little machine code, so that what grows
                                // is a
                                // leak.
                                List.of(
                                        "-Xms256m",
                                        "-XX:+AlwaysPreTouch",
                                        "-XX:TieredStopAtLevel=1",
                                        "-XX:+UseSerialGC"),
                                EnduranceChild.class.getName(),
                                Integer.toString(STEPS))),
                "a training of " + STEPS + " steps");
    }
}
