package org.clnorm.plan;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.BiConsumer;
import org.clnorm.view.View;
import org.clnorm.view.View.Columnar;
import org.clnorm.view.View.Segmented;
import org.junit.jupiter.api.Test;

/**
 * The partition of a view, by what the kernels make of it: the arithmetic of {@code slice_of_segments} in groups.clh, of
 * the columnar kernels' rows and of {@code flat} in sweep_template.clh is written down here again.
 */
class GeometryTest {
    /** Partials are 4 floats for every slice and group; no device has so many units that more slices are of use. */
    private static final int MOST_SLICES = 1 << 13;

    @Test
    void of_segments_areCoveredExactlyOnce() {
        forSegments((geometry, view) -> {
            // By segment and element, how often a slice has it.
            int[][] seen = new int[view.segments()][view.length()];
            int chunks = ceil(view.length(), geometry.chunk());
            for (int slice = 0; slice < geometry.slices(); slice++) {
                int first = slice / chunks * geometry.segmentsPerSlice();
                int from = slice % chunks * geometry.chunk();
                int count = Math.min(geometry.segmentsPerSlice(), view.segments() - first);
                int length = Math.min(geometry.chunk(), view.length() - from);
                assertThat(count)
                        .as("segments of slice %d of %s in %s", slice, view, geometry)
                        .isPositive();
                assertThat(length)
                        .as("elements of slice %d of %s in %s", slice, view, geometry)
                        .isPositive();
                for (int segment = first; segment < first + count; segment++) {
                    for (int i = from; i < from + length; i++) {
                        seen[segment][i]++;
                    }
                }
            }
            for (int[] segment : seen) {
                for (int times : segment) {
                    if (times != 1) {
                        assertThat(times)
                                .as("times that an element of %s is in a slice of %s", view, geometry)
                                .isOne();
                    }
                }
            }
        });
    }

    @Test
    void of_columns_areCoveredExactlyOnce() {
        forColumns((geometry, strategyAndView) -> {
            Columnar view = strategyAndView.view;
            int stripe = strategyAndView.strategy.stripe();
            assertThat((long) geometry.stripes() * stripe).as("columns").isGreaterThanOrEqualTo(view.groups());
            assertThat((geometry.stripes() - 1L) * stripe)
                    .as("no stripe without a column, %s in %s", view, geometry)
                    .isLessThan(view.groups());
            assertThat(geometry.slices() * geometry.rowsPerSlice()).as("rows").isGreaterThanOrEqualTo(view.rows());
            assertThat((geometry.slices() - 1) * geometry.rowsPerSlice())
                    .as("no slice without a row, %s in %s", view, geometry)
                    .isLessThan(view.rows());
        });
    }

    @Test
    void of_columnsFlat_areCoveredExactlyOnceAndBeginAtLines() {
        forColumns((geometry, strategyAndView) -> {
            Columnar view = strategyAndView.view;
            assertThat(geometry.flatSlices() * geometry.flatPerSlice())
                    .as("elements")
                    .isGreaterThanOrEqualTo(view.elements());
            assertThat((geometry.flatSlices() - 1) * geometry.flatPerSlice())
                    .as("no slice without an element, %s in %s", view, geometry)
                    .isLessThan(view.elements());
            assertThat(geometry.flatPerSlice() % 16)
                    .as("or all slices but the first would begin inside a 64-byte line")
                    .isZero();
        });
    }

    @Test
    void of_anyView_hasSlicesWithinBounds() {
        forSegments((geometry, view) -> {
            assertThat(geometry.slices()).as("%s", view).isBetween(1, MOST_SLICES);
            int own = geometry.ownGroups();
            assertThat(own).as("%s, a power of two", view).isEqualTo(Integer.highestOneBit(own));
            assertThat(geometry.stripes()).as("%s", view).isEqualTo((view.groups() + own - 1) / own);
            assertThat(geometry.workGroups()).as("%s", view).isEqualTo(geometry.slices() * geometry.stripes());
        });
        forColumns((geometry, strategyAndView) -> {
            assertThat(geometry.slices()).as("%s", strategyAndView).isBetween(1, MOST_SLICES);
            assertThat(geometry.flatSlices()).as("%s", strategyAndView).isPositive();
        });
    }

