package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Shapes whose sizes do not fit 16, 27 or 31 bits, under every strategy. What is not too large for it is held against the
 * reference; the rest is data whose statistics and gradients are exact numbers ({@link Waves}). Each test says first how much
 * memory it needs, and fails where that is not there.
 */
@Tag("long")
class HugeTest {
    /** What a share of the largest magnitude two results may be apart. */
    private static final double APART = 2e-6;

    /** What is there beside tensors: the JVM, its heap for chunks, and the kernels' partial results. */
    private static final long BESIDE = 1L << 30;

    private static final Set<TestDevice> STRATEGIES =
            EnumSet.complementOf(EnumSet.of(TestDevice.REFERENCE, TestDevice.AUTO));

    /** Sizes past 65,535, and a million channels, which the reference has time for. */
    private enum Sizes {
        SAMPLES(Shape.of(70_001, 3, 2, 2), device -> BatchNorm.builder(3).build(device)),
        ROWS_OF_CHANNELS(Shape.of(300_007, 5), device -> BatchNorm.builder(5).build(device)),
        VIRTUAL_BATCHES(
                Shape.of(140_003, 3, 2),
                device -> BatchNorm.builder(3).virtualBatch(2).build(device)),
        CHANNELS(Shape.of(3, 1_000_003), device -> BatchNorm.builder(1_000_003).build(device)),
        CHANNELS_OF_PLANES(Shape.of(2, 1_000_003, 3), device -> BatchNorm.builder(1_000_003)
                .build(device)),
        INSTANCES(Shape.of(70_001, 3, 5), device -> InstanceNorm.builder(3).build(device)),
        GROUPS(Shape.of(70_001, 4, 3), device -> GroupNorm.builder(2, 4).build(device)),
        GROUPS_OF_MANY(Shape.of(2, 1_000_000, 2), device -> GroupNorm.builder(1_000, 1_000_000)
                .build(device)),
        ROWS(Shape.of(300_007, 8), device -> LayerNorm.builder(8).build(device)),
        LONG_ROWS(Shape.of(3, 1_000_003), device -> LayerNorm.builder(1_000_003).build(device)),
        LENGTHS(Shape.of(300_007, 8), device -> RmsNorm.builder(8).build(device)),
        POSITIONS(Shape.of(70_001, 6, 3), device -> LayerNorm.overChannels(6).build(device)),
        MANY_POSITIONS(
                Shape.of(2, 3, 1_000_003), device -> LayerNorm.overChannels(3).build(device));

        private final Shape shape;
        private final Function<Device, Normalizer> layer;

        Sizes(Shape shape, Function<Device, Normalizer> layer) {
            this.shape = shape;
            this.layer = layer;
        }
    }

    @ParameterizedTest
    @EnumSource
    void training_ofLargeSizes_isTheReferences(Sizes sizes) throws IOException {
        require(40 * sizes.shape.elements());
        for (Layout layout : Layout.values()) {
            if (sizes.name().contains("ROWS") && layout == Layout.CHANNELS_LAST && sizes.shape.rank() == 2) {
                continue; // the same memory
            }
            List<float[]> expected;
            try (Device reference = Device.cpuReference()) {
                expected = trained(reference, sizes, layout);
            }
            for (TestDevice strategy : STRATEGIES) {
                List<float[]> found = trained(strategy.device(), sizes, layout);
                for (int i = 0; i < expected.size(); i++) {
                    assertThat(apart(expected.get(i), found.get(i)))
                            .as("array %d of %s, %s, under %s", i, sizes, layout, strategy)
                            .isLessThan(APART);
                }
            }
        }
    }

    /** y, dx, the gradients of γ and β, and the running statistics as far as there are some. */
    private static List<float[]> trained(Device device, Sizes sizes, Layout layout) {
        List<float[]> arrays = new ArrayList<>();
        try (Normalizer layer = sizes.layer.apply(device);
                Tensor x = device.upload(values(sizes.shape, 1), sizes.shape, layout);
                Tensor dy = device.upload(values(sizes.shape, 2), sizes.shape, layout);
                Tensor y = device.tensor(sizes.shape, layout)) {
            layer.forward(x, y);
            layer.backward(dy, dy);
            arrays.add(y.download());
            arrays.add(dy.download());
            layer.parameters()
                    .forEach(parameter -> arrays.add(parameter.gradient().download()));
            layer.stateDict().toMap().forEach((name, array) -> {
                if (name.startsWith("running")) {
                    arrays.add(array.toFloats());
                }
            });
        }
        return arrays;
    }

