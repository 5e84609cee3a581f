package org.clnorm.example.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.clnorm.Tensor;

/**
 * Compares a part's backward pass with what its forward pass does: along random directions of x, and of each weight, with the
 * loss Σ y·r for random r.
 */
public final class Gradients {
    private static final int DIRECTIONS = 3;

    private final Queue queue;
    private final Part part;
    private final Tensor x;
    private final float[] values;
    private final Random random = new Random(7);
    private float[] r;
    private double step = 1e-2;

    /** Of a part, at an x of normally distributed numbers. */
    public Gradients(Queue queue, Part part, long... dimensions) {
        this.queue = queue;
        this.part = part;
        this.x = queue.tensor(dimensions);
        this.values = normal((int) x.shape().elements());
        x.upload(values);
    }

    /** With a smaller step, where the part has kinks. */
    public Gradients step(double smaller) {
        step = smaller;
        return this;
    }

    /** Fails where one differs by more than a share of the largest that a direction could have had. */
    public void check(double share) {
        Tensor y = part.forward(x);
        r = normal((int) y.shape().elements());
        Tensor dy = queue.tensor(y.shape().toArray());
        dy.upload(r);
        check("x", x, part.backward(dy).download(), share);
        for (Weight weight : part.weights()) {
            part.forward(x);
            part.backward(dy);
            check(weight.name(), weight.value(), weight.gradient().download(), share);
        }
    }

    private void check(String what, Tensor of, float[] gradient, double share) {
        float[] at = of.download();
        assertThat(gradient).as(what).hasSameSizeAs(at);
        for (int i = 0; i < DIRECTIONS; i++) {
            float[] direction = normal(at.length);
            double expected = (loss(of, at, direction, step) - loss(of, at, direction, -step)) / (2 * step);
            double scale = length(gradient) * length(direction);
            assertThat(scale).as(what).isPositive();
            assertThat(dot(gradient, direction))
                    .as("the derivative by %s along direction %d", what, i)
                    .isCloseTo(expected, within(share * scale));
        }
        of.upload(at);
    }

    private double loss(Tensor of, float[] at, float[] direction, double factor) {
        float[] moved = new float[at.length];
        for (int i = 0; i < at.length; i++) {
            moved[i] = (float) (at[i] + factor * direction[i]);
        }
        of.upload(moved);
        return dot(part.forward(x).download(), r);
    }

    private float[] normal(int count) {
        float[] normal = new float[count];
        for (int i = 0; i < count; i++) {
            normal[i] = (float) random.nextGaussian();
        }
        return normal;
    }

    private static double dot(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += (double) a[i] * b[i];
        }
        return sum;
    }

    private static double length(float[] a) {
        return Math.sqrt(dot(a, a));
    }
}
