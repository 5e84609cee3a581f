package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.clnorm.verify.KernelProbes.Goal;
import org.junit.jupiter.api.Test;

class KernelProbesTest {
    private static final String CODE = """
            void f(const float *a, int n) {
                for (int i = 0; i < n; i++) {
                    if (a[i] > 3) {
                        return;
                    }
                    g(a[i]);
                }
            #if FEW
                h(n > 3 ? 1 : 2);
            #endif
            }
            """;

    @Test
    void goals_ofFile_areBlocksWaysOfBranchesAndTurnsOfLoops() {
        assertThat(new KernelProbes(Map.of("f.cl", CODE)).goals())
                .extracting(Goal::line, Goal::what, Goal::lines)
                .containsExactlyInAnyOrder(
                        tuple(2, "block", Set.of(2)),
                        tuple(3, "block", Set.of(3)),
                        tuple(4, "block", Set.of(4)),
                        tuple(6, "what follows", Set.of(6)),
                        tuple(9, "what follows", Set.of(9)),
                        tuple(2, "no turn", Set.of()),
                        tuple(2, "one turn", Set.of()),
                        tuple(2, "many turns", Set.of()),
                        tuple(3, "true", Set.of()),
                        tuple(3, "false", Set.of()),
                        tuple(9, "true of n > 3", Set.of()),
                        tuple(9, "false of n > 3", Set.of()));
    }

    @Test
    void goals_underACondition_nameIt() {
        assertThat(new KernelProbes(Map.of("f.cl", CODE)).goals())
                .filteredOn(goal -> !goal.conditions().isEmpty())
                .extracting(Goal::what, Goal::conditions)
                .containsExactly(
                        tuple("what follows", List.of("#if FEW")),
                        tuple("true of n > 3", List.of("#if FEW")),
                        tuple("false of n > 3", List.of("#if FEW")));
    }

    @Test
    void edit_file_leavesLinesWhereTheyAre() {
        String edited = new KernelProbes(Map.of("f.cl", CODE)).edit().apply("f.cl", CODE);

        assertThat(edited.lines()).hasSameSizeAs(CODE.lines().toList());
        assertThat(edited.replaceAll(
                        "REACHED\\(\\d+\\); |int turns_\\d+ = 0; |(BRANCHED|TURNED)\\(\\d+, (turns_\\d+, )?", ""))
                .isEqualTo(CODE.replace("i < n;", "i < n);")
                        .replace("> 3)", "> 3))")
                        .replace("> 3 ?", "> 3) ?"));
    }
}
