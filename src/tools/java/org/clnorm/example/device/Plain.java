package org.clnorm.example.device;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.clnorm.Tensor;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;

/** A part whose state is its weights: a dense layer, a convolution; or one that has none, such as an activation. */
public abstract class Plain implements Part {
    /** Where the part's work goes. */
    protected final Queue queue;

    private final List<Weight> weights = new ArrayList<>();

    /** A part without weights as yet. */
    protected Plain(Queue queue) {
        this.queue = queue;
    }

    /** A weight of zeros, which does not decay. */
    protected final Weight zeros(String name, long... dimensions) {
        return weight(new Weight(name, queue.tensor(dimensions), queue.tensor(dimensions), false));
    }

    /** A weight of normally distributed numbers, which decays. */
    protected final Weight normal(String name, double deviation, Random random, long... dimensions) {
        Weight weight = weight(new Weight(name, queue.tensor(dimensions), queue.tensor(dimensions), true));
        float[] values = new float[(int) weight.value().shape().elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (deviation * random.nextGaussian());
        }
        queue.upload(weight.value(), values);
        return weight;
    }

    private Weight weight(Weight weight) {
        weights.add(weight);
        return weight;
    }

    @Override
    public final List<Weight> weights() {
        return List.copyOf(weights);
    }

    @Override
    public final StateDict state() {
        StateDict state = StateDict.empty();
        for (Weight weight : weights) {
            state = state.with(weight.name(), array(queue, weight.value()));
        }
        return state;
    }

    @Override
    public final void load(StateDict state) {
        for (Weight weight : weights) {
            queue.upload(weight.value(), floats(state, weight.name(), weight.value()));
        }
    }

    static StateArray array(Queue queue, Tensor tensor) {
        return StateArray.of(queue.download(tensor), tensor.shape().toArray());
    }

    /** @throws IllegalArgumentException when there is no such array, or one of another size */
    static float[] floats(StateDict state, String name, Tensor like) {
        StateArray array =
                state.get(name).orElseThrow(() -> new IllegalArgumentException("The checkpoint has no array " + name));
        if (array.elements() != like.shape().elements()) {
            throw new IllegalArgumentException(
                    "The checkpoint's array " + name + " is " + array + ", where the network has " + like.shape());
        }
        return array.toFloats();
    }
}
