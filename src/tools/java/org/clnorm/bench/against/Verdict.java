package org.clnorm.bench.against;

import java.util.Locale;

/** What a row's ratio means beside its control. */
public enum Verdict {
    /** This build is slower than the other. */
    SLOWER,
    /** No difference is seen that two copies of this build do not have. */
    SAME,
    /** This build is quicker than the other. */
    QUICKER,
    /** The other has no such workload. */
    ABSENT;

    /**
     * The verdict on a ratio of times, the other's over this build's. Two copies of this build differ by the control's
     * ratio, in either direction; beyond the farthest that it may lie from 1, a ratio is a difference.
     */
    static Verdict of(Spread ratio, Spread control) {
        double farthest = Math.max(control.high(), 1 / control.low());
        return ratio.high() < 1 / farthest ? SLOWER : ratio.low() > farthest ? QUICKER : SAME;
    }

    boolean isDifference() {
        return this == SLOWER || this == QUICKER;
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
