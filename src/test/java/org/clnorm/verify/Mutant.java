package org.clnorm.verify;

/**
 * A change of one place in a kernel file.
 *
 * @param number among all of the files as they are
 * @param line where it is, from 1 on
 * @param text of that line, without the blanks around it
 * @param change what becomes what; of several alike in a line with a number
 * @param from where the replaced text begins
 * @param to where it ends
 * @param replacement what takes its place
 * @param whole the expression around it, which may have both values; null where it must be compiled alone
 * @param body the name of the function or macro that it is in
 */
record Mutant(
        int number,
        String file,
        int line,
        String text,
        String change,
        int from,
        int to,
        String replacement,
        Place whole,
        String body) {
    /** A part of a file. */
    record Place(int from, int to) {}

    /** A file's text with it. */
    String in(String source) {
        return source.substring(0, from) + replacement + source.substring(to);
    }

    /** The expression around it with it, in one line. */
    String variant(String source) {
        return (source.substring(whole.from, from) + replacement + source.substring(to, whole.to))
                .replaceAll("//[^\\n]*", "")
                .replaceAll("\\\\?\\s*\\n\\s*", " ");
    }

    /** What it is known by when other lines of the file have changed. */
    String key() {
        return file + " | " + change + " | " + text;
    }

    Mutant alone() {
        return new Mutant(number, file, line, text, change, from, to, replacement, null, body);
    }
}