    @Test
    void of_anyView_hasPartialsOfAHundredthOfTheTensorOrAMegabyte() {
        forSegments((geometry, view) -> assertSmallPartials(geometry, view));
        forColumns((geometry, choice) -> assertSmallPartials(geometry, choice.view));
        DeviceFacts large = Facts.gpu(1000);
        for (Strategy strategy : Strategy.all(large)) {
            for (int groups = 1; groups < 5000; groups = 2 * groups + 1) {
                for (int segments : new int[] {1, 63, 1000, 10_000}) {
                    View view = new Segmented(groups, segments, 1 << 16, (long) groups << 16);
                    assertSmallPartials(Geometry.of(strategy, view, large.computeUnits()), view);
                }
                View view = new Columnar(groups, 1 << 20, 1);
                assertSmallPartials(Geometry.of(strategy, view, large.computeUnits()), view);
            }
        }
    }

    /** One slice is the least there can be, however many groups there are. */
    private static void assertSmallPartials(Geometry geometry, View view) {
        long bytes = 5L * Float.BYTES * geometry.slices() * CoefficientRows.pitch(view);
        if (geometry.slices() > 1) {
            assertThat(bytes)
                    .as("partials of %s in %s", view, geometry)
                    .isLessThanOrEqualTo(Math.max(1 << 20, view.elements() * Float.BYTES / 100));
        }
    }

    @Test
    void of_manyGroups_areNotCutFurther() {
        for (DeviceFacts facts : List.of(Facts.cpu(2, 16), Facts.gpu(16))) {
            for (Strategy strategy : Strategy.all(facts)) {
                Geometry geometry = Geometry.of(strategy, new Segmented(1024, 4, 100, 102400), facts.computeUnits());

                assertThat(geometry.slices()).as(strategy.name()).isOne();
            }
        }
    }

