package org.clnorm.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;

class StrategyTest {
    /** Many channels of few values, few of many, and what lies between. */
    private static final List<View> VIEWS = List.of(
            new View.Segmented(64, 32, 56 * 56, 64L * 56 * 56),
            new View.Segmented(3, 1, 1024 * 1024, 3L * 1024 * 1024),
            new View.Segmented(1, 1, 1 << 30, 1 << 30),
            new View.Segmented(4096, 1, 49, 4096 * 49),
            new View.Segmented(1, 1, 2, 2),
            new View.Columnar(64, 32L * 56 * 56, 1),
            new View.Columnar(4096, 2, 1),
            new View.Columnar(2, 1L << 30, 1),
            new View.Columnar(1 << 20, 1, 1));

    private static Strategy choose(DeviceFacts facts, View view) {
        return Strategy.choose(facts, Pass.FORWARD, view, StrategyTable.DEFAULTS);
    }

    @Test
    void all_cpu_hasVectorsOfTheNativeWidth() {
        for (int width : new int[] {1, 2, 4, 8, 16}) {
            assertThat(Strategy.all(Facts.cpu(2, width)))
                    .filteredOn(strategy -> strategy.name().startsWith("cpu-"))
                    .hasSize(2)
                    .allMatch(strategy -> strategy.vectorWidth() == width && strategy.items() == 1);
        }
    }

    @Test
    void all_oddNativeWidth_isRoundedToAWidthThatOpenClHas() {
        assertThat(Strategy.named("cpu-fused", Facts.cpu(2, 0)).vectorWidth()).isEqualTo(1);
        assertThat(Strategy.named("cpu-fused", Facts.cpu(2, 3)).vectorWidth()).isEqualTo(2);
        assertThat(Strategy.named("cpu-fused", Facts.cpu(2, 64)).vectorWidth()).isEqualTo(16);
    }

    @Test
    void all_everyDevice_hasStrategiesThatItCanRun() {
        for (int largest : new int[] {1, 2, 8, 16, 64, 100, 128, 256, 1024, 4096}) {
            assertThat(Strategy.all(Facts.withWorkGroup(largest)))
                    .as("work-groups of at most %d", largest)
                    .isNotEmpty()
                    .allMatch(strategy -> strategy.items() <= largest);
        }
    }

    @Test
    void all_workGroups_arePowersOfTwo() {
        for (DeviceFacts facts : Facts.all()) {
            assertThat(Strategy.all(facts))
                    .as("the trees over work-items pair them by halves")
                    .allMatch(strategy -> Integer.bitCount(strategy.items()) == 1
                            && Integer.bitCount(strategy.workX()) == 1
                            && Integer.bitCount(strategy.vectorWidth()) == 1);
        }
    }

    @Test
    void all_names_areDifferentAndNoneIsAuto() {
        for (DeviceFacts facts : Facts.all()) {
            assertThat(Strategy.all(facts))
                    .extracting(Strategy::name)
                    .doesNotHaveDuplicates()
                    .doesNotContain(Strategy.AUTO);
        }
    }

    @Test
    void all_strategies_areTheSameEveryTime() {
        for (DeviceFacts facts : Facts.all()) {
            assertThat(Strategy.all(facts)).isEqualTo(Strategy.all(facts));
        }
    }

    @Test
    void named_anyCase_findsIt() {
        DeviceFacts facts = Facts.cpu(2, 16);

        for (Strategy strategy : Strategy.all(facts)) {
            assertThat(Strategy.named(strategy.name(), facts)).isEqualTo(strategy);
            assertThat(Strategy.named(strategy.name().toUpperCase(Locale.ROOT), facts))
                    .isEqualTo(strategy);
        }
    }

    @Test
    void named_unknown_listsThoseThereAre() {
        DeviceFacts facts = Facts.cpu(2, 16);

        assertThatThrownBy(() -> Strategy.named("fastest", facts))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'fastest'")
                .hasMessageContaining("auto, cpu-fused, cpu-split, gpu-cached, gpu-fused, gpu-split");
    }

