package org.clnorm;

/**
 * What an optimizer updates: a value and its gradient, vectors on the layer's device. The layer owns both; closing the
 * layer closes them.
 */
public final class Parameter {
    private final String name;
    private final Tensor value;
    private final Tensor gradient;

    Parameter(String name, Tensor value, Tensor gradient) {
        this.name = name;
        this.value = value;
        this.gradient = gradient;
    }

    /** PyTorch's name: {@code weight} for γ, {@code bias} for β. */
    public String name() {
        return name;
    }

    /** The value, of shape (C). */
    public Tensor value() {
        return value;
    }

    /** The gradient of the loss by the value, of shape (C), as the last backward passes left it. */
    public Tensor gradient() {
        return gradient;
    }

    /** Sets the gradient to 0, as before a step of a layer that accumulates. */
    public void zeroGradient() {
        gradient.fill(0);
    }

    void close() {
        value.close();
        gradient.close();
    }
}
