package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Tensors of 16-bit elements: what the kernels read and write, bit by bit, and what the layers take and give. */
final class StorageTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final List<DataType> HALVES = List.of(DataType.FLOAT16, DataType.BFLOAT16);

    /** Room for all 65536 patterns: in whole vectors and not, in one plane, several and rows. */
    private static final List<Shape> SHAPES =
            List.of(Shape.of(1, 1, 65536), Shape.of(3, 5, 4373), Shape.of(64, 1024), Shape.of(521, 127));

    /** Evaluation that leaves every value as it is, except that it adds a β of +0. */
    private static BatchNorm identity(Device device, int channels) {
        BatchNorm norm = BatchNorm.builder(channels).epsilon(0).build(device);
        norm.eval();
        return norm;
    }

    private static short[] patterns(int elements) {
        short[] bits = new short[elements];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = (short) i;
        }
        return bits;
    }

    private static Tensor upload(Device device, Shape shape, DataType type, short[] bits) {
        Tensor tensor = device.tensor(shape, FIRST, type);
        tensor.upload(bits);
        return tensor;
    }

    /** What the identity makes of a value: −0 + β is +0. */
    private static short expected(DataType type, float value) {
        return type.half().encode(value + 0f);
    }

    private static boolean isNaN(DataType type, short bits) {
        return Float.isNaN(type.half().decode(bits));
    }

    private static void check(String what, DataType type, float[] values, short[] got) {
        List<String> wrong = new ArrayList<>();
        for (int i = 0; i < got.length; i++) {
            short wanted = expected(type, values[i]);
            boolean same = isNaN(type, wanted) ? isNaN(type, got[i]) : got[i] == wanted;
            if (!same && wrong.size() < 10) {
                wrong.add(String.format("%d: %a gave %04x, not %04x", i, values[i], got[i] & 0xffff, wanted & 0xffff));
            }
        }
        assertThat(wrong).as(what).isEmpty();
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU_FUSED", "CPU_SPLIT", "GPU_FUSED", "GPU_CACHED"})
    void evaluation_everyPattern_staysAsItIs(TestDevice kind) {
        Device device = kind.device();
        for (Shape shape : SHAPES) {
            short[] bits = patterns((int) shape.elements());
            try (BatchNorm norm = identity(device, (int) shape.channels())) {
                for (DataType type : HALVES) {
                    try (Tensor x = upload(device, shape, type, bits);
                            Tensor y = norm.forward(x)) {
                        assertThat(y.type()).isEqualTo(type);
                        check(type + " " + shape, type, type.half().decode(bits), y.downloadBits());
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU_FUSED", "CPU_SPLIT", "GPU_FUSED", "GPU_CACHED"})
    void evaluation_ofAnotherType_roundsToIt(TestDevice kind) {
        Device device = kind.device();
        Shape shape = Shape.of(3, 5, 4373);
        short[] bits = patterns((int) shape.elements());
        try (BatchNorm norm = identity(device, (int) shape.channels())) {
            for (DataType from : HALVES) {
                DataType to = from == DataType.FLOAT16 ? DataType.BFLOAT16 : DataType.FLOAT16;
                float[] values = from.half().decode(bits);
                try (Tensor x = upload(device, shape, from, bits);
                        Tensor half = device.tensor(shape, FIRST, to);
                        Tensor full = device.tensor(shape, FIRST)) {
                    norm.forward(x, half);
                    check(from + " to " + to, to, values, half.downloadBits());
                    norm.forward(x, full);
                    float[] got = full.download();
                    for (int i = 0; i < got.length; i++) {
                        float value = values[i] + 0f;
                        assertThat(Float.floatToIntBits(got[i]))
                                .as("%s %04x to float32", from, bits[i])
                                .isEqualTo(Float.floatToIntBits(value));
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU_FUSED", "CPU_SPLIT", "GPU_FUSED", "GPU_CACHED"})
    void evaluation_ofFloat32_roundsToNearestEven(TestDevice kind) {
        Device device = kind.device();
        for (DataType type : HALVES) {
            float[] values = aroundMidpoints(type);
            Shape planes = Shape.of(1, 3, (values.length + 2) / 3);
            Shape rows = Shape.of((values.length + 126) / 127, 127);
            for (Shape shape : List.of(planes, rows)) {
                float[] padded = Arrays.copyOf(values, (int) shape.elements());
                try (BatchNorm norm = identity(device, (int) shape.channels());
                        Tensor x = device.upload(padded, shape, FIRST);
                        Tensor y = device.tensor(shape, FIRST, type)) {
                    norm.forward(x, y);
                    check("float32 to " + type + " " + shape, type, padded, y.downloadBits());
                }
            }
        }
    }

    /** The middles between all neighbours of a type, and between the largest and infinity, with the floats beside them. */
    private static float[] aroundMidpoints(DataType type) {
        short infinity = type.half().encode(Float.POSITIVE_INFINITY);
        float[] values = new float[6 * infinity + 8];
        int n = 0;
        for (short bits = 0; bits < infinity; bits++) {
            double low = type.half().decode(bits);
            double below = type.half().decode((short) (bits - 1));
            boolean last = bits + 1 == infinity;
            double high = last ? low + (low - below) : type.half().decode((short) (bits + 1));
            float middle = (float) ((low + high) / 2);
            for (float value : new float[] {Math.nextDown(middle), middle, Math.nextUp(middle)}) {
                values[n++] = value;
                values[n++] = -value;
            }
        }
        for (float value : new float[] {0, Float.MAX_VALUE, Float.POSITIVE_INFINITY, Float.MIN_VALUE}) {
            values[n++] = value;
            values[n++] = -value;
        }
        return values;
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU_FUSED"})
    void tensor_of16Bits_keepsWhatItIsGiven(TestDevice kind) {
        Device device = kind.device();
        Shape shape = Shape.of(1, 65536);
        for (DataType type : HALVES) {
            short[] bits = patterns(65536);
            if (kind == TestDevice.REFERENCE) {
                bits = type.half().encode(type.half().decode(bits)); // it keeps floats, and so makes every NaN quiet
            }
            try (Tensor tensor = device.tensor(shape, FIRST, type)) {
                assertThat(tensor.type()).isEqualTo(type);
                assertThat(tensor.toString()).contains(type.toString());
                assertThat(tensor.downloadBits()).containsOnly((short) 0);
                tensor.upload(bits);
                assertThat(tensor.downloadBits()).isEqualTo(bits);
                assertThat(tensor.download()).isEqualTo(type.half().decode(bits));
                Tensor slice = tensor.slice(12345, Shape.of(3, 7), FIRST);
                assertThat(slice.type()).isEqualTo(type);
                assertThat(slice.downloadBits()).isEqualTo(Arrays.copyOfRange(bits, 12345, 12345 + 21));
                slice.fill(0.1f);
                Arrays.fill(bits, 12345, 12345 + 21, type.half().encode(0.1f));
                assertThat(tensor.downloadBits()).isEqualTo(bits);
                slice.upload(new float[21]);
                Arrays.fill(bits, 12345, 12345 + 21, (short) 0);
                assertThat(tensor.downloadBits()).isEqualTo(bits);
            }
            float[] values = {1, 1.001f, -0f, 1e-7f, 65520, 3.4e38f, Float.NaN};
            try (Tensor tensor = device.upload(values, Shape.of(7), FIRST, type)) {
                assertThat(tensor.type()).isEqualTo(type);
                assertThat(tensor.downloadBits()).isEqualTo(type.half().encode(values));
            }
        }
    }

    @Test
    void tensor_wrongBits_areRefused() {
        Device device = TestDevice.REFERENCE.device();
        try (Tensor full = device.tensor(Shape.of(2, 3), FIRST);
                Tensor half = device.tensor(Shape.of(2, 3), FIRST, DataType.FLOAT16)) {
            assertThat(full.type()).isEqualTo(DataType.FLOAT32);
            assertThatThrownBy(() -> full.upload(new short[6]))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("16-bit", "float32");
            assertThatThrownBy(full::downloadBits)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("16-bit", "float32");
            assertThatThrownBy(() -> half.upload(new short[5]))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("6 elements", "given were 5");
            assertThatThrownBy(() -> half.upload((short[]) null)).isInstanceOf(NullPointerException.class);
            assertThatThrownBy(() -> device.tensor(Shape.of(2, 3), FIRST, null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessage("type");
            assertThatThrownBy(() -> device.upload(new float[5], Shape.of(2, 3), FIRST, DataType.BFLOAT16))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("6 elements", "given were 5");
            assertThatThrownBy(DataType.FLOAT32::half).isInstanceOf(IllegalStateException.class);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU_FUSED"})
    void step_ofEachType_givesResultsOfItsOwn(TestDevice kind) {
        Device device = kind.device();
        Shape shape = Shape.of(4, 3, 5);
        float[] values = new float[60];
        for (int i = 0; i < values.length; i++) {
            values[i] = (i * 37 % 60) / 8f;
        }
        for (DataType type : HALVES) {
            try (BatchNorm norm = BatchNorm.builder(3).build(device);
                    Tensor x = device.upload(values, shape, FIRST, type);
                    Tensor full = device.upload(x.download(), shape, FIRST);
                    Tensor y = norm.forward(x);
                    Tensor dy = device.upload(values, shape, FIRST);
                    Tensor dx = norm.backward(dy)) {
                assertThat(y.type()).isEqualTo(type);
                assertThat(dx.type()).as("x's type, whatever dy's is").isEqualTo(type);
                try (Tensor exact = norm.forward(full);
                        Tensor exactDx = norm.backward(dy)) {
                    assertThat(exact.type()).isEqualTo(DataType.FLOAT32);
                    assertClose(y, exact);
                    assertClose(dx, exactDx);
                }
            }
        }
    }

    /** One rounding apart, at most. */
    private static void assertClose(Tensor half, Tensor full) {
        double step = half.type() == DataType.FLOAT16 ? 0x1p-10 : 0x1p-7;
        float[] got = half.download();
        float[] exact = full.download();
        for (int i = 0; i < got.length; i++) {
            assertThat((double) got[i]).isCloseTo(exact[i], offset(1e-5 + step * Math.abs(exact[i])));
        }
    }

    @Test
    void perSample_of16Bits_isRefused() {
        Device device = TestDevice.REFERENCE.device();
        Shape shape = Shape.of(4, 3, 5);
        Shape perSample = Shape.of(4, 3);
        try (BatchNorm norm = BatchNorm.builder(3).build(device);
                Tensor x = device.tensor(shape, FIRST, DataType.FLOAT16);
                Tensor y = device.tensor(shape, FIRST, DataType.FLOAT16);
                Tensor dx = device.tensor(shape, FIRST, DataType.FLOAT16);
                Tensor half = device.tensor(perSample, FIRST, DataType.FLOAT16);
                Tensor full = device.tensor(perSample, FIRST)) {
            assertThatThrownBy(() -> norm.forward(x, null, y, new SampleAffine(half, null)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("gamma must be float32, but given was float16");
            assertThatThrownBy(() -> norm.forward(x, null, y, new SampleAffine(full, half)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("beta must be float32, but given was float16");
            norm.forward(x, null, y, new SampleAffine(full, full));
            assertThatThrownBy(() -> norm.backward(y, dx, null, new SampleAffine(half, null)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("must be float32, but given was float16");
        }
    }
}
