package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.mpi.RankThreads.values;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.Batch;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Mask;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** A batch in parts, each of a rank with a device of its own, against the same batch in one piece. */
final class SyncBatchNormTest {
    private static final int CHANNELS = 5;
    private static final int LENGTH = 6;
    private static final int STEPS = 3;

    /** What the library promises, by the largest magnitude. */
    private static final double BOUND = 5e-7;

    private static final Map<TestDevice, List<Device>> DEVICES = new EnumMap<>(TestDevice.class);

    @AfterAll
    static void closeDevices() {
        DEVICES.values().forEach(devices -> devices.forEach(Device::close));
        DEVICES.clear();
    }

    /** Of its own for each of three ranks; kernels are compiled for each. */
    private static synchronized Device device(TestDevice on, int rank) {
        List<Device> devices = DEVICES.computeIfAbsent(on, kind -> new ArrayList<>());
        while (devices.size() <= Math.min(rank, 2)) {
            devices.add(on.open());
        }
        return devices.get(rank % 3);
    }

    /** How many samples each rank has. */
    private static final int[][] PARTS = {{8}, {5, 3}, {0, 8}, {3, 0, 5}, {1, 2, 0, 1, 1, 2, 1}};

    /** What is in a pass besides x. */
    enum Variant {
        PLAIN,
        RESIDUAL,
        MASKED;

        private Activation activation() {
            return this == RESIDUAL ? Activation.RELU : Activation.NONE;
        }
    }

    static int[] partsOf(int ranks) {
        return Stream.of(PARTS).filter(each -> each.length == ranks).findFirst().orElseThrow();
    }

    static Stream<Arguments> cases() {
        return Stream.of(TestDevice.REFERENCE, TestDevice.AUTO).flatMap(on -> Stream.of(PARTS)
                .flatMap(parts -> Stream.of(Variant.values()).map(variant -> Arguments.of(on, parts, variant))));
    }

    /**
     * What a rank has after some steps.
     *
     * @param gradients of γ and β, summed over all ranks
     * @param running mean and variance
     */
    record Result(float[] y, float[] dx, float[] dresidual, List<float[]> gradients, List<float[]> running) {
        List<float[]> arrays() {
            return List.of(y, dx, dresidual, gradients.get(0), gradients.get(1), running.get(0), running.get(1));
        }

        static Result of(List<float[]> arrays) {
            return new Result(arrays.get(0), arrays.get(1), arrays.get(2), arrays.subList(3, 5), arrays.subList(5, 7));
        }
    }

    private static BatchNorm layer(Device device, Activation activation) {
        BatchNorm norm = BatchNorm.builder(CHANNELS).activation(activation).build(device);
        norm.gamma().orElseThrow().value().upload(new float[] {1, -0.5f, 2, 0.25f, 1.5f});
        norm.beta().orElseThrow().value().upload(new float[] {0.5f, 1, -1, 0, 0.25f});
        return norm;
    }

    private static Shape shape(int samples) {
        return Shape.of(samples, CHANNELS, LENGTH);
    }

    /** Some samples of the batch of a step: of x, the residual or dy. */
    private static Tensor part(Device device, int what, int step, int from, int samples) {
        Batch all = what == 2
                ? Batch.gradient(shape(8), Layout.CHANNELS_FIRST, 100 + step)
                : Batch.random(shape(8), Layout.CHANNELS_FIRST, 10 * what + step);
        int each = CHANNELS * LENGTH;
        return device.upload(
                Arrays.copyOfRange(all.values(), from * each, (from + samples) * each),
                shape(samples),
                Layout.CHANNELS_FIRST);
    }

    /** Of the whole batch: one sample has none, and so has the part of some rank. */
    private static final int[] LENGTHS = {6, 0, 3, 1, 0, 5, 2, 4};

    private static Mask mask(Device device, int from, int samples) {
        Mask mask = Mask.of(device, samples, LENGTH, Mask.Outside.ZERO);
        mask.setLengths(Arrays.copyOfRange(LENGTHS, from, from + samples));
        return mask;
    }

    private interface Passes {
        void forward(Tensor x, Tensor residual, Tensor y);

        void backward(Tensor dy, Tensor dx, Tensor dresidual);
    }

