package org.clnorm.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class StateDictTest {
    private static final StateArray ONE = StateArray.scalar(1);
    private static final StateArray TWO = StateArray.of(new float[] {1, 2}, 2);

    private static StateArray halves(StateArray.Type type, int... bits) {
        ByteBuffer content = ByteBuffer.allocate(2 * bits.length).order(ByteOrder.LITTLE_ENDIAN);
        for (int half : bits) {
            content.putShort((short) half);
        }
        return StateArray.of(type, content.flip(), bits.length);
    }

    private static int[] floatBits(StateArray array) {
        float[] values = array.toFloats();
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float.floatToRawIntBits(values[i]);
        }
        return bits;
    }

    @Test
    void prefixes_putBeforeAndTakenAway_giveTheSame() {
        StateDict layer = StateDict.empty().with("weight", TWO).with("num_batches_tracked", ONE);

        StateDict nested = layer.withPrefix("bn").withPrefix("layer1");
        assertThat(nested.names()).containsExactly("layer1.bn.weight", "layer1.bn.num_batches_tracked");
        assertThat(nested.under("layer1.bn")).isEqualTo(layer);
        assertThat(nested.under("layer1").names()).containsExactly("bn.weight", "bn.num_batches_tracked");
        assertThat(nested.under("layer").names())
                .as("layer1 is another layer than layer")
                .isEmpty();
    }

    @Test
    void merge_ofTwo_hasBothInOrder() {
        StateDict both = StateDict.empty()
                .with("z", ONE)
                .merge(StateDict.empty().with("b", TWO).with("a", TWO));

        assertThat(both.names()).containsExactly("z", "b", "a");
        assertThat(both).hasToString("{z=int64 (), b=float32 (2,), a=float32 (2,)}");
        assertThatThrownBy(() -> both.merge(StateDict.empty().with("a", ONE).with("c", ONE)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageEndingWith("both have [a]");
    }

    @Test
    void of_aMapThatChangesLater_staysAsItWas() {
        Map<String, StateArray> map = new LinkedHashMap<>(Map.of("a", ONE));
        StateDict state = StateDict.of(map);
        map.put("b", TWO);

        assertThat(state.names()).containsExactly("a");
        assertThatThrownBy(() -> state.toMap().put("b", TWO)).isInstanceOf(UnsupportedOperationException.class);
        assertThatThrownBy(() -> TWO.content().put(0, (byte) 1)).isInstanceOf(java.nio.ReadOnlyBufferException.class);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "a\n", "\u0085", "\ud800"})
    void with_aNameThatNoFileTakes_isRefused(String name) {
        assertThatThrownBy(() -> StateDict.empty().with(name, ONE)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> StateDict.empty().withPrefix(name)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void withPrefix_endingInADot_isRefused() {
        assertThatThrownBy(() -> StateDict.empty().withPrefix("layer1."))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("\"layer1.\"");
    }

    @Test
    void toFloats_ofFloat16_isExact() {
        StateArray array = halves(
                StateArray.Type.FLOAT16,
                0x0000,
                0x8000,
                0x0001,
                0x03ff,
                0x0400,
                0x3c00,
                0xc500,
                0x7bff,
                0x7c00,
                0xfc00);
        assertThat(array.toFloats())
                .containsExactly(
                        0,
                        -0f,
                        0x1p-24f,
                        0x1.ff8p-15f,
                        0x1p-14f,
                        1,
                        -5,
                        65504,
                        Float.POSITIVE_INFINITY,
                        Float.NEGATIVE_INFINITY);
        assertThat(array.toDoubles()[3]).isEqualTo(0x1.ff8p-15);
        assertThat(floatBits(halves(StateArray.Type.FLOAT16, 0x7e01, 0xfc01)))
                .as("payloads of NaN stay, in the upper bits; a signalling one stays signalling")
                .containsExactly(0x7fc02000, 0xff802000);
    }

    @Test
    void toFloats_ofBfloat16_areTheUpperHalves() {
        assertThat(floatBits(halves(StateArray.Type.BFLOAT16, 0x3f80, 0x0001, 0xff81, 0x8000)))
                .containsExactly(0x3f800000, 0x00010000, 0xff810000, 0x80000000);
    }

    @Test
    void toFloats_ofFloat64_rounds() {
        assertThat(StateArray.of(new double[] {0.1, 1 + 0x1p-24, 1 + 0x3p-24, 1e300, Double.NaN, 1e-50}, 6)
                        .toFloats())
                .containsExactly(0.1f, 1, 1 + 0x1p-22f, Float.POSITIVE_INFINITY, Float.NaN, 0);
    }

    @Test
    void conversions_ofOtherTypes_areRefused() {
        assertThat(StateArray.of(new long[] {Long.MIN_VALUE, -1}, 2).toLongs()).containsExactly(Long.MIN_VALUE, -1);
        assertThatThrownBy(ONE::toFloats)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("int64");
        assertThatThrownBy(ONE::toDoubles).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(TWO::toLongs)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("float32");
    }

    @Test
    void array_ofOtherDimensions_isRefused() {
        assertThatThrownBy(() -> StateArray.of(new float[3], 2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("An array float32 (2,) has 2 elements, but given were 3");
        assertThatThrownBy(() -> StateArray.of(new float[3], -3)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> StateArray.of(new float[0], 1L << 40, 1L << 40))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("more than 2^63");
        assertThatThrownBy(() -> StateArray.of(StateArray.Type.FLOAT16, ByteBuffer.allocate(3), 2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("4 bytes, but given were 3");
        assertThatThrownBy(() -> StateArray.from(to -> to.put((byte) 1), StateArray.Type.FLOAT32, 2))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("7 bytes before the end");
    }

    @Test
    void equals_goesByBits() {
        assertThat(StateArray.of(new float[] {0})).isNotEqualTo(StateArray.of(new float[] {-0f}));
        assertThat(StateArray.of(new float[] {Float.NaN}, 1)).isEqualTo(StateArray.of(new float[] {Float.NaN}, 1));
        assertThat(TWO).isNotEqualTo(StateArray.of(new float[] {1, 2}, 1, 2));
        assertThat(ONE).hasSameHashCodeAs(StateArray.scalar(1));
    }

    @Test
    void prefixesOf_namesUnderSeveral_areThoseThatHaveAllOfThem() {
        StateDict layer = StateDict.empty().with("weight", StateArray.scalar(1)).with("bias", StateArray.scalar(2));
        StateDict network = layer.withPrefix("b")
                .merge(layer.withPrefix("a.c"))
                .merge(StateDict.empty().with("d.weight", StateArray.scalar(3)));

        assertThat(network.prefixesOf(List.of("weight", "bias"))).containsExactly("a.c", "b");
        assertThat(network.prefixesOf(List.of("weight"))).containsExactly("a.c", "b", "d");
        assertThat(network.under("nowhere").prefixesOf(List.of("bias"))).containsExactly("a.c", "b");
        assertThat(network.prefixesOf(List.of("running_mean"))).isEmpty();
        assertThatThrownBy(() -> network.prefixesOf(List.of())).isInstanceOf(IllegalArgumentException.class);
    }
}
