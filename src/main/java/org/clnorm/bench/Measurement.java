package org.clnorm.bench;

/**
 * What was measured for one workload, medians over the rounds of one run.
 *
 * @param milliseconds a call, by the wall clock, many queued at a time
 * @param kernelMilliseconds the kernels of a call, by the device's own clock
 * @param launches kernels of a call
 * @param hostMicroseconds a call's time on the host until everything is enqueued
 * @param gigabytesPerSecond minimal bytes by the wall clock, in 10⁹ bytes
 * @param ofCopy that, against a plain copy's measured in alternation with it
 * @param ofStreamedCopy that, against a copy whose stores bypass the cache
 */
public record Measurement(
        Workload workload,
        double milliseconds,
        double kernelMilliseconds,
        int launches,
        double hostMicroseconds,
        double gigabytesPerSecond,
        double ofCopy,
        double ofStreamedCopy) {}
