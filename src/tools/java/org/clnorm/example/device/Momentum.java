package org.clnorm.example.device;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.Tensor;
import org.clnorm.state.StateDict;

/** Gradient descent with momentum and weight decay: v ← m·v + dw + decay·w; w ← w − rate·v. */
public final class Momentum implements Update {
    private final Queue queue;
    private final double momentum;
    private final double decay;
    private final Map<Weight, Tensor> velocities = new LinkedHashMap<>();

    /**
     * @param momentum the share of the last step in the next one
     * @param decay weight decay, for those weights that it is for
     */
    public Momentum(Queue queue, List<Weight> weights, double momentum, double decay) {
        this.queue = queue;
        this.momentum = momentum;
        this.decay = decay;
        weights.forEach(weight -> velocities.put(weight, queue.like(weight.value())));
    }

    @Override
    public void step(double rate) {
        velocities.forEach((weight, velocity) -> queue.common()
                .run(
                        "momentum_step",
                        weight.value().shape().elements(),
                        weight.value(),
                        weight.gradient(),
                        velocity,
                        (float) rate,
                        (float) momentum,
                        weight.decays() ? (float) decay : 0f));
    }

    @Override
    public StateDict state() {
        StateDict[] state = {StateDict.empty()};
        velocities.forEach((weight, velocity) -> state[0] = state[0].with(weight.name(), Plain.array(queue, velocity)));
        return state[0];
    }

    @Override
    public void load(StateDict state) {
        velocities.forEach((weight, velocity) -> queue.upload(velocity, Plain.floats(state, weight.name(), velocity)));
    }
}