    /** Some that differ from each other wherever they are, about a mean that is not 0. */
    private static float[] values(Shape shape, int seed) {
        float[] values = new float[(int) shape.elements()];
        long state = seed;
        for (int i = 0; i < values.length; i++) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            values[i] = (state >>> 40) * 0x1p-23f - 0.5f;
        }
        return values;
    }

    /** The largest difference, as a share of the largest magnitude. */
    private static double apart(float[] expected, float[] found) {
        double scale = 0;
        double most = 0;
        for (int i = 0; i < expected.length; i++) {
            scale = Math.max(scale, Math.abs(expected[i]));
            double difference = Math.abs(expected[i] - found[i]);
            most = difference <= most ? most : difference; // a NaN stays
        }
        return most / scale;
    }

    /** One group of 2²⁷ elements, and two channels that share statistics. */
    private enum Long {
        CHANNEL(Shape.of(1, 1, 1 << 27), device -> BatchNorm.builder(1).build(device)),
        CHANNEL_OF_SAMPLES(
                Shape.of(1 << 13, 1, 1 << 14), device -> BatchNorm.builder(1).build(device)),
        CHANNEL_OF_VALUES(Shape.of(1 << 27, 1), device -> BatchNorm.builder(1).build(device)),
        INSTANCE(Shape.of(1, 1, 1 << 27), device -> InstanceNorm.builder(1).build(device)),
        GROUP(Shape.of(1, 2, 1 << 26), device -> GroupNorm.builder(1, 2).build(device)),
        ROW(
                Shape.of(1, 1 << 27),
                device -> LayerNorm.builder(1 << 27).gamma(false).beta(false).build(device));

        private final Shape shape;
        private final Function<Device, Normalizer> layer;

        Long(Shape shape, Function<Device, Normalizer> layer) {
            this.shape = shape;
            this.layer = layer;
        }
    }

    @ParameterizedTest
    @EnumSource
    void training_ofLongGroups_isExact(Long group) throws IOException {
        require(2 * Float.BYTES * group.shape.elements());
        for (TestDevice strategy : STRATEGIES) {
            Device device = strategy.device();
            try (Normalizer layer = group.layer.apply(device)) {
                trainExactly(
                        device,
                        layer,
                        group.shape,
                        Layout.CHANNELS_FIRST,
                        DataType.FLOAT32,
                        Waves.ofOne(1 << 20),
                        group + " under " + strategy);
            }
        }
    }

    /** Tensors of more elements than an int counts, of 16 bits: 4.3 GB each. Between them they have each strategy. */
    private enum PastInt {
        /** Of a channel as many as an int counts, so that what is added to a length passes it. */
        CHANNEL(
                Shape.of(1, 1, Integer.MAX_VALUE - 3),
                Layout.CHANNELS_FIRST,
                Waves.ofOne(1 << 20),
                device -> BatchNorm.builder(1).build(device),
                TestDevice.CPU_SPLIT,
                TestDevice.GPU_SPLIT,
                TestDevice.CPU_FUSED),
        CHANNELS_FIRST(
                Shape.of((1 << 11) + 1, 16, 1 << 16),
                Layout.CHANNELS_FIRST,
                Waves.ofChannels(16, 1 << 16, Layout.CHANNELS_FIRST),
                device -> BatchNorm.builder(16).build(device),
                TestDevice.CPU_FUSED,
                TestDevice.CPU_SPLIT,
                TestDevice.GPU_SPLIT),
        CHANNELS_LAST(
                Shape.of((1 << 11) + 1, 16, 1 << 16),
                Layout.CHANNELS_LAST,
                Waves.ofChannels(16, 1 << 16, Layout.CHANNELS_LAST),
                device -> BatchNorm.builder(16).build(device),
                TestDevice.CPU_SPLIT,
                TestDevice.GPU_SPLIT),
        GROUPS(
                Shape.of((1 << 11) + 1, 16, 1 << 16),
                Layout.CHANNELS_FIRST,
                Waves.ofOne(1 << 20),
                device -> GroupNorm.builder(4, 16).build(device),
                TestDevice.CPU_FUSED,
                TestDevice.GPU_FUSED),
        ROWS(
                Shape.of((1 << 22) + 1, 1 << 9),
                Layout.CHANNELS_FIRST,
                Waves.ofOne(1 << 20),
                device -> LayerNorm.builder(1 << 9).gamma(false).beta(false).build(device),
                TestDevice.CPU_FUSED,
                TestDevice.GPU_CACHED);

        private final Shape shape;
        private final Layout layout;
        private final Waves waves;
        private final Function<Device, Normalizer> layer;
        private final List<TestDevice> strategies;

        PastInt(Shape shape, Layout layout, Waves waves, Function<Device, Normalizer> layer, TestDevice... strategies) {
            this.shape = shape;
            this.layout = layout;
            this.waves = waves;
            this.layer = layer;
            this.strategies = List.of(strategies);
        }
    }

    @ParameterizedTest
    @EnumSource
    void training_ofMoreElementsThanAnIntCounts_isExact(PastInt past) throws IOException {
        require(2 * Short.BYTES * past.shape.elements());
        for (TestDevice strategy : past.strategies) {
            Device device = strategy.device();
            try (Normalizer layer = past.layer.apply(device)) {
                String what = past + " under " + strategy;
                trainExactly(device, layer, past.shape, past.layout, DataType.FLOAT16, past.waves, what);
            }
        }
    }

    /** Slices from elements past 2³¹ on, at any place, against tensors of their own. */
    @Test
    void training_ofSlicesPastAnInt_isThatOfTensors() throws IOException {
        Shape whole = Shape.of((1L << 31) + (1 << 16));
        require(2 * Short.BYTES * whole.elements());
        Shape shape = Shape.of(4, 6, 5, 7);
        float[] values = values(shape, 3);
        for (TestDevice strategy : STRATEGIES) {
            Device device = strategy.device();
            try (Tensor big = device.allocate(whole, Layout.CHANNELS_FIRST, DataType.FLOAT16);
                    Tensor small = device.allocate(Shape.of(1 << 16), Layout.CHANNELS_FIRST, DataType.FLOAT16)) {
                for (Layout layout : Layout.values()) {
                    for (int shift : new int[] {0, 1, 24}) {
                        assertThat(ofSlices(device, big, (1L << 31) + shift, shape, layout, values))
                                .as("slices from 2^31 + %d on, %s, under %s", shift, layout, strategy)
                                .isEqualTo(ofSlices(device, small, shift, shape, layout, values));
                    }
                }
            }
        }
    }

    private static List<Float> ofSlices(
            Device device, Tensor of, long from, Shape shape, Layout layout, float[] values) {
        long step = 8192; // so that slices do not touch
        Tensor x = of.slice(from, shape, layout);
        Tensor y = of.slice(from + step, shape, layout);
        Tensor dy = of.slice(from + 2 * step, shape, layout);
        Tensor dx = of.slice(from + 3 * step, shape, layout);
        x.upload(values);
        dy.upload(values);
        try (BatchNorm layer = BatchNorm.builder(6).build(device)) {
            layer.forward(x, y);
            layer.backward(dy, dx);
        }
        List<Float> found = new ArrayList<>();
        for (float[] array : List.of(y.download(), dx.download())) {
            for (float value : array) {
                found.add(value);
            }
        }
        return found;
    }

    /** An array of 2 GiB and more, each way. */
    @Test
    void upload_ofMoreBytesThanAnIntCounts_comesBack() throws IOException {
        Shape shape = Shape.of((1 << 29) + 5);
        require(3 * Float.BYTES * shape.elements());
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = i;
        }
        Device device = TestDevice.AUTO.device();
        try (Tensor tensor = device.allocate(shape, Layout.CHANNELS_FIRST, DataType.FLOAT32)) {
            tensor.upload(values);
            Arrays.fill(values, -1);
            tensor.download(values);
        }
        for (int i = 0; i < values.length; i++) {
            if (values[i] != i) {
                assertThat(values[i]).as("element %d", i).isEqualTo(i);
            }
        }
    }

    /** A step of training whose y, dx and gradients are known, into memory that holds NaN before. */
    private static void trainExactly(
            Device device, Normalizer layer, Shape shape, Layout layout, DataType type, Waves waves, String what) {
        long begin = System.nanoTime();
        try (Tensor x = device.allocate(shape, layout, type);
                Tensor y = device.allocate(shape, layout, type)) {
            Chunks ofX = new Chunks(x, waves.length());
            Chunks ofY = new Chunks(y, waves.length());
            ofX.upload(waves::x);
            y.fill(Float.NaN);
            layer.forward(x, y);
            ofY.check(waves::y, "y of " + what);
            ofY.upload(waves::dy); // in whose place dx goes
            layer.backward(y, y);
            ofY.check(waves::dx, "dx of " + what);
            double count = (double) shape.elements() / (shape.rank() > 1 ? shape.channels() : 1);
            check(
                    layer.gamma(),
                    waves,
                    c -> count * Waves.WITH_X * waves.deviation(c) * waves.inverse(c),
                    "dγ of " + what);
            check(layer.beta(), waves, c -> count * Waves.CONSTANT, "dβ of " + what);
        }
        System.out.printf(
                Locale.ROOT,
                "%s: %d bytes of tensors, %.1f s%n",
                what,
                2 * type.bytes() * shape.elements(),
                (System.nanoTime() - begin) * 1e-9);
    }

    private static void check(Optional<Parameter> of, Waves waves, Function<Integer, Double> expected, String what) {
        if (of.isPresent()) {
            float[] found = of.get().gradient().download();
            for (int c = 0; c < found.length; c++) {
                double right = expected.apply(c);
                assertThat(Math.abs(found[c] - right) / right)
                        .as("%s, channel %d: %s and not %s", what, c, found[c], right)
                        .isLessThan(APART);
            }
        }
    }

    /** Fails unless there is so much memory for tensors. */
    private static void require(long bytes) throws IOException {
        // What earlier tests have left is given back first.
        System.gc();
        long free = Files.readAllLines(Path.of("/proc/meminfo")).stream()
                .filter(line -> line.startsWith("MemAvailable:"))
                .mapToLong(line -> 1024 * java.lang.Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElseThrow();
        assertThat(free)
                .as(
                        "bytes of memory that are free, of which this test needs %d for tensors and %d beside them",
                        bytes, BESIDE)
                .isGreaterThan(bytes + BESIDE);
        long most = TestDevice.AUTO.device().info().maxAllocationBytes();
        assertThat(most)
                .as("the device's largest buffer, of which this test needs half of %d", bytes)
                .isGreaterThan(bytes / 2);
    }
}
