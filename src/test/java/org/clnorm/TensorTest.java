package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Memory on a device: what goes up comes down, from and to every sort of buffer, and slices share it. */
final class TensorTest {
    private static final Shape SHAPE = Shape.of(2, 3, 2);
    private static final float[] VALUES = {1, -2, 3.5f, Float.NaN, -0f, 1e-42f, Float.MAX_VALUE, 8, 9, 10, 11, 12};
    private static final int N = VALUES.length;

    /** Sorts of buffer with room for N elements, position somewhere inside of what they view. */
    private enum Sort {
        HEAP {
            @Override
            FloatBuffer allocate() {
                return FloatBuffer.allocate(N);
            }
        },
        HEAP_WITHIN_AN_ARRAY {
            @Override
            FloatBuffer allocate() {
                return FloatBuffer.wrap(new float[N + 5], 3, N);
            }
        },
        HEAP_SLICE {
            @Override
            FloatBuffer allocate() {
                return FloatBuffer.wrap(new float[N + 9], 3, N + 2).slice().position(2);
            }
        },
        HEAP_VIEW_OF_BYTES {
            @Override
            FloatBuffer allocate() {
                return ByteBuffer.allocate(N * 4).order(ByteOrder.nativeOrder()).asFloatBuffer();
            }
        },
        DIRECT {
            @Override
            FloatBuffer allocate() {
                return direct(N, ByteOrder.nativeOrder());
            }
        },
        DIRECT_SLICE {
            @Override
            FloatBuffer allocate() {
                return direct(N + 7, ByteOrder.nativeOrder())
                        .position(4)
                        .slice()
                        .position(1)
                        .limit(N + 1);
            }
        },
        DIRECT_BIG_ENDIAN {
            @Override
            FloatBuffer allocate() {
                return direct(N, ByteOrder.BIG_ENDIAN);
            }
        },
        DIRECT_LITTLE_ENDIAN_SLICE {
            @Override
            FloatBuffer allocate() {
                return direct(N + 3, ByteOrder.LITTLE_ENDIAN).position(3).slice();
            }
        };

        abstract FloatBuffer allocate();

        private static FloatBuffer direct(int count, ByteOrder order) {
            return ByteBuffer.allocateDirect(count * 4).order(order).asFloatBuffer();
        }
    }

    static Stream<Arguments> buffers() {
        return Stream.of(TestDevice.REFERENCE, TestDevice.AUTO)
                .flatMap(on -> Stream.of(Sort.values()).map(sort -> Arguments.of(on, sort)));
    }

    @ParameterizedTest
    @MethodSource("buffers")
    void upload_ofABuffer_takesWhatRemainsAndLeavesThePosition(TestDevice on, Sort sort) {
        FloatBuffer from = sort.allocate();
        from.duplicate().put(VALUES);
        int position = from.position();
        int limit = from.limit();
        try (Tensor made = on.device().upload(from, SHAPE, Layout.CHANNELS_FIRST);
                Tensor filled = on.device().tensor(SHAPE, Layout.CHANNELS_FIRST);
                Tensor readOnly = on.device().upload(from.asReadOnlyBuffer(), SHAPE, Layout.CHANNELS_FIRST)) {
            filled.upload(from);
            assertThat(made.download()).isEqualTo(VALUES);
            assertThat(filled.download()).isEqualTo(VALUES);
            assertThat(readOnly.download()).isEqualTo(VALUES);
            assertThat(from.position()).as("the caller's position").isEqualTo(position);
            assertThat(from.limit()).as("the caller's limit").isEqualTo(limit);
        }
    }

    @ParameterizedTest
    @MethodSource("buffers")
    void download_toABuffer_fillsWhatRemainsAndNothingElse(TestDevice on, Sort sort) {
        FloatBuffer to = sort.allocate();
        int position = to.position();
        int capacity = to.capacity();
        FloatBuffer whole = to.duplicate().clear();
        for (int i = 0; i < capacity; i++) {
            whole.put(i, 42);
        }
        try (Tensor tensor = on.device().upload(VALUES, SHAPE, Layout.CHANNELS_FIRST)) {
            tensor.download(to);
            float[] got = new float[N];
            to.duplicate().get(got);
            assertThat(got).isEqualTo(VALUES);
            assertThat(to.position()).as("the caller's position").isEqualTo(position);
            for (int i = 0; i < capacity; i++) {
                if (i < position || i >= position + N) {
                    assertThat(whole.get(i)).as("outside of what remains").isEqualTo(42);
                }
            }
        }
    }

