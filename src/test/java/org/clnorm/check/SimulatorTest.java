package org.clnorm.check;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class SimulatorTest {
    @Test
    void parse_reportsOfOneKindAndOfAnother_areOneProblemEach() {
        String race = "\nRead-write data race at local memory address 0x1000000000000\n\tKernel: k\n\n"
                + "\tFirst entity:  Global(1,0,0)\n\tAt line 17 (column 34) of input.cl:\n\t  float a = b[0];\n\t\n";

        assertThat(Simulator.parse(race + race + "\nFATAL ERROR: out of memory\n\nOclgrind: 200 errors generated -"
                        + " suppressing further errors\n"))
                .containsExactly(
                        new Problem(
                                Problem.Kind.SIMULATOR,
                                "Read-write data race at local memory",
                                "Read-write data race at local memory address 0x1000000000000, line 17 (column 34) of"
                                        + " input.cl: float a = b[0];",
                                "a barrier is missing between writing and reading, or two work-items write the same place"),
                        new Problem(
                                Problem.Kind.SIMULATOR,
                                "FATAL ERROR: out of memory",
                                "FATAL ERROR: out of memory",
                                ""));
        assertThat(Simulator.parse("")).isEmpty();
    }
}
