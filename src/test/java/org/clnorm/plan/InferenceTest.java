package org.clnorm.plan;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class InferenceTest {
    private static final List<Shape> SHAPES = List.of(
            Shape.of(1, 1),
            Shape.of(128, 128),
            Shape.of(1, 3, 224, 224),
            Shape.of(2, 2048, 7, 7),
            Shape.of(5, 3, 1000),
            Shape.of(8, 40, 60),
            Shape.of(160, 5, 19),
            Shape.of(64, 1, 99));

    @ParameterizedTest
    @EnumSource
    void inference_anyShape_hasEachGroupOfEachRowOnce(Layout layout) {
        for (Shape shape : SHAPES) {
            for (int units : new int[] {1, 2, 8, 256}) {
                View view = View.batch(shape, layout);
                Inference cut = new Inference(view, units);
                int rows = Math.toIntExact(view.blocks().runs());
                int[] times = new int[view.groups() * rows];
                for (long stripe = 0; stripe < cut.stripes; stripe++) {
                    for (long slice = 0; slice < cut.slices; slice++) {
                        for (long group = stripe * cut.ownGroups;
                                group < Math.min((stripe + 1) * cut.ownGroups, view.groups());
                                group++) {
                            for (long row = slice * cut.rowsPerSlice;
                                    row < Math.min((slice + 1) * cut.rowsPerSlice, rows);
                                    row++) {
                                times[(int) (row * view.groups() + group)]++;
                            }
                        }
                    }
                }

                assertThat(Arrays.stream(times).distinct())
                        .as("%s %s of %d units", shape, layout, units)
                        .containsExactly(1);
                assertThat(cut.ownGroups).isBetween(1, view.groups());
                assertThat(view instanceof View.Columnar && cut.stripes > 1)
                        .as("a matrix is read in the order of memory")
                        .isFalse();
            }
        }
    }

    @Test
    void isWorthwhile_largeTensor_isNot() {
        assertThat(isWorthwhile(Shape.of(256, 16, 8, 8), Layout.CHANNELS_FIRST)).isTrue();
        assertThat(isWorthwhile(Shape.of(256, 16, 8, 65), Layout.CHANNELS_FIRST))
                .as("of more than a million elements")
                .isFalse();
    }

    @Test
    void isWorthwhile_fewGroupsOfOneRow_areNotEnoughForAllUnits() {
        assertThat(isWorthwhile(Shape.of(1, 3, 224, 224), Layout.CHANNELS_FIRST))
                .isFalse();
        assertThat(isWorthwhile(Shape.of(1, 8, 224, 224), Layout.CHANNELS_FIRST))
                .isTrue();
        assertThat(isWorthwhile(Shape.of(1, 3), Layout.CHANNELS_FIRST)).isTrue();
    }

    @Test
    void isWorthwhile_manyGroupsInEachOfManySlices_areFoldedTooOften() {
        assertThat(isWorthwhile(Shape.of(2, 2048, 7, 7), Layout.CHANNELS_FIRST)).isTrue();
        assertThat(isWorthwhile(Shape.of(2, 2048, 7, 7), Layout.CHANNELS_LAST)).isFalse();
    }

    private static boolean isWorthwhile(Shape shape, Layout layout) {
        return new Inference(View.batch(shape, layout), 2).isWorthwhile;
    }
}
