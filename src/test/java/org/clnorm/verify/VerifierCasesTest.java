package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Grouping.Batch.Rest;
import org.clnorm.backend.Normalization;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.InPlace;
import org.clnorm.verify.VerifierCase.Mode;
import org.clnorm.verify.VerifierCase.Placement;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class VerifierCasesTest {
    /** Every option of a case but its shape. */
    private static final List<Function<VerifierCase, Object>> OPTIONS = List.of(
            VerifierCase::mode,
            VerifierCase::data,
            VerifierCase::affine,
            VerifierCase::fusion,
            c -> List.of(c.average(), c.estimate()),
            VerifierCase::policy,
            VerifierCase::inPlace,
            VerifierCase::placement);

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void small_twoOptions_occurInAllPairsForEachPattern(boolean segmented) {
        List<VerifierCase> cases = ofPattern(VerifierCases.small(), segmented).stream()
                .filter(c -> Fusion.USUAL.contains(c.fusion()) && c.inPlace() != InPlace.Y_IS_X_FOR_GOOD)
                .filter(c -> Data.USUAL.contains(c.data()))
                .toList();
        for (int a = 0; a < OPTIONS.size(); a++) {
            for (int b = a + 1; b < OPTIONS.size(); b++) {
                Function<VerifierCase, Object> first = OPTIONS.get(a);
                Function<VerifierCase, Object> second = OPTIONS.get(b);
                Set<Object> pairs = cases.stream()
                        .map(c -> List.of(first.apply(c), second.apply(c)))
                        .collect(Collectors.toSet());

                assertThat(pairs)
                        .as("options %d and %d: a kernel that is wrong only for a pair must meet it", a, b)
                        .hasSize(valuesOf(cases, first) * valuesOf(cases, second));
            }
        }
    }

    @Test
    void all_optionsOfOneKind_allOccur() {
        List<VerifierCase> cases = VerifierCases.all();

        assertThat(cases).extracting(VerifierCase::mode).contains(Mode.values());
        assertThat(cases).extracting(VerifierCase::data).contains(Data.values());
        assertThat(cases).extracting(VerifierCase::affine).contains(Affine.values());
        assertThat(cases).extracting(VerifierCase::fusion).contains(Fusion.values());
        assertThat(cases).extracting(VerifierCase::policy).contains(NonFinitePolicy.values());
        assertThat(cases).extracting(VerifierCase::inPlace).contains(InPlace.values());
        assertThat(cases).extracting(VerifierCase::placement).contains(Placement.values());
        assertThat(cases).extracting(c -> c.average().kind().name()).contains("NONE", "EXPONENTIAL", "CUMULATIVE");
    }

    @Test
    void all_shapes_straddleTheBoundaries() {
        List<VerifierCase> cases = VerifierCases.all();
        Set<Long> channels = cases.stream().map(c -> c.shape().channels()).collect(Collectors.toSet());
        Set<Long> others = cases.stream()
                .flatMap(c -> LongStream.of(c.shape().batch(), c.shape().spatial(), c.valuesPerChannel())
                        .boxed())
                .collect(Collectors.toSet());

        for (long size : new long[] {1, 13, 15, 16, 17, 31, 32, 33, 207, 4098}) {
            assertThat(others).as("batch, spatial or values per channel").contains(size);
            assertThat(channels).as("channels").contains(size);
        }
        assertThat(cases).extracting(c -> c.shape().rank()).contains(2, 3, 4, 5);
        for (Layout layout : Layout.values()) {
            assertThat(cases)
                    .filteredOn(c -> c.shape().rank() == 4)
                    .extracting(VerifierCase::layout)
                    .contains(layout);
            assertThat(cases)
                    .filteredOn(c -> c.shape().rank() == 5)
                    .extracting(VerifierCase::layout)
                    .contains(layout);
        }
        assertThat(cases)
                .as("a batch of one with a large plane")
                .anyMatch(c -> c.shape().batch() == 1 && c.shape().spatial() > 100_000);
        assertThat(cases)
                .as("a large batch of 7x7 planes")
                .anyMatch(c -> c.shape().batch() > 200 && c.shape().spatial() == 49);
    }

    @Test
    void all_casesWithOneValuePerChannel_areInferenceOnly() {
        List<VerifierCase> single = VerifierCases.all().stream()
                .filter(VerifierCase::isPlain)
                .filter(c -> c.valuesPerChannel() == 1)
                .toList();

        assertThat(single).isNotEmpty().noneMatch(c -> c.mode().training);
    }

    @Test
    void all_elementsInTotal_areFewEnoughForEveryStrategyInAMinute() {
        assertThat(VerifierCases.all().stream()
                        .mapToLong(VerifierCase::elements)
                        .sum())
                .isBetween(1_000_000L, 8_000_000L);
    }

    @Test
    void all_cases_containTheOptionsOfTheSmallOnes() {
        for (boolean segmented : new boolean[] {true, false}) {
            assertThat(options(ofPattern(VerifierCases.all(), segmented)))
                    .containsAll(options(ofPattern(VerifierCases.small(), segmented)));
        }
        assertThat(VerifierCases.small()).hasSizeLessThan(VerifierCases.all().size());
    }

    @Test
    void all_shapes_meetSeveralCombinationsOfOptions() {
        Map<Object, Set<Object>> combinations = VerifierCases.all().stream()
                .filter(c -> c.isPlain() && c.valuesPerChannel() > 1 && Fusion.USUAL.contains(c.fusion()))
                .filter(c -> c.inPlace() != VerifierCase.InPlace.Y_IS_X_FOR_GOOD)
                .collect(Collectors.groupingBy(
                        c -> List.of(c.shape(), c.layout()),
                        Collectors.mapping(c -> options(List.of(c)), Collectors.toSet())));

        assertThat(combinations.values()).allMatch(met -> met.size() > 1);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void small_everyCombinationOfMacros_meetsWholeVectorsAndOthers(boolean segmented) {
        Function<VerifierCase, Object> macros = c -> List.of(
                c.fusion(),
                c.mode().training,
                c.placement() == Placement.ALIGNED && (segmented ? c.shape().spatial() : c.channels()) % 16 == 0);
        Set<Object> met =
                ofPattern(VerifierCases.small(), segmented).stream().map(macros).collect(Collectors.toSet());

        for (Fusion fusion : Fusion.USUAL) {
            for (boolean training : new boolean[] {true, false}) {
                assertThat(met).contains(List.of(fusion, training, false));
                if (Fusion.COMMON.contains(fusion)) {
                    assertThat(met).contains(List.of(fusion, training, true));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void small_badBatches_meetEveryPolicyInTraining(boolean segmented) {
        assertThat(VerifierCases.small())
                .filteredOn(c -> c.isPlain() && isSegmented(c) == segmented)
                .filteredOn(c -> c.data() == Data.NON_FINITE && c.updatesRunning())
                .extracting(VerifierCase::policy)
                .contains(NonFinitePolicy.values());
    }

    @Test
    void forChoiceByShape_cases_haveAllShapesAndTheCommonFusions() {
        List<VerifierCase> cases = VerifierCases.forChoiceByShape(VerifierCases.all());

        assertThat(cases)
                .extracting(VerifierCase::shape)
                .isEqualTo(VerifierCases.all().stream().map(VerifierCase::shape).toList());
        assertThat(cases.stream().map(VerifierCase::fusion).distinct())
                .as("the common ones, and the other activations, what is added, and masks, which come after")
                .containsExactlyInAnyOrderElementsOf(
                        Stream.of(Fusion.COMMON, Fusion.OTHERS, Fusion.ADDITIONS, Fusion.MASKS)
                                .flatMap(List::stream)
                                .toList());
    }

    @Test
    void small_otherActivations_meetRunsAndColumnsEachWithAResidualAndWithout() {
        for (boolean segmented : new boolean[] {true, false}) {
            assertThat(ofPattern(VerifierCases.small(), segmented))
                    .extracting(VerifierCase::fusion)
                    .containsAll(Fusion.OTHERS);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void cases_ofTheFamily_haveEveryKindInBothPatterns(boolean small) {
        List<VerifierCase> cases = small ? VerifierCases.small() : VerifierCases.all();

        for (Layout layout : Layout.values()) {
            assertThat(cases.stream().filter(c -> c.layout() == layout).map(VerifierCasesTest::kind))
                    .as("%s", layout)
                    .contains(
                            "batch",
                            "batch, affine per sample",
                            "batch, renormalized within 1.1",
                            "batch, renormalized within 3.0",
                            "virtual batches with a remainder OWN",
                            "virtual batches with a remainder MERGED",
                            "virtual batches with a remainder GIVEN",
                            "one group of channels",
                            "some groups of channels",
                            "some groups of channels, affine per sample",
                            "all channels",
                            "all channels, affine per sample",
                            "rows CENTERED",
                            "rows ROOT_MEAN_SQUARE",
                            "rows LENGTH");
        }
        assertThat(cases)
                .filteredOn(c -> kind(c).equals("batch, affine per sample"))
                .extracting(c -> c.mode().training)
                .contains(true, false);
        assertThat(cases)
                .as("a row of zeros has no length to divide by, with an epsilon and without")
                .filteredOn(c -> kind(c).equals("rows LENGTH")
                        && c.data() == Data.CONSTANT
                        && c.groups().groups() > 6)
                .extracting(VerifierCase::epsilon)
                .contains(0.0, 1e-12);
    }

    @ParameterizedTest
    @EnumSource(
            value = Rest.class,
            names = {"MERGED", "GIVEN"})
    void cases_ofARestOfVirtualBatches_areOfSeveralBeforeInEveryWay(Rest rest) {
        List<VerifierCase> cases = VerifierCases.all().stream()
                .filter(c -> c.normalization().grouping() instanceof Grouping.Batch batch && batch.rest() == rest)
                .toList();

        assertThat(cases).allMatch(c -> c.groups().groups() > c.channels());
        assertThat(cases).extracting(c -> c.shape().spatial() == 1).contains(true, false);
        assertThat(cases).extracting(VerifierCase::updatesRunning).contains(true, false);
        assertThat(cases).extracting(VerifierCase::fusion).containsAll(Fusion.COMMON);
        assertThat(cases).extracting(c -> c.mode().accumulates).contains(true, false);
        assertThat(cases)
                .extracting(c ->
                        c.shape().batch() % ((Grouping.Batch) c.normalization().grouping()).samples())
                .contains(1L, 2L);
    }

    @Test
    void all_rows_areOfOneToThousandsOfElements() {
        Set<Long> lengths = VerifierCases.all().stream()
                .filter(c -> c.normalization().grouping() instanceof Grouping.Rows)
                .map(c -> c.groups().valuesOf(0))
                .collect(Collectors.toSet());

        assertThat(lengths).contains(1L, 2L, 13L, 31L, 129L, 1023L, 1025L, 4098L, 5000L);
    }

    @Test
    void all_groupsWithStatisticsOfTheirOwn_haveMoreThanOneValueInTraining() {
        assertThat(VerifierCases.all())
                .filteredOn(c -> !(c.normalization().grouping() instanceof Grouping.Rows) && c.mode().training)
                .extracting(VerifierCase::groups)
                .allMatch(all -> IntStream.range(0, all.ownGroups()).allMatch(group -> all.valuesOf(group) > 1));
    }

    private static String kind(VerifierCase c) {
        Normalization normalization = c.normalization();
        String kind;
        if (normalization.grouping() instanceof Grouping.Rows) {
            kind = "rows " + normalization.statistic();
        } else if (normalization.grouping() instanceof Grouping.Channels run) {
            kind = run.groups() == c.channels()
                    ? "all channels"
                    : run.groups() == 1 ? "one group of channels" : "some groups of channels";
        } else if (normalization.grouping() instanceof Grouping.Positions) {
            kind = "positions";
        } else if (((Grouping.Batch) normalization.grouping()).isVirtual()) {
            Grouping.Batch batch = (Grouping.Batch) normalization.grouping();
            long rest = c.shape().batch() % batch.samples();
            kind = "virtual batches" + (rest == 0 ? "" : " with a remainder " + batch.rest());
        } else {
            kind = "batch";
        }
        return kind
                + (normalization.perSample() ? ", affine per sample" : "")
                + (normalization.renormalization() == null
                        ? ""
                        : ", renormalized within "
                                + normalization.renormalization().rMax());
    }

    @Test
    void describe_cases_areAllDifferent() {
        assertThat(VerifierCases.all()).extracting(VerifierCase::describe).doesNotHaveDuplicates();
    }

    private static int valuesOf(List<VerifierCase> cases, Function<VerifierCase, Object> option) {
        return cases.stream()
                .map(option)
                .collect(Collectors.toCollection(LinkedHashSet::new))
                .size();
    }

    private static Set<Object> options(List<VerifierCase> cases) {
        return cases.stream()
                .map(c -> OPTIONS.stream().map(option -> option.apply(c)).toList())
                .collect(Collectors.toSet());
    }

    private static List<VerifierCase> ofPattern(List<VerifierCase> cases, boolean segmented) {
        return cases.stream()
                .filter(VerifierCase::isPlain)
                .filter(c -> isSegmented(c) == segmented)
                .toList();
    }

    private static boolean isSegmented(VerifierCase c) {
        return View.batch(c.shape(), c.layout()) instanceof View.Segmented;
    }
}
