package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.clnorm.DataType;
import org.clnorm.opencl.DeviceFacts;
import org.clnorm.opencl.Facts;
import org.clnorm.opencl.KernelCatalogue;
import org.clnorm.opencl.PlanningBackend;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** How many programs everyone waits for who runs all that there is: the verifier's cases, on devices whose facts are frozen. */
class ProgramsTest {
    private static final DeviceFacts CPU = Facts.cpu(2, 16);
    private static final DeviceFacts GPU = Facts.gpu(132);

    private static final Set<String> ONLY_OF_ROWS = Set.of("gradient_rows", "affine_sums");

    /** Of the smaller tensors, which all kernels see. */
    private static final Verifier.Extent QUICK = new Verifier.Extent(true, DataType.FLOAT32);

    @Test
    void programs_strategiesOfAGpu_areNoMore() {
        assertAtMost(
                Map.of("auto", 58, "gpu-cached", 64, "gpu-fused", 40, "gpu-split", 38, "all together", 84),
                counts(GPU));
    }

    @Test
    void programs_strategiesOfACpu_areNoMore() {
        assertAtMost(
                Map.of(
                        "auto",
                        54,
                        "cpu-fused",
                        39,
                        "cpu-split",
                        38,
                        "gpu-cached",
                        62,
                        "gpu-fused",
                        40,
                        "gpu-split",
                        36,
                        "all together",
                        158),
                counts(CPU));
    }

    @ParameterizedTest
    @EnumSource(names = {"FLOAT16", "BFLOAT16"})
    void programs_of16BitElements_areFewMore(DataType type) {
        Set<String> more = programs(GPU, new Verifier.Extent(false, type));
        more.removeAll(programs(GPU, Verifier.Extent.FULL));

        assertThat(more.size()).as("%s", more).isBetween(1, 68);
    }

    private static Set<String> programs(DeviceFacts facts, Verifier.Extent extent) {
        Set<String> all = new TreeSet<>();
        for (String strategy : Verifier.strategies(facts)) {
            all.addAll(planned(facts, strategy, extent).programs());
        }
        return all;
    }

    /** Most arguments are ints, or longs: only their names tell them apart, so that a swapped pair shows here alone. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void arguments_ofEveryKernel_areItsParametersByNameAndType(boolean rows) {
        Map<String, List<String>> given = new TreeMap<>();
        for (String strategy : Verifier.strategies(CPU)) {
            given.putAll(planned(CPU, strategy, QUICK).parameters(rows));
        }
        Map<String, List<String>> declared = PlanningBackend.declared(given.keySet(), rows);

        assertThat(given.keySet())
                .containsAll(KernelCatalogue.entries().stream()
                        .filter(entry -> entry.macros().contains("ROWS") || !rows)
                        .map(KernelCatalogue.Entry::name)
                        .filter(name -> rows || !ONLY_OF_ROWS.contains(name))
                        .toList());
        assertThat(given)
                .allSatisfy((kernel, parameters) ->
                        assertThat(parameters).as("what %s is given", kernel).isEqualTo(declared.get(kernel)));
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
