package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.function.BiConsumer;

/**
 * The elements of a tensor that no array has room for, a chunk at a time: those of each quarter of the tensor are alike, and the
 * last one may be shorter.
 */
final class Chunks {
    /** What float32 elements may be off by. */
    private static final float OFF = 2e-6f;

    /** An element of a chunk, by the quarter and its place there. */
    interface Elements {
        float at(int quarter, int i);
    }

    private final Tensor tensor;
    private final int length;

    Chunks(Tensor tensor, int length) {
        this.tensor = tensor;
        this.length = length;
    }

    void upload(Elements elements) {
        each(elements, (chunk, values) -> {
            if (values.bits != null) {
                chunk.upload(values.bits);
            } else {
                chunk.upload(values.floats);
            }
        });
    }

    /** Holds that the elements are these; of 16 bits, bit for bit. */
    void check(Elements elements, String what) {
        each(elements, (chunk, values) -> {
            if (values.bits != null) {
                check(values.bits, chunk.downloadBits(), what + ", " + chunk);
            } else {
                check(values.floats, chunk.download(), what + ", " + chunk);
            }
        });
    }

    private void check(short[] expected, short[] found, String what) {
        int at = Arrays.mismatch(expected, found);
        if (at >= 0) {
            HalfFloat half = tensor.type().half();
            assertThat(half.decode(found[at]))
                    .as("%s, element %d of the chunk", what, at)
                    .isEqualTo(half.decode(expected[at]));
        }
    }

    private static void check(float[] expected, float[] found, String what) {
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(found[i] - expected[i]) <= OFF)) {
                assertThat(found[i]).as("%s, element %d of the chunk", what, i).isEqualTo(expected[i]);
            }
        }
    }

    /** A chunk's elements, of which 16 bits are made where the tensor has such. */
    private static final class Values {
        private final int quarter;
        private final float[] floats;
        private final short[] bits;

        Values(Elements elements, int quarter, int count, DataType type) {
            this.quarter = quarter;
            this.floats = new float[count];
            for (int i = 0; i < count; i++) {
                floats[i] = elements.at(quarter, i);
            }
            this.bits = type == DataType.FLOAT32 ? null : type.half().encode(floats);
        }
    }

    private void each(Elements elements, BiConsumer<Tensor, Values> call) {
        long all = tensor.shape().elements();
        Values values = null;
        for (long from = 0; from < all; from += length) {
            int count = (int) Math.min(length, all - from);
            int quarter = (int) (from / length * 4 / ((all + length - 1) / length));
            if (values == null || quarter != values.quarter || count != values.floats.length) {
                values = new Values(elements, quarter, count, tensor.type());
            }
            call.accept(tensor.slice(from, Shape.of(count), Layout.CHANNELS_FIRST), values);
        }
    }
}
