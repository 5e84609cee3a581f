package org.clnorm;

import org.clnorm.state.StateDict;

/**
 * What an optimizer updates: a value and its gradient, on the layer's device. The layer owns both; closing the layer
 * closes them. Layers may share a parameter, whose owner one of them is then. It is used by the thread that uses its
 * layers.
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

    /** The name in a {@link StateDict}, which is PyTorch's: {@code weight} for γ, {@code bias} for β. */
    public String name() {
        return name;
    }

    /**
     * The value, float32, of the shape that the layer's class gives γ and β: (C), the dimensions of a row, or (rows).
     */
    public Tensor value() {
        return value;
    }

    /** The gradient of the loss by the value, of its shape, as the last backward passes left it; 0 before the first. */
    public Tensor gradient() {
        return gradient;
    }

    /**
     * Sets the gradient to 0, as before a step of a layer that accumulates.
     *
     * @throws IllegalStateException when the layer is closed
     */
    public void zeroGradient() {
        gradient.fill(0);
    }

    /**
     * Multiplies the gradient, as for an average of accumulated gradients, or to clip it. Waits for the device.
     *
     * @param factor what every element is multiplied by, in float32
     * @throws IllegalStateException when the layer is closed
     */
    public void scaleGradient(float factor) {
        float[] values = gradient.download();
        for (int i = 0; i < values.length; i++) {
            values[i] *= factor;
        }
        gradient.upload(values);
    }

    /**
     * Freezes the parameter: from now on backward passes neither compute nor touch the gradient. An optimizer is to
     * leave the value alone too; the layer goes on using it.
     */
    public void freeze() {
        frozen = true;
    }

    /** Ends the freeze: from now on backward passes compute the gradient, as they do from the start. */
    public void unfreeze() {
        frozen = false;
    }

    /** Whether the parameter is frozen. */
    public boolean isFrozen() {
        return frozen;
    }

    /**
     * Whether an optimizer is to apply weight decay to the parameter: no, as is common practice for γ, β and the
     * lengths of weight normalization (He et al., 2019, "Bag of tricks", §3.1).
     */
    public boolean decays() {
        return false;
    }

    /** The parameter's name and shape, and whether it is frozen. */
    @Override
    public String toString() {
        return name + " " + value.shape() + (frozen ? ", frozen" : "");
    }
}
