package org.clnorm.verify;

import java.util.function.BinaryOperator;
import java.util.function.Predicate;

/**
 * A mistake in a kernel, made by an edit of its source, and where it shows.
 *
 * @param name in a few words
 * @param file which is edited
 * @param text that stands there once
 * @param replacement what stands there instead
 * @param strategy under which kernels have it
 * @param cases those that can see it
 */
record KernelMistake(
        String name, String file, String text, String replacement, String strategy, Predicate<VerifierCase> cases) {
    /** From a file's name and its text to the text that takes its place. */
    BinaryOperator<String> edit() {
        return (source, its) -> source.equals(file) ? edited(its) : its;
    }

    /** @throws IllegalStateException when the text does not stand in the source once */
    String edited(String source) {
        int at = source.indexOf(text);
        if (at < 0 || source.indexOf(text, at + 1) >= 0) {
            throw new IllegalStateException("For '" + name + "', this does not stand in " + file + " once: " + text);
        }
        return source.substring(0, at) + replacement + source.substring(at + text.length());
    }
}
