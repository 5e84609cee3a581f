package org.clnorm.bench;

/**
 * What was measured, medians over the rounds of one run.
 *
 * @param queuedMilliseconds a call, by the wall clock, many queued at a time
 * @param waitedMilliseconds a call, by the wall clock, each waited for before the next
 * @param kernelMilliseconds the kernels of a call, by the device's own clock
 * @param launches kernels of a call
 * @param hostMicroseconds a call's time on the host until everything is enqueued
 * @param gigabytesPerSecond minimal bytes by the wall clock, queued, in 10⁹ bytes
 * @param copyGigabytesPerSecond the same of a plain copy
 * @param streamedCopyGigabytesPerSecond the same of a copy whose stores bypass the cache
 * @param ofCopy the pass's rate, against a plain copy's measured in alternation with it
 * @param ofStreamedCopy that, against the streamed copy's
 */
public record Measurement(
        Timed workload,
        double queuedMilliseconds,
        double waitedMilliseconds,
        double kernelMilliseconds,
        int launches,
        double hostMicroseconds,
        double gigabytesPerSecond,
        double copyGigabytesPerSecond,
        double streamedCopyGigabytesPerSecond,
        double ofCopy,
        double ofStreamedCopy) {
    /** The ratio to the ceiling, which is the quicker of the two copies. */
    public double ofCeiling() {
        return Math.min(ofCopy, ofStreamedCopy);
    }
}
