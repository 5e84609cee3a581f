package org.clnorm;

import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/** What some calls give a pass besides x, residual and y, or besides dy, dx and dresidual. */
final class Besides {
    /**
     * Of a forward pass.
     *
     * @param affine γ and β per sample; null for the layer's own
     * @param given moments of a batch that x is a part of, in training; null for x's own
     * @param sum where x + residual goes, which is what is normalized; null to normalize x and add the residual after it
     */
    record Forward(SampleAffine affine, ChannelMoments given, Tensor sum) {
        static final Forward NOTHING = new Forward(null, null, null);
    }

    /**
     * Of a backward pass.
     *
     * @param gradients where those of γ and β per sample go; null where there were none, or none are wanted
     * @param all sums over all parts, where the forward pass was given moments; else null
     * @param past what is added to dx; null for nothing
     */
    record Backward(SampleAffine gradients, GradientSums all, Tensor past) {
        static final Backward NOTHING = new Backward(null, null, null);
    }

    private Besides() {}
}
