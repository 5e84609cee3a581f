package org.clnorm.optim;

import java.util.Objects;

/**
 * One step of an optimizer, by numbers: the same few serve every {@link UpdateRule}.
 *
 * @param kind which formula
 * @param rate what the step is multiplied by; of {@link Kind#ADAM} with the correction of the first moment's bias
 * @param decay the share of p that is added to g
 * @param shrink the share of p that is taken from p
 * @param momentum what the kept momentum is multiplied by; of {@link Kind#ADAM} 0
 * @param firstGain the share of what comes in that goes into the first moment, or the momentum
 * @param secondGain the share of g² that goes into the second moment
 * @param epsilon what is added to the root of the second moment
 * @param root what that root is multiplied by before, the correction of its bias
 * @param nesterov whether the step looks ahead by the momentum
 */
public record UpdateStep(
        Kind kind,
        double rate,
        double decay,
        double shrink,
        double momentum,
        double firstGain,
        double secondGain,
        double epsilon,
        double root,
        boolean nesterov) {
    /** Which formula; the kernels know them by their places. */
    public enum Kind {
        /** g is scaled and clipped, and nothing else changes. */
        CLIP,
        /** g, or its momentum. */
        SGD,
        /** The first moment by the root of the second. */
        ADAM,
        /** g by the root of the second moment, or the momentum of that. */
        RMSPROP
    }

    /** Checks that there is a kind. */
    public UpdateStep {
        Objects.requireNonNull(kind, "kind");
    }

    /** The step that only scales and clips the gradients. */
    public static final UpdateStep CLIP = new UpdateStep(Kind.CLIP, 0, 0, 0, 0, 0, 0, 0, 1, false);
}
