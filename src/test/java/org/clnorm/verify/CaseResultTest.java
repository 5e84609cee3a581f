package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.clnorm.verify.CaseResult.Share;
import org.clnorm.verify.VerifierTrial.Outcome;
import org.clnorm.verify.VerifyReport.Failure;
import org.clnorm.verify.VerifyReport.Row;
import org.clnorm.verify.VerifyReport.Verdict;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CaseResultTest {
    private static final CaseResult RESULT = new CaseResult(
            "gpu-split",
            7,
            "training (2, 3), \"normal\" data",
            3,
            1.5,
            12,
            1.25,
            "0123456789abcdef",
            List.of(new Share("copy", 0, 2e-7, "y", false), new Share("track")),
            List.of(new Failure("gpu-split", List.of("copy"), "y", "y is off\nby 1", "training (2, 3)")));

    private static CaseResult of(int index, Share... shares) {
        return new CaseResult("auto", index, "a case", 0, 1, 0, 0, "", List.of(shares), List.of());
    }

    @Test
    void toJson_anyResult_isOneLineThatGivesItBack() {
        CaseResult infinite = of(0, new Share("copy", Double.POSITIVE_INFINITY, 5e-7, "y", true));

        assertThat(RESULT.toJson()).doesNotContain("\n");
        assertThat(CaseResult.fromJson(RESULT.toJson())).isEqualTo(RESULT);
        assertThat(CaseResult.fromJson(infinite.toJson())).isEqualTo(infinite);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{}", "[]", "7", "{\"strategy\": \"auto\"}", "not JSON {"})
    void fromJson_anythingElse_isRefused(String line) {
        assertThatThrownBy(() -> CaseResult.fromJson(line))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("no result of a case");
    }

    @Test
    void bitsOf_arrays_differWithAnyBitButANansPayload() {
        String bits = bitsOf(1, Float.NaN, 0f);

        assertThat(bits).matches("[0-9a-f]{16}").isEqualTo(bitsOf(1, Float.intBitsToFloat(0x7fc0_dead), 0f));
        assertThat(bitsOf(1, Float.NaN, -0f)).isNotEqualTo(bits);
        assertThat(bitsOf(Math.nextUp(1f), Float.NaN, 0f)).isNotEqualTo(bits);
    }

    private static String bitsOf(float... y) {
        return CaseResult.bitsOf(List.of(new Outcome(Map.of("y", y), Set.of(), Map.of(), null)));
    }

    @Test
    void and_equalErrors_isTheSameInEitherOrder() {
        Share x = new Share("copy", 0, 2e-7, "x", false);
        Share y = new Share("copy", 0, 2e-7, "y", true);

        assertThat(x.and(y)).isEqualTo(y.and(x)).isEqualTo(new Share("copy", 0, 2e-7, "x", true));
        assertThat(new Share("copy").and(y)).isEqualTo(y);
    }

    @Test
    void tally_resultsInAnyOrder_giveTheSameRowsAndFailures() {
        List<CaseResult> results = new ArrayList<>(List.of(
                of(0, new Share("copy", 1e-9, 2e-7, "y", false)),
                of(1, new Share("copy", 1e-8, 5e-7, "x", false), new Share("track")),
                of(2, new Share("copy")),
                CaseResult.failed("auto", 3, VerifierCases.small().get(0), "it crashed")));
        VerifierTally tally = tally(results);

        Collections.reverse(results);

        assertThat(tally.rows())
                .containsExactly(
                        new Row("track", "auto", 1, 0, 0, "", Verdict.PASS),
                        new Row("fold_given", "auto", 0, 0, 0, "", Verdict.NOT_RUN),
                        new Row("copy", "auto", 3, 1e-8, 5e-7, "x", Verdict.PASS));
        assertThat(tally.failures()).extracting(Failure::problem).containsExactly("it crashed");
        assertThat(tally.results()).isEqualTo(4);
        assertThat(tally(results).rows()).isEqualTo(tally.rows());
        assertThat(tally(results).failures()).isEqualTo(tally.failures());
    }

    private static VerifierTally tally(List<CaseResult> results) {
        VerifierTally tally = new VerifierTally();
        tally.expect("auto", List.of("track", "fold_given"));
        results.forEach(tally::add);
        return tally;
    }
}
