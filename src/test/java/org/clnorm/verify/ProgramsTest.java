package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.clnorm.DataType;
import org.clnorm.opencl.PlanningBackend;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Facts;
import org.clnorm.plan.KernelCatalogue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** How many programs everyone waits for who runs all that there is: the verifier's cases, on devices whose facts are frozen. */
class ProgramsTest {
    private static final DeviceFacts CPU = Facts.cpu(2, 16);
    private static final DeviceFacts GPU = Facts.gpu(132);

    /** Of the smaller tensors, which all kernels see. */
    private static final Verifier.Extent QUICK = new Verifier.Extent(true, DataType.FLOAT32);

    @Test
    void programs_strategiesOfAGpu_areNoMore() {
        assertAtMost(
                Map.of("auto", 71, "gpu-cached", 72, "gpu-fused", 60, "gpu-split", 50, "all together", 84),
                counts(GPU));
    }

    @Test
    void programs_strategiesOfACpu_areNoMore() {
        assertAtMost(
                Map.of(
                        "auto",
                        76,
                        "cpu-fused",
                        61,
                        "cpu-split",
                        56,
                        "gpu-cached",
                        70,
                        "gpu-fused",
                        60,
                        "gpu-split",
                        48,
                        "all together",
                        190),
                counts(CPU));
    }

    @ParameterizedTest
    @EnumSource(names = {"FLOAT16", "BFLOAT16"})
    void programs_of16BitElements_areFewMore(DataType type) {
        Set<String> more = programs(GPU, new Verifier.Extent(false, type));
        more.removeAll(programs(GPU, Verifier.Extent.FULL));

        assertThat(more.size()).as("%s", more).isBetween(1, 66);
    }

    private static Set<String> programs(DeviceFacts facts, Verifier.Extent extent) {
        Set<String> all = new TreeSet<>();
        for (String strategy : Verifier.strategies(facts)) {
            all.addAll(planned(facts, strategy, extent).programs());
        }
        return all;
    }

    /** Most arguments are ints, or longs: only their names tell them apart, so that a swapped pair shows here alone. */
    @Test
    void arguments_ofEveryKernel_areItsParametersByNameAndType() {
        List<PlanningBackend> planned = Verifier.strategies(CPU).stream()
                .map(strategy -> planned(CPU, strategy, QUICK))
                .toList();
        Set<String> seen = new TreeSet<>();
        for (String options : List.of("", " -DROWS=1", " -DMASKED=1", " -DROWS=1 -DMASKED=1")) {
            Map<String, List<String>> given = new TreeMap<>();
            planned.forEach(backend -> given.putAll(backend.parameters().getOrDefault(options, Map.of())));
            assertThat(given).as(options).isNotEmpty();
            Map<String, List<String>> declared = PlanningBackend.declared(given.keySet(), options);

            assertThat(given).allSatisfy((kernel, parameters) -> assertThat(parameters)
                    .as("what %s is given", kernel)
                    .isEqualTo(declared.get(kernel)));
            seen.addAll(given.keySet());
        }
        assertThat(KernelCatalogue.entries())
                .extracting(KernelCatalogue.Entry::name)
                .containsExactlyInAnyOrderElementsOf(seen);
    }

    private static void assertAtMost(Map<String, Integer> most, Map<String, Integer> counts) {
        assertThat(counts).containsOnlyKeys(most.keySet()).allSatisfy((strategy, count) -> assertThat(count)
                .as("each is a compilation for whoever verifies %s: %s", strategy, counts)
                .isPositive()
                .isLessThanOrEqualTo(most.get(strategy)));
    }

    private static Map<String, Integer> counts(DeviceFacts facts) {
        Map<String, Integer> counts = new TreeMap<>();
        Set<String> all = new TreeSet<>();
        for (String strategy : Verifier.strategies(facts)) {
            Set<String> programs =
                    planned(facts, strategy, Verifier.Extent.FULL).programs();
            counts.put(strategy, programs.size());
            all.addAll(programs);
        }
        counts.put("all together", all.size());
        return counts;
    }

    private static PlanningBackend planned(DeviceFacts facts, String strategy, Verifier.Extent extent) {
        PlanningBackend backend = new PlanningBackend(facts, strategy);
        for (VerifierCase c : extent.cases(strategy)) {
            VerifierTrial.run(backend, Map::of, c, VerifierInputs.of(c));
        }
        return backend;
    }
}
