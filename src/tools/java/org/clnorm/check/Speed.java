package org.clnorm.check;

import java.util.Locale;

/**
 * How fast a kernel is beside a copy and beside ours, on one shape: medians over the rounds of one run, in which all three take
 * turns.
 *
 * @param shape the shape, in a few words
 * @param milliseconds of the kernel's launches together
 * @param ours the same of this library's pass; NaN where it has none that is timed
 * @param copy the same of a streamed copy of a tensor
 * @param ofCopy the kernel's rate of bytes, those that any implementation must move, over the copy's
 * @param timesOurs the kernel's time over that of ours, or NaN
 */
public record Speed(String shape, double milliseconds, double ours, double copy, double ofCopy, double timesOurs) {
    @Override
    public String toString() {
        String beside = String.format(
                Locale.ROOT, "%s: %.3f ms, %.0f %% of a streamed copy's rate", shape, milliseconds, 100 * ofCopy);
        return Double.isNaN(ours)
                ? beside
                : beside + String.format(Locale.ROOT, "; clnorm's pass %.3f ms: %.2f times as long", ours, timesOurs);
    }
}
