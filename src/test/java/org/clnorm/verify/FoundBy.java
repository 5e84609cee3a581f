package org.clnorm.verify;

/** What a verification found a mistake by, in the words of docs/trust.md. */
final class FoundBy {
    private FoundBy() {}

    /** The check that a failure's problem comes from; the problem itself where it is of none. */
    static String check(String problem) {
        if (problem.contains(" is off by ")) {
            return "the reference";
        }
        if (problem.endsWith(" was not written")) {
            return "poison";
        }
        if (problem.contains("memory was overwritten")) {
            return "guard zones";
        }
        if (problem.contains("only to be read")) {
            return "inputs kept";
        }
        if (problem.startsWith("a second run")) {
            return "a second run";
        }
        if (problem.startsWith("a bad value")) {
            return "other groups' bits";
        }
        return problem;
    }

    /** A case as far as its layout: the rest is found by the shape and the mistake. */
    static String shape(String caseDescription) {
        return caseDescription.replaceFirst("(, | )channels-.*", "");
    }
}
