package org.clnorm;

import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.InvertForward;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;

/** The passes of a layer. What they do besides what differs from call to call, its options say. */
enum PassKind {
    TRAINING,
    INFERENCE,
    /** A training pass by moments that are given. */
    COMBINED,
    BACKWARD,
    /** The backward pass of a forward pass by given statistics. */
    FROZEN_BACKWARD,
    COMBINED_BACKWARD,
    /** The backward pass of a forward pass whose y took x's place. */
    BACKWARD_IN_PLACE,
    /** What comes between those two. */
    INVERSION,
    MOMENTS,
    SUMS;

    /** What such a pass does. Running statistics are updated where they are among the operands. */
    PassSpec spec(Options options, Normalization normalization, Shape shape, Layout layout, OperandTypes operands) {
        Activation activation = options.activation;
        double epsilon = options.epsilon;
        RunningUpdate running = operands.has(Role.RUNNING_MEAN)
                ? new RunningUpdate(options.runningAverage, options.runningVariance)
                : null;
        return switch (this) {
            case TRAINING ->
                new ForwardTraining(
                        normalization, shape, layout, operands, activation, epsilon, running, options.nonFinite);
            case INFERENCE -> new ForwardInference(normalization, shape, layout, operands, activation, epsilon);
            case COMBINED ->
                new ForwardCombined(shape, layout, operands, activation, epsilon, running, options.nonFinite);
            case BACKWARD, FROZEN_BACKWARD, BACKWARD_IN_PLACE ->
                new Backward(
                        normalization,
                        shape,
                        layout,
                        operands,
                        this == FROZEN_BACKWARD,
                        activation,
                        epsilon,
                        options.accumulateGradients,
                        this == BACKWARD_IN_PLACE);
            case INVERSION -> new InvertForward(shape, layout, operands);
            case COMBINED_BACKWARD ->
                new BackwardCombined(shape, layout, operands, activation, epsilon, options.accumulateGradients);
            case MOMENTS -> new ReduceForward(shape, layout, operands);
            case SUMS -> new ReduceBackward(shape, layout, operands, activation);
        };
    }
}
