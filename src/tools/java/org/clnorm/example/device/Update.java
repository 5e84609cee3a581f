package org.clnorm.example.device;

import org.clnorm.state.StateDict;

/** What makes a step of the gradients: an optimizer. */
public interface Update {
    /** Enqueues a step of all weights. */
    void step(double rate);

    /** What the next step depends on, besides weights and gradients. */
    StateDict state();

    /** Goes on from a state. */
    void load(StateDict state);
}
