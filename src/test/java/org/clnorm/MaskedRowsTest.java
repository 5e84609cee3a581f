package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import org.clnorm.Mask.Outside;

/** Rows of which some take part: they are as a batch of these alone, and so are the gradients of γ and β. */
final class MaskedRowsTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final float BEFORE = 7;
    private static final int SAMPLES = 3;
    private static final int STEPS = 7;
    private static final MaskedBatch MASK = MaskedBatch.ofLengths(STEPS, 7, 0, 3);

    private record Kind(int row, Function<Device, RowNormalizer> builder) {}

    private static List<Kind> kinds() {
        return List.of(
                new Kind(13, device -> LayerNorm.builder(13).build(device)),
                new Kind(64, device -> LayerNorm.builder(64)
                        .activation(Activation.GELU)
                        .build(device)),
                new Kind(2050, device -> RmsNorm.builder(2050).build(device)));
    }

    private static float[] normal(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static float[] around(float[] rows, int row, float outside) {
        float[] around = rows.clone();
        for (int r = 0; r < MASK.valid().length; r++) {
            if (!MASK.valid()[r]) {
                Arrays.fill(around, r * row, (r + 1) * row, outside);
            }
        }
        return around;
    }

    private static float[] packed(float[] rows, int row) {
        float[] packed = new float[MASK.count() * row];
        int at = 0;
        for (int r = 0; r < MASK.valid().length; r++) {
            if (MASK.valid()[r]) {
                System.arraycopy(rows, r * row, packed, at, row);
                at += row;
            }
        }
        return packed;
    }

    private static void assertRows(String what, float[] found, float[] packed, int row, float outside) {
        double bound = 1e-6 * Closeness.largest(Closeness.wide(packed));
        Closeness.assertWithin(what, packed(found, row), Closeness.wide(packed), bound);
        assertThat(around(found, row, outside)).as(what + " outside").isEqualTo(found);
    }

    private static void assertNear(String what, float[] found, float[] expected) {
        double[] wide = Closeness.wide(expected);
        Closeness.assertWithin(what, found, wide, 1e-6 * Closeness.largest(wide));
    }

    @OnEveryDevice
    void rows_areThoseOfABatchOfTheValidOnes(TestDevice on) {
        for (Kind kind : kinds()) {
            for (Outside outside : Outside.values()) {
                check(on.device(), kind, outside);
            }
        }
    }

    private static void check(Device device, Kind kind, Outside outside) {
        int row = kind.row;
        int all = SAMPLES * STEPS * row;
        Random random = new Random(row);
        float[] x = normal(random, all);
        float[] residual = normal(random, all);
        float[] dy = normal(random, all);
        float[] past = normal(random, all);
        Shape shape = Shape.of(SAMPLES, STEPS, row);
        Shape dense = Shape.of(MASK.count(), row);
        try (RowNormalizer layer = kind.builder.apply(device);
                Mask mask = MASK.on(device, outside);
                Tensor packedX = device.upload(packed(x, row), dense, FIRST);
                Tensor packedResidual = device.upload(packed(residual, row), dense, FIRST);
                Tensor packedDy = device.upload(packed(dy, row), dense, FIRST);
                Tensor packedPast = device.upload(packed(past, row), dense, FIRST);
                Tensor packedY = device.tensor(dense, FIRST);
                Tensor packedDx = device.tensor(dense, FIRST);
                Tensor packedSum = device.tensor(dense, FIRST);
                Tensor input = device.upload(around(x, row, Float.NaN), shape, FIRST);
                Tensor added = device.upload(around(residual, row, Float.NaN), shape, FIRST);
                Tensor gradient = device.upload(around(dy, row, Float.NaN), shape, FIRST);
                Tensor gradientPast = device.upload(around(past, row, 3), shape, FIRST);
                Tensor y = device.tensor(shape, FIRST);
                Tensor dx = device.tensor(shape, FIRST);
                Tensor sum = device.tensor(shape, FIRST)) {
            for (Parameter parameter : layer.parameters()) {
                parameter.value().upload(normal(random, row));
            }
            float before = outside == Outside.ZERO ? 0 : BEFORE;
            y.fill(BEFORE);
            dx.fill(BEFORE);
            layer.forward(packedX, packedResidual, packedY);
            layer.backward(packedDy, packedDx);
            float[][] parameters = gradients(layer);
            layer.mask(mask);
            layer.forward(input, added, y);
            layer.backward(gradient, dx);
            assertRows("y of " + row, y.download(), packedY.download(), row, before);
            assertRows("dx of " + row, dx.download(), packedDx.download(), row, before);
            assertGradients(layer, parameters);

            // The stream of a pre-norm block: the sum is of all rows, and what came past comes through at all.
            layer.mask(null);
            layer.forwardAdding(packedX, packedResidual, packedSum, packedY);
            layer.backwardAdding(packedDy, packedPast, packedDx, null);
            parameters = gradients(layer);
            layer.mask(mask);
            y.fill(BEFORE);
            dx.fill(BEFORE);
            layer.forwardAdding(input, added, sum, y);
            layer.backwardAdding(gradient, gradientPast, dx, null);
            assertRows("sum of " + row, sum.download(), packedSum.download(), row, Float.NaN);
            assertRows("y of the sum of " + row, y.download(), packedY.download(), row, before);
            assertRows(
                    "dx of the sum of " + row,
                    dx.download(),
                    packedDx.download(),
                    row,
                    outside == Outside.ZERO ? 3 : BEFORE);
            assertGradients(layer, parameters);
        }
    }

    private static float[][] gradients(RowNormalizer layer) {
        return layer.parameters().stream().map(p -> p.gradient().download()).toArray(float[][]::new);
    }

    private static void assertGradients(RowNormalizer layer, float[][] expected) {
        float[][] found = gradients(layer);
        for (int i = 0; i < found.length; i++) {
            assertNear("gradient of " + layer.parameters().get(i), found[i], expected[i]);
        }
    }

    /** Of no row at all too: then there is nothing to add to a gradient. */
    @OnEveryDevice
    void rows_noneOfWhichTakesPart_leaveZeros(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(4, 13);
        try (RowNormalizer layer = LayerNorm.builder(13).build(device);
                Mask mask = Mask.of(device, 4, 1, Outside.ZERO);
                Tensor x = device.tensor(shape, FIRST);
                Tensor y = device.tensor(shape, FIRST)) {
            mask.setLengths(0, 0, 0, 0);
            layer.mask(mask);
            x.fill(Float.NaN);
            y.fill(BEFORE);
            layer.forward(x, y);
            assertThat(y.download()).containsOnly(0);
            y.fill(BEFORE);
            layer.backward(x, y);
            assertThat(y.download()).containsOnly(0);
            for (Parameter parameter : layer.parameters()) {
                assertThat(parameter.gradient().download()).containsOnly(0);
            }
        }
    }

    @OnEveryDevice
    void rows_of16Bits_areThoseOfABatchOfTheValidOnes(TestDevice on) {
        Device device = on.device();
        int row = 37;
        Random random = new Random(3);
        Shape shape = Shape.of(SAMPLES, STEPS, row);
        Shape dense = Shape.of(MASK.count(), row);
        for (DataType type : List.of(on.of16Bits())) {
            float[] values = normal(random, SAMPLES * STEPS * row);
            try (RowNormalizer layer = LayerNorm.builder(row).build(device);
                    Mask mask = MASK.on(device, Outside.UNTOUCHED);
                    Tensor packedX = device.upload(packed(values, row), dense, FIRST, type);
                    Tensor packedY = device.tensor(dense, FIRST, type);
                    Tensor packedDx = device.tensor(dense, FIRST, type);
                    Tensor x = device.upload(around(values, row, Float.NaN), shape, FIRST, type);
                    Tensor y = device.tensor(shape, FIRST, type);
                    Tensor dx = device.tensor(shape, FIRST, type)) {
                layer.forward(packedX, packedY);
                layer.backward(packedX, packedDx);
                layer.mask(mask);
                y.fill(BEFORE);
                dx.fill(BEFORE);
                layer.forward(x, y);
                layer.backward(x, dx);
                float rounding = type == DataType.FLOAT16 ? 0x1p-10f : 0x1p-7f; // a unit in the last place
                assertRounded(y.download(), packedY.download(), row, rounding);
                assertRounded(dx.download(), packedDx.download(), row, rounding);
            }
        }
    }

    private static void assertRounded(float[] found, float[] packed, int row, float rounding) {
        assertThat(around(found, row, BEFORE)).isEqualTo(found);
        float[] valid = packed(found, row);
        for (int i = 0; i < valid.length; i++) {
            assertThat(Math.abs(valid[i] - packed[i]))
                    .as("%s and %s", valid[i], packed[i])
                    .isLessThanOrEqualTo(rounding * Math.abs(packed[i]) + 1e-5f);
        }
    }
}
