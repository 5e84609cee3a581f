package org.clnorm.benchmark;

import org.clnorm.Shape;
import org.clnorm.bench.Workload.Direction;

/**
 * Sets of tensors of one shape, to take turns: together they are much larger than the caches.
 *
 * <p>Inputs of the forward passes are x and the residual; of the backward pass x, dy and y. Outputs are y; dx and dresidual.
 */
record Sets(Arena arena, Shape shape, Direction direction) {
    private static final long ROTATION = 80L << 20;
    private static final int MOST = 256;

    int inputs() {
        return direction == Direction.BACKWARD ? 3 : 2;
    }

    int outputs() {
        return direction == Direction.BACKWARD ? 2 : 1;
    }

    /** In whole lines of the cache. */
    long padded() {
        return (shape.elements() + 15) / 16 * 16;
    }

    int elements() {
        return (int) shape.elements();
    }

    int count() {
        long count = Math.min(MOST, ROTATION / (inputs() * padded()));
        if (count < 1) {
            throw new IllegalArgumentException("The benchmark's tensors have up to " + ROTATION / inputs()
                    + " elements, but given was the shape " + shape);
        }
        return (int) count;
    }

    int x(int set) {
        return input(set, 0);
    }

    int residual(int set) {
        return input(set, 1);
    }

    int dy(int set) {
        return input(set, 1);
    }

    int formerY(int set) {
        return input(set, 2);
    }

    int y(int set) {
        return (int) (set * outputs() * padded());
    }

    int dx(int set) {
        return y(set);
    }

    int dresidual(int set) {
        return (int) ((set * outputs() + 1) * padded());
    }

    private int input(int set, int i) {
        return (int) ((set * inputs() + i) * padded());
    }
}
