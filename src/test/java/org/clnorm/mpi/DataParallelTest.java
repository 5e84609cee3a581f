package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.clnorm.mpi.RankThreads.assertAllToldOf;
import static org.clnorm.mpi.RankThreads.outcomes;
import static org.clnorm.mpi.RankThreads.values;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Parameter;
import org.clnorm.RunningAverage;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.WeightNorm;
import org.clnorm.mpi.RankThreads.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Ranks that are in different calls find it out, all of them and at once; and gradients of all ranks are added up. */
final class DataParallelTest {
    /** Nothing here may take so long. */
    private static final Duration LONG = Duration.ofHours(1);

    private static final int RANKS = 3;

    /** What a rank does with layers of its own. */
    private interface Part {
        void of(int rank, DataParallel all, Device device);
    }

    private static List<Outcome<Object>> together(Part part) throws Exception {
        return outcomes(RANKS, LONG, group -> {
            try (Device device = Device.cpuReference();
                    DataParallel all = new DataParallel(group)) {
                part.of(group.rank(), all, device);
                return null;
            }
        });
    }

    private static void step(SyncBatchNorm norm, DataType type, boolean back) {
        Device device = norm.layer().device();
        Shape shape = Shape.of(2, norm.layer().channels());
        try (Tensor x = device.tensor(shape, Layout.CHANNELS_FIRST, type);
                Tensor y = device.tensor(shape, Layout.CHANNELS_FIRST, type)) {
            norm.forward(x, y);
            if (back) {
                norm.backward(y, y);
            }
        }
    }

    static Stream<List<BatchNorm.Builder>> different() {
        BatchNorm.Builder usual = BatchNorm.builder(4);
        return Stream.of(
                        BatchNorm.builder(5),
                        usual.epsilon(1e-3),
                        usual.gamma(false),
                        usual.beta(false),
                        usual.activation(Activation.RELU),
                        usual.runningAverage(RunningAverage.cumulative()),
                        usual.runningAverage(RunningAverage.exponential(0.2)),
                        usual.runningVariance(org.clnorm.RunningVariance.BIASED),
                        usual.nonFinite(org.clnorm.NonFinitePolicy.THROW))
                .map(other -> List.of(usual, other));
    }

    @ParameterizedTest
    @MethodSource("different")
    void layers_ofDifferentSettings_areFoundOutByAll(List<BatchNorm.Builder> builders) throws Exception {
        try (Device device = Device.cpuReference();
                BatchNorm usual = builders.get(0).build(device);
                BatchNorm other = builders.get(1).build(device)) {
            assertAllToldOf(
                    together((rank, all, own) ->
                            step(all.synchronize(builders.get(rank == 1 ? 1 : 0).build(own)), DataType.FLOAT32, true)),
                    "rank 0 is in message 1, forward of layer 0, batch normalization of 4 channels: "
                            + usual.settings(),
                    "rank 1 is in message 1, forward of layer 0, batch normalization of " + other.channels()
                            + " channels: " + other.settings());
        }
    }

    @Test
    void elements_ofDifferentTypes_areFoundOutByAll() throws Exception {
        assertAllToldOf(
                together((rank, all, device) -> {
                    SyncBatchNorm norm = all.synchronize(BatchNorm.builder(4).build(device));
                    step(norm, DataType.FLOAT32, true);
                    step(norm, rank == 2 ? DataType.BFLOAT16 : DataType.FLOAT32, true);
                }),
                "rank 0 is in message 4",
                ", x float32, like 1 more",
                "rank 2 is in message 4",
                ", x bfloat16");
    }

    /** Both layers have been in use, so that their messages are of different lengths. */
    @Test
    void layers_inAnotherOrder_areFoundOutByAll() throws Exception {
        assertAllToldOf(
                together((rank, all, device) -> {
                    SyncBatchNorm small = all.synchronize(BatchNorm.builder(4).build(device));
                    SyncBatchNorm large = all.synchronize(BatchNorm.builder(6).build(device));
                    step(small, DataType.FLOAT32, true);
                    step(large, DataType.FLOAT32, true);
                    step(rank == 1 ? large : small, DataType.FLOAT32, true);
                }),
                "rank 0 is in message 7, forward of layer 0,",
                "rank 1 is in message 7, forward of layer 1,");
    }

