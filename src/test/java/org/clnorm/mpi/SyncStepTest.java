package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.clnorm.mpi.RankThreads.outcomes;
import static org.clnorm.mpi.RankThreads.values;

import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.Batch;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.clnorm.mpi.RankThreads.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Synchronised passes in two halves: other work between them, several in one message, and several under way. */
final class SyncStepTest {
    private static final int RANKS = 3;
    private static final Shape SMALL = Shape.of(2, 5, 6);
    private static final Shape LARGE = Shape.of(2, 7, 3, 3);

    /** A group that counts messages. */
    private static final class Counted extends GroupAround {
        private int messages;

        Counted(Group inner) {
            super(inner);
        }

        @Override
        public void allGather(String purpose, double[] own, double[] all) {
            messages++;
            super.allGather(purpose, own, all);
        }
    }

    /** A layer of a rank, and what goes in and out. */
    private static final class Branch implements AutoCloseable {
        private final BatchNorm norm;
        private final SyncBatchNorm synced;
        private final Tensor x;
        private final Tensor y;
        private final Tensor dy;
        private final Tensor dx;

        Branch(DataParallel all, Device device, Shape shape) {
            norm = BatchNorm.builder((int) shape.channels())
                    .activation(Activation.RELU)
                    .build(device);
            synced = all.synchronize(norm);
            int rank = all.group().rank();
            x = random(device, shape, 100 + rank);
            dy = random(device, shape, 200 + rank);
            y = device.tensor(shape, Layout.CHANNELS_FIRST);
            dx = device.tensor(shape, Layout.CHANNELS_FIRST);
        }

        private static Tensor random(Device device, Shape shape, int seed) {
            Batch values = Batch.random(shape, Layout.CHANNELS_FIRST, seed);
            return device.upload(values.values(), shape, Layout.CHANNELS_FIRST);
        }

        List<float[]> results() {
            return List.of(
                    y.download(),
                    dx.download(),
                    norm.runningMean().orElseThrow().download(),
                    norm.runningVariance().orElseThrow().download(),
                    norm.gamma().orElseThrow().gradient().download(),
                    norm.beta().orElseThrow().gradient().download());
        }

        @Override
        public void close() {
            Stream.of(x, y, dy, dx).forEach(Tensor::close);
            norm.close();
        }
    }

    private static void apart(Branch one, Branch other) {
        one.synced.forward(one.x, one.y);
        other.synced.forward(other.x, other.y);
        one.synced.backward(one.dy, one.dx);
        other.synced.backward(other.dy, other.dx);
    }

