package org.clnorm.example.device;

import org.clnorm.Parameter;
import org.clnorm.Tensor;

/**
 * What an optimizer updates.
 *
 * @param name its name in a checkpoint
 * @param value the numbers
 * @param gradient the loss's gradient by them, after a backward pass
 * @param decays whether weight decay is for it
 */
public record Weight(String name, Tensor value, Tensor gradient, boolean decays) {
    /** γ or β of a layer of clnorm. */
    static Weight of(Parameter parameter) {
        return new Weight(parameter.name(), parameter.value(), parameter.gradient(), parameter.decays());
    }

    /** The same, as a part of something larger knows it. */
    Weight under(String prefix) {
        return new Weight(prefix + "." + name, value, gradient, decays);
    }
}
