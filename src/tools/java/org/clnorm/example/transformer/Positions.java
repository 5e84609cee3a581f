package org.clnorm.example.transformer;

import java.util.Random;
import org.clnorm.Tensor;
import org.clnorm.example.device.Kernels;
import org.clnorm.example.device.Plain;
import org.clnorm.example.device.Queue;
import org.clnorm.example.device.Weight;

/** Adds to each row of a sequence what is learnt of its position, which attention would not know otherwise. */
final class Positions extends Plain {
    private static final double DEVIATION = 0.02;

    private final int batch;
    private final int elements;
    private final Kernels kernels;
    private final Weight weight;
    private final Tensor y;

    Positions(Queue queue, int batch, int rows, int width, Random random) {
        super(queue);
        this.batch = batch;
        this.elements = rows * width;
        this.kernels = queue.kernels(Positions.class, "transformer.cl");
        this.weight = normal("weight", DEVIATION, random, rows, width);
        this.y = queue.tensor((long) batch * rows, width);
    }

    @Override
    public Tensor forward(Tensor x) {
        kernels.run("add_to_each", (long) batch * elements, x, weight.value(), y, elements);
        return y;
    }

    @Override
    public Tensor backward(Tensor dy) {
        queue.common().run("sum_rows", elements, dy, weight.gradient(), batch, elements);
        return dy; // x went into y as it is
    }
}
