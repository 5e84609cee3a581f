package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is added in the same pass: a residual to x before it is normalized, and to dx what came past the layer. */
final class AdditionTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final int[] ROWS = {13, 64, 207, 4098};

    private static float[] normal(Random random, int count, double sigma) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) (sigma * random.nextGaussian());
        }
        return values;
    }

    private static RowNormalizer layer(boolean rms, int row, Device device) {
        return rms ? RmsNorm.builder(row).build(device) : LayerNorm.builder(row).build(device);
    }

    private static void randomize(Normalizer layer, Random random) {
        for (Parameter parameter : layer.parameters()) {
            parameter
                    .value()
                    .upload(normal(random, (int) parameter.value().shape().elements(), 1));
        }
    }

    /** What the two steps give one after the other is what the pass gives at once, to the bit. */
    @OnEveryDevice
    void forwardAdding_isTheSumAndThenTheNorm(TestDevice on) {
        Device device = on.device();
        Random random = new Random(7);
        for (int row : ROWS) {
            for (boolean rms : new boolean[] {false, true}) {
                Shape shape = Shape.of(9, row);
                float[] a = normal(random, 9 * row, 1);
                float[] b = normal(random, 9 * row, 3);
                float[] added = new float[a.length];
                for (int i = 0; i < a.length; i++) {
                    added[i] = a[i] + b[i];
                }
                float[] dys = normal(random, 9 * row, 1);
                float[] pasts = normal(random, 9 * row, 1);
                try (RowNormalizer layer = layer(rms, row, device);
                        Tensor x = device.upload(a, shape, FIRST);
                        Tensor residual = device.upload(b, shape, FIRST);
                        Tensor apart = device.upload(added, shape, FIRST);
                        Tensor sum = device.tensor(shape, FIRST);
                        Tensor y = device.tensor(shape, FIRST);
                        Tensor dy = device.upload(dys, shape, FIRST);
                        Tensor past = device.upload(pasts, shape, FIRST);
                        Tensor dx = device.tensor(shape, FIRST)) {
                    randomize(layer, random);
                    layer.forward(apart, y);
                    layer.backward(dy, dx);
                    float[] expectedY = y.download();
                    float[] throughLayer = dx.download();
                    float[] dgamma = layer.gamma().orElseThrow().gradient().download();

                    layer.forwardAdding(x, residual, sum, y);
                    assertThat(sum.download()).as("sum of %d", row).isEqualTo(added);
                    assertThat(y.download()).as("y of %d", row).isEqualTo(expectedY);
                    assertThat(x.download()).as("x stays").isEqualTo(a);
                    layer.backwardAdding(dy, past, dx, null);
                    assertThat(layer.gamma().orElseThrow().gradient().download())
                            .as("what came past is none of gamma's")
                            .isEqualTo(dgamma);
                    float[] found = dx.download();
                    for (int i = 0; i < found.length; i++) {
                        assertThat(found[i])
                                .as("dx at %d of rows of %d", i, row)
                                .isCloseTo(throughLayer[i] + pasts[i], within(1e-6f));
                    }
                }
            }
        }
    }

    /** The stream of a pre-norm block: the sum takes the stream's place, and the gradient that of what came past. */
    @OnEveryDevice
    void forwardAdding_inPlaceOfTheStream_isTheSame(TestDevice on) {
        Device device = on.device();
        Random random = new Random(11);
        Shape shape = Shape.of(5, 129);
        float[] a = normal(random, 5 * 129, 1);
        float[] b = normal(random, 5 * 129, 1);
        float[] c = normal(random, 5 * 129, 1);
        float[] d = normal(random, 5 * 129, 1);
        try (RowNormalizer layer = LayerNorm.builder(129).build(device);
                Tensor x = device.upload(a, shape, FIRST);
                Tensor stream = device.upload(b, shape, FIRST);
                Tensor sum = device.tensor(shape, FIRST);
                Tensor y = device.tensor(shape, FIRST);
                Tensor dy = device.upload(c, shape, FIRST);
                Tensor past = device.upload(d, shape, FIRST);
                Tensor dx = device.tensor(shape, FIRST)) {
            randomize(layer, random);
            layer.forwardAdding(x, stream, sum, y);
            layer.backwardAdding(dy, past, dx, null);
            float[] expectedSum = sum.download();
            float[] expectedY = y.download();
            float[] expectedDx = dx.download();

            layer.forwardAdding(x, stream, stream, x);
            assertThat(stream.download()).isEqualTo(expectedSum);
            assertThat(x.download()).as("y in place of x").isEqualTo(expectedY);
            layer.backwardAdding(dy, past, past, null);
            assertThat(past.download()).isEqualTo(expectedDx);

            stream.upload(b);
            x.upload(a);
            try (ForwardPass pass = layer.recordAdding(x, stream, x, y)) {
                assertThat(x.download()).isEqualTo(expectedSum);
                assertThat(y.download()).isEqualTo(expectedY);
                past.upload(d);
                pass.backwardAdding(dy, past, dy, null);
                assertThat(dy.download()).as("dx in place of dy").isEqualTo(expectedDx);
            }
        }
    }

    /** A stream in float32 through blocks in bfloat16. */
    @OnAFewDevices
    void forwardAdding_ofSeveralTypes_normalizesTheSumAsItIsStored(TestDevice on) {
        Device device = on.device();
        Random random = new Random(13);
        Shape shape = Shape.of(6, 72);
        for (DataType type : new DataType[] {DataType.BFLOAT16, DataType.FLOAT16}) {
            for (DataType ofSum : new DataType[] {type, DataType.FLOAT32}) {
                try (RowNormalizer layer = RmsNorm.builder(72).build(device);
                        Tensor x = device.upload(normal(random, 6 * 72, 1), shape, FIRST, type);
                        Tensor stream = device.upload(normal(random, 6 * 72, 1), shape, FIRST, ofSum);
                        Tensor sum = device.tensor(shape, FIRST, ofSum);
                        Tensor y = device.tensor(shape, FIRST, type);
                        Tensor again = device.tensor(shape, FIRST, type)) {
                    randomize(layer, random);
                    layer.forwardAdding(x, stream, sum, y);
                    layer.forward(sum, again);
                    float[] a = x.download();
                    float[] b = stream.download();
                    float[] added = new float[a.length];
                    for (int i = 0; i < a.length; i++) {
                        added[i] = a[i] + b[i];
                    }
                    float[] stored = ofSum == DataType.FLOAT32
                            ? added
                            : ofSum.half().decode(ofSum.half().encode(added));
                    assertThat(sum.download()).isEqualTo(stored);
                    assertThat(y.download()).isEqualTo(again.download());
                }
            }
        }
    }

    /** Batch norm's too: the shortcut of a pre-activation block goes past it. */
    @OnEveryDevice
    void backwardAdding_ofChannels_addsToDx(TestDevice on) {
        Device device = on.device();
        for (Layout layout : Layout.values()) {
            for (Shape shape : new Shape[] {Shape.of(3, 5, 16), Shape.of(33, 64), Shape.of(2, 7, 5, 3)}) {
                Random random = new Random(17);
                int count = (int) shape.elements();
                try (BatchNorm layer = BatchNorm.builder((int) shape.channels())
                                .activation(Activation.RELU)
                                .build(device);
                        Tensor x = device.upload(normal(random, count, 1), shape, layout);
                        Tensor residual = device.upload(normal(random, count, 1), shape, layout);
                        Tensor y = device.tensor(shape, layout);
                        Tensor dy = device.upload(normal(random, count, 1), shape, layout);
                        Tensor past = device.upload(normal(random, count, 1), shape, layout);
                        Tensor dx = device.tensor(shape, layout);
                        Tensor dresidual = device.tensor(shape, layout)) {
                    layer.forward(x, residual, y);
                    layer.retainForward();
                    layer.backward(dy, dx, dresidual);
                    float[] through = dx.download();
                    float[] expectedResidual = dresidual.download();
                    dresidual.fill(0);
                    layer.backwardAdding(dy, past, dx, dresidual);
                    float[] found = dx.download();
                    float[] pasts = past.download();
                    for (int i = 0; i < count; i++) {
                        assertThat(found[i]).isCloseTo(through[i] + pasts[i], within(1e-6f));
                    }
                    assertThat(dresidual.download()).isEqualTo(expectedResidual);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void backwardAdding_isTheSlopeOfTheLoss(boolean rms) {
        Random random = new Random(19);
        Shape shape = Shape.of(2, 7);
        try (Device device = Device.cpuReference();
                RowNormalizer layer = layer(rms, 7, device);
                Tensor x = device.upload(normal(random, 14, 1), shape, FIRST);
                Tensor residual = device.upload(normal(random, 14, 1), shape, FIRST);
                Tensor sum = device.tensor(shape, FIRST);
                Tensor y = device.tensor(shape, FIRST);
                Tensor dy = device.upload(normal(random, 14, 1), shape, FIRST);
                Tensor past = device.upload(normal(random, 14, 1), shape, FIRST);
                Tensor dx = device.tensor(shape, FIRST)) {
            randomize(layer, random);
            layer.forwardAdding(x, residual, sum, y);
            layer.backwardAdding(dy, past, dx, null);
            float[] slopes = dx.download();
            float[] at = residual.download();
            float step = 0x1p-6f;
            for (int i = 0; i < at.length; i++) {
                double[] losses = new double[2];
                for (int side = 0; side < 2; side++) {
                    float[] moved = at.clone();
                    moved[i] += side == 0 ? -step : step;
                    residual.upload(moved);
                    layer.forwardAdding(x, residual, sum, y);
                    losses[side] = dot(dy, y) + dot(past, sum);
                }
                assertThat((losses[1] - losses[0]) / (2 * step)).isCloseTo(slopes[i], within(2e-3));
            }
        }
    }

    private static double dot(Tensor a, Tensor b) {
        float[] left = a.download();
        float[] right = b.download();
        double sum = 0;
        for (int i = 0; i < left.length; i++) {
            sum += (double) left[i] * right[i];
        }
        return sum;
    }

    @OnBothBackends
    void forwardAdding_badTensors_areRefusedByName(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(4, 16);
        try (RowNormalizer layer = LayerNorm.builder(16).build(device);
                Tensor x = device.tensor(shape, FIRST);
                Tensor residual = device.tensor(shape, FIRST);
                Tensor sum = device.tensor(shape, FIRST);
                Tensor y = device.tensor(shape, FIRST);
                Tensor other = device.tensor(Shape.of(4, 15), FIRST)) {
            assertThatThrownBy(() -> layer.forwardAdding(x, residual, sum, sum))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("y may not share memory with sum");
            assertThatThrownBy(() -> layer.forwardAdding(x, other, sum, y))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("residual must have x's shape (4, 16), but given was (4, 15)");
            assertThatThrownBy(() -> layer.forwardAdding(x, residual, other, y))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("sum must have x's shape");
            assertThatThrownBy(() -> layer.forwardAdding(other, other, sum, y))
                    .isInstanceOf(IllegalArgumentException.class);
            layer.forwardAdding(x, residual, sum, y);
            assertThatThrownBy(() -> layer.backwardAdding(y, other, x, null))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("past must have x's shape");
            assertThatThrownBy(() -> layer.backwardAdding(y, residual, x, residual))
                    .as("no residual was added after the norm")
                    .isInstanceOf(IllegalArgumentException.class);
            x.fill(1);
            residual.fill(2);
            layer.backwardAdding(y, residual, x, null);
            layer.forwardAdding(x, residual, sum, y);
            sum.fill(0);
            assertThatThrownBy(() -> layer.backwardAdding(y, residual, x, null))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("written since");
        }
    }
}
