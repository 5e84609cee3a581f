package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

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
        each(elements, (chunk, values) -> chunk.upload(values));
    }

    /** Holds that the elements are these; of 16 bits, bit for bit. */
    void check(Elements elements, String what) {
        float off = tensor.type() == DataType.FLOAT32 ? OFF : 0;
        float[][] found = new float[1][];
        each(elements, (chunk, values) -> {
            if (found[0] == null || found[0].length != values.length) {
                found[0] = new float[values.length];
            }
            chunk.download(found[0]);
            for (int i = 0; i < values.length; i++) {
                if (!(Math.abs(found[0][i] - values[i]) <= off)) {
                    assertThat(found[0][i])
                            .as("%s, element %d of the chunk %s", what, i, chunk)
                            .isEqualTo(values[i]);
                }
            }
        });
    }

    private void each(Elements elements, BiConsumer<Tensor, float[]> call) {
        long all = tensor.shape().elements();
        float[] values = null;
        int made = -1;
        for (long from = 0; from < all; from += length) {
            int count = (int) Math.min(length, all - from);
            int quarter = (int) (from / length * 4 / ((all + length - 1) / length));
            if (values == null || quarter != made || count != values.length) {
                values = new float[count];
                for (int i = 0; i < count; i++) {
                    values[i] = rounded(elements.at(quarter, i));
                }
                made = quarter;
            }
            call.accept(tensor.slice(from, Shape.of(count), Layout.CHANNELS_FIRST), values);
        }
    }

    /** A value as the tensor stores it. */
    private float rounded(float value) {
        DataType type = tensor.type();
        return type == DataType.FLOAT32 ? value : type.half().decode(type.half().encode(value));
    }
}
