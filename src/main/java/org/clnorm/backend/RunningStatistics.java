package org.clnorm.backend;

import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;

/**
 * The running statistics that a training forward pass updates, one element per channel each.
 *
 * @param mean read and written
 * @param variance read and written
 * @param absorbed how many batches each channel's average holds, as float32; read and written. It is per channel
 *     because a channel may sit out a batch (see {@link org.clnorm.NonFinitePolicy#SKIP_RUNNING_UPDATE})
 * @param average how a batch enters
 * @param estimate which variance enters
 */
public record RunningStatistics(
        Operand mean, Operand variance, Operand absorbed, RunningAverage average, RunningVariance estimate) {}