    @Test
    void directions_thatDiffer_areFoundOutByAll() throws Exception {
        assertAllToldOf(
                together((rank, all, device) -> {
                    SyncBatchNorm norm = all.synchronize(BatchNorm.builder(4).build(device));
                    step(norm, DataType.FLOAT32, rank != 0);
                    step(norm, DataType.FLOAT32, true);
                }),
                "rank 0 is in message 3, forward of layer 0",
                "rank 1 is in message 3, backward of layer 0");
    }

    @Test
    void exception_ofOneRank_isToldToTheOthersAtOnce() throws Exception {
        List<Outcome<Object>> outcomes = together((rank, all, device) -> {
            SyncBatchNorm norm = all.synchronize(BatchNorm.builder(4).build(device));
            step(norm, DataType.FLOAT32, true);
            if (rank == 2) {
                norm.forward(
                        device.tensor(Shape.of(2, 3), Layout.CHANNELS_FIRST),
                        device.tensor(Shape.of(2, 3), Layout.CHANNELS_FIRST));
            }
            step(norm, DataType.FLOAT32, true);
        });
        assertThat(outcomes.get(2).failure())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("x must have shape");
        assertAllToldOf(
                outcomes.subList(0, 2),
                "or one has failed",
                "rank 2 is in message 4, forward of layer 0",
                "FAILED: java.lang.IllegalArgumentException: x must have shape");
    }

    /** What a program throws on its own account is found by the others in that it leaves. */
    @Test
    void rank_thatLeavesInTheMiddle_isFoundOutByTheOthersAtOnce() throws Exception {
        List<Outcome<Object>> outcomes = together((rank, all, device) -> {
            SyncBatchNorm norm = all.synchronize(BatchNorm.builder(4).build(device));
            step(norm, DataType.FLOAT32, true);
            if (rank == 0) {
                throw new UnsupportedOperationException("of the program");
            }
            step(norm, DataType.FLOAT32, true);
        });
        assertThat(outcomes.get(0).failure()).hasMessage("of the program");
        assertThat(outcomes.get(0).failure().getSuppressed()).hasSize(1);
        assertAllToldOf(
                outcomes.subList(1, 3),
                "rank 0 is in message 4, leaving the group",
                "rank 1 is in message 4, forward of layer 0");
    }

    @Test
    void refusal_ofAllRanksAlike_leavesTheGroupOfUse() throws Exception {
        List<Outcome<Object>> outcomes = together((rank, all, device) -> {
            SyncBatchNorm norm = all.synchronize(BatchNorm.builder(4).build(device));
            assertThatThrownBy(() -> norm.forward(
                            device.tensor(Shape.of(2, 3), Layout.CHANNELS_FIRST),
                            device.tensor(Shape.of(2, 3), Layout.CHANNELS_FIRST)))
                    .isInstanceOf(IllegalArgumentException.class);
            step(norm, DataType.FLOAT32, true);
        });
        assertThat(outcomes).allSatisfy(each -> assertThat(each.failure()).isNull());
    }

    @Test
    void use_afterAFault_givesTheSameFault() throws Exception {
        assertAllToldOf(
                together((rank, all, device) -> {
                    SyncBatchNorm norm =
                            all.synchronize(BatchNorm.builder(4 + rank).build(device));
                    assertThatThrownBy(() -> step(norm, DataType.FLOAT32, true)).isInstanceOf(GroupException.class);
                    step(norm, DataType.FLOAT32, true);
                }),
                "batch normalization of 5 channels");
    }

    @Test
    void runningStatistics_afterAFault_areAsTheyWere() throws Exception {
        List<Outcome<Object>> outcomes = together((rank, all, device) -> {
            BatchNorm layer = BatchNorm.builder(4).build(device);
            SyncBatchNorm norm = all.synchronize(layer);
            step(norm, DataType.FLOAT32, true);
            float[] before = layer.runningVariance().orElseThrow().download();
            assertThatThrownBy(() -> step(norm, rank == 0 ? DataType.FLOAT16 : DataType.FLOAT32, true))
                    .isInstanceOf(GroupException.class);
            assertThat(layer.runningVariance().orElseThrow().download()).isEqualTo(before);
            assertThat(layer.batchesTracked()).isEqualTo(1);
        });
        assertThat(outcomes).allSatisfy(each -> assertThat(each.failure()).isNull());
    }

