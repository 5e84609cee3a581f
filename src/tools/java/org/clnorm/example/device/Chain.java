package org.clnorm.example.device;

import java.util.ArrayDeque;
import java.util.Deque;
import org.clnorm.Tensor;

/** Parts one after another. */
public final class Chain extends Composite {
    private final Deque<Part> chain = new ArrayDeque<>();

    /** The same with one part more. */
    public Chain then(String name, Part part) {
        chain.addLast(add(name, part));
        return this;
    }

    @Override
    public Tensor forward(Tensor x) {
        Tensor y = x;
        for (Part part : chain) {
            y = part.forward(y);
        }
        return y;
    }

    @Override
    public Tensor backward(Tensor dy) {
        Tensor dx = dy;
        for (var parts = chain.descendingIterator(); parts.hasNext(); ) {
            dx = parts.next().backward(dx);
        }
        return dx;
    }
}
