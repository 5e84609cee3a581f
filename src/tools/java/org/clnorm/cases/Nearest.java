package org.clnorm.cases;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Objects;

/** What somebody meant who wrote something else. */
public final class Nearest {
    private Nearest() {}

    /** A question to end a message with, {@code "; did you mean eps?"}; a full stop where nothing known is near. */
    public static String question(String given, Collection<String> known) {
        Objects.requireNonNull(given, "given");
        Objects.requireNonNull(known, "known").forEach(name -> Objects.requireNonNull(name, "known has null"));
        return known.stream()
                .filter(name ->
                        distance(plain(given), plain(name)) <= Math.max(1, Math.min(given.length(), name.length()) / 3))
                .min(Comparator.comparingInt((String name) -> distance(plain(given), plain(name)))
                        .thenComparing(Comparator.naturalOrder()))
                .map(name -> "; did you mean " + name + "?")
                .orElse(".");
    }

    private static String plain(String name) {
        return name.toLowerCase(Locale.ROOT).replaceAll("[-_ .]", "");
    }

    /** How many characters are to be put in, left out, replaced or swapped with the next one. */
    private static int distance(String a, String b) {
        if (Math.abs(a.length() - b.length()) > b.length()) {
            return Integer.MAX_VALUE; // a name of a megabyte is near to none
        }
        int[][] d = new int[a.length() + 1][b.length() + 1];
        for (int i = 0; i <= a.length(); i++) {
            for (int j = 0; j <= b.length(); j++) {
                if (i == 0 || j == 0) {
                    d[i][j] = i + j;
                    continue;
                }
                boolean same = a.charAt(i - 1) == b.charAt(j - 1);
                d[i][j] = Math.min(Math.min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (same ? 0 : 1));
                if (i > 1 && j > 1 && a.charAt(i - 1) == b.charAt(j - 2) && a.charAt(i - 2) == b.charAt(j - 1)) {
                    d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
                }
            }
        }
        return d[a.length()][b.length()];
    }
}
