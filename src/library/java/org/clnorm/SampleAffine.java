package org.clnorm;

/**
 * A scale and a shift for each sample and channel, such as another network's outputs, in the place of a layer's γ and β:
 * conditional batch normalization (de Vries et al., 2017), adaptive instance normalization (Huang and Belongie, 2017).
 * The same pair holds their gradients in a backward pass. The caller owns the tensors.
 *
 * @param scale of shape (N, C), or null for 1; of gradients, null when it is not wanted
 * @param shift of shape (N, C), or null for 0; likewise
 */
public record SampleAffine(Tensor scale, Tensor shift) {
    /** Checks that there is one of them. */
    public SampleAffine {
        if (scale == null && shift == null) {
            throw new IllegalArgumentException("scale or shift must be given, but both were null");
        }
    }
}
