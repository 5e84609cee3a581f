package org.clnorm.example.device;

import java.util.List;
import org.clnorm.Tensor;
import org.clnorm.state.StateDict;

/**
 * A part of a network, from a convolution to the network itself. It is made for one shape of x and has the tensors for its
 * results from then on: what {@link #forward} and {@link #backward} return is overwritten by the next call. Both only
 * enqueue; the host is far ahead of the device in them.
 */
public interface Part {
    /** y of x. What backward needs of x is read again then, so that x is to stay until it. */
    Tensor forward(Tensor x);

    /** The loss's gradient by x, of that by y; the gradients of the weights are overwritten. */
    Tensor backward(Tensor dy);

    /** What an optimizer updates. */
    List<Weight> weights();

    /** All that makes the part what it has learnt to be, by name. Waits for the device. */
    StateDict state();

    /** Goes on from a state. */
    void load(StateDict state);

    /** Says whether what follows is training or evaluation. */
    default void training(boolean on) {}
}
