package org.clnorm.plan;

import java.util.Locale;

/** What kernels are launched for. Which strategy is best depends on it, since each goes over its elements otherwise. */
public enum Pass {
    /** Forward with the batch's own statistics: goes over x twice. */
    FORWARD,
    /** Forward with given statistics: goes over x once, in any order. */
    INFERENCE,
    /** Backward: goes over dy and x twice. */
    BACKWARD;

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
