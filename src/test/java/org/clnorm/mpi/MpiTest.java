package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.clnorm.TestDevice;
import org.clnorm.mpi.MpiChild.Fault;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Jobs of several processes, which mpirun starts here; and how they end when something goes wrong. */
final class MpiTest {
    /** How long a rank waits for one that sleeps, in milliseconds, and for one that dies, which mpirun sees before. */
    private static final int SHORT = 700;

    private static final int LONG = 60_000;

    /** From the start of Java to the end of the job, on a machine that does other things too. */
    private static final double SECONDS = 30;

    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void steps_ofProcesses_areThoseOfTheWholeBatch(int ranks) throws Exception {
        MpiRun.of(folder, ranks, "train", folder).assertEndedWell();

        int number = 0;
        for (TestDevice on : List.of(TestDevice.REFERENCE, TestDevice.AUTO)) {
            for (SyncBatchNormTest.Variant variant : SyncBatchNormTest.Variant.values()) {
                List<SyncBatchNormTest.Result> results = new ArrayList<>();
                for (int rank = 0; rank < ranks; rank++) {
                    results.add(SyncBatchNormTest.Result.of(MpiChild.read(folder.resolve(number + "-" + rank))));
                }
                SyncBatchNormTest.assertAreOfTheWhole(on, variant, results);
                assertSameBits(results, SyncBatchNormTest.byThreads(on, variant, ranks));
                number++;
            }
        }
    }

    /** On devices of one kind, it does not matter how the ranks are run. */
    private static void assertSameBits(List<SyncBatchNormTest.Result> actual, List<SyncBatchNormTest.Result> expected) {
        for (int rank = 0; rank < actual.size(); rank++) {
            List<float[]> arrays = expected.get(rank).arrays();
            for (int i = 0; i < arrays.size(); i++) {
                assertThat(actual.get(rank).arrays().get(i)).isEqualTo(arrays.get(i));
            }
        }
    }

    @Test
    void messages_ofAllSizes_comeAsTheyWere() throws Exception {
        assertThat(MpiRun.of(folder, 3, "gather").assertEndedWell().output())
                .contains("gathered rank 0 of 3", "gathered rank 1 of 3", "gathered rank 2 of 3");
    }

    @Test
    void steps_withDelays_giveTheSameBitsOnAllRanks() throws Exception {
        List<String> hashes = MpiRun.of(folder, 3, "steps", 10_000)
                .assertEndedWell()
                .output()
                .lines()
                .filter(line -> line.startsWith("steps|"))
                .toList();
        assertThat(hashes).hasSize(3);
        assertThat(hashes.stream().distinct()).hasSize(1);
    }

    static Stream<Arguments> faults() {
        return Stream.of(Fault.values())
                .flatMap(fault -> Stream.of("forward", "backward", "between").map(where -> Arguments.of(fault, where)));
    }

    /** Jobs that mostly wait, and so run side by side. */
    private static final Map<List<Object>, Future<MpiRun>> FAULTS = new HashMap<>();

    private static final ExecutorService POOL = Executors.newFixedThreadPool(3);

    @BeforeAll
    static void startFaults(@TempDir Path folder) {
        faults().map(Arguments::get).forEach(each -> {
            Object deadline = each[0] == Fault.SLEEP ? SHORT : LONG;
            FAULTS.put(List.of(each), POOL.submit(() -> {
                Path own = Files.createDirectory(folder.resolve(each[0] + "-" + each[1]));
                return MpiRun.of(own, 2, "fault", each[0], each[1], deadline);
            }));
        });
    }

    @AfterAll
    static void awaitFaults() throws InterruptedException {
        POOL.shutdown();
        POOL.awaitTermination(100, TimeUnit.SECONDS);
        SyncBatchNormTest.closeDevices();
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("faults")
    void job_withARankThatIsGone_endsInTimeWithOneWord(Fault fault, String where) throws Exception {
        MpiRun run = FAULTS.get(List.of(fault, where)).get();

        assertThat(run.exitCode()).as(run.output()).isNotZero();
        assertThat(run.seconds()).isLessThan(SECONDS);
        String waitingIn =
                (where.equals("forward") ? "forward" : "backward") + " of layer 0, batch normalization of 3 channels";
        if (fault == Fault.SLEEP) {
            assertThat(times(run, "GroupException")).as(run.output()).isEqualTo(1);
            assertThat(run.output())
                    .containsPattern("GroupException: rank 0 of 2 processes waited \\d+ ms in " + waitingIn
                            + ", but rank 1 did not come")
                    .doesNotContain("unless somebody ended the job");
        } else {
            assertThat(times(run, "clnorm: ")).as(run.output()).isEqualTo(1);
            assertThat(run.output())
                    .containsPattern("clnorm: rank 0 of 2 processes is ended while it waits for the others in "
                            + waitingIn + ", after \\d+ ms; unless somebody ended the job, another rank has died");
        }
    }

    private static long times(MpiRun run, String words) {
        return Pattern.compile(Pattern.quote(words))
                .matcher(run.output())
                .results()
                .count();
    }

    @Test
    void job_withARankThatThrows_endsWithThatException() throws Exception {
        MpiRun run = MpiRun.of(folder, 2, "throw");

        assertThat(run.exitCode()).as(run.output()).isNotZero();
        assertThat(run.seconds()).isLessThan(SECONDS);
        assertThat(run.output()).contains("UnsupportedOperationException: of the program");
    }

    /** Messages of a few numbers, and of many, which MPI sends in another way. */
    @ParameterizedTest
    @ValueSource(ints = {4, 20_000})
    void job_ofRanksInDifferentCalls_endsWithTheWordsOfAll(int channels) throws Exception {
        MpiRun run = MpiRun.of(folder, 3, "differ", channels);

        assertThat(run.exitCode()).as(run.output()).isNotZero();
        assertThat(run.seconds()).isLessThan(SECONDS);
        assertThat(run.output())
                .contains("rank 0 is in message 6, forward of layer 0, batch normalization of 3 channels")
                .contains(
                        "rank 1 is in message 6, forward of layer 1, batch normalization of " + channels + " channels");
    }

    @Test
    void job_withARankThatEndsWithoutLeaving_endsTooAndNotWell() throws Exception {
        MpiRun run = MpiRun.of(folder, 2, "exit");

        assertThat(run.exitCode()).as(run.output()).isNotZero();
        assertThat(run.seconds()).isLessThan(SECONDS);
        assertThat(run.output())
                .contains(
                        "clnorm: rank 1 of 2 processes ends, or is ended, before it has left the group; its last call was to join");
    }

    @Test
    void process_alone_isAGroupOfOneThatIsJoinedOnce() throws Exception {
        assertThat(MpiRun.of(folder, 1, "again").assertEndedWell().output())
                .contains("refused|This process has joined its MPI job before")
                .contains("refused|This rank has left the group");
    }
}
