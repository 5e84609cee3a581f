package org.clnorm.study;

import java.util.List;
import java.util.stream.Collectors;

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

    /** All of it in words. */
    String sentence() {
        String start = word.text.substring(0, 1).toUpperCase(java.util.Locale.ROOT) + word.text.substring(1) + ". ";
        return start + checks.stream().map(Check::inWords).collect(Collectors.joining(" "));
    }

    /** In how many parts it holds. */
    String count() {
        long yes = checks.stream()
                .filter(check -> check.outcome() == Check.Outcome.YES)
                .count();
        return yes + " of " + checks.size();
    }
}