    @OnBothBackends
    void upload_ofAnArrayThatChangesAtOnce_tookItsValuesBefore(TestDevice on) {
        int n = 1 << 18;
        float[] reused = new float[n];
        FloatBuffer direct =
                ByteBuffer.allocateDirect(4 * n).order(ByteOrder.nativeOrder()).asFloatBuffer();
        Tensor[] tensors = new Tensor[16];
        try {
            for (int i = 0; i < tensors.length; i++) {
                Arrays.fill(reused, i);
                if (i % 2 == 0) {
                    tensors[i] = on.device().upload(reused, Shape.of(n), Layout.CHANNELS_FIRST);
                } else {
                    direct.duplicate().put(reused);
                    tensors[i] = on.device().upload(direct, Shape.of(n), Layout.CHANNELS_FIRST);
                }
            }
            Arrays.fill(reused, -1);
            direct.duplicate().put(reused);
            for (int i = 0; i < tensors.length; i++) {
                assertThat(tensors[i].download())
                        .as("upload %d must not see what its buffer holds later", i)
                        .containsOnly(i);
            }
        } finally {
            for (Tensor tensor : tensors) {
                if (tensor != null) {
                    tensor.close();
                }
            }
        }
    }

    @OnBothBackends
    void calls_onOneTensor_takeEffectInTheirOrder(TestDevice on) {
        try (Tensor tensor = on.device().tensor(Shape.of(1 << 16), Layout.CHANNELS_FIRST)) {
            assertThat(tensor.download()).as("a new tensor is of zeros").containsOnly(0);
            float[] ones = new float[1 << 16];
            Arrays.fill(ones, 1);
            tensor.fill(7);
            tensor.upload(ones);
            tensor.slice(0, Shape.of(1 << 15), Layout.CHANNELS_FIRST).fill(2);
            on.device().finish();
            float[] got = tensor.download();
            assertThat(Arrays.copyOf(got, 1 << 15)).containsOnly(2);
            assertThat(Arrays.copyOfRange(got, 1 << 15, 1 << 16)).containsOnly(1);
        }
    }

    @OnBothBackends
    void tensor_ofNoElements_goesUpAndDown(TestDevice on) {
        try (Tensor none = on.device().upload(new float[0], Shape.of(0, 3), Layout.CHANNELS_LAST)) {
            none.fill(1);
            none.upload(new float[0]);
            assertThat(none.download()).isEmpty();
        }
    }

    @OnBothBackends
    void vector_ofValues_isOfRankOne(TestDevice on) {
        try (Tensor vector = on.device().vector(1, 2, 3)) {
            assertThat(vector.shape()).isEqualTo(Shape.of(3));
            assertThat(vector.download()).containsExactly(1, 2, 3);
            assertThat(vector.device()).isSameAs(on.device());
            assertThat(vector)
                    .hasToString("Tensor(3) channels-first on " + on.device().label());
        }
    }

    @OnBothBackends
    void slice_ofASlice_countsFromIt(TestDevice on) {
        try (Tensor tensor = on.device().upload(VALUES, SHAPE, Layout.CHANNELS_FIRST)) {
            Tensor slice = tensor.slice(6, Shape.of(2, 3), Layout.CHANNELS_LAST);
            Tensor inner = slice.slice(2, Shape.of(3), Layout.CHANNELS_FIRST);
            assertThat(slice.download()).isEqualTo(Arrays.copyOfRange(VALUES, 6, 12));
            assertThat(inner.download()).containsExactly(9, 10, 11);
            inner.upload(new float[] {90, 100, 110});
            assertThat(Arrays.copyOfRange(tensor.download(), 6, 12))
                    .as("a slice shares its elements")
                    .containsExactly(VALUES[6], 8, 90, 100, 110, 12);
            assertThat(slice.layout()).isEqualTo(Layout.CHANNELS_LAST);
            assertThat(tensor.slice(12, Shape.of(0), Layout.CHANNELS_FIRST).download())
                    .isEmpty();
        }
    }

