package org.clnorm.opencl;

/**
 * Compilations.
 *
 * @param programs compiled from source; the others are from the cache
 * @param seconds that they took, PoCL's first launches among them, where most of its compiler's work is done
 */
public record Builds(int programs, double seconds) {
    /** These without those that had been before. */
    public Builds since(Builds before) {
        return new Builds(programs - before.programs, seconds - before.seconds);
    }
}
