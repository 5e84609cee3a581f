package org.clnorm.verify;

import java.util.Comparator;
import java.util.List;

/**
 * A text that is put into a source.
 *
 * @param at before which character
 * @param order of several at one place, the least first
 */
record Insertion(int at, String text, int order) {
    /** The source with all of them. */
    static String into(String source, List<Insertion> insertions) {
        List<Insertion> inOrder = insertions.stream()
                .sorted(Comparator.comparingInt(Insertion::at).thenComparingInt(Insertion::order))
                .toList();
        StringBuilder text = new StringBuilder();
        int at = 0;
        for (Insertion insertion : inOrder) {
            text.append(source, at, insertion.at).append(insertion.text);
            at = insertion.at;
        }
        return text.append(source.substring(at)).toString();
    }
}
