package org.clnorm;

/**
 * Straight lines: rMax goes from 1 at {@code rFrom} to its end at {@code rUntil}, dMax from 0 at {@code dFrom} to its
 * end at {@code dUntil}.
 */
record LinearSchedule(double rEnd, long rFrom, long rUntil, double dEnd, long dFrom, long dUntil)
        implements RenormalizationSchedule {
    LinearSchedule {
        checkBounds(rEnd, dEnd);
        checkSpan(rFrom, rUntil);
        checkSpan(dFrom, dUntil);
    }

    /** Refuses bounds that no schedule may give. */
    static void checkBounds(double rMax, double dMax) {
        if (!(rMax >= 1 && rMax <= Float.MAX_VALUE)) {
            throw new IllegalArgumentException("rMax must be finite and at least 1, but given was " + rMax);
        }
        if (!(dMax >= 0 && dMax <= Float.MAX_VALUE)) {
            throw new IllegalArgumentException("dMax must be finite and at least 0, but given was " + dMax);
        }
    }

    private static void checkSpan(long from, long until) {
        if (from < 0 || until < from) {
            throw new IllegalArgumentException("from must be at least 0 and until no smaller, but given were from "
                    + from + " and until " + until);
        }
    }

    @Override
    public double rMax(long batchesTracked) {
        return between(1, rEnd, batchesTracked, rFrom, rUntil);
    }

    @Override
    public double dMax(long batchesTracked) {
        return between(0, dEnd, batchesTracked, dFrom, dUntil);
    }

    private static double between(double start, double end, long t, long from, long until) {
        if (t >= until) {
            return end;
        }
        return t <= from ? start : start + (end - start) * ((double) (t - from) / (until - from));
    }
}
