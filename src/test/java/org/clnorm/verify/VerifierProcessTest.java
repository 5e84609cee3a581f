package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Scanner;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.opencl.OpenCl;
import org.clnorm.verify.CaseResult.Share;
import org.clnorm.verify.VerifyReport.Failure;
import org.junit.jupiter.api.Test;

/** What becomes of a verification whose processes do not do as they should. */
class VerifierProcessTest {
    private static final Verifier.Extent EXTENT = new Verifier.Extent(true, DataType.FLOAT32);

    private final OpenCl.Candidate device = OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE));

    /** Answers as a worker does, without a device; every so many answers it ends as a driver ends it, or hangs. */
    static final class Server {
        private Server() {}

        public static void main(String[] args) throws InterruptedException {
            int until = Integer.parseInt(args[1]);
            Scanner tasks = new Scanner(System.in, StandardCharsets.UTF_8);
            System.out.println("what a driver prints");
            for (int i = 0; tasks.hasNextLine(); i++) {
                String[] task = tasks.nextLine().split(" ");
                if (i == until && args[0].equals("ends")) {
                    Runtime.getRuntime().halt(134);
                }
                if (i == until && args[0].equals("hangs")) {
                    Thread.sleep(3_600_000);
                }
                System.out.println(VerifierProcess.ANSWER
                        + new CaseResult(
                                        task[0],
                                        Integer.parseInt(task[1]),
                                        "a case",
                                        0,
                                        1,
                                        2,
                                        1,
                                        "",
                                        List.of(new Share("copy")),
                                        List.of())
                                .toJson());
            }
        }
    }

    private static VerifyReport run(
            OpenCl.Candidate device, int processes, String how, int until, double seconds, List<String> results) {
        List<String> server = List.of("-XX:TieredStopAtLevel=1", Server.class.getName(), how, "" + until);
        Verifier.Means means = new Verifier.Means(processes, server, seconds, results::add);
        return Verifier.run(device, List.of("auto"), EXTENT, means, Verifier.Progress.NONE);
    }

    @Test
    void run_severalProcesses_runEachCaseOnce() {
        List<String> results = new ArrayList<>();

        VerifyReport report = run(device, 3, "works", 0, 1e9, results);

        assertThat(report.failures()).isEmpty();
        assertThat(report.left()).isZero();
        assertThat(report.passed()).isTrue();
        assertThat(report.programs()).isEqualTo(2 * report.cases());
        assertThat(results.stream().map(CaseResult::fromJson).map(CaseResult::index))
                .hasSize(report.cases())
                .doesNotHaveDuplicates();
    }

    @Test
    void run_processThatEnds_failsTheCaseAndOthersGoOn() {
        VerifyReport report = run(device, 2, "ends", 40, 1e9, new ArrayList<>());

        assertThat(report.left()).isZero();
        assertThat(report.passed()).isFalse();
        assertThat(report.failures())
                .as("one of each 41 cases")
                .hasSizeBetween(report.cases() / 41 - 2, report.cases() / 41 + 1)
                .extracting(Failure::problem)
                .containsOnly("the process that computed it ended with exit code 134");
        assertThat(report.failures())
                .allMatch(failure -> failure.caseDescription().contains("seed "));
    }

    @Test
    void run_processesThatAlwaysEnd_isGivenUp() {
        VerifyReport report = run(device, 4, "ends", 0, 1e9, new ArrayList<>());

        assertThat(report.failures()).hasSizeBetween(21, 25);
        assertThat(report.left()).isEqualTo(report.cases() - report.failures().size());
    }

    @Test
    void run_processThatHangs_isEndedWhenTheTimeIsUp() {
        long start = System.nanoTime();

        VerifyReport report = run(device, 2, "hangs", 3, 5, new ArrayList<>());

        assertThat((System.nanoTime() - start) * 1e-9).isBetween(5.0, 60.0);
        assertThat(report.failures())
                .hasSize(2)
                .extracting(Failure::problem)
                .containsOnly("it was not over when the time was up");
        assertThat(report.left()).isEqualTo(report.cases() - 8);
    }
}