    @Test
    void choose_anyView_isOneOfTheDevicesOwnAndTheSameEveryTime() {
        for (DeviceFacts facts : Facts.all()) {
            for (View view : VIEWS) {
                for (Pass pass : Pass.values()) {
                    Strategy chosen = Strategy.choose(facts, pass, view, StrategyTable.DEFAULTS);

                    assertThat(chosen.withStream(false).withTile(1).withVectors(1))
                            .as(
                                    "but for the stores, the tile and vectors, and the work-group of one that keeps groups in registers")
                            .isIn(Strategy.all(facts).stream()
                                    .map(strategy -> strategy.forView(facts, view)
                                            .withStream(false)
                                            .withTile(1)
                                            .withVectors(1))
                                    .toList());
                    assertThat(Strategy.choose(facts, pass, view, StrategyTable.DEFAULTS))
                            .isEqualTo(chosen);
                }
            }
        }
    }

    @Test
    void choose_device_saysWhichFamily() {
        for (View view : VIEWS) {
            assertThat(choose(Facts.gpu(132), view).name()).startsWith("gpu-");
            assertThat(choose(Facts.cpu(64, 8), view).name()).startsWith("cpu-");
            assertThat(choose(Facts.rusticl(), view).name())
                    .as("llvmpipe is a CPU that runs work-items as vector lanes")
                    .startsWith("gpu-");
        }
    }

    @Test
    void choose_groupsEnoughForEveryUnitThatStayInCache_isFused() {
        View view = new View.Segmented(64, 8, 28 * 28, 64L * 28 * 28);

        assertThat(choose(Facts.cpu(2, 16), view).fused()).isTrue();
        assertThat(choose(Facts.cpu(64, 16), view).fused()).isTrue();
        assertThat(choose(Facts.gpu(16), view).fused()).isTrue();
    }

    @Test
    void choose_fewGroups_isSplitSoThatAllUnitsWork() {
        View one = new View.Segmented(1, 1, 1 << 16, 1 << 16);
        View three = new View.Segmented(3, 8, 1 << 12, 3 << 12);

        assertThat(choose(Facts.cpu(2, 16), one).fused()).isFalse();
        assertThat(choose(Facts.cpu(64, 16), three).fused()).isFalse();
        assertThat(choose(Facts.gpu(132), three).fused()).isFalse();
    }

    @Test
    void choose_smallOutput_isNotStreamedPastTheCache() {
        DeviceFacts facts = Facts.cpu(2, 16);

        assertThat(choose(facts, new View.Columnar(64, 64, 1)).stream()).isFalse();
        assertThat(choose(facts, new View.Columnar(64, 1 << 16, 1)).stream()).isTrue();
    }

