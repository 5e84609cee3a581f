package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

final class ShapeTest {
    @Test
    void of_fiveDimensions_readsThemByName() {
        Shape shape = Shape.of(2, 3, 5, 7, 11);
        assertThat(shape.rank()).isEqualTo(5);
        assertThat(shape.batch()).isEqualTo(2);
        assertThat(shape.channels()).isEqualTo(3);
        assertThat(shape.spatial()).isEqualTo(5 * 7 * 11);
        assertThat(shape.elements()).isEqualTo(2 * 3 * 5 * 7 * 11);
        assertThat(shape.dimension(4)).isEqualTo(11);
        assertThat(shape).hasToString("(2, 3, 5, 7, 11)");
    }

    @Test
    void spatial_ofAMatrix_isOne() {
        assertThat(Shape.of(4, 6).spatial()).isOne();
        assertThat(Shape.of(4, 6).channels()).isEqualTo(6);
    }

    @Test
    void channels_ofAVector_isRefused() {
        assertThatThrownBy(() -> Shape.of(7).channels())
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("(7)");
        assertThat(Shape.of(7).spatial()).isOne();
    }

    @Test
    void of_zeroDimensions_hasNoElementsHoweverLargeTheOthers() {
        assertThat(Shape.of(0, 3, 4).elements()).isZero();
        assertThat(Shape.of(0, 3, 4).spatial()).isEqualTo(4);
        assertThat(Shape.of(3, 4, 0).spatial()).isZero();
        assertThat(Shape.of(Long.MAX_VALUE, Long.MAX_VALUE, 0).elements()).isZero();
    }

    @Test
    void of_wrongDimensions_isRefusedWithWhatWasGiven() {
        assertThatThrownBy(Shape::of)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("1 to 8 dimensions");
        assertThatThrownBy(() -> Shape.of(1, 2, 3, 4, 5, 6, 7, 8, 9))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("1 to 8 dimensions", "9");
        assertThatThrownBy(() -> Shape.of(2, -1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("0 or more", "[2, -1]");
        assertThatThrownBy(() -> Shape.of(1L << 32, 1L << 31))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("must fit a long", "4294967296");
        assertThat(Shape.of(1L << 31, 1L << 31).elements()).isEqualTo(1L << 62);
    }

    @Test
    void arrays_givenAndTaken_areCopies() {
        long[] dimensions = {2, 3};
        Shape shape = Shape.of(dimensions);
        dimensions[0] = 9;
        shape.toArray()[1] = 9;
        assertThat(shape).isEqualTo(Shape.of(2, 3));
        assertThat(shape.toArray()).containsExactly(2, 3);
    }

    @Test
    void equals_byDimensions() {
        assertThat(Shape.of(2, 3)).isEqualTo(Shape.of(2, 3)).hasSameHashCodeAs(Shape.of(2, 3));
        assertThat(Shape.of(2, 3)).isNotEqualTo(Shape.of(3, 2)).isNotEqualTo(Shape.of(2, 3, 1));
    }
}
