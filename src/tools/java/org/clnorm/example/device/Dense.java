package org.clnorm.example.device;

import java.util.Random;
import org.clnorm.Tensor;
import org.clnorm.example.device.Gemm.Matrix;

/** A dense layer, y = x·W + b, for each row of x. */
public final class Dense extends Plain {
    private final int rows;
    private final int inputs;
    private final int outputs;
    private final Gemm gemm;
    private final Weight weight;
    private final Weight bias;
    private final Tensor y;
    private final Tensor dx;
    private Tensor x;

    /**
     * @param rows of x, over the whole batch
     * @param inputs of a row of x
     * @param outputs of a row of y
     * @param deviation of the initial weights, over that which keeps the variance: 1, or √2 before a ReLU (He et al., 2015)
     */
    public Dense(Queue queue, int rows, int inputs, int outputs, double deviation, Random random) {
        super(queue);
        this.rows = rows;
        this.inputs = inputs;
        this.outputs = outputs;
        this.gemm = new Gemm(queue);
        this.weight = normal("weight", deviation / Math.sqrt(inputs), random, inputs, outputs);
        this.bias = zeros("bias", outputs);
        this.y = queue.tensor(rows, outputs);
        this.dx = queue.tensor(rows, inputs);
    }

    @Override
    public Tensor forward(Tensor x) {
        this.x = x;
        queue.common().run("repeat_row", (long) rows * outputs, bias.value(), y, outputs);
        gemm.multiply(
                rows,
                outputs,
                inputs,
                Matrix.of(x, inputs),
                Matrix.of(weight.value(), outputs),
                1,
                Matrix.of(y, outputs));
        return y;
    }

    @Override
    public Tensor backward(Tensor dy) {
        Matrix gradient = Matrix.of(dy, outputs);
        queue.common().run("sum_rows", outputs, dy, bias.gradient(), rows, outputs);
        gemm.multiply(
                inputs,
                outputs,
                rows,
                Matrix.of(x, inputs).transpose(),
                gradient,
                0,
                Matrix.of(weight.gradient(), outputs));
        gemm.multiply(
                rows,
                inputs,
                outputs,
                gradient,
                Matrix.of(weight.value(), outputs).transpose(),
                0,
                Matrix.of(dx, inputs));
        return dx;
    }
}
