package org.clnorm.backend;

import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * A forward pass that normalizes with given statistics: the same formula as {@link ForwardTraining}, with the mean and
 * variance that are its operands in the place of the batch's.
 *
 * <p>Operands: x and y, which may be x; a residual or none, which y may be; γ and β or none for 1 and 0; the mean and the
 * variance of each channel.
 *
 * @param normalization whether γ and β are per sample; the statistics are per channel whatever it is
 */
public record ForwardInference(
        Normalization normalization,
        Shape shape,
        Layout layout,
        OperandTypes operands,
        Activation activation,
        double epsilon)
        implements PassSpec {}
