package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;

/**
 * A forward pass that normalizes with the statistics of x itself: y = act((x − mean)·γ/√(variance + ε) + β + residual).
 *
 * @param shape of x, residual and y: (N, C, spatial...), with at least two values per channel
 * @param residual added before the activation, or null
 * @param y written; may be x or residual
 * @param gamma per channel, or null for 1
 * @param beta per channel, or null for 0
 * @param saved written
 * @param running updated in the same pass, or null
 */
public record ForwardTraining(
        Shape shape,
        Layout layout,
        Operand x,
        Operand residual,
        Operand y,
        Activation activation,
        Operand gamma,
        Operand beta,
        double epsilon,
        SavedStatistics saved,
        RunningStatistics running,
        NonFinitePolicy policy) {}
