package org.clnorm.view;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.clnorm.Layout.CHANNELS_FIRST;
import static org.clnorm.Layout.CHANNELS_LAST;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.view.View.Blocks;
import org.clnorm.view.View.Columnar;
import org.clnorm.view.View.Segmented;
import org.junit.jupiter.api.Test;

class ViewTest {
    @Test
    void batch_channelsFirst_isSegmentsOfThePlane() {
        assertThat(View.batch(Shape.of(4, 3, 5, 7), CHANNELS_FIRST)).isEqualTo(new Segmented(3, 4, 35, 105));
        assertThat(View.batch(Shape.of(4, 3, 5), CHANNELS_FIRST)).isEqualTo(new Segmented(3, 4, 5, 15));
        assertThat(View.batch(Shape.of(2, 3, 4, 5, 6), CHANNELS_FIRST)).isEqualTo(new Segmented(3, 2, 120, 360));
        assertThat(View.batch(Shape.of(1, 3, 8, 8), CHANNELS_FIRST)).isEqualTo(new Segmented(3, 1, 64, 192));
    }

    @Test
    void batch_channelsLast_isColumns() {
        assertThat(View.batch(Shape.of(4, 3, 5, 7), CHANNELS_LAST)).isEqualTo(new Columnar(3, 140, 1));
        assertThat(View.batch(Shape.of(2, 3, 4, 5, 6), CHANNELS_LAST)).isEqualTo(new Columnar(3, 240, 1));
        assertThat(View.batch(Shape.of(1, 3, 1), CHANNELS_LAST)).isEqualTo(new Columnar(3, 1, 1));
    }

    @Test
    void batch_noSpatialExtent_isColumnsInBothLayouts() {
        for (Layout layout : Layout.values()) {
            assertThat(View.batch(Shape.of(32, 128), layout)).isEqualTo(new Columnar(128, 32, 1));
            assertThat(View.batch(Shape.of(32, 128, 1, 1), layout)).isEqualTo(new Columnar(128, 32, 1));
        }
    }

    @Test
    void batch_oneChannel_isOneRunInBothLayouts() {
        for (Layout layout : Layout.values()) {
            assertThat(View.batch(Shape.of(4, 1, 5, 7), layout)).isEqualTo(new Segmented(1, 1, 140, 140));
            assertThat(View.batch(Shape.of(13, 1), layout)).isEqualTo(new Segmented(1, 1, 13, 13));
        }
    }

    @Test
    void batch_oneChannelPastInt_isStillAView() {
        Shape large = Shape.of(1 << 16, 1, 1 << 16);

        for (Layout layout : Layout.values()) {
            View view = View.batch(large, layout);
            assertThat(view.groups()).isEqualTo(1);
            assertThat(view.groupSize()).isEqualTo(1L << 32);
            assertThat(view.elements()).isEqualTo(1L << 32);
        }
    }

    @Test
    void batch_groups_haveExactlyTheElementsOfTheirChannel() {
        for (Layout layout : Layout.values()) {
            for (long[] dimensions : new long[][] {
                {1, 1},
                {2, 1},
                {1, 5},
                {3, 4},
                {2, 3, 1},
                {2, 3, 5},
                {1, 1, 7},
                {4, 1, 3, 1},
                {2, 3, 4, 5},
                {3, 2, 1, 2, 3}
            }) {
                Shape shape = Shape.of(dimensions);
                View view = View.batch(shape, layout);

                assertThat(view.groups()).as("%s %s", shape, layout).isEqualTo((int) shape.channels());
                assertThat(view.elements()).as("%s %s", shape, layout).isEqualTo(shape.elements());
                for (int channel = 0; channel < shape.channels(); channel++) {
                    assertThat(elements(view, channel))
                            .as("channel %d of %s %s", channel, shape, layout)
                            .containsExactlyInAnyOrderElementsOf(elements(shape, layout, channel))
                            .hasSize((int) view.groupSize());
                }
            }
        }
    }

    @Test
    void asColumns_segmentsSideBySide_haveTheSameGroups() {
        for (long[] dimensions : new long[][] {{3, 4, 5}, {1, 3, 7}, {2, 3, 1, 9}, {4, 2, 2, 2, 2}}) {
            Segmented segments = (Segmented) View.batch(Shape.of(dimensions), CHANNELS_FIRST);
            Columnar columns = segments.asColumns().orElseThrow();

            assertThat(columns.groups()).isEqualTo(segments.groups());
            assertThat(columns.groupSize()).isEqualTo(segments.groupSize());
            for (int group = 0; group < segments.groups(); group++) {
                assertThat(elements(columns, group)).isEqualTo(elements(segments, group));
            }
        }
    }

