package org.clnorm.study;

import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * What is left of a claim.
 *
 * @param word in a word or two
 * @param checks its parts
 */
record Verdict(Word word, List<Check> checks) {
    /** The words there are. */
    enum Word {
        /** All parts hold. */
        HOLDS("holds"),
        /** Some part holds, and another does not, or is open. */
        PARTLY("holds partly"),
        /** No part holds, and one is refuted. */
        FAILS("does not hold as told"),
        /** Every part is open: the differences are no larger than those between seeds. */
        OPEN("not decided by these numbers");

        private final String text;

        Word(String text) {
            this.text = text;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /** By the outcomes of a claim's parts. */
    static Verdict of(List<Check> checks) {
        boolean some = checks.stream().anyMatch(check -> check.outcome() == Check.Outcome.YES);
        boolean all = some && checks.stream().allMatch(check -> check.outcome() == Check.Outcome.YES);
        boolean refuted = checks.stream().anyMatch(check -> check.outcome() == Check.Outcome.NO);
        return new Verdict(all ? Word.HOLDS : some ? Word.PARTLY : refuted ? Word.FAILS : Word.OPEN, checks);
    }

    /** In a sentence. */
    String sentence() {
        List<String> clauses = Stream.of(
                        clause("it holds that ", "that ", Check.Outcome.YES),
                        clause("it does not hold that ", "that ", Check.Outcome.NO),
                        clause("it is open whether ", "whether ", Check.Outcome.OPEN))
                .filter(clause -> !clause.isEmpty())
                .toList();
        return text(word) + ": " + String.join("; ", clauses) + ".";
    }

    private String clause(String start, String next, Check.Outcome outcome) {
        List<String> parts = checks.stream()
                .filter(check -> check.outcome() == outcome)
                .map(Check::part)
                .toList();
        return parts.isEmpty() ? "" : start + String.join(", and " + next, parts);
    }

    private static String text(Word word) {
        return word.text.substring(0, 1).toUpperCase(Locale.ROOT) + word.text.substring(1);
    }

    /** In how many parts it holds. */
    String count() {
        long yes = checks.stream()
                .filter(check -> check.outcome() == Check.Outcome.YES)
                .count();
        return yes + " of " + checks.size();
    }
}
