package org.clnorm.example.device;

import org.clnorm.Tensor;

/** max(x, 0), where no normalization is in front of it that has it inside. */
public final class Relu extends Plain {
    private final int elements;
    private final Tensor y;
    private final Tensor dx;

    /** @param dimensions those of x, and of y */
    public Relu(Queue queue, long... dimensions) {
        super(queue);
        this.y = queue.tensor(dimensions);
        this.dx = queue.tensor(dimensions);
        this.elements = (int) y.shape().elements();
    }

    @Override
    public Tensor forward(Tensor x) {
        queue.common().run("relu", elements, x, y);
        return y;
    }

    @Override
    public Tensor backward(Tensor dy) {
        queue.common().run("relu_backward", elements, y, dy, dx);
        return dx;
    }
}
