package org.clnorm.example;

/** Stochastic gradient descent, nothing added: w ← w − rate·dw. */
record Sgd(float rate) {
    void step(float[] values, float[] gradients) {
        for (int i = 0; i < values.length; i++) {
            values[i] -= rate * gradients[i];
        }
    }
}
