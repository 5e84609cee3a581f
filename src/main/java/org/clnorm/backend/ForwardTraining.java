package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;

/**
 * A forward pass that normalizes with the statistics of x itself: y = act((x − mean)·γ/√(variance + ε) + β + residual)
 * for centred statistics, and without the mean for others. Of batch renormalization, which has running statistics,
 * y = act(((x − mean)/√(variance + ε)·r + d)·γ + β + residual), with r = √(variance + ε)/√(running variance + ε) and
 * d = (mean − running mean)/√(running variance + ε), both within their bounds and from the running statistics as they
 * were before this pass.
 *
 * @param normalization what is normalized together, and how
 * @param shape of x, residual and y: (N, C, spatial...)
 * @param residual added before the activation, or null
 * @param y written; may be x or residual
 * @param gamma as the normalization says, or null for 1
 * @param beta likewise, or null for 0
 * @param saved written
 * @param running per channel; updated in the same pass, or null. Virtual batches enter one after the other; of a channel
 *     of its own in each sample, the average over the samples enters, of the mean and of the estimate of the variance
 */
public record ForwardTraining(
        Normalization normalization,
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
        NonFinitePolicy policy) {
    /** Of batch normalization. */
    public ForwardTraining(
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
            NonFinitePolicy policy) {
        this(
                Normalization.BATCH,
                shape,
                layout,
                x,
                residual,
                y,
                activation,
                gamma,
                beta,
                epsilon,
                saved,
                running,
                policy);
    }
}
