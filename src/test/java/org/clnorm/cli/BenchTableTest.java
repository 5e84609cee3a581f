package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Measurement;
import org.clnorm.bench.Workload;
import org.junit.jupiter.api.Test;

final class BenchTableTest {
    private static final Workload WORKLOAD =
            new Workload(Workload.Direction.BACKWARD, Shape.of(2, 3, 4, 5), Layout.CHANNELS_LAST, Workload.Fusion.RELU);
    private static final Measurement MEASUREMENT = new Measurement(WORKLOAD, 1.5, 2.5, 0.5, 3, 7, 8, 9, 10, 0.9, 0.8);

    private final StringWriter out = new StringWriter();
    private final ByteArrayOutputStream screen = new ByteArrayOutputStream();

    private BenchTable table(boolean terminal, int total) {
        return new BenchTable(new PrintWriter(out), terminal ? new PrintStream(screen, true) : null, total);
    }

    private String screen() {
        return screen.toString(StandardCharsets.UTF_8);
    }

    @Test
    void measured_anything_printsALineWithAllThreeTimes() {
        try (BenchTable table = table(false, 2)) {
            table.starting(WORKLOAD);
            table.measured(MEASUREMENT);
        }

        assertThat(out.toString())
                .containsPattern("type +pass +ms +waited ms +kernel ms +launches +host us")
                .containsPattern(
                        "batch +\\(2, 3, 4, 5\\) +channels-last +float32 +backward\\+relu +1.500 +2.500 +0.500 +3 +7.0 +8.0 +0.90 +0.80\n")
                .as("what goes into a file has no bar in it")
                .doesNotContain("\r", "\u001b", "%");
    }

    @Test
    void starting_onATerminal_showsHowFarItIsAndTakesTheBarAwayForALine() {
        try (BenchTable table = table(true, 4)) {
            table.starting(WORKLOAD);
            table.measured(MEASUREMENT);
            assertThat(screen()).contains("batch backward+relu", " 0% ", "0/4");
            assertThat(shown()).as("no bar is on the line").isBlank();
            screen.reset();

            table.starting(WORKLOAD);
            table.measured(MEASUREMENT);
            assertThat(screen())
                    .as("the bar goes on from where the last one was")
                    .contains(" 25% ", "1/4");
            table.starting(WORKLOAD);
        }

        assertThat(shown()).as("after an error too").isBlank();
        assertThat(out.toString()).doesNotContain("\r", "1/4");
    }

    /** What a terminal shows on the bar's line: a return goes back to its start, and what comes next overwrites. */
    private String shown() {
        StringBuilder line = new StringBuilder();
        int column = 0;
        for (char c : screen().toCharArray()) {
            if (c == '\r') {
                column = 0;
            } else {
                line.replace(column, column + 1, String.valueOf(c));
                column++;
            }
        }
        return line.toString();
    }
}