    private static Result train(BatchNorm norm, Passes passes, Runnable sum, int from, int samples, Variant variant) {
        Device device = norm.device();
        boolean residual = variant == Variant.RESIDUAL;
        float[] y = null;
        float[] dx = null;
        float[] dresidual = null;
        try (Mask mask = variant == Variant.MASKED && samples > 0 ? mask(device, from, samples) : null) {
            norm.mask(mask);
            for (int step = 0; step < STEPS; step++) {
                try (Tensor x = part(device, 0, step, from, samples);
                        Tensor added = residual ? part(device, 1, step, from, samples) : null;
                        Tensor dy = part(device, 2, step, from, samples);
                        Tensor out = device.tensor(shape(samples), Layout.CHANNELS_FIRST);
                        Tensor gradient = device.tensor(shape(samples), Layout.CHANNELS_FIRST);
                        Tensor ofResidual = residual ? device.tensor(shape(samples), Layout.CHANNELS_FIRST) : null) {
                    passes.forward(x, added, out);
                    passes.backward(dy, gradient, ofResidual);
                    sum.run();
                    y = out.download();
                    dx = gradient.download();
                    dresidual = residual ? ofResidual.download() : new float[0];
                }
            }
            norm.mask(null);
        }
        return new Result(
                y,
                dx,
                dresidual,
                norm.parameters().stream().map(p -> p.gradient().download()).toList(),
                List.of(
                        norm.runningMean().orElseThrow().download(),
                        norm.runningVariance().orElseThrow().download()));
    }

    private static Passes passesOf(SyncBatchNorm synced) {
        return new Passes() {
            @Override
            public void forward(Tensor x, Tensor residual, Tensor y) {
                synced.forward(x, residual, y);
            }

            @Override
            public void backward(Tensor dy, Tensor dx, Tensor dresidual) {
                synced.backward(dy, dx, dresidual);
            }
        };
    }

    private static Result whole(Device device, Variant variant) {
        try (BatchNorm norm = layer(device, variant.activation())) {
            Passes passes = new Passes() {
                @Override
                public void forward(Tensor x, Tensor added, Tensor y) {
                    norm.forward(x, added, y);
                }

                @Override
                public void backward(Tensor dy, Tensor dx, Tensor dresidual) {
                    norm.backward(dy, dx, dresidual);
                }
            };
            return train(norm, passes, () -> {}, 0, 8, variant);
        }
    }