    @OnBothBackends
    void slice_outsideOfItsTensor_isRefused(TestDevice on) {
        try (Tensor tensor = on.device().upload(VALUES, SHAPE, Layout.CHANNELS_FIRST)) {
            for (long offset : new long[] {-1, 10, 13, Long.MAX_VALUE, Long.MIN_VALUE}) {
                assertThatThrownBy(() -> tensor.slice(offset, Shape.of(3), Layout.CHANNELS_FIRST))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContainingAll("12 elements", "offset " + offset, "(3)");
            }
            assertThatThrownBy(() -> tensor.slice(1, Shape.of(Long.MAX_VALUE), Layout.CHANNELS_FIRST))
                    .isInstanceOf(IllegalArgumentException.class);
            Tensor slice = tensor.slice(6, Shape.of(3), Layout.CHANNELS_FIRST);
            assertThatThrownBy(() -> slice.slice(0, Shape.of(4), Layout.CHANNELS_FIRST))
                    .as("a slice reaches no further than itself")
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("3 elements", "(4)");
            assertThatThrownBy(() -> tensor.slice(0, Shape.of(1), null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("layout");
        }
    }

    @OnBothBackends
    void transfer_ofAWrongLength_isRefusedAndChangesNothing(TestDevice on) {
        try (Tensor tensor = on.device().upload(VALUES, SHAPE, Layout.CHANNELS_FIRST)) {
            for (int length : new int[] {0, N - 1, N + 1}) {
                float[] array = new float[length];
                String expected = "12 elements";
                String given = "given were " + length;
                assertThatThrownBy(() -> tensor.upload(array))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContainingAll("from", expected, SHAPE.toString(), given);
                assertThatThrownBy(() -> tensor.download(array))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContainingAll("to", expected, SHAPE.toString(), given);
                assertThatThrownBy(() -> on.device().upload(array, SHAPE, Layout.CHANNELS_FIRST))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContainingAll("from", expected, SHAPE.toString(), given);
                assertThat(array).containsOnly(new float[length]);
            }
            assertThatThrownBy(() -> tensor.download(FloatBuffer.allocate(N).asReadOnlyBuffer()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("to must be writable", "read-only");
            assertThat(tensor.download()).isEqualTo(VALUES);
        }
    }

    @OnBothBackends
    void transfer_ofNull_namesTheArgument(TestDevice on) {
        Device device = on.device();
        try (Tensor tensor = device.upload(VALUES, SHAPE, Layout.CHANNELS_FIRST)) {
            assertThatThrownBy(() -> tensor.upload((float[]) null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("from");
            assertThatThrownBy(() -> tensor.upload((FloatBuffer) null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("from");
            assertThatThrownBy(() -> tensor.download((float[]) null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("to");
            assertThatThrownBy(() -> tensor.download((FloatBuffer) null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("to");
            assertThatThrownBy(() -> device.upload((float[]) null, SHAPE, Layout.CHANNELS_FIRST))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("from");
            assertThatThrownBy(() -> device.tensor(null, Layout.CHANNELS_FIRST))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("shape");
            assertThatThrownBy(() -> device.tensor(SHAPE, null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("layout");
            assertThatThrownBy(() -> device.vector((float[]) null))
                    .isInstanceOf(NullPointerException.class)
                    .hasMessageContaining("values");
            assertThat(tensor.download()).isEqualTo(VALUES);
        }
    }

    @OnBothBackends
    void tensor_pastTheDevicesLimit_isRefusedWithTheLimit(TestDevice on) {
        Device device = on.device();
        long most = device.info().maxAllocationBytes() / Float.BYTES;
        for (long elements : new long[] {most + 1, 1L << 45, Long.MAX_VALUE}) {
            assertThatThrownBy(() -> device.tensor(Shape.of(elements), Layout.CHANNELS_FIRST))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll(device.info().name(), "at most " + most, "(" + elements + ")");
        }
    }
}