    private static float[] random(int count, long seed) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** Of more elements than a message has, in two parameters of different sizes, and one that is frozen. */
    @Test
    void gradients_ofSeveralParameters_areSummedInTheOrderOfRanks() throws Exception {
        int rows = GradientSum.CHUNK + 5;
        List<List<float[]>> sums = values(RANKS, group -> {
            try (Device device = Device.cpuReference();
                    DataParallel all = new DataParallel(group);
                    WeightNorm large = WeightNorm.builder(rows).build(device);
                    BatchNorm small = BatchNorm.builder(3).build(device)) {
                Parameter gamma = small.gamma().orElseThrow();
                Parameter beta = small.beta().orElseThrow();
                Parameter lengths = large.parameters().get(0);
                GradientSum sum = all.gradientsOf(List.of(gamma, lengths, beta));
                beta.freeze();
                for (int round = 0; round < 2; round++) {
                    gamma.gradient().upload(random(3, group.rank()));
                    lengths.gradient().upload(random(rows, 10 + group.rank()));
                    beta.gradient().upload(new float[] {1, 2, 3});
                    sum.sum();
                }
                float[] summed = gamma.gradient().download();
                gamma.gradient().upload(random(3, group.rank()));
                sum.average();
                return List.of(
                        summed,
                        lengths.gradient().download(),
                        beta.gradient().download(),
                        gamma.gradient().download());
            }
        });
        float[] gamma = sum(3, 0, 1);
        float[] lengths = sum(rows, 10, 1);
        float[] average = sum(3, 0, RANKS);
        assertThat(sums).allSatisfy(each -> {
            assertThat(each.get(0)).isEqualTo(gamma);
            assertThat(each.get(2)).containsExactly(1, 2, 3);
            assertThat(each.get(3)).isEqualTo(average);
            assertThat(each.get(1)).hasSize(rows);
            for (int i = 0; i < rows; i++) { // averaged three sums of the same
                assertThat(each.get(1)[i]).isEqualTo((float) (3.0 * lengths[i] / RANKS));
            }
        });
    }

    private static float[] sum(int count, int seed, int divisor) {
        double[] sum = new double[count];
        for (int rank = 0; rank < RANKS; rank++) {
            float[] own = random(count, seed + rank);
            Arrays.setAll(sum, i -> sum[i] + own[i]);
        }
        float[] rounded = new float[count];
        IntStream.range(0, count).forEach(i -> rounded[i] = (float) (sum[i] / divisor));
        return rounded;
    }

    @Test
    void gradients_frozenOnOneRank_areFoundOutByAll() throws Exception {
        assertAllToldOf(
                together((rank, all, device) -> {
                    BatchNorm norm = BatchNorm.builder(3).build(device);
                    GradientSum sum = all.gradientsOf(norm.parameters());
                    sum.sum();
                    if (rank == 1) {
                        norm.beta().orElseThrow().freeze();
                    }
                    sum.sum();
                }),
                "bias (3), frozen");
    }

    @Test
    void gradients_inTensorsOfAProgramsOwn_areSummedInTheirType() throws Exception {
        List<List<float[]>> sums = values(RANKS, group -> {
            try (Device device = Device.cpuReference();
                    DataParallel all = new DataParallel(group);
                    BatchNorm norm = BatchNorm.builder(2).build(device);
                    Tensor wide = device.upload(new float[] {group.rank(), 1}, Shape.of(2), Layout.CHANNELS_FIRST);
                    Tensor half = device.tensor(Shape.of(1, 1), Layout.CHANNELS_FIRST, DataType.FLOAT16)) {
                half.fill(0.5f);
                Tensor gamma = norm.gamma().orElseThrow().gradient();
                gamma.fill(group.rank());
                all.gradientsIn(List.of(wide, half, gamma)).sum();
                return List.of(wide.download(), half.download(), gamma.download());
            }
        });
        assertThat(sums).allSatisfy(each -> {
            assertThat(each.get(0)).containsExactly(3, 3);
            assertThat(each.get(1)).containsExactly(1.5f);
            assertThat(each.get(2)).containsExactly(3, 3);
        });
    }

    @Test
    void gradients_summedByOneAndAveragedByAnother_areFoundOutByAll() throws Exception {
        assertAllToldOf(
                together((rank, all, device) -> {
                    GradientSum sum =
                            all.gradientsOf(BatchNorm.builder(3).build(device).parameters());
                    if (rank == 0) {
                        sum.sum();
                    } else {
                        sum.average();
                    }
                }),
                "rank 0 is in message 1, gradient sum 0 of 2 parameters, sum: weight (3); bias (3);",
                "rank 1 is in message 1, gradient sum 0 of 2 parameters, average: weight (3); bias (3), like 1 more");
    }