    /** What a rank does of a batch in parts. */
    static Result train(DataParallel all, Device device, int[] parts, Variant variant) {
        int rank = all.group().rank();
        try (BatchNorm norm = layer(device, variant.activation())) {
            return train(
                    norm,
                    passesOf(all.synchronize(norm)),
                    all.gradientsOf(norm.parameters())::sum,
                    Arrays.stream(parts, 0, rank).sum(),
                    parts[rank],
                    variant);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void steps_inParts_areThoseOfTheWholeBatch(TestDevice on, int[] parts, Variant variant) throws Exception {
        assertAreOfTheWhole(on, variant, byThreads(on, parts, variant));
    }

    /** The reference, a fused and a split strategy: of one batch they have the same statistics, up to rounding. */
    @ParameterizedTest
    @EnumSource(Variant.class)
    void ranks_onDevicesOfDifferentKinds_agreeToRounding(Variant variant) throws Exception {
        List<TestDevice> kinds = List.of(TestDevice.REFERENCE, TestDevice.CPU_FUSED, TestDevice.GPU_SPLIT);
        int[] parts = partsOf(3);
        List<Result> results = values(3, group -> {
            try (DataParallel all = new DataParallel(group)) {
                return train(all, kinds.get(group.rank()).device(), parts, variant);
            }
        });
        Result whole = whole(TestDevice.REFERENCE.device(), variant);
        for (Result each : results) {
            for (int i = 0; i < 2; i++) {
                assertClose(
                        "running " + i, each.running().get(i), whole.running().get(i));
                assertClose(
                        "gradients " + i,
                        each.gradients().get(i),
                        whole.gradients().get(i));
            }
        }
        assertClose("y", joined(results.stream().map(Result::y)), whole.y());
        assertClose("dx", joined(results.stream().map(Result::dx)), whole.dx());
    }

    /** What ranks have that are threads. */
    static List<Result> byThreads(TestDevice on, Variant variant, int ranks) throws Exception {
        return byThreads(on, partsOf(ranks), variant);
    }

    private static List<Result> byThreads(TestDevice on, int[] parts, Variant variant) throws Exception {
        for (int rank = 0; rank < parts.length; rank++) {
            device(on, rank);
        }
        return values(parts.length, group -> {
            try (DataParallel all = new DataParallel(group)) {
                return train(all, device(on, group.rank()), parts, variant);
            }
        });
    }

    /** What ranks have, against one device's and the reference's of the whole batch. */
    static void assertAreOfTheWhole(TestDevice on, Variant variant, List<Result> results) {
        Result first = results.get(0);
        for (Result each : results) {
            assertSameBits(each.running(), first.running());
            assertSameBits(each.gradients(), first.gradients());
        }
        for (Device device : List.of(on.device(), TestDevice.REFERENCE.device())) {
            Result whole = whole(device, variant);
            assertClose("y", joined(results.stream().map(Result::y)), whole.y());
            assertClose("dx", joined(results.stream().map(Result::dx)), whole.dx());
            assertClose("dresidual", joined(results.stream().map(Result::dresidual)), whole.dresidual());
            for (int i = 0; i < 2; i++) {
                assertClose(
                        "gradients " + i,
                        first.gradients().get(i),
                        whole.gradients().get(i));
                assertClose(
                        "running " + i, first.running().get(i), whole.running().get(i));
            }
        }
    }

    private static void assertSameBits(List<float[]> actual, List<float[]> expected) {
        for (int i = 0; i < expected.size(); i++) {
            assertThat(actual.get(i)).isEqualTo(expected.get(i));
        }
    }

    private static float[] joined(Stream<float[]> parts) {
        List<float[]> each = parts.toList();
        float[] all = new float[each.stream().mapToInt(part -> part.length).sum()];
        int at = 0;
        for (float[] part : each) {
            System.arraycopy(part, 0, all, at, part.length);
            at += part.length;
        }
        return all;
    }

    /** Sums of a few large numbers that cancel are at home among these, whose largest is about 1. */
    private static void assertClose(String what, float[] actual, float[] expected) {
        double largest = 1;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        assertThat(actual).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < expected.length; i++) {
            assertThat((double) actual[i])
                    .as("%s, element %d", what, i)
                    .isCloseTo(expected[i], org.assertj.core.api.Assertions.within(4 * BOUND * largest));
        }
    }

    @Test
    void unbiasedVariance_ofOneValueOnEachRank_isByTheWholeCount() throws Exception {
        List<float[]> running = values(2, group -> {
            try (Device device = Device.cpuReference();
                    DataParallel all = new DataParallel(group);
                    BatchNorm norm = BatchNorm.builder(1).build(device);
                    Tensor x = device.upload(new float[] {4 * group.rank()}, Shape.of(1, 1), Layout.CHANNELS_FIRST);
                    Tensor y = device.tensor(Shape.of(1, 1), Layout.CHANNELS_FIRST)) {
                all.synchronize(norm).forward(x, y);
                return norm.runningVariance().orElseThrow().download();
            }
        });
        assertThat(running).allSatisfy(each -> assertThat(each[0])
                .as("0 and 4 have the unbiased variance 8")
                .isEqualTo((float) (0.9 + 0.8)));
    }

    @Test
    void evaluation_ofOneRankAlone_needsNoOther() throws Exception {
        List<float[]> outputs = values(2, group -> {
            try (Device device = Device.cpuReference();
                    BatchNorm norm = layer(device, Activation.NONE);
                    Tensor x = part(device, 0, 0, 0, 4);
                    Tensor y = device.tensor(shape(4), Layout.CHANNELS_FIRST);
                    Tensor expected = device.tensor(shape(4), Layout.CHANNELS_FIRST)) {
                norm.eval();
                if (group.rank() == 0) {
                    SyncBatchNorm synced = new DataParallel(group).synchronize(norm);
                    synced.forward(x, y);
                    synced.backward(x, y);
                }
                norm.forward(x, expected);
                norm.backward(x, expected);
                return group.rank() == 0 ? y.download() : expected.download();
            }
        });
        assertThat(outputs.get(0)).isEqualTo(outputs.get(1));
    }

    @Test
    void statistics_ofPartsOfAGroup_areThoseOfTheirRanks() throws Exception {
        List<float[]> means = values(4, group -> {
            try (Device device = Device.cpuReference();
                    DataParallel part = new DataParallel(group.sub(2));
                    BatchNorm norm = BatchNorm.builder(1).build(device);
                    Tensor x = device.upload(
                            new float[] {group.rank(), group.rank()}, Shape.of(2, 1), Layout.CHANNELS_FIRST);
                    Tensor y = device.tensor(Shape.of(2, 1), Layout.CHANNELS_FIRST)) {
                part.synchronize(norm).forward(x, y);
                return norm.savedMean().download();
            }
        });
        assertThat(means).extracting(each -> each[0]).containsExactly(0.5f, 0.5f, 2.5f, 2.5f);
    }
}
