package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.ChannelMoments;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;

/**
 * Batch normalization's forward pass with moments that the host has: those of a batch of which x is a part. The formula
 * is {@link ForwardTraining}'s, with their mean and their M2 / count.
 *
 * @param shape of x, residual and y: (N, C, spatial...); it may be empty, and then only the statistics are seen to
 * @param residual added before the activation, or null
 * @param y written; may be the residual, and x where no backward pass is to come
 * @param gamma per channel, or null for 1
 * @param beta per channel, or null for 0
 * @param moments of more than no values, and of more than one where there are running statistics with the unbiased estimate
 * @param saved written, for a {@link BackwardCombined}, or for a {@link Backward} with frozen statistics
 * @param running updated, as by one batch of all values; or null
 * @param policy as far as the running statistics go; who hands this over has looked for what is not finite
 */
public record ForwardCombined(
        Shape shape,
        Layout layout,
        Operand x,
        Operand residual,
        Operand y,
        Activation activation,
        Operand gamma,
        Operand beta,
        double epsilon,
        ChannelMoments moments,
        SavedStatistics saved,
        RunningStatistics running,
        NonFinitePolicy policy) {}
