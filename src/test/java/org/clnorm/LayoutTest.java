package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class LayoutTest {
    private static final Shape SHAPE = Shape.of(2, 3, 5, 7);

    @Test
    void memoryOrder_ofImages_isNchwAndNhwc() {
        assertThat(Layout.CHANNELS_FIRST.memoryOrder(SHAPE)).containsExactly(2, 3, 5, 7);
        assertThat(Layout.CHANNELS_LAST.memoryOrder(SHAPE)).containsExactly(2, 5, 7, 3);
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void memoryOrder_ofMatricesAndVectors_isTheLogicalOne(Layout layout) {
        assertThat(layout.memoryOrder(Shape.of(4, 6))).containsExactly(4, 6);
        assertThat(layout.memoryOrder(Shape.of(4))).containsExactly(4);
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void fromMemoryOrder_ofMemoryOrder_isTheShape(Layout layout) {
        for (Shape shape :
                new Shape[] {Shape.of(4), Shape.of(4, 6), Shape.of(2, 3, 5), SHAPE, Shape.of(2, 3, 5, 7, 11)}) {
            assertThat(layout.fromMemoryOrder(layout.memoryOrder(shape))).isEqualTo(shape);
        }
    }

    @Test
    void fromMemoryOrder_ofAnArray_leavesTheArrayAlone() {
        long[] dimensions = {2, 5, 7, 3};
        assertThat(Layout.CHANNELS_LAST.fromMemoryOrder(dimensions)).isEqualTo(SHAPE);
        assertThat(dimensions).containsExactly(2, 5, 7, 3);
    }

    @Test
    void toString_ofOptions_isWhatFilesAndCommandsSay() {
        assertThat(Layout.values()).extracting(Layout::toString).containsExactly("channels-first", "channels-last");
        assertThat(Activation.values())
                .extracting(Activation::toString)
                .containsExactly(
                        "none",
                        "relu",
                        "leaky-relu",
                        "relu6",
                        "sigmoid",
                        "tanh",
                        "silu",
                        "gelu",
                        "gelu-tanh",
                        "hard-swish");
        assertThat(RunningVariance.values())
                .extracting(RunningVariance::toString)
                .containsExactly("unbiased", "biased");
        assertThat(DataType.FLOAT32.bytes()).isEqualTo(4);
    }
}