    @Test
    void reshape_view_keepsItsGroups() {
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy strategy : Strategy.all(facts)) {
                for (View view : VIEWS) {
                    View shaped = strategy.reshape(view);

                    assertThat(shaped.groups()).as("%s, %s", strategy, view).isEqualTo(view.groups());
                    assertThat(shaped.groupSize()).as("%s, %s", strategy, view).isEqualTo(view.groupSize());
                }
            }
        }
    }

    @Test
    void reshape_smallPlanes_areColumnsWhereOneWorkItemHasThem() {
        View planes = new View.Segmented(64, 32, 49, 64 * 49);
        DeviceFacts facts = Facts.cpu(2, 16);

        assertThat(Strategy.named("cpu-fused", facts).reshape(planes)).isEqualTo(new View.Columnar(64, 32, 49));
        for (String others : List.of("cpu-split", "gpu-fused", "gpu-split")) {
            assertThat(Strategy.named(others, facts).reshape(planes)).isEqualTo(planes);
        }
    }

    @Test
    void reshape_planesWiderThanItsStripe_areLeftAsTheyAre() {
        View planes = new View.Segmented(64, 32, 196, 64 * 196);
        Strategy narrow = Strategy.named("cpu-fused", Facts.cpu(2, 16)).withVectors(8);

        assertThat(narrow.stripe()).isLessThan(196);
        assertThat(narrow.reshape(planes))
                .as("a work-item has no room for a plane")
                .isEqualTo(planes);
    }

    @Test
    void choose_inference_isNeverFused() {
        for (DeviceFacts facts : Facts.all()) {
            for (View view : VIEWS) {
                assertThat(Strategy.choose(facts, Pass.INFERENCE, view, StrategyTable.DEFAULTS)
                                .fused())
                        .as("there is no group to come back to: %s, %s", facts, view)
                        .isFalse();
            }
        }
    }

    @Test
    void all_llvmpipe_hasNoLongLoops() {
        assertThat(Strategy.all(Facts.rusticl()))
                .as("it ends the loops of a work-item after 65,535 iterations, without a word")
                .isNotEmpty()
                .allMatch(strategy -> strategy.items() > 1);
    }

    @Test
    void all_gpu_hasTheGpuFamilyAlone() {
        for (DeviceFacts facts : List.of(Facts.gpu(4), Facts.h200(), Facts.withWorkGroup(8))) {
            assertThat(Strategy.all(facts))
                    .as("a cpu strategy's work-item holds more than a GPU's registers: %s", facts)
                    .isNotEmpty()
                    .allMatch(strategy -> strategy.name().startsWith("gpu-"));
        }
        assertThat(Strategy.all(Facts.h200()))
                .extracting(Strategy::name)
                .containsExactly("gpu-cached", "gpu-fused", "gpu-split");
        assertThat(Strategy.all(Facts.withWorkGroup(7)))
                .as("its work-groups are too small for the others")
                .extracting(Strategy::name)
                .containsExactly("cpu-fused", "cpu-split");
    }

    @Test
    void all_oclgrind_hasTheVectorsOfACpu() {
        assertThat(Strategy.named("cpu-fused", Facts.oclgrind()).vectorWidth())
                .as("it says 1, and would then simulate none of the code for vectors")
                .isEqualTo(8);
    }

    @Test
    void choose_whereTheDriverIsSilentAboutTheCache_isAsElsewhere() {
        for (DeviceFacts facts : Facts.all()) {
            DeviceFacts silent = Facts.withoutCache(facts);

            assertThat(VIEWS).as(facts.toString()).allSatisfy(view -> assertThat(choose(silent, view))
                    .isEqualTo(choose(facts, view)));
            assertThat(silent.toMap()).containsEntry("cache", "not told");
        }
    }

    @Test
    void choose_columnsPastTheCache_isSplit() {
        View tall = new View.Columnar(64, 32L * 112 * 112, 1);

        for (DeviceFacts facts : Facts.all()) {
            assertThat(choose(facts, tall).fused()).as(facts.toString()).isFalse();
        }
    }

    @Test
    void choose_benchmarksShapesOnALargeGpu_keepsSmallGroupsInRegistersAndCutsLargeOnes() {
        DeviceFacts h200 = Facts.h200();

        assertThat(choices(h200, Layout.CHANNELS_FIRST))
                .containsExactly(
                        "(32, 64, 56, 56) gpu-split, 1024 work-groups of 256",
                        "(32, 256, 14, 14) gpu-cached, 256 work-groups of 256",
                        "(64, 512, 7, 7) gpu-cached, 512 work-groups of 256",
                        "(8, 64, 112, 112) gpu-split, 1024 work-groups of 256",
                        "(2, 2048, 7, 7) gpu-cached, 1024 work-groups of 256",
                        "(256, 16, 8, 8) gpu-cached, 16 work-groups of 512",
                        "(1, 3, 1024, 1024) gpu-split, 768 work-groups of 256",
                        "(128, 128) gpu-cached, 4 work-groups of 256",
                        "(4096, 1024) gpu-split, 1024 work-groups of 256");
        assertThat(choices(h200, Layout.CHANNELS_LAST))
                .as("or as many as have a tile for each work-item")
                .containsExactly(
                        "(32, 64, 56, 56) gpu-split, 784 work-groups of 256",
                        "(32, 256, 14, 14) gpu-split, 392 work-groups of 256",
                        "(64, 512, 7, 7) gpu-split, 400 work-groups of 256",
                        "(8, 64, 112, 112) gpu-split, 784 work-groups of 256",
                        "(2, 2048, 7, 7) gpu-cached, 64 work-groups of 256",
                        "(256, 16, 8, 8) gpu-split, 128 work-groups of 256",
                        "(1, 3, 1024, 1024) gpu-split, 1024 work-groups of 256",
                        "(128, 128) gpu-cached, 4 work-groups of 256",
                        "(4096, 1024) gpu-split, 1024 work-groups of 256");
    }

    private static List<String> choices(DeviceFacts facts, Layout layout) {
        return Stream.of(
                        Shape.of(32, 64, 56, 56),
                        Shape.of(32, 256, 14, 14),
                        Shape.of(64, 512, 7, 7),
                        Shape.of(8, 64, 112, 112),
                        Shape.of(2, 2048, 7, 7),
                        Shape.of(256, 16, 8, 8),
                        Shape.of(1, 3, 1024, 1024),
                        Shape.of(128, 128),
                        Shape.of(4096, 1024))
                .map(shape -> {
                    View view = View.batch(shape, layout);
                    Strategy strategy = choose(facts, view);
                    Geometry geometry = Geometry.of(strategy, view, facts.computeUnits());
                    int workGroups = strategy.fused() ? geometry.stripes() : geometry.workGroups();
                    return shape + " " + strategy.name() + ", " + workGroups + " work-groups of " + strategy.items();
                })
                .toList();
    }

    @Test
    void forView_inRegisters_everyItemHasRoomForItsShare() {
        int held = 0;
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy all : Strategy.all(facts)) {
                for (long rows : new long[] {1, 2, 31, 32, 33, 98, 128, 256, 257, 512, 513, 16384, 16385, 1 << 20}) {
                    for (int columns : new int[] {1, 3, 4, 33, 64, 1 << 12}) {
                        View columnar = new View.Columnar(columns, rows, 1);
                        View segmented = new View.Segmented(8, (int) rows, columns, 8L * columns);
                        Strategy byColumns = all.forView(facts, columnar);
                        Strategy bySegments = all.forView(facts, segmented);

                        if (byColumns.isCached()) {
                            assertThat(columns % byColumns.vectorWidth()).isZero();
                            assertThat((long) byColumns.workY() * byColumns.cached())
                                    .isGreaterThanOrEqualTo(rows);
                            held++;
                        }
                        if (bySegments.isCached()) {
                            assertThat(columns % bySegments.vectorWidth()).isZero();
                            assertThat((long) bySegments.items() * bySegments.cached() * bySegments.vectorWidth())
                                    .isGreaterThanOrEqualTo(segmented.groupSize());
                            held++;
                        }
                        assertThat(byColumns.items()).isLessThanOrEqualTo(facts.maxWorkGroup());
                        assertThat(byColumns.stripe())
                                .as("the same stripes whatever the vectors, or wide ones of short columns")
                                .isIn(all.stripe(), rows <= 64 && columns > 64 ? 4 * all.stripe() : all.stripe());
                    }
                }
            }
        }
        assertThat(held).isPositive();
    }

    @Test
    void forView_largeGroups_goToTheOthersOfTheFamily() {
        DeviceFacts facts = Facts.h200();
        Strategy cached = Strategy.named("gpu-cached", facts);

        assertThat(cached.forView(facts, new View.Segmented(64, 32, 3136, 64 * 3136))
                        .name())
                .isEqualTo("gpu-split");
        assertThat(cached.forView(facts, new View.Segmented(2048, 32, 3136, 2048 * 3136))
                        .name())
                .isEqualTo("gpu-fused");
        assertThat(cached.forView(facts, new View.Columnar(1 << 30, 2, 1)).name())
                .as("places in registers are 32 bits wide")
                .isNotEqualTo("gpu-cached");
    }

    @Test
    void forView_others_areAsTheyAre() {
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy strategy : Strategy.all(facts)) {
                if (!strategy.isCached()) {
                    assertThat(VIEWS).allMatch(view -> strategy.forView(facts, view) == strategy);
                }
            }
        }
    }

    @Test
    void forFold_few_isASmallWorkGroup() {
        Strategy gpu = Strategy.named("gpu-split", Facts.h200());
        Strategy cpu = Strategy.named("cpu-split", Facts.cpu(2, 16));

        assertThat(gpu.forFold(1).items()).isEqualTo(64);
        assertThat(gpu.forFold(64).items()).isEqualTo(64);
        assertThat(gpu.forFold(65)).isEqualTo(gpu);
        assertThat(cpu.forFold(1)).isEqualTo(cpu);
    }

    @Test
    void forApply_largeWorkGroup_isTheUsualOne() {
        DeviceFacts facts = Facts.h200();
        Strategy large = choose(facts, new View.Segmented(16, 256, 64, 1024));
        Strategy small = choose(facts, new View.Segmented(2048, 2, 49, 2048 * 49));

        assertThat(large.items()).isEqualTo(512);
        assertThat(large.forApply().items()).isEqualTo(256);
        assertThat(small.forApply()).isEqualTo(small);
    }

    @Test
    void languageOf_deviceWithSubgroupsAndShuffles_hasThem() {
        String both = "cl_khr_fp16 cl_khr_subgroups cl_khr_subgroup_shuffle_relative cl_khr_fp64";

        assertThat(Strategy.languageOf(Facts.withLanguage("OpenCL 3.0 NEO ", both)))
                .isEqualTo("-cl-std=CL3.0 -DSUBGROUPS=1");
        assertThat(Strategy.languageOf(Facts.withLanguage("OpenCL 2.1 ", "cl_khr_subgroups cl_khr_subgroup_shuffle")))
                .isEqualTo("-cl-std=CL2.0 -DSUBGROUPS=1");
        assertThat(Strategy.all(Facts.withLanguage("OpenCL 3.0", both)))
                .allMatch(strategy -> strategy.options(Set.of()).contains("-DSUBGROUPS=1") == (strategy.items() > 1));
    }

    @Test
    void languageOf_anyOtherDevice_isPlain() {
        assertThat(List.of(
                        Facts.withLanguage("OpenCL 1.2", "cl_khr_subgroups cl_khr_subgroup_shuffle"),
                        Facts.withLanguage("OpenCL 2.0 AMD-APP (3581.0)", "cl_khr_fp64 cl_khr_subgroups"),
                        Facts.withLanguage("OpenCL 3.0", "cl_khr_subgroup_shuffle"),
                        Facts.withLanguage("OpenCL 3.0", "my_cl_khr_subgroups cl_khr_subgroup_shuffle"),
                        Facts.withLanguage("unknown", "cl_khr_subgroups cl_khr_subgroup_shuffle"),
                        Facts.withLanguage("", ""),
                        Facts.h200()))
                .allMatch(facts -> Strategy.languageOf(facts).equals(Strategy.PLAIN_LANGUAGE));
    }

    @Test
    void macros_strategy_areAllDefined() {
        Strategy strategy =
                new Strategy(Strategy.Family.GPU, Strategy.Form.CACHED, 8, 32, 4, 5, 6, 7, true, "-cl-std=CL1.2");

        assertThat(strategy.macros())
                .isEqualTo(Map.of("VW", 4, "WX", 8, "WY", 32, "TILE", 5, "VECTORS", 6, "CACHED", 7, "STREAM", 1));
        assertThat(strategy.withStream(false).macros()).containsEntry("STREAM", 0);
    }

    @Test
    void options_kernelThatObeysFewMacros_areTheSameForStrategiesThatDifferInOthers() {
        Strategy strategy =
                new Strategy(Strategy.Family.GPU, Strategy.Form.CACHED, 8, 32, 4, 5, 6, 7, true, "-cl-std=CL1.2");

        assertThat(strategy.options(Set.of("WX", "VW", "RELU"))).isEqualTo("-cl-std=CL1.2 -DVW=4 -DWX=8");
        assertThat(strategy.withStream(false).options(Set.of("VW"))).isEqualTo(strategy.options(Set.of("VW")));
        assertThat(strategy.withStream(false).options(Set.of("STREAM")))
                .isNotEqualTo(strategy.options(Set.of("STREAM")));
    }

    @Test
    void describeChoice_families_areNamed() {
        assertThat(Strategy.describeChoice(Facts.cpu(2, 16), false))
                .contains("auto", "cpu")
                .doesNotContain("tuned");
        assertThat(Strategy.describeChoice(Facts.gpu(16), true)).contains("auto", "gpu", "tuned");
    }
}
