package org.clnorm.benchmark;

/**
 * A figure about memory, start-up or the host, in words.
 *
 * @param reached whether it is what it should be
 */
record Figure(String what, String measured, String target, boolean reached) {
    /** A line of a file. */
    String toLine() {
        return String.join("\t", what, measured, target, Boolean.toString(reached));
    }

    static Figure ofLine(String line) {
        String[] parts = line.split("\t");
        return new Figure(parts[0], parts[1], parts[2], Boolean.parseBoolean(parts[3]));
    }
}
