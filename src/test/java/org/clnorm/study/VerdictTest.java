package org.clnorm.study;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.clnorm.study.Check.Outcome;
import org.clnorm.study.Verdict.Word;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class VerdictTest {
    private static Verdict verdict(String outcomes) {
        return Verdict.of(Stream.of(outcomes.split(" "))
                .map(outcome -> new Check("it is " + outcome, "size", Outcome.valueOf(outcome), "1"))
                .toList());
    }

    @ParameterizedTest
    @CsvSource({
        "YES, HOLDS",
        "YES YES, HOLDS",
        "YES NO, PARTLY",
        "OPEN YES, PARTLY",
        "NO OPEN YES, PARTLY",
        "NO, FAILS",
        "NO OPEN, FAILS",
        "OPEN, OPEN",
        "OPEN OPEN, OPEN"
    })
    void word_anyOutcomes_followsFromThem(String outcomes, Word expected) {
        assertThat(verdict(outcomes).word()).isEqualTo(expected);
    }

    @Test
    void word_fromMadeUpNumbers_isEachOfThem() {
        Estimate large = Estimate.of(9, 10, 11);
        Estimate near = Estimate.of(-5, 1, 6);
        Check yes = Check.above("", "", large, 1);
        Check no = Check.below("", "", large, 1);
        Check open = Check.above("", "", near, 1);

        assertThat(new Finding(List.of(), List.of(yes, yes)).verdict().word()).hasToString("holds");
        assertThat(new Finding(List.of(), List.of(yes, no)).verdict().word()).hasToString("holds partly");
        assertThat(new Finding(List.of(), List.of(no, open)).verdict().word()).hasToString("does not hold as told");
        assertThat(new Finding(List.of(), List.of(open)).verdict().word()).hasToString("not decided by these numbers");
    }

    @Test
    void sentence_anyOutcomes_sortsTheParts() {
        assertThat(verdict("YES NO OPEN YES").sentence())
                .isEqualTo("Holds partly: it holds that it is YES, and that it is YES; it does not hold that it is NO;"
                        + " it is open whether it is OPEN.");
        assertThat(verdict("OPEN OPEN").sentence())
                .isEqualTo("Not decided by these numbers: it is open whether it is OPEN, and whether it is OPEN.");
        assertThat(verdict("YES NO OPEN YES").count()).isEqualTo("2 of 4");
    }
}
