package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * A forward pass that normalizes with given statistics: the same formula as {@link ForwardTraining}, with the running
 * mean and variance in the place of the batch's.
 *
 * @param normalization whether γ and β are per sample; the statistics are per channel whatever it is
 * @param shape of x, residual and y: (N, C, spatial...)
 * @param residual added before the activation, or null
 * @param y written; may be x or residual
 * @param gamma per channel, or null for 1
 * @param beta per channel, or null for 0
 * @param mean per channel
 * @param variance per channel
 * @param saved written, for a backward pass with frozen statistics
 */
public record ForwardInference(
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
        Operand mean,
        Operand variance,
        SavedStatistics saved) {
    /** Of batch normalization. */
    public ForwardInference(
            Shape shape,
            Layout layout,
            Operand x,
            Operand residual,
            Operand y,
            Activation activation,
            Operand gamma,
            Operand beta,
            double epsilon,
            Operand mean,
            Operand variance,
            SavedStatistics saved) {
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
                mean,
                variance,
                saved);
    }
}
