package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.clnorm.mpi.RankThreads.assertAllToldOf;
import static org.clnorm.mpi.RankThreads.outcomes;
import static org.clnorm.mpi.RankThreads.values;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.clnorm.mpi.RankThreads.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class LocalGroupTest {
    private static final Duration SHORT = Duration.ofMillis(200);

    private static double[] gather(Group group, double... own) {
        double[] all = new double[group.size() * own.length];
        group.allGather("a test", own, all);
        return all;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7})
    void allGather_ofAnyRank_hasAllInTheOrderOfRanks(int size) throws Exception {
        double nan = Double.longBitsToDouble(0x7ff8_0000_dead_beefL);
        List<double[]> all = values(size, group -> {
            double[] last = null;
            for (int round = 0; round < 200; round++) {
                if ((round + group.rank()) % 50 == 0) {
                    Thread.sleep(1);
                }
                double[] own = {group.rank(), round, nan};
                last = gather(group, own);
                Arrays.fill(own, -1); // is this rank's again
                for (int r = 0; r < size; r++) {
                    assertThat(last[3 * r]).isEqualTo(r);
                    assertThat(last[3 * r + 1]).isEqualTo(round);
                    assertThat(Double.doubleToRawLongBits(last[3 * r + 2])).isEqualTo(Double.doubleToRawLongBits(nan));
                }
            }
            return last;
        });
        assertThat(all).hasSize(size);
    }

    @Test
    void allGather_ofNothing_isStillAMeeting() throws Exception {
        assertThat(values(2, group -> gather(group).length)).containsOnly(0);
    }

    @Test
    void allGather_withoutOneRank_failsForAllWithItsNumberInTime() throws Exception {
        long begin = System.nanoTime();
        List<Outcome<double[]>> outcomes = outcomes(3, SHORT, group -> {
            if (group.rank() == 1) {
                Thread.sleep(1000);
            }
            return gather(group, 1);
        });
        assertAllToldOf(outcomes, "of 3 waited 200 ms in a test, but rank 1 did not come");
        assertThat(System.nanoTime() - begin).isLessThan(5_000_000_000L);
    }

    @Test
    void allGather_whereOneRankLeft_failsAtOnce() throws Exception {
        List<Outcome<double[]>> outcomes = outcomes(3, Duration.ofHours(1), group -> {
            if (group.rank() == 2) {
                throw new IllegalArgumentException("mine");
            }
            return gather(group, 1);
        });
        assertAllToldOf(outcomes.subList(0, 2), "Rank 2 of 3 has left the group");
        assertThat(outcomes.get(2).failure()).hasMessage("mine").hasNoSuppressedExceptions();
    }

    @Test
    void allGather_interrupted_failsForAllAndStaysInterrupted() throws Exception {
        List<Outcome<Boolean>> outcomes = outcomes(2, Duration.ofHours(1), group -> {
            if (group.rank() == 1) {
                Thread.currentThread().interrupt();
                try {
                    gather(group, 1);
                } catch (GroupException e) {
                    assertThat(e).hasMessageContaining("Rank 1 of 2 was interrupted");
                    return Thread.interrupted();
                }
            }
            gather(group, 1);
            return false;
        });
        if (outcomes.get(1).failure() == null) {
            assertThat(outcomes.get(1).value()).isTrue();
            assertThat(outcomes.get(0).failure()).hasMessageContaining("Rank 1 of 2 was interrupted");
        }
    }

    @Test
    void allGather_ofDifferentLengths_failsForAllAndLeavesTheGroupOfUse() throws Exception {
        List<double[]> after = values(2, group -> {
            assertThatThrownBy(() -> gather(group, new double[1 + group.rank()]))
                    .isInstanceOf(GroupException.class)
                    .hasMessageContaining("[1, 2]");
            return gather(group, group.rank());
        });
        assertThat(after).containsExactly(new double[] {0, 1}, new double[] {0, 1});
    }

    @Test
    void fail_ofOneRank_isToldToAll() throws Exception {
        assertAllToldOf(
                outcomes(3, Duration.ofHours(1), group -> {
                    if (group.rank() == 0) {
                        group.fail("the disk is full");
                    }
                    return gather(group, 1);
                }),
                "the disk is full");
    }

    @Test
    void sub_ofSevenByThree_isThreeThreeAndOne() throws Exception {
        List<String> parts = values(7, group -> {
            Group part = group.sub(3);
            Group again = group.sub(3);
            gather(again, 1);
            return part.rank() + " of " + part.size() + Arrays.toString(gather(part, group.rank()));
        });
        assertThat(parts)
                .containsExactly(
                        "0 of 3[0.0, 1.0, 2.0]",
                        "1 of 3[0.0, 1.0, 2.0]",
                        "2 of 3[0.0, 1.0, 2.0]",
                        "0 of 3[3.0, 4.0, 5.0]",
                        "1 of 3[3.0, 4.0, 5.0]",
                        "2 of 3[3.0, 4.0, 5.0]",
                        "0 of 1[6.0]");
    }

    @Test
    void sub_byDifferentSizes_failsForAll() throws Exception {
        assertAllToldOf(
                outcomes(2, SHORT, group -> group.sub(1 + group.rank())),
                "divide the group by different sizes: [1.0, 2.0]");
    }

    @Test
    void badArguments_areRefusedByName() {
        assertThatThrownBy(() -> Groups.local(0, SHORT))
                .hasMessageContaining("size must be at least 1")
                .hasMessageContaining("0");
        assertThatThrownBy(() -> Groups.local(1, Duration.ZERO)).hasMessageContaining("deadline must be above 0");
        Group group = Groups.local(1, SHORT).get(0);
        assertThatThrownBy(() -> group.allGather("a test", new double[2], new double[3]))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("room for 1 times the 2 numbers");
        group.close();
        group.close();
        assertThatThrownBy(() -> gather(group, 1))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("has left");
    }
}
