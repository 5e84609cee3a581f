package org.clnorm;

/**
 * What an optimizer updates: a value and its gradient, on the layer's device. The layer owns both; closing the layer
 * closes them. It is used by the layer's thread.
 */
public final class Parameter {
    private final String name;
    private final Tensor value;
    private final Tensor gradient;
    private boolean frozen;

    Parameter(String name, Tensor value, Tensor gradient) {
        this.name = name;
        this.value = value;
        this.gradient = gradient;
    }

    /** PyTorch's name: {@code weight} for γ, {@code bias} for β. */
    public String name() {
        return name;
    }

    /** The value: of shape (C), or as the layer says. */
    public Tensor value() {
        return value;
    }

    /** The gradient of the loss by the value, of its shape, as the last backward passes left it. */
    public Tensor gradient() {
        return gradient;
    }

    /** Sets the gradient to 0, as before a step of a layer that accumulates. */
    public void zeroGradient() {
        gradient.fill(0);
    }

    /** Multiplies the gradient, as for an average of accumulated gradients, or to clip it. Waits for the device. */
    public void scaleGradient(float factor) {
        float[] values = gradient.download();
        for (int i = 0; i < values.length; i++) {
            values[i] *= factor;
        }
        gradient.upload(values);
    }

    /**
     * From now on backward passes neither compute nor touch the gradient. An optimizer is to leave the value alone too;
     * the layer goes on using it.
     */
    public void freeze() {
        frozen = true;
    }

    /** From now on backward passes compute the gradient, as they do from the start. */
    public void unfreeze() {
        frozen = false;
    }

    /** Whether it was frozen. */
    public boolean isFrozen() {
        return frozen;
    }

    /**
     * Whether an optimizer is to apply weight decay to it: no, as is common practice for γ, β and the lengths of weight
     * normalization (He et al., 2019, "Bag of tricks", §3.1).
     */
    public boolean decays() {
        return false;
    }

    /** Its name and shape, and whether it is frozen. */
    @Override
    public String toString() {
        return name + " " + value.shape() + (frozen ? ", frozen" : "");
    }
}