    @Test
    void of_fewLargeGroups_giveEveryUnitWork() {
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy strategy : Strategy.all(facts)) {
                for (View view : List.of(
                        new Segmented(1, 1, 1 << 26, 1 << 26),
                        new Segmented(2, 64, 1 << 19, 1 << 20),
                        new Columnar(2, 1 << 25, 1))) {
                    Geometry geometry = Geometry.of(strategy, view, facts.computeUnits());

                    assertThat(geometry.workGroups())
                            .as("%s of %s", strategy, view)
                            .isGreaterThanOrEqualTo(facts.computeUnits());
                }
            }
        }
    }

    @Test
    void of_sameArguments_isTheSamePartition() {
        List<Geometry> once = new ArrayList<>();
        List<Geometry> again = new ArrayList<>();
        forColumns((geometry, view) -> once.add(geometry));
        forColumns((geometry, view) -> again.add(geometry));

        assertThat(again).isEqualTo(once).isNotEmpty();
    }

    @Test
    void fusedStripe_anyColumns_hasWholeGroupsThatFitTheRoom() {
        forColumns((geometry, choice) -> {
            for (int width : new int[] {1, 2, 7, 15, 16, 17, 49, 64, 255, 256}) {
                Columnar view = new Columnar(choice.view.groups() % 5000, choice.view.rows(), width);
                if (!choice.strategy.fused() || (choice.strategy.items() > 1 && width > 1)) {
                    continue; // those never have several columns to a group
                }
                for (int units : new int[] {1, 2, 64}) {
                    int stripe = Geometry.fusedStripe(choice.strategy, view, units);
                    if (stripe < 1 || stripe > Geometry.mostStripe(choice.strategy, view) || stripe % width != 0) {
                        assertThat(stripe)
                                .as("stripe of %s under %s with %d units", view, choice.strategy, units)
                                .isBetween(1, (int) Geometry.mostStripe(choice.strategy, view))
                                .matches(columns -> columns % width == 0, "whole groups");
                    }
                }
            }
        });
    }

    @Test
    void flatPerSlice_anyCount_coversIt() {
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy strategy : Strategy.all(facts)) {
                for (long elements : new long[] {1, 15, 16, 17, 4098, 1 << 20, 1L << 33}) {
                    long perSlice = Geometry.flatPerSlice(strategy, elements, facts.computeUnits());

                    assertThat(perSlice % 16).isZero();
                    assertThat((elements + perSlice - 1) / perSlice)
                            .as("work-groups for %d elements, %s", elements, strategy)
                            .isBetween(1L, 64L * facts.computeUnits());
                }
            }
        }
    }

    private record Choice(Strategy strategy, Columnar view) {}

    @Test
    void sideBySide_smallGroups_haveTeamsWithSomeVectorsToAnItemAndUnitsTheirWorkGroups() {
        DeviceFacts facts = Facts.gpu(132);
        Strategy wide = Strategy.named("gpu-split", facts);
        Segmented instance = new Segmented(512, 1, 49, 512 * 49, new View.Blocks(64, 512 * 49, 1), 1);
        Strategy narrow = wide.unaligned(facts, instance);

        assertThat(Geometry.sideBySide(narrow, instance, 132))
                .as("49 elements for 16 items of 256")
                .isEqualTo(16);
        assertThat(Geometry.sideBySide(wide, new Segmented(100_000, 1, 64, 6_400_000), 132))
                .as("16 vectors, for no fewer than the 8 items that read a line together")
                .isEqualTo(32);
        assertThat(Geometry.sideBySide(wide, new Segmented(600, 1, 64, 38_400), 132))
                .as("or units would have nothing to do while they wait")
                .isEqualTo(1);
        assertThat(Geometry.sideBySide(wide, new Segmented(100_000, 4, 256, 25_600_000), 132))
                .as("an item has vectors enough")
                .isEqualTo(4);
        assertThat(Geometry.sideBySide(wide, new Segmented(3, 1, 64, 192, new View.Blocks(50_000, 192, 1), 1), 132))
                .as("no more than a block has, and the power of two that they take")
                .isEqualTo(4);
    }

    private static void forSegments(BiConsumer<Geometry, Segmented> check) {
        SplittableRandom random = new SplittableRandom(1);
        int[] sizes = {1, 2, 3, 7, 13, 15, 16, 17, 31, 33, 64, 127, 128, 129, 207, 257, 1000, 1024};
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy strategy : Strategy.all(facts)) {
                for (int i = 0; i < 60; i++) {
                    int groups = sizes[random.nextInt(sizes.length)];
                    int segments = sizes[random.nextInt(sizes.length)];
                    int length = i % 10 == 0 ? random.nextInt(1, 100_000) : sizes[random.nextInt(sizes.length)];
                    Segmented view = new Segmented(groups, i % 10 == 0 ? 1 : segments, length, (long) groups * length);
                    check.accept(Geometry.of(strategy, view, facts.computeUnits()), view);
                }
            }
        }
    }

    private static void forColumns(BiConsumer<Geometry, Choice> check) {
        int[] columns = {1, 2, 3, 15, 16, 17, 31, 32, 33, 127, 128, 129, 207, 4098, 1 << 20};
        long[] rows = {1, 2, 13, 15, 16, 17, 31, 33, 127, 128, 129, 1023, 1024, 1025, 4098, 1 << 20, 1L << 33};
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy strategy : Strategy.all(facts)) {
                for (int width : columns) {
                    for (long height : rows) {
                        Columnar view = new Columnar(width, height, 1);
                        check.accept(Geometry.of(strategy, view, facts.computeUnits()), new Choice(strategy, view));
                    }
                }
            }
        }
    }

    private static int ceil(int a, int b) {
        return (a + b - 1) / b;
    }
}
