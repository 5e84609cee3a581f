package org.clnorm.example.conv;

import java.util.Random;
import org.clnorm.Tensor;
import org.clnorm.example.device.Gemm;
import org.clnorm.example.device.Gemm.Matrix;
import org.clnorm.example.device.Kernels;
import org.clnorm.example.device.Plain;
import org.clnorm.example.device.Queue;
import org.clnorm.example.device.Weight;

/**
 * A convolution as a product of matrices: im2col writes what each position of y sees of x into a row, for the whole batch, and
 * y is those rows times the weights. Without a bias, since a batch normalization behind it would take it out again.
 *
 * <p>Images lie channels last. So a row of the product is a position of y with its channels, just as the next layer wants it,
 * and the batch is one matrix and not one for each image.
 */
public final class Conv2d extends Plain {
    /**
     * What a convolution is over.
     *
     * @param batch how many images
     * @param size the height and width of x
     * @param inputs the channels of x
     * @param outputs the channels of y
     * @param kernel the height and width of what a position of y sees; odd
     * @param stride from one position to the next
     */
    public record Geometry(int batch, int size, int inputs, int outputs, int kernel, int stride) {
        int padding() {
            return kernel / 2;
        }

        /** The height and width of y. */
        public int outputSize() {
            return (size + 2 * padding() - kernel) / stride + 1;
        }

        int rows() {
            return batch * outputSize() * outputSize();
        }

        /** The elements of a row: what a position of y sees, by row, column and channel. */
        int seen() {
            return kernel * kernel * inputs;
        }
    }

    private final Geometry g;
    private final Gemm gemm;
    private final Kernels kernels;
    private final Weight weight;
    private final Tensor columns;
    private final Tensor y;
    private final Tensor dx;

    /** With weights after He et al. (2015), for a ReLU behind it. */
    public Conv2d(Queue queue, Geometry geometry, Random random) {
        super(queue);
        g = geometry;
        gemm = new Gemm(queue);
        kernels = queue.kernels(Conv2d.class, "conv.cl");
        weight = normal("weight", Math.sqrt(2.0 / g.seen()), random, g.seen(), g.outputs);
        columns = queue.tensor(g.rows(), g.seen());
        y = queue.tensor(g.batch, g.outputs, g.outputSize(), g.outputSize());
        dx = queue.tensor(g.batch, g.inputs, g.size, g.size);
    }

    @Override
    public Tensor forward(Tensor x) {
        kernels.run(
                "im2col",
                (long) g.rows() * g.kernel * g.kernel,
                x,
                columns,
                g.size,
                g.inputs,
                g.kernel,
                g.stride,
                g.padding(),
                g.outputSize());
        gemm.multiply(g.rows(), g.outputs, g.seen(), seen(), weights(weight.value()), 0, ofOutputs(y));
        return y;
    }

    @Override
    public Tensor backward(Tensor dy) {
        gemm.multiply(g.seen(), g.outputs, g.rows(), seen().transpose(), ofOutputs(dy), 0, weights(weight.gradient()));
        // The columns of x are done with, so their gradient goes into their place.
        gemm.multiply(
                g.rows(),
                g.seen(),
                g.outputs,
                ofOutputs(dy),
                weights(weight.value()).transpose(),
                0,
                seen());
        kernels.run(
                "col2im",
                (long) g.batch * g.size * g.size,
                columns,
                dx,
                g.size,
                g.inputs,
                g.kernel,
                g.stride,
                g.padding(),
                g.outputSize());
        return dx;
    }

    private Matrix seen() {
        return Matrix.of(columns, g.seen());
    }

    private Matrix weights(Tensor tensor) {
        return Matrix.of(tensor, g.outputs);
    }

    private Matrix ofOutputs(Tensor tensor) {
        return Matrix.of(tensor, g.outputs);
    }
}
