package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class MutantsTest {
    private static final String CODE = """
            #define TWICE(x) (2 * (x))
            #define ROWS 5
            typedef struct {
                int at[4];
            } share;

            // Not 1 + 1.
            void f(const float *a, int n) {
                for (int i = 0; i < n; i++) {
                    float b[2], c = n > 3 ? a[i] : -a[i + 1];
                    if (c == 0.5f) {
                        g(TWICE(i), c);
                    }
                }
            }
            """;

    @Test
    void of_file_changesOperatorsConstantsAndConditionsOfCode() {
        assertThat(mutants())
                .extracting(m -> m.line() + ": " + m.change())
                .containsExactly(
                        "1: 2 → 2 + 1",
                        "1: 2 → 2 - 1",
                        "1: * → /",
                        "9: 0 → 1",
                        "9: < → <=",
                        "9: < → >=",
                        "9: ++ → --",
                        "10: 2 → 2 + 1",
                        "10: 2 → 2 - 1",
                        "10: > → <=",
                        "10: > → >=",
                        "10: 3 → 3 + 1",
                        "10: 3 → 3 - 1",
                        "10: ? : swapped",
                        "10: + → -",
                        "10: 1 → 1 + 1",
                        "10: 1 → 1 - 1",
                        "11: if negated",
                        "11: == → !=",
                        "11: 0.5f → 0.0f",
                        "11: 0.5f → 1.125f * 0.5f");
    }

    @Test
    void in_text_changesOnePlace() {
        Mutant swapped = mutants().stream()
                .filter(m -> m.change().equals("? : swapped"))
                .findFirst()
                .orElseThrow();

        assertThat(swapped.in(CODE)).isEqualTo(CODE.replace("? a[i] : -a[i + 1]", "? (-a[i + 1]) : (a[i])"));
        assertThat(swapped.variant(CODE)).isEqualTo("n > 3 ? (-a[i + 1]) : (a[i])");
    }

    @Test
    void whole_ofMutants_isTheExpressionThatMayHaveBothValues() {
        assertThat(mutants())
                .extracting(m -> m.whole() == null
                        ? null
                        : CODE.substring(m.whole().from(), m.whole().to()))
                .containsExactly(
                        "(2 * (x))",
                        "(2 * (x))",
                        "(2 * (x))",
                        "0",
                        "i < n",
                        "i < n",
                        "i++",
                        null,
                        null,
                        "n > 3 ? a[i] : -a[i + 1]",
                        "n > 3 ? a[i] : -a[i + 1]",
                        "n > 3 ? a[i] : -a[i + 1]",
                        "n > 3 ? a[i] : -a[i + 1]",
                        "n > 3 ? a[i] : -a[i + 1]",
                        "n > 3 ? a[i] : -a[i + 1]",
                        "n > 3 ? a[i] : -a[i + 1]",
                        "n > 3 ? a[i] : -a[i + 1]",
                        "c == 0.5f",
                        "c == 0.5f",
                        "c == 0.5f",
                        "c == 0.5f");
    }

    @Test
    void sample_ofSeed_isTheSameAndOfTheWhole() {
        List<Mutant> all = Mutants.of(Mutants.sources());

        assertThat(Mutants.sample(all, 30, 1))
                .hasSize(30)
                .isEqualTo(Mutants.sample(all, 30, 1))
                .isNotEqualTo(Mutants.sample(all, 30, 2));
    }

    @Test
    void keys_ofKernels_areDifferent() {
        assertThat(Mutants.of(Mutants.sources()))
                .extracting(m -> m.file() + m.line() + m.change())
                .doesNotHaveDuplicates();
    }

    private static List<Mutant> mutants() {
        return Mutants.of(Map.of("f.cl", CODE));
    }
}