    /** Under the policy that throws: all ranks go by the same moments, so all throw, and go on together. */
    @Test
    void nanOnOneRank_isRefusedByAllAlike() throws Exception {
        List<Outcome<Object>> outcomes = together((rank, all, device) -> {
            SyncBatchNorm norm = all.synchronize(BatchNorm.builder(1)
                    .nonFinite(org.clnorm.NonFinitePolicy.THROW)
                    .build(device));
            Tensor x = device.tensor(Shape.of(2, 1), Layout.CHANNELS_FIRST);
            Tensor y = device.tensor(Shape.of(2, 1), Layout.CHANNELS_FIRST);
            x.upload(new float[] {1, rank == 1 ? Float.NaN : 2});
            assertThatThrownBy(() -> norm.forward(x, y)).isInstanceOf(org.clnorm.NonFiniteException.class);
            x.upload(new float[] {1, 2});
            norm.forward(x, y);
            assertThat(norm.layer().batchesTracked()).isEqualTo(1);
        });
        assertThat(outcomes).allSatisfy(each -> assertThat(each.failure()).isNull());
    }

    @Test
    void use_afterClosing_isRefused() throws Exception {
        List<Outcome<Object>> outcomes = together((rank, all, device) -> {
            SyncBatchNorm norm = all.synchronize(BatchNorm.builder(4).build(device));
            all.close();
            all.close();
            assertThatThrownBy(() -> step(norm, DataType.FLOAT32, true))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("has left the group");
            assertThatThrownBy(() -> norm.forward(
                            device.tensor(Shape.of(2, 3), Layout.CHANNELS_FIRST),
                            device.tensor(Shape.of(2, 3), Layout.CHANNELS_FIRST)))
                    .isInstanceOf(IllegalArgumentException.class);
        });
        assertThat(outcomes).allSatisfy(each -> assertThat(each.failure()).isNull());
    }

    @Test
    void gradients_ofNothing_areRefused() {
        try (DataParallel all = new DataParallel(Groups.local(1, LONG).get(0))) {
            assertThatThrownBy(() -> all.gradientsOf(List.of()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("parameters must have at least one");
            assertThatThrownBy(() -> all.gradientsIn(List.of()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("tensors must have at least one");
        }
    }

    /** Random delays, as of ranks that share cores: the same bits on all, and those of any other order of arrival. */
    @Test
    void steps_withRandomDelays_giveTheSameBitsOnAllRanks() throws Exception {
        int steps = 2000;
        List<List<float[]>> states = values(RANKS, group -> {
            Random delays = new Random();
            try (Device device = Device.cpuReference();
                    DataParallel all = new DataParallel(group);
                    BatchNorm norm = BatchNorm.builder(2).build(device);
                    Tensor x = device.tensor(Shape.of(2, 2), Layout.CHANNELS_FIRST);
                    Tensor y = device.tensor(Shape.of(2, 2), Layout.CHANNELS_FIRST)) {
                SyncBatchNorm synced = all.synchronize(norm);
                GradientSum gradients = all.gradientsOf(norm.parameters());
                for (int step = 0; step < steps; step++) {
                    x.upload(random(4, 3L * step + group.rank()));
                    pause(delays);
                    synced.forward(x, y);
                    pause(delays);
                    synced.backward(y, y);
                    gradients.sum();
                }
                return List.of(
                        norm.runningMean().orElseThrow().download(),
                        norm.runningVariance().orElseThrow().download(),
                        norm.gamma().orElseThrow().gradient().download(),
                        norm.beta().orElseThrow().gradient().download());
            }
        });
        assertThat(states).allSatisfy(each -> {
            for (int i = 0; i < each.size(); i++) {
                assertThat(each.get(i)).isEqualTo(states.get(0).get(i));
            }
        });
        for (float variance : states.get(0).get(1)) {
            assertThat(variance).as("of unit normals").isBetween(0.2f, 3f);
        }
    }

    private static void pause(Random random) throws InterruptedException {
        if (random.nextInt(20) == 0) {
            Thread.sleep(0, random.nextInt(200_000));
        }
    }
}