    @Test
    void asColumns_segmentsApartOrTooManyColumns_isEmpty() {
        assertThat(new Segmented(3, 2, 5, 16).asColumns())
                .as("a gap of one element")
                .isEmpty();
        assertThat(new Segmented(1 << 16, 2, 1 << 16, 1L << 32).asColumns()).isEmpty();
    }

    @Test
    void contiguous_runs_beginAndEndAtMultiplesOfIt() {
        assertThat(View.batch(Shape.of(4, 3, 5, 7), CHANNELS_FIRST).contiguous())
                .isEqualTo(35);
        assertThat(View.batch(Shape.of(4, 3, 5, 7), CHANNELS_LAST).contiguous()).isEqualTo(3);
        assertThat(new Columnar(6, 10, 49).contiguous()).isEqualTo(6 * 49);
    }

    @Test
    void virtualBatches_ofARest_areBlocksWithAnotherLastOne() {
        Shape flat = Shape.of(11, 6);
        Shape planes = Shape.of(11, 6, 5);

        assertThat(View.virtualBatches(flat, CHANNELS_FIRST, 4, 3))
                .as("fewer in the last")
                .isEqualTo(new Columnar(6, 4, 1, new Blocks(3, 24, 4, 3), 1));
        assertThat(View.virtualBatches(flat, CHANNELS_FIRST, 4, 2))
                .as("more in the last")
                .isEqualTo(new Columnar(6, 7, 1, new Blocks(2, 24, 4, 7), 1));
        assertThat(View.virtualBatches(planes, CHANNELS_LAST, 4, 2))
                .isEqualTo(new Columnar(6, 35, 1, new Blocks(2, 120, 20, 35), 1));
        assertThat(View.virtualBatches(planes, CHANNELS_FIRST, 4, 2))
                .isEqualTo(new Segmented(6, 7, 5, 30, new Blocks(2, 120, 4, 7), 1));
    }

    @Test
    void groupSizes_ofALargerLastBlock_areOfEachBlock() {
        for (Layout layout : Layout.values()) {
            for (int batches = 2; batches <= 3; batches++) {
                View view = View.virtualBatches(Shape.of(11, 6, 5), layout, 4, batches);

                assertThat(view.elements()).isEqualTo(11 * 6 * 5);
                assertThat(view.usualGroupSize()).isEqualTo(20);
                assertThat(view.lastGroupSize()).isEqualTo(batches == 2 ? 35 : 15);
                assertThat(view.groupSize())
                        .as("what room is made for")
                        .isEqualTo(Math.max(view.usualGroupSize(), view.lastGroupSize()));
            }
        }
        Columnar columns = ((Segmented) View.virtualBatches(Shape.of(11, 6, 5), CHANNELS_FIRST, 4, 2))
                .asColumns()
                .orElseThrow();
        assertThat(columns).isEqualTo(new Columnar(6, 7, 5, new Blocks(2, 120, 4, 7), 1));
        assertThat(columns.lastGroupSize()).isEqualTo(35);
    }

    @Test
    void batch_dimensionPastInt_isRefusedByName() {
        long large = 1L << 31;

        assertThatThrownBy(() -> View.batch(Shape.of(2, large), CHANNELS_LAST))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("channels of shape (2, 2147483648)");
        assertThatThrownBy(() -> View.batch(Shape.of(large, 2, 3), CHANNELS_FIRST))
                .hasMessageContaining("batch");
        assertThatThrownBy(() -> View.batch(Shape.of(2, 2, large), CHANNELS_FIRST))
                .hasMessageContaining("spatial")
                .hasMessageContaining("2147483648");
        assertThat(View.batch(Shape.of(large, 2, 3), CHANNELS_LAST))
                .as("rows are counted in 64 bits")
                .isEqualTo(new Columnar(2, 3 * large, 1));
    }

    /** By the definition of the view. */
    private static List<Long> elements(View view, int group) {
        List<Long> elements = new ArrayList<>();
        if (view instanceof Segmented segmented) {
            for (int run = 0; run < segmented.segments(); run++) {
                for (int i = 0; i < segmented.length(); i++) {
                    elements.add((long) group * segmented.length() + run * segmented.segmentStride() + i);
                }
            }
        } else {
            Columnar columnar = (Columnar) view;
            for (long row = 0; row < columnar.rows(); row++) {
                for (int i = 0; i < columnar.width(); i++) {
                    elements.add(row * columnar.columns() + (long) group * columnar.width() + i);
                }
            }
        }
        return elements;
    }

    /** By the definition of the layout. */
    private static List<Long> elements(Shape shape, Layout layout, long channel) {
        List<Long> elements = new ArrayList<>();
        for (long n = 0; n < shape.batch(); n++) {
            for (long s = 0; s < shape.spatial(); s++) {
                elements.add(
                        layout == CHANNELS_FIRST
                                ? (n * shape.channels() + channel) * shape.spatial() + s
                                : (n * shape.spatial() + s) * shape.channels() + channel);
            }
        }
        return elements;
    }
}
