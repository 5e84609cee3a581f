package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

final class WeightNormTest {
    private final Device device = TestDevice.REFERENCE.device();

    @Test
    void setToNorms_ofAnyRankAndLayout_setsEachRowsLength() {
        for (Layout layout : Layout.values()) {
            float[] elements = {3, 0, 0, 4, 1e30f, 0, 0, 0, -5, 12, 0, 0};
            for (Shape shape : new Shape[] {Shape.of(3, 4), Shape.of(3, 2, 2), Shape.of(3, 1, 2, 2)}) {
                try (WeightNorm norm = WeightNorm.builder(3).build(device);
                        Tensor v = device.upload(elements, shape, layout)) {
                    Tensor g = norm.gamma().orElseThrow().value();
                    assertThat(g.download()).containsExactly(1, 1, 1);
                    norm.setToNorms(v);
                    assertThat(g.download()).containsExactly(5, 1e30f, 13);
                }
            }
        }
    }

    @Test
    void setToNorms_ofWhatForwardRefuses_isRefused() {
        try (WeightNorm norm = WeightNorm.builder(3).build(device);
                Tensor v = device.tensor(Shape.of(4, 3), Layout.CHANNELS_FIRST);
                Tensor none = device.tensor(Shape.of(3, 0), Layout.CHANNELS_FIRST)) {
            assertThatThrownBy(() -> norm.setToNorms(v))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("the first of size 3, but given was (4, 3)");
            assertThat(norm.gamma().orElseThrow().value().download()).containsOnly(1);
            norm.setToNorms(none);
            assertThat(norm.gamma().orElseThrow().value().download()).containsOnly(0);
        }
    }
}
