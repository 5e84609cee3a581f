package org.clnorm;

/**
 * A γ and a β for each sample and channel, such as another network's outputs, in the place of a layer's γ and β:
 * conditional batch normalization (de Vries et al., 2017), adaptive instance normalization (Huang and Belongie, 2017).
 * The same pair holds their gradients in a backward pass. The caller owns the tensors.
 *
 * @param gamma γ, of shape (N, C), float32; null for 1, and in a pair of gradients for one that is not wanted
 * @param beta β, of shape (N, C), float32; null for 0, and in a pair of gradients for one that is not wanted
 */
public record SampleAffine(Tensor gamma, Tensor beta) {
    /**
     * Checks that at least one of the two is given.
     *
     * @throws IllegalArgumentException when both are null
     */
    public SampleAffine {
        if (gamma == null && beta == null) {
            throw new IllegalArgumentException("gamma or beta must be given, but both were null");
        }
    }
}
