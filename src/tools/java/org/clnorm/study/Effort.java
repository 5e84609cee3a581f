package org.clnorm.study;

/**
 * How much is done.
 *
 * @param name as the page says it
 * @param seeds over how many seeds, at least 2, since one has no spread
 * @param share of the full number of training steps and samples
 */
public record Effort(String name, int seeds, double share) {
    /** The study as it is meant. */
    public static final Effort FULL = new Effort("full", 8, 1);

    /** A quicker look, with wider intervals and shorter trainings. */
    public static final Effort QUICK = new Effort("quick", 3, 0.4);

    /** Checks each. */
    public Effort {
        if (seeds < 2 || seeds > 1000) {
            throw new IllegalArgumentException(
                    "A study takes 2 to 1000 seeds, since one has no spread, but given was " + seeds);
        }
    }

    /** The same with another number of seeds. */
    public Effort seeds(int number) {
        return new Effort(name, number, share);
    }

    /** So many of the full number, and no fewer than a least number. */
    int part(int full, int least) {
        return Math.max(least, (int) Math.round(full * share));
    }
}
