package org.clnorm.state;

import java.math.BigInteger;
import java.util.Comparator;
import java.util.Objects;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A pattern of prefixes, and their order: by the numbers in them, from left to right. */
final class PrefixPattern implements Comparator<String> {
    /** What stands for a number, for other text, or for itself. */
    private static final Pattern PIECE = Pattern.compile("(\\{[^{}]*})|(\\*)|[^{}*]+");

    private final Pattern pattern;

    /** @throws IllegalArgumentException for a pattern that is empty, ends in a dot, or has half a pair of braces */
    PrefixPattern(String pattern) {
        if (Objects.requireNonNull(pattern, "pattern").isEmpty() || pattern.endsWith(".")) {
            throw new IllegalArgumentException(
                    "A pattern must not be empty or end in a dot, but given was \"" + pattern + "\"");
        }
        StringBuilder regex = new StringBuilder();
        Matcher piece = PIECE.matcher(pattern);
        int end = 0;
        while (piece.find() && piece.start() == end) {
            regex.append(
                    piece.group(1) != null
                            ? "(\\d+)"
                            : piece.group(2) != null ? "([^.]+)" : Pattern.quote(piece.group()));
            end = piece.end();
        }
        if (end != pattern.length()) {
            throw new IllegalArgumentException("A pattern must have {i}, or another word in braces, for each number in "
                    + "the names, but \"" + pattern + "\" has a brace without its other half");
        }
        this.pattern = Pattern.compile(regex.toString());
    }

    boolean matches(String prefix) {
        return pattern.matcher(prefix).matches();
    }

    /** Of two prefixes that both match. */
    @Override
    public int compare(String one, String other) {
        MatchResult a = matched(one);
        MatchResult b = matched(other);
        for (int i = 1; i <= a.groupCount(); i++) {
            int order = comparePieces(a.group(i), b.group(i));
            if (order != 0) {
                return order;
            }
        }
        return one.compareTo(other);
    }

    private MatchResult matched(String prefix) {
        Matcher matcher = pattern.matcher(prefix);
        if (!matcher.matches()) {
            throw new IllegalStateException(prefix + " is not of the pattern");
        }
        return matcher;
    }

    /** Numbers by size, and before other text. */
    private static int comparePieces(String a, String b) {
        if (isNumber(a) && isNumber(b)) {
            return new BigInteger(a).compareTo(new BigInteger(b));
        }
        return isNumber(a) == isNumber(b) ? a.compareTo(b) : isNumber(a) ? -1 : 1;
    }

    private static boolean isNumber(String piece) {
        return piece.chars().allMatch(c -> c >= '0' && c <= '9');
    }
}
