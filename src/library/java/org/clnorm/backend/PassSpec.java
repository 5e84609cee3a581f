package org.clnorm.backend;

import org.clnorm.Layout;
import org.clnorm.Shape;

/**
 * What a pass does, whatever memory it does it on: two calls whose specifications are equal take the same launches of the
 * same kernels. Plain values, so that a specification is the key of what was prepared for it.
 */
public sealed interface PassSpec
        permits ForwardTraining,
                ForwardInference,
                ForwardCombined,
                ReduceForward,
                InvertForward,
                Backward,
                BackwardCombined,
                ReduceBackward {
    /** The shape of x, and of all tensors that have an element for each of x: (N, C, spatial...). */
    Shape shape();

    /** The layout of those tensors. */
    Layout layout();

    /** Which operands there are, and how they are stored. */
    OperandTypes operands();
}