    /** With other work on the same device before each end. */
    private static void together(DataParallel all, Branch one, Branch other, Branch between) {
        SyncStep first = one.synced.beginForward(one.x, null, one.y);
        SyncStep second = other.synced.beginForward(other.x, null, other.y);
        between.norm.forward(between.x, between.y);
        all.finish(first, second);
        first = one.synced.beginBackward(one.dy, one.dx, null);
        second = other.synced.beginBackward(other.dy, other.dx, null);
        between.norm.backward(between.dy, between.dx);
        all.finish(first, second);
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "AUTO"})
    void branches_inOneMessage_areAsApart(TestDevice on) throws Exception {
        List<List<List<float[]>>> results = values(RANKS, group -> {
            Counted counted = new Counted(group);
            try (Device device = on.open();
                    DataParallel all = new DataParallel(counted);
                    Branch one = new Branch(all, device, SMALL);
                    Branch other = new Branch(all, device, LARGE);
                    Branch between = new Branch(all, device, SMALL);
                    Branch oneApart = new Branch(all, device, SMALL);
                    Branch otherApart = new Branch(all, device, LARGE)) {
                together(all, one, other, between);
                assertThat(counted.messages)
                        .as("that all agree, and one a direction")
                        .isEqualTo(3);
                apart(oneApart, otherApart);
                assertThat(counted.messages).as("apart").isEqualTo(3 + 6);
                return List.of(one.results(), oneApart.results(), other.results(), otherApart.results());
            }
        });
        assertThat(results).allSatisfy(each -> {
            assertThat(each.get(0)).usingRecursiveComparison().isEqualTo(each.get(1));
            assertThat(each.get(2)).usingRecursiveComparison().isEqualTo(each.get(3));
        });
    }

    /** Two passes of one layer under way, gone back through in the other order, against a layer for each. */
    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "AUTO"})
    void recorded_passesUnderWay_haveTheirOwnStatistics(TestDevice on) throws Exception {
        List<List<float[]>> results = values(RANKS, group -> {
            try (Device device = on.open();
                    DataParallel all = new DataParallel(group);
                    Branch one = new Branch(all, device, SMALL);
                    Branch other = new Branch(all, device, SMALL);
                    Tensor shifted = Branch.random(device, SMALL, 300 + group.rank())) {
                Tensor second = other.y;
                try (SyncForwardPass first = one.synced.record(one.x, one.y);
                        SyncForwardPass next = one.synced.record(shifted, second)) {
                    next.backward(one.dy, one.dx);
                    float[] back = one.dx.download();
                    first.backward(one.dy, one.dx);
                    float[] backFirst = one.dx.download();
                    other.synced.forward(one.x, other.y);
                    other.synced.backward(one.dy, other.dx);
                    float[] alone = other.dx.download();
                    other.synced.forward(shifted, other.y);
                    other.synced.backward(one.dy, other.dx);
                    assertThat(first.pass().savedMean().download()).hasSize(5);
                    return List.of(backFirst, alone, back, other.dx.download());
                }
            }
        });
        assertThat(results).allSatisfy(each -> {
            assertThat(each.get(0)).isEqualTo(each.get(1));
            assertThat(each.get(2)).isEqualTo(each.get(3));
            assertThat(each.get(0)).isNotEqualTo(each.get(2));
        });
    }

    /** In the first message of the layers, where nothing was exchanged yet, and in a later one. */
    @Test
    void failure_inOneBranchOfOneRank_isToldToAll() throws Exception {
        for (int steps = 0; steps < 2; steps++) {
            int before = steps;
            List<Outcome<Object>> outcomes = outcomes(RANKS, Duration.ofHours(1), group -> {
                try (Device device = Device.cpuReference();
                        DataParallel all = new DataParallel(group);
                        Branch one = new Branch(all, device, SMALL);
                        Branch other = new Branch(all, device, LARGE);
                        Branch between = new Branch(all, device, SMALL)) {
                    for (int i = 0; i < before; i++) {
                        together(all, one, other, between);
                    }
                    SyncStep good = one.synced.beginForward(one.x, null, one.y);
                    // Thrown when it is to be finished, for only then do the others learn of it.
                    SyncStep bad = other.synced.beginForward(group.rank() == 1 ? one.x : other.x, null, other.y);
                    all.finish(good, bad);
                    return null;
                }
            });
            assertThat(outcomes.get(1).failure())
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("x must have shape");
            for (int rank : new int[] {0, 2}) {
                assertThat(outcomes.get(rank).failure())
                        .isInstanceOf(GroupException.class)
                        .hasMessageContainingAll(
                                "rank 1 is in message " + (before == 0 ? 1 : 4) + ", forward of layer 0",
                                ", with forward of layer 1",
                                "FAILED",
                                "x must have shape");
            }
        }
    }

    /** One rank has the branches in another order than the others. */
    @Test
    void branches_inAnotherOrder_areFoundOutByAll() throws Exception {
        RankThreads.assertAllToldOf(
                outcomes(RANKS, Duration.ofHours(1), group -> {
                    try (Device device = Device.cpuReference();
                            DataParallel all = new DataParallel(group);
                            Branch one = new Branch(all, device, SMALL);
                            Branch other = new Branch(all, device, LARGE)) {
                        SyncStep first = one.synced.beginForward(one.x, null, one.y);
                        SyncStep second = other.synced.beginForward(other.x, null, other.y);
                        if (group.rank() == 0) {
                            all.finish(second, first);
                        } else {
                            all.finish(first, second);
                        }
                        return null;
                    }
                }),
                "rank 0 is in message 1, forward of layer 1, batch normalization of 7 channels: 7 channels,",
                "rank 1 is in message 1, forward of layer 0, batch normalization of 5 channels: 5 channels,",
                ", with forward of layer 0, batch normalization of 5 channels: 5 channels,");
    }

    @Test
    void finish_ofWhatCannotBe_isAClearError() throws Exception {
        values(1, group -> {
            try (Device device = Device.cpuReference();
                    DataParallel all = new DataParallel(group);
                    DataParallel others = new DataParallel(
                            Groups.local(1, Duration.ofMinutes(1)).get(0));
                    Branch one = new Branch(all, device, SMALL)) {
                SyncStep step = one.synced.beginForward(one.x, null, one.y);
                assertThatThrownBy(() -> others.finish(step))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("A begun pass of layer 0")
                        .hasMessageContaining("belongs to");
                assertThatThrownBy(all::finish)
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("at least one");
                step.finish();
                assertThatThrownBy(step::finish)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("finished before");
                one.norm.eval();
                one.synced.forward(one.x, one.y);
                try (SyncForwardPass frozen = one.synced.record(one.x, one.y)) {
                    frozen.backward(one.dy, one.dx);
                }
                return null;
            }
        });
    }
}
